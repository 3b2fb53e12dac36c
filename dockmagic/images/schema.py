"""What the images room keeps in the database: its numbered migrations."""

from __future__ import annotations

ROOM = "images"

MIGRATIONS = (
    """
    CREATE TABLE image (
        id TEXT PRIMARY KEY,
        config BLOB NOT NULL,
        parent TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX image_parent ON image (parent);
    CREATE TABLE image_layer (
        image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        diff_id TEXT NOT NULL REFERENCES layer (diff_id),
        PRIMARY KEY (image, position)
    );
    CREATE INDEX image_layer_diff_id ON image_layer (diff_id);
    CREATE TABLE tag (
        name TEXT NOT NULL,
        tag TEXT NOT NULL,
        image TEXT NOT NULL REFERENCES image (id),
        PRIMARY KEY (name, tag)
    );
    CREATE INDEX tag_image ON tag (image);
    CREATE TABLE repository_digest (
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        image TEXT NOT NULL REFERENCES image (id),
        PRIMARY KEY (name, digest)
    );
    CREATE INDEX repository_digest_image ON repository_digest (image);
    CREATE TABLE layer (
        diff_id TEXT PRIMARY KEY,
        size INTEGER
    );
    CREATE TABLE layer_blob (
        digest TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL REFERENCES layer (diff_id),
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL
    );
    CREATE INDEX layer_blob_diff_id ON layer_blob (diff_id);
    CREATE TABLE lost_blob (digest TEXT PRIMARY KEY);
    CREATE TABLE folder (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        diff_id TEXT NOT NULL REFERENCES layer (diff_id),
        parent TEXT NOT NULL,
        owners TEXT NOT NULL,
        record TEXT NOT NULL,
        UNIQUE (diff_id, owners, parent)
    );
    CREATE TABLE chain (
        chain TEXT PRIMARY KEY,
        parent TEXT NOT NULL,
        diff_id TEXT NOT NULL REFERENCES layer (diff_id)
    );
    CREATE INDEX chain_parent ON chain (parent);
    CREATE INDEX chain_diff_id ON chain (diff_id);
    CREATE TABLE snapshot (
        key TEXT PRIMARY KEY,
        number INTEGER NOT NULL UNIQUE,
        parent TEXT NOT NULL,
        form TEXT NOT NULL,
        owners TEXT NOT NULL,
        writable INTEGER NOT NULL
    );
    CREATE TABLE pin (
        owner TEXT NOT NULL,
        chain TEXT NOT NULL,
        PRIMARY KEY (owner, chain)
    );
    """,
)
"""``tag.name`` and ``repository_digest.name`` are whole (docker.io/library/alpine). ``layer.size``: bytes of the files'
content, NULL until unpacked once. ``lost_blob``: blobs whose layer was forgotten, their files still to be removed.
``folder``: a layer unpacked; ``parent`` is empty, or the one chain it fits on;
``owners`` is ``real`` (the kernel keeps them) or ``recorded`` (dockmagic.ownership does); ``record`` is JSON, see
snapshots/record.py. ``snapshot.form`` is ``overlay`` or ``clone``. ``pin``: chains kept without an image (the build
cache's)."""

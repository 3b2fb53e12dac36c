"""The names of images: tags and repository digests. Who is called what; what an image is, is store.py's."""

from __future__ import annotations

from collections import defaultdict

from dockmagic.database import Database
from dockmagic.errors import InvalidParameter
from dockmagic.images.reference import DEFAULT_TAG, Reference


class Names:
    """Docker's reference store: each reference names one image, an image has any number of references."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def resolve(self, reference: Reference) -> str | None:
        """The image id of a reference; ``latest`` where it has neither tag nor digest. A digest outweighs a tag."""
        if reference.digest:
            rows = self._database.query(
                "SELECT image FROM repository_digest WHERE name = ? AND digest = ?", (reference.name, reference.digest)
            )
        else:
            rows = self._database.query(
                "SELECT image FROM tag WHERE name = ? AND tag = ?", (reference.name, reference.tag or DEFAULT_TAG)
            )
        return str(rows[0]["image"]) if rows else None

    def of(self, image: str) -> list[Reference]:
        """Every reference of an image, sorted."""
        return self.all("WHERE image = ?", (image,)).get(image, [])

    def all(self, where: str = "", parameters: tuple[str, ...] = ()) -> dict[str, list[Reference]]:
        """Every image's references, sorted as docker sorts them: by their whole text."""
        found: dict[str, list[Reference]] = defaultdict(list)
        rows = self._database.query(
            f"SELECT image, name, tag, '' AS digest FROM tag {where} "
            f"UNION ALL SELECT image, name, '', digest FROM repository_digest {where}",
            parameters * 2,
        )
        for row in rows:
            domain, _, path = row["name"].partition("/")
            found[row["image"]].append(Reference(domain, path, row["tag"], row["digest"]))
        for references in found.values():
            references.sort(key=str)
        return found

    def add(self, reference: Reference, image: str) -> None:
        """Let ``reference`` (with a tag or a digest) name ``image``, and no other any more."""
        with self._database.transaction() as tx:
            if reference.digest:
                tx.execute(
                    "INSERT OR REPLACE INTO repository_digest VALUES (?, ?, ?)",
                    (reference.name, reference.digest, image),
                )
            else:
                if reference.path == "library/sha256" and reference.familiar_name == "sha256":
                    raise InvalidParameter("refusing to create an ambiguous tag using digest algorithm as name")
                tx.execute("INSERT OR REPLACE INTO tag VALUES (?, ?, ?)", (reference.name, reference.tag, image))

    def remove(self, reference: Reference) -> bool:
        """Forget a reference; whether it was there."""
        with self._database.transaction() as tx:
            if reference.digest:
                done = tx.execute(
                    "DELETE FROM repository_digest WHERE name = ? AND digest = ?", (reference.name, reference.digest)
                )
            else:
                done = tx.execute(
                    "DELETE FROM tag WHERE name = ? AND tag = ?", (reference.name, reference.tag or DEFAULT_TAG)
                )
            return done.rowcount > 0

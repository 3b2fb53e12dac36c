"""Roots changed at random: a committed layer shows exactly what was there, and every form commits the same layer."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic.images.protocols import Snapshot
from dockmagic.images.snapshots import LayerSnapshots
from tests.images import tars
from tests.images.forms import FORMS, Hand, unpack
from tests.images.isolation import needs_root, open_folder
from tests.images.tars import entry, folder, symlink, tar

NAMES = ("a", "b", "c", "d")
FORMS_HERE = ("overlay", "userxattr", "links", "copies")
ROUNDS = 3
KINDS = ["write", "write", "mkdir", "remove", "remove", "symlink", "move", "touch", "again"]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with open_folder() as made:
        yield made


def base() -> bytes:
    """Folders three deep, with two files and a link in each.

    No hard links: an overlay takes the names of one file below apart when one is written, a copy does not.
    """
    entries = []
    for one in NAMES[:3]:
        for path in (one, f"{one}/a", f"{one}/b", f"{one}/a/a"):
            entries += [
                folder(path),
                entry(f"{path}/d", path.encode() * 3),
                entry(f"{path}/c", path.encode(), mode=0o600),
                symlink(f"{path}/l", "c"),
            ]
    return tar(*entries)


def change(snapshot: Snapshot, chance: random.Random, last: bool) -> None:
    hand = Hand.on(snapshot)
    root = snapshot.path
    kinds = [*KINDS, "link"] if last else KINDS
    for _ in range(chance.randrange(1, 12)):
        step(hand, root, chance, chance.choice(kinds))
    hand.touched |= {path for path in root.rglob("*") if path.lstat().st_mtime > tars.WHEN}
    hand.done()


def step(hand: Hand, root: Path, chance: random.Random, kind: str) -> None:
    """One change; which one depends on the names that are there alone."""
    there = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    folders = [name for name in there if (root / name).is_dir() and not (root / name).is_symlink()]
    files = [name for name in there if (root / name).is_file() and not (root / name).is_symlink()]
    parent = chance.choice(["", *folders])
    new = f"{parent}/{chance.choice([*NAMES, 'new'])}".lstrip("/")
    free = not os.path.lexists(root / new)
    if kind == "write" and (free or new in files):
        hand.write(new, chance.choice([b"", b"x", b"content"]), chance.choice([0o644, 0o755, 0o4755]))
    elif kind == "mkdir" and free:
        hand.mkdir(new)
    elif kind == "remove" and there:
        hand.remove(chance.choice(there))
    elif kind == "link" and free and files:
        hand.link(new, chance.choice(files))
    elif kind == "symlink" and free:
        hand.symlink(new, "somewhere")
    elif kind == "touch" and files:
        hand.touch(chance.choice(files))
    elif kind == "move" and free and there:
        source = chance.choice(there)
        if not new.startswith(source + "/") and new != source:
            if source in folders:  # what mv does in an overlay, where a folder from below can't be renamed
                shutil.copytree(root / source, root / new, symlinks=True)
                shutil.rmtree(root / source)
            else:
                (root / source).rename(root / new)
    elif kind == "again" and folders:  # removed and made anew, with some of the names it had
        name = chance.choice(folders)
        had = sorted(os.listdir(root / name))
        hand.remove(name)
        hand.mkdir(name)
        for child in had[: chance.randrange(len(had) + 1)]:
            hand.write(f"{name}/{child}", b"again")


@needs_root
@pytest.mark.parametrize("seed", range(12))
def test_random_changes(seed: int, tmp_path: Path) -> None:
    found: dict[str, list[str]] = {}
    for name in FORMS_HERE:

        def check(snapshots: LayerSnapshots, name: str = name) -> None:
            chain = unpack(snapshots, base())
            chance = random.Random(seed)
            ids = []
            for number in range(ROUNDS):
                snapshot = snapshots.prepare(f"k{number}", chain)
                change(snapshot, chance, number == ROUNDS - 1)
                before = tars.tree(snapshot.path)
                result = snapshots.commit(f"k{number}")
                if result is None:
                    ids.append("nothing")
                    continue
                chain = result[0]
                ids.append(result[1].diff_id)
                assert tars.tree(snapshots.view(f"v{number}", chain).path) == before
                assert _tree_of(snapshots.stack(chain).walk()) == sorted(before)
            (tmp_path / f"{name}.ids").write_text("\n".join(ids))

        (tmp_path / name).mkdir()
        FORMS[name].run(tmp_path / name, check)
        found[name] = (tmp_path / f"{name}.ids").read_text().split()
    assert found["userxattr"] == found["overlay"]
    assert found["links"] == found["overlay"]
    assert found["copies"] == found["overlay"]


def _tree_of(walk: Iterator[tuple[bytes, object]]) -> list[str]:
    return sorted(os.fsdecode(name) for name, _ in walk)

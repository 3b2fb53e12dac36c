"""A clone of hard links: whatever a container does, the layer's files stay as they are."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from dockmagic.runtime.tracer.copyup import CopyUp
from tests.runtime.tracer.conftest import Box

HOSTILE = """
cd /files
exec 3< fd-mode 4< fd-write 5< fd-time
for f in w*; do echo hostile > $f; done
for f in a*; do echo hostile >> $f; done
for f in t*; do truncate -s 1 $f; done
for f in m*; do chmod 4777 $f; done
for f in o*; do chown 5:6 $f; done
for f in d*; do touch -d '2001-02-03 04:05' $f; done
for f in l*; do ln $f $f.link; echo hostile >> $f.link; done
for f in x*; do rm $f; done
for f in r*; do mv $f $f.moved; echo hostile >> $f.moved; done
for f in s*; do ln -sf /etc/passwd $f; done
chmod 777 /proc/self/fd/3 || true
(echo hostile > /proc/self/fd/4) || true
touch /proc/self/fd/5 || true
touch -h -d '2001-02-03 04:05' link
chown -h 5:6 link
mv new-name w1
sed -i s/content/hostile/ e1
cp -p /etc/passwd c1
dd if=/dev/zero of=z1 bs=1 seek=2 count=1 conv=notrunc 2>/dev/null
chmod -R 777 /files
chown -R 7:8 /files
find / -xdev -type f -exec touch {} + 2>/dev/null
rm -rf /bin/[b-z]* /etc /files
"""


def fingerprint(layer: Path) -> dict[str, tuple[object, ...]]:
    """Everything about every file but its access time, and change time and link count, which links change."""
    out: dict[str, tuple[object, ...]] = {}
    for folder, _folders, names in os.walk(layer):
        for name in names:
            path = Path(folder, name)
            real = path.lstat()
            data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            attributes = {
                n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)
            }
            digest = hashlib.sha256(data).hexdigest()
            out[str(path)] = (digest, real.st_mode, real.st_uid, real.st_gid, real.st_mtime_ns, str(attributes))
    return out


@pytest.fixture
def layer(box: Box) -> Path:
    """The layer of a box whose root becomes a clone of hard links."""
    layer = box.rootfs.rename(box.rootfs.with_name("layer"))
    (layer / "files").mkdir()
    for kind in "watmodlxrsecz":
        for number in range(1, 4):
            (layer / f"files/{kind}{number}").write_text(f"content of {kind}{number}\n")
    for name in ("fd-mode", "fd-write", "fd-time", "new-name"):
        (layer / f"files/{name}").write_text(f"content of {name}\n")
    (layer / "files/link").symlink_to("w1")
    (layer / "files/twin").hardlink_to(layer / "files/a1")
    _clone(layer, box.rootfs)
    return layer


def _clone(source: Path, target: Path) -> None:
    target.mkdir()
    for entry in os.scandir(source):
        if entry.is_dir(follow_symlinks=False):
            _clone(Path(entry.path), target / entry.name)
        else:
            os.link(entry.path, target / entry.name, follow_symlinks=False)


def test_a_layer_survives_hostile_writes(box: Box, layer: Path) -> None:
    before = fingerprint(layer)
    result = box.sh(HOSTILE, copy_on_write=True)
    assert not (box.rootfs / "files").exists(), result.err
    assert fingerprint(layer) == before


def test_what_was_written_is_in_the_clone_only(box: Box, layer: Path) -> None:
    script = "cd /files; echo new > w1; chmod 4711 m1; chown 5:6 o1; stat -c '%a %u:%g' m1 o1; cat w1 w2"
    assert box.lines(script, copy_on_write=True) == ["4711 0:0", "644 5:6", "new", "content of w2"]
    assert box.lines("cd /files; stat -c '%a %u:%g' m1 o1; cat w1", copy_on_write=True) == [
        "4711 0:0",
        "644 5:6",
        "new",
    ]
    assert (layer / "files/w1").read_text() == "content of w1\n"


def test_reading_copies_nothing(box: Box, layer: Path) -> None:
    box.lines(
        "cat /files/* > /dev/null; ls -lR /files /etc /bin > /dev/null; stat /files/w1; test -w /files/w1",
        copy_on_write=True,
    )
    for path in (layer / "files").iterdir():
        assert (box.rootfs / "files" / path.name).lstat().st_ino == path.lstat().st_ino


def test_a_copy_keeps_times_and_attributes(box: Box, layer: Path) -> None:
    os.utime(layer / "files/m1", ns=(1_000_000_007, 2_000_000_009))
    os.setxattr(layer / "files/m1", "user.note", b"kept")
    box.lines("chmod 600 /files/m1", copy_on_write=True)
    copied = box.rootfs / "files/m1"
    assert copied.stat().st_mtime_ns == 2_000_000_009
    assert os.getxattr(copied, "user.note") == b"kept"
    assert stat.S_IMODE(copied.stat().st_mode) == 0o600


def test_links_made_in_the_container_stay_one_file(box: Box, layer: Path) -> None:
    script = (
        "cd /files; ln w1 w1.link; echo one >> w1; cat w1.link; ln w1 w1.third; rm w1; "
        "echo two >> w1.third; cat w1.link"
    )
    assert box.lines(script, copy_on_write=True) == ["content of w1", "one", "content of w1", "one", "two"]
    again = "cd /files; echo three >> w1.link; tail -1 w1.third"
    assert box.lines(again, copy_on_write=True) == ["three"]
    assert (layer / "files/w1").read_text() == "content of w1\n"


def test_half_made_copies_leave_nothing_behind(box: Box, layer: Path) -> None:
    box.lines("cd /files; for f in *; do echo x >> $f; done", copy_on_write=True)
    assert sorted(os.listdir(box.rootfs.parent)) == ["err", "layer", "out", "rootfs"]
    assert sorted(os.listdir(box.rootfs / "files")) == sorted(os.listdir(layer / "files"))


def test_links_are_counted_so_that_a_later_share_is_seen(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    copy_up = CopyUp(os.fsencode(staging))
    one, two = os.fsencode(tmp_path / "one"), os.fsencode(tmp_path / "two")
    Path(os.fsdecode(one)).write_text("x")
    copy_up.link(one, two)
    assert not copy_up.shared(one, os.lstat(one))
    os.link(one, tmp_path / "a-layers-name")
    assert copy_up.shared(one, os.lstat(one))
    copy_up.removing(two)
    os.unlink(two)
    assert copy_up.shared(one, os.lstat(one))

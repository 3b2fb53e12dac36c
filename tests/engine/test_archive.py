"""docker cp and docker export."""

from __future__ import annotations

import io
import tarfile

import pytest

from tests.engine.test_containers import refused


def tar_of(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    """A tar of files (name, content) and of ready members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def entry(name: str, kind: bytes, link: str = "", mode: int = 0o755) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def fetched(api, id: str, path: str) -> dict[str, tarfile.TarInfo]:  # type: ignore[no-untyped-def]
    stream, _ = api.get_archive(id, path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        return {member.name: member for member in archive}


def test_put_and_get_a_file(box, api) -> None:
    id = box.create()
    assert api.put_archive(id, "/tmp", tar_of(("hello.txt", b"hello\n")))
    stream, stat = api.get_archive(id, "/tmp/hello.txt")
    assert (stat["name"], stat["size"]) == ("hello.txt", 6)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        assert archive.extractfile("hello.txt").read() == b"hello\n"  # type: ignore[union-attr]


def test_a_started_container_sees_what_was_put_before(box, api) -> None:
    id = box.create(["cat", "/etc/put"])
    api.put_archive(id, "/etc", tar_of(("put", b"by cp")))
    api.start(id)
    api.wait(id)
    assert api.logs(id) == b"by cp"


def test_a_running_container_sees_what_is_put(box, api) -> None:
    id = box.loop()
    api.put_archive(id, "/", tar_of(("now", b"here")))
    assert api.exec_start(api.exec_create(id, ["cat", "/now"])) == b"here"


def test_modes_and_owners_are_kept(box, api, tier) -> None:
    id = box.loop()
    info = entry("owned", tarfile.REGTYPE, mode=0o4750)
    info.uid, info.gid = 123, 456
    api.put_archive(id, "/", tar_of(info))
    out = api.exec_start(api.exec_create(id, ["stat", "-c", "%u %g %a", "/owned"]))
    assert out == (b"0 0 4750\n" if tier.one_id else b"123 456 4750\n")


def test_folders_links_and_fifos(box, api) -> None:
    id = box.create()
    members = (
        entry("d", tarfile.DIRTYPE), ("d/f", b"x"), entry("d/s", tarfile.SYMTYPE, "f"),
        entry("d/h", tarfile.LNKTYPE, "d/f"), entry("d/p", tarfile.FIFOTYPE),
    )  # fmt: skip
    api.put_archive(id, "/", tar_of(*members))
    found = fetched(api, id, "/d")
    assert found["d"].isdir()
    assert found["d/s"].issym()
    assert found["d/s"].linkname == "f"
    assert found["d/p"].isfifo()
    assert {found["d/f"].islnk(), found["d/h"].islnk()} == {True, False}


def test_links_in_an_archive_stay_inside(box, api) -> None:
    id = box.create()
    api.put_archive(id, "/tmp", tar_of(entry("out", tarfile.SYMTYPE, "/etc"), ("out/made", b"x")))
    assert "made" in fetched(api, id, "/etc/made")


def test_get_follows_links_within_the_container(box, api) -> None:
    id = box.create()
    api.put_archive(id, "/", tar_of(entry("link", tarfile.SYMTYPE, "/etc/passwd")))
    stream, stat = api.get_archive(id, "/link")
    assert stat["linkTarget"] == "/etc/passwd"
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        assert archive.getmembers()[0].issym()


def test_a_folders_content(box, api) -> None:
    id = box.create()
    api.put_archive(id, "/tmp", tar_of(entry("d", tarfile.DIRTYPE), ("d/a", b"1"), ("d/b", b"2")))
    assert {"d", "d/a", "d/b"} == set(fetched(api, id, "/tmp/d"))


def test_stat_tells_the_kind(box, api) -> None:
    id = box.create()
    _, stat = api.get_archive(id, "/etc")
    assert stat["mode"] >> 31 == 1
    _, stat = api.get_archive(id, "/etc/passwd")
    assert stat["mode"] & 0o777 == 0o644


def test_paths_into_volumes(box, api) -> None:
    id = box.create(["cat", "/data/inside"], volumes=["/data"])
    api.put_archive(id, "/data", tar_of(("inside", b"volume")))
    api.start(id)
    api.wait(id)
    assert api.logs(id) == b"volume"
    assert "inside" in fetched(api, id, "/data/inside")


@pytest.mark.parametrize("path", ["/nope", "/etc/passwd/x"])
def test_get_of_nothing(box, api, path: str) -> None:
    id = box.create()
    refused(lambda: api.get_archive(id, path), 404, "ould not find the file" if path == "/nope" else "")


def test_put_into_what_is_no_folder(box, api) -> None:
    id = box.create()
    refused(lambda: api.put_archive(id, "/etc/passwd", tar_of(("a", b"b"))), 400, "not a directory")
    refused(lambda: api.put_archive(id, "/nope", tar_of(("a", b"b"))), 404)


def test_put_into_a_read_only_root(box, api) -> None:
    id = box.create(host={"read_only": True})
    refused(lambda: api.put_archive(id, "/tmp", tar_of(("a", b"b"))), 403, "read-only")


def test_put_of_what_is_no_tar(box, api) -> None:
    id = box.create()
    refused(lambda: api.put_archive(id, "/tmp", b"x" * 1024), 400)


def test_export(box, api) -> None:
    id = box.start(["sh", "-c", "echo made > /made"])
    api.wait(id)
    with tarfile.open(fileobj=io.BytesIO(b"".join(api.export(id)))) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
        assert {"made", "etc/passwd", "bin/busybox"} <= names
        assert archive.extractfile("made").read() == b"made\n"  # type: ignore[union-attr]

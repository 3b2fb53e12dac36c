"""Paths of the container's to places on the host, on folders made for it; no process is traced."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dockmagic.runtime.tracer.namespace import Mounted, Namespace
from dockmagic.runtime.tracer.resolver import Resolver


class Magic:
    """Knows one magic link: /proc/here is /inside."""

    def jump(self, path: bytes, last: bool, who: str) -> bytes | None:
        return b"/inside" if path == b"/proc/here" else None


@pytest.fixture
def resolver(tmp_path: Path) -> Resolver[str]:
    root = tmp_path / "root"
    for folder in ("inside/deep", "etc", "proc", "mnt"):
        (root / folder).mkdir(parents=True)
    (root / "etc/passwd").write_text("x")
    (root / "absolute").symlink_to("/etc")
    (root / "etc/relative").symlink_to("../etc/passwd")
    (root / "escape").symlink_to("../../../../etc/passwd")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("/etc/nothing")
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "out").symlink_to("/etc/passwd")
    mounts = [
        Mounted(b"/mnt", os.fsencode(volume)),
        Mounted(b"/etc/hosts", os.fsencode(tmp_path / "hosts"), read_only=True),
    ]
    return Resolver(Namespace(os.fsencode(root), mounts), Magic())


def find(resolver: Resolver[str], path: str, follow: bool = True, root: str = "") -> str:
    return resolver.find(path.encode(), follow, "who", root.encode()).guest.decode()


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/etc/passwd", "/etc/passwd"),
        ("//etc/./../etc/passwd", "/etc/passwd"),
        ("/absolute/passwd", "/etc/passwd"),
        ("/etc/relative", "/etc/passwd"),
        ("/escape", "/etc/passwd"),
        ("/../../etc", "/etc"),
        ("/mnt/out", "/etc/passwd"),
        ("/proc/here/deep", "/inside/deep"),
        ("/etc/new", "/etc/new"),
        ("/dangling", "/etc/nothing"),
        ("/", ""),
    ],
)
def test_links_are_followed_inside_the_root(resolver: Resolver[str], path: str, leads_to: str) -> None:
    assert find(resolver, path) == leads_to
    assert find(resolver, path) == leads_to  # and again from what was remembered


def test_the_last_link_can_be_meant_itself(resolver: Resolver[str]) -> None:
    assert find(resolver, "/absolute", follow=False) == "/absolute"
    assert find(resolver, "/absolute/relative", follow=False) == "/etc/relative"
    assert find(resolver, "/absolute/", follow=False) == "/etc"


def test_a_slash_at_the_end_stays_for_the_kernel_to_judge(resolver: Resolver[str]) -> None:
    assert resolver.find(b"/etc/passwd/", True, "who").host.endswith(b"/etc/passwd/")


@pytest.mark.parametrize(
    ("path", "code"),
    [("/nothing/below", errno.ENOENT), ("/etc/passwd/below", errno.ENOTDIR), ("/loop", errno.ELOOP)],
)
def test_errors_are_the_kernels(resolver: Resolver[str], path: str, code: int) -> None:
    with pytest.raises(OSError) as caught:
        find(resolver, path)
    assert caught.value.errno == code


def test_mounts_hide_what_is_below_them(resolver: Resolver[str], tmp_path: Path) -> None:
    assert resolver.find(b"/mnt/sub", True, "who").host == os.fsencode(tmp_path / "volume/sub")
    hosts = resolver.find(b"/etc/hosts", True, "who")
    assert (hosts.host, hosts.mount.read_only) == (os.fsencode(tmp_path / "hosts"), True)


def test_a_process_with_a_root_of_its_own_stays_in_it(resolver: Resolver[str]) -> None:
    assert find(resolver, "/deep", root="/inside") == "/inside/deep"
    assert find(resolver, "/../../etc", root="/inside") == "/inside/etc"


def test_a_link_made_later_counts(resolver: Resolver[str], tmp_path: Path) -> None:
    assert find(resolver, "/inside/deep") == "/inside/deep"
    (tmp_path / "root/inside/deep").rmdir()
    resolver.removed(b"/inside/deep")
    (tmp_path / "root/inside/deep").symlink_to("/etc")
    resolver.linked(b"/inside/deep")
    assert find(resolver, "/inside/deep/passwd") == "/etc/passwd"


def test_a_link_that_goes_counts(resolver: Resolver[str], tmp_path: Path) -> None:
    assert find(resolver, "/absolute/passwd") == "/etc/passwd"
    (tmp_path / "root/absolute").unlink()
    resolver.removed(b"/absolute")
    (tmp_path / "root/absolute").mkdir()
    assert find(resolver, "/absolute/passwd") == "/absolute/passwd"


def test_moving_a_folder_forgets_what_was_below(resolver: Resolver[str], tmp_path: Path) -> None:
    (tmp_path / "root/inside/link").symlink_to("/etc")
    assert find(resolver, "/inside/link") == "/etc"
    os.rename(tmp_path / "root/inside", tmp_path / "root/elsewhere")
    generation = resolver.generation
    resolver.moved(b"/inside", b"/elsewhere", plain_file=False)
    assert resolver.generation > generation
    assert find(resolver, "/elsewhere/link") == "/etc"


def test_a_volume_others_change_is_looked_at_again(resolver: Resolver[str], tmp_path: Path) -> None:
    assert find(resolver, "/mnt/out") == "/etc/passwd"
    (tmp_path / "volume/out").unlink()
    (tmp_path / "volume/out").symlink_to("/inside")
    assert find(resolver, "/mnt/out") == "/inside"


def test_the_way_back_from_a_host_path(tmp_path: Path) -> None:
    namespace = Namespace(b"/r", [Mounted(b"/data", b"/srv/v"), Mounted(b"/data/sub", b"/srv/v/deeper")])
    assert namespace.guest(b"/r") == b""
    assert namespace.guest(b"/r/etc") == b"/etc"
    assert namespace.guest(b"/rest") is None
    assert namespace.guest(b"/srv/v/x") == b"/data/x"
    assert namespace.guest(b"/srv/v/deeper/x") == b"/data/sub/x"
    assert namespace.place(b"/data/subtle").host == b"/srv/v/subtle"

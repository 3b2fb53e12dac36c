"""Removing whole trees, whatever they look like."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from dockmagic.images.files import remove_tree
from tests.images.isolation import in_child


def test_nothing_there(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")


def test_a_link_goes_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/f").write_bytes(b"")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/way").symlink_to("../kept")
    (tmp_path / "way").symlink_to("kept")
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "way")
    assert os.listdir(tmp_path) == ["kept"]
    assert os.listdir(tmp_path / "kept") == ["f"]


def test_a_tree_deeper_than_descriptors_and_recursion_go(tmp_path: Path) -> None:
    def check() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        (tmp_path / "tree").mkdir()
        fd = os.open(tmp_path / "tree", os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("d", dir_fd=fd)
            os.close(os.open("f", os.O_CREAT, dir_fd=fd))
            below = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)
        remove_tree(tmp_path / "tree")
        assert os.listdir(tmp_path) == []

    in_child(check)

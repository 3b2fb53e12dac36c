"""The same inputs give the same image on every tier, but for links that are not root's (see ownership.py)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic.builder.tree import FolderTree
from tests.builder.conftest import Workshop

TEXT = """\
FROM alpine AS made
RUN adduser -D someone && mkdir -p /work/sub && echo text > /work/sub/file
RUN chown -R someone /work && chmod 4750 /work/sub/file && ln /work/sub/file /work/hard
RUN rm /etc/passwd- /etc/group- 2>/dev/null; ln -s sub/file /soft; rm -r /var/www
FROM alpine
COPY --from=made --chown=daemon:nobody /work /copied
COPY --from=made /work /kept
COPY --from=made / /all
COPY --chmod=0 a /a
WORKDIR /x/y
RUN touch b && rm -rf /home && mkdir /home
"""


def test_two_tiers_make_one_image(workshop: Workshop, traced: Workshop) -> None:
    request = {"build_args": {"SOURCE_DATE_EPOCH": "1700000000"}, "no_cache": True}
    first = workshop.build(TEXT, {"a": "1"}, **request)
    second = traced.build(TEXT, {"a": "1"}, **request)
    for ours, theirs in zip(first.layers, second.layers, strict=True):
        assert ours == theirs
    assert first.image == second.image


def test_owners_are_seen_in_the_tracer(traced: Workshop) -> None:
    text = "FROM busybox\nCOPY --chown=100:200 --chmod=640 a /a\nRUN stat -c '%u:%g %a' /a > /seen && cat /seen\n"
    built = traced.build(text, {"a": "1"}, no_cache=True)
    assert built.logs["[3/3] RUN stat -c '%u:%g %a' /a > /seen && cat /seen"] == "100:200 640\n"


def test_a_folder_becomes_roots_again(traced: Workshop) -> None:
    text = "FROM scratch\nCOPY --chown=99:99 d /d\nCOPY d /d\n"
    built = traced.build(text, {"d/sub/f": "1"}, no_cache=True)
    assert {path: (entry["uid"], entry["gid"]) for path, entry in built.files().items()}["d/sub/"] == (0, 0)
    assert [(entry["uid"], entry["gid"]) for entry in built.layers[0]] == [(99, 99)] * 3


def test_a_file_without_a_record_is_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To whoever has no root's rights every file on the disk is their own; layers have them as root's."""
    (tmp_path / "f").write_text("1")
    mine = (tmp_path / "f").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    if mine == 0:
        os.chown(tmp_path / "f", 1234, 1234)
    recorded, plain = (FolderTree(str(tmp_path), recorded=flag).lstat("f") for flag in (True, False))
    assert recorded is not None and plain is not None
    assert (recorded.uid, recorded.gid) == (0, 0)
    assert plain.uid == (mine or 1234)

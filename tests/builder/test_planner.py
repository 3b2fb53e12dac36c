"""Plans: which stages a target needs, what steps are called, what is wrong and where."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from dockmagic.builder import graph
from dockmagic.builder.model import CopyStep, RunStep, StagePlan, WorkdirStep
from dockmagic.builder.named import NamedContexts
from dockmagic.builder.planner import Options, Planner
from dockmagic.builder.remote import Remotes
from dockmagic.builder.request import BuildError
from dockmagic.errors import NotFound
from dockmagic.images.protocols import Image, Layer
from dockmagic.images.reference import Reference
from dockmagic.platforms import Platform

BASE: dict[str, Any] = {
    "os": "linux", "architecture": "amd64",
    "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "User": "www", "WorkingDir": "/srv"},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:0"]}, "history": [{"created_by": "base"}],
}  # fmt: skip


class FakeImage:
    """An image that is a config alone."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.id = "sha256:1"
        self.config_bytes = b""
        self.layers: list[Layer] = []


class FakeImages:
    """Knows ``base`` and ``trigger``; remembers what was asked for."""

    def __init__(self, **triggers: list[str]) -> None:
        self.asked: list[str] = []
        self._triggers = triggers

    def image(self, reference: Reference, platform: Platform | None, vertex: str) -> Image:
        name = reference.familiar_name
        self.asked.append(name)
        if name == "base":
            return FakeImage(BASE)
        if name in self._triggers:
            return FakeImage({**BASE, "config": {**BASE["config"], "OnBuild": self._triggers[name]}})
        raise NotFound(f"No such image: {reference.familiar}")


def plan(tmp_path: Path, text: str, images: FakeImages | None = None, **options: Any) -> StagePlan:
    contexts = NamedContexts(options.pop("contexts", {}), Remotes(tmp_path, threading.Event()), tmp_path)
    return Planner(text, "Dockerfile", Options(**options), images or FakeImages(), contexts).plan()


def failure(tmp_path: Path, text: str, images: FakeImages | None = None, **options: Any) -> BuildError:
    with pytest.raises(BuildError) as caught:
        plan(tmp_path, text, images, **options)
    return caught.value


def test_only_what_the_target_needs(tmp_path: Path) -> None:
    images = FakeImages()
    text = "FROM nosuch AS unused\nRUN x\nFROM base AS a\nRUN a\nFROM scratch AS b\nCOPY --from=a /a /a\nFROM b\n"
    text += "FROM nosuch"
    target = plan(tmp_path, text, images, target="b")
    assert [stage.name for stage in graph.reachable(target)] == ["a", "b"]
    assert images.asked == ["base"]


def test_names_of_steps_are_those_of_buildkit(tmp_path: Path) -> None:
    text = """\
FROM base AS one
ARG WHO=me
WORKDIR sub
RUN echo $WHO "$OTHER"
FROM one
COPY --from=one a b
RUN <<EOF
first line
second
EOF
"""
    target = plan(tmp_path, text)
    one = target.base
    assert one is not None
    assert one.base_label == "[one 1/3] FROM docker.io/library/base:latest"
    assert [step.name for step in one.steps] == ["[one 2/3] WORKDIR sub", '[one 3/3] RUN echo me "$OTHER"']
    assert [step.name for step in target.steps] == [
        "[stage-1 1/2] COPY --from=one a b", "[stage-1 2/2] RUN <<EOF (first line...)",
    ]  # fmt: skip


def test_a_single_stage_has_no_name(tmp_path: Path) -> None:
    target = plan(tmp_path, "FROM base\nRUN x\n" + "RUN y\n" * 10)
    assert target.base_label == "[ 1/12] FROM docker.io/library/base:latest"
    assert target.steps[0].name == "[ 2/12] RUN x"


def test_a_run_has_what_it_needs(tmp_path: Path) -> None:
    text = 'FROM base\nARG A=1\nENV B=2\nSHELL ["/bin/ash", "-c"]\nRUN --network=none echo\nRUN ["x", "y"]\n'
    target = plan(tmp_path, text, build_args={"http_proxy": "p", "A": "9"})
    first, second = target.steps
    assert isinstance(first, RunStep)
    assert isinstance(second, RunStep)
    assert first.args == ["/bin/ash", "-c", "echo"]
    assert second.args == ["x", "y"]
    assert first.environment == {"PATH": "/bin", "A": "9", "B": "2"}
    assert first.proxies == {"HTTP_PROXY": "p", "http_proxy": "p"}
    assert (first.network, first.workdir, first.user) == ("none", "/srv", "www")
    assert target.config is not None
    assert target.config.document["history"][-1]["created_by"] == "RUN |1 A=9 x y # buildkit"


def test_copies_and_workdirs(tmp_path: Path) -> None:
    target = plan(tmp_path, "FROM base\nWORKDIR ../app\nCOPY --chown=1 a b c/\nADD http://host/x/y.tgz .\nWORKDIR /\n")
    workdir, copy, add = target.steps
    assert isinstance(workdir, WorkdirStep)
    assert (workdir.path, workdir.user) == ("/app", "www")
    assert isinstance(copy, CopyStep)
    assert [(item.path, item.from_context, item.unpack) for item in copy.items] == [
        ("/a", True, False),
        ("/b", True, False),
    ]
    assert copy.destination == "/app/c/"
    assert isinstance(add, CopyStep)
    assert (add.items[0].url, add.items[0].filename, add.destination) == ("http://host/x/y.tgz", "y.tgz", "/app/")
    assert target.config is not None
    assert target.config.document["history"][-1] == {
        "created_by": "WORKDIR /", "comment": "buildkit.dockerfile.v0", "empty_layer": True,
    }  # fmt: skip


def test_triggers_run_in_children_and_are_not_inherited(tmp_path: Path) -> None:
    images = FakeImages(trigger=["RUN one", "COPY --from=base /x /y"])
    target = plan(tmp_path, "FROM trigger\nRUN two\n", images)
    assert [step.name for step in target.steps] == [
        "[2/4] ONBUILD RUN one", "[3/4] ONBUILD COPY --from=base /x /y", "[4/4] RUN two",
    ]  # fmt: skip
    assert target.config is not None
    assert target.config.triggers == []
    assert images.asked == ["trigger", "base"]


def test_a_named_context_stands_for_an_image_or_a_stage(tmp_path: Path) -> None:
    images = FakeImages()
    plan(tmp_path, "FROM nosuch:latest\nRUN x", images, contexts={"nosuch": "docker-image://base"})
    assert images.asked == ["base"]
    target = plan(
        tmp_path,
        "FROM nosuch AS a\nRUN x\nFROM scratch\nCOPY --from=a x x",
        images,
        contexts={"a": "docker-image://base"},
    )
    stage = next(iter(target.dependencies))
    assert stage.steps == []
    assert stage.image is not None


UNSUPPORTED = 'unsupported mount type "nope"'
UPPER = 'failed to parse stage name "Base": invalid reference format: repository name (library/Base) must be lowercase'
CIRCLE = "circular dependency detected on stage: a"
UNKNOWN = "nosuch: failed to resolve source metadata for docker.io/library/nosuch:latest: "
UNKNOWN += "docker.io/library/nosuch:latest: not found"


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("FROM base\nCOPY --from=5 a b", "invalid stage index 5", 0),
        ("FROM base AS a\nCOPY --from=b x x\nFROM base AS b\nCOPY --from=a x x", CIRCLE, 0),
        ("FROM base AS a\nCOPY --from=a x x", CIRCLE, 0),
        ("FROM nosuch", UNKNOWN, 1),
        ("FROM base\nRUN --security=insecure x", "security.insecure is not allowed", 2),
        ("FROM base\nRUN --mount=type=nope x", UNSUPPORTED, 2),
        ("FROM base\n\nCOPY http://a/b c", "source can't be a URL for COPY", 3),
        ("FROM base\nCOPY https://a/b.git c", "source can't be a git ref for COPY", 2),
        ("FROM base\nADD --checksum=sha256:12 http://a/b c", "invalid checksum digest length", 2),
        ("FROM --platform=$X base", "empty platform value from expression $X", 1),
        ("FROM base\nRUN --mount=type=bind,target=/ x", 'invalid mount target "/"', 2),
        ("FROM base\nSTOPSIGNAL foo", "invalid signal: foo", 2),
        ("FROM base\nRUN []", "arguments are required", 2),
        ("FROM Base", UPPER, 1),
        ("", "the Dockerfile cannot be empty", 0),
    ],
)  # fmt: skip
def test_what_is_wrong(tmp_path: Path, text: str, message: str, line: int) -> None:
    error = failure(tmp_path, text)
    assert str(error) == message
    assert error.line == line


def test_the_code_frame_shows_the_line(tmp_path: Path) -> None:
    error = failure(tmp_path, "FROM base\nENV a=b\n\nSTOPSIGNAL foo\nRUN x\n")
    assert error.code_frame == (
        "Dockerfile:4\n--------------------\n"
        "   2 |     ENV a=b\n   3 |     \n   4 | >>> STOPSIGNAL foo\n   5 |     RUN x\n   6 |     \n"
        "--------------------\n"
    )


def test_source_date_epoch(tmp_path: Path) -> None:
    contexts = NamedContexts({}, Remotes(tmp_path, threading.Event()), tmp_path)

    def epoch_of(text: str, value: str | None = None, context: int | None = None) -> tuple[int | None, dict[str, str]]:
        options = Options(build_args={"SOURCE_DATE_EPOCH": value} if value else {})
        planner = Planner(text, "Dockerfile", options, FakeImages(), contexts, context)
        target = planner.plan()
        step = target.steps[0]
        assert isinstance(step, RunStep)
        return planner.epoch, step.environment

    text = "FROM base\nARG SOURCE_DATE_EPOCH\nRUN x"
    assert epoch_of(text, "12") == (12, {"PATH": "/bin", "SOURCE_DATE_EPOCH": "12"})
    assert epoch_of(text, "context", 34) == (34, {"PATH": "/bin", "SOURCE_DATE_EPOCH": "34"})
    assert epoch_of(text, "context") == (None, {"PATH": "/bin"})
    assert epoch_of("ARG SOURCE_DATE_EPOCH=5\n" + text)[0] == 5
    assert str(failure(tmp_path, text, build_args={"SOURCE_DATE_EPOCH": "x"})) == "invalid SOURCE_DATE_EPOCH: x"

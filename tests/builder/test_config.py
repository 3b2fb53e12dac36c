"""What instructions do to a config, and how Go would write the history."""

from __future__ import annotations

import pytest

from dockmagic.builder import config as c
from dockmagic.errors import InvalidParameter
from dockmagic.platforms import Platform

AMD64 = Platform.parse("linux/amd64")


@pytest.fixture
def image() -> c.ImageConfig:
    return c.ImageConfig.empty(AMD64)


def history(image: c.ImageConfig) -> list[str]:
    return [entry["created_by"] for entry in image.document["history"]]


def test_entrypoint_resets_an_inherited_cmd_only(image: c.ImageConfig) -> None:
    image.cmd(["inherited"])
    child = image.child()
    child.entrypoint(["/run"])
    assert "Cmd" not in child.config
    child.cmd(["own"])
    child.entrypoint(["/other"])
    assert child.config["Cmd"] == ["own"]


def test_env_replaces_in_place(image: c.ImageConfig) -> None:
    image.env([("A", "1"), ("B", "2")])
    image.env([("A", "3")])
    assert image.config["Env"][1:] == ["A=3", "B=2"]
    assert history(image) == ["ENV A=1 B=2", "ENV A=3"]


def test_workdir_is_relative_to_the_one_before(image: c.ImageConfig) -> None:
    assert image.set_workdir("/a/b") == "/a/b"
    assert image.set_workdir("../c") == "/a/c"
    assert image.set_workdir("../../../..") == "/"


def test_windows_paths_and_shell() -> None:
    image = c.ImageConfig.empty(Platform.parse("windows/amd64"))
    image.set_workdir("/")
    assert image.config == {"WorkingDir": "\\"}
    assert image.with_shell(["foo bar"]) == ["cmd", "/S", "/C", "foo bar"]


def test_expose_normalizes(image: c.ImageConfig) -> None:
    image.expose(["80", "8000-8001/UDP", "127.0.0.1:5000:6000"])
    assert set(image.config["ExposedPorts"]) == {"80/tcp", "8000/udp", "8001/udp", "6000/tcp"}
    assert history(image) == ["EXPOSE [80/tcp 8000/udp 8001/udp 6000/tcp]"]


@pytest.mark.parametrize("port", ["99999", "80/foo", "a", "/tcp", "90-80"])
def test_expose_refuses(image: c.ImageConfig, port: str) -> None:
    with pytest.raises(InvalidParameter):
        image.expose([port])


def test_healthcheck_prints_as_go_does(image: c.ImageConfig) -> None:
    image.healthcheck(["CMD-SHELL", "true"], {"Interval": 90 * 10**9, "Timeout": 10**9, "StartPeriod": 0}, 3)
    assert image.config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "true"], "Interval": 90 * 10**9, "Timeout": 10**9, "Retries": 3,
    }  # fmt: skip
    assert history(image) == [
        "HEALTHCHECK {Test:[CMD-SHELL true] Interval:1m30s Timeout:1s StartPeriod:0s StartInterval:0s Retries:3}"
    ]


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"), (1, "1ns"), (1100, "1.1µs"), (2_200_000, "2.2ms"), (3_300_000_000, "3.3s"),
        (245_000_000_000, "4m5s"), (245_001_000_000, "4m5.001s"), (18_367_001_000_000, "5h6m7.001s"),
        (3_600_000_000_000, "1h0m0s"),
    ],
)  # fmt: skip
def test_duration(ns: int, text: str) -> None:
    """The cases of Go's time_test.go."""
    assert c.duration(ns) == text


@pytest.mark.parametrize("signal", ["SIGTERM", "KILL", "9", "99", "RTMIN+3", "SIGRTMAX-1"])
def test_stop_signal(image: c.ImageConfig, signal: str) -> None:
    image.stop_signal(signal)
    assert image.config["StopSignal"] == signal


@pytest.mark.parametrize("signal", ["foo", "0", "RTMIN+99", ""])
def test_stop_signal_refuses(image: c.ImageConfig, signal: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid signal"):
        image.stop_signal(signal)


def test_history_times_are_of_the_first_new_layer(image: c.ImageConfig) -> None:
    image.document["history"] = [{"created": "2020-01-01T00:00:00Z", "created_by": "base"}]
    image.env([("A", "1")])
    image.record("RUN x", layer=True, buildkit=True)
    image.cmd(["y"])
    done = image.finish(["sha256:a", "sha256:b"], [None, "2026-01-01T00:00:00Z"], None)
    assert [entry["created"] for entry in done["history"]] == ["2020-01-01T00:00:00Z"] + ["2026-01-01T00:00:00Z"] * 3
    assert done["created"] == "2026-01-01T00:00:00Z"


def test_without_layers_nothing_has_a_time(image: c.ImageConfig) -> None:
    image.label([("a", "b")])
    done = image.finish([], [], None)
    assert done["created"] is None
    assert done["rootfs"] == {"type": "layers", "diff_ids": None}
    assert done["history"] == [{"created_by": "LABEL a=b", "comment": c.COMMENT, "empty_layer": True}]


def test_source_date_epoch_is_every_time(image: c.ImageConfig) -> None:
    image.record("COPY a b", layer=True, buildkit=True)
    done = image.finish(["sha256:a"], ["2026-01-01T00:00:00Z"], 1700000001)
    assert done["created"] == "2023-11-14T22:13:21Z"
    assert done["history"][0]["created"] == "2023-11-14T22:13:21Z"


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_000_000_001, "1970-01-01T00:00:01.000000001Z"),
    ],
)
def test_rfc3339(ns: int, text: str) -> None:
    assert c.rfc3339(ns) == text

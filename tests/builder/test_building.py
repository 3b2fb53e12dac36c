"""Builds from end to end: what is cached and what is not, failures, cancelling, parallel stages, mounts."""

from __future__ import annotations

import base64
import json
import socket
import tarfile
from pathlib import Path

from tests.builder.cases import context_tar
from tests.builder.conftest import Workshop

SMALL = "FROM busybox\n"


def test_a_second_build_is_cached_and_the_same_image(workshop: Workshop) -> None:
    text = SMALL + "COPY a /a\nWORKDIR /w\nRUN echo one > b\n"
    first = workshop.build(text, {"a": "same"})
    second = workshop.build(text, {"a": "same"})
    assert second.image == first.image
    assert second.cached() == [True] * 4


def test_what_a_key_is_made_of(workshop: Workshop) -> None:
    text = SMALL + "ARG WHO\nCOPY d /d\nRUN echo $WHO > /w\n"
    base = {"d/a": "key", "other": "1"}
    workshop.build(text, base, build_args={"WHO": "x"})
    unchanged = workshop.build(text, {**base, "other": "2"}, build_args={"WHO": "x"})
    assert unchanged.cached() == [True] * 3
    argument = workshop.build(text, base, build_args={"WHO": "y"})
    assert argument.cached() == [True, True, False]
    content = workshop.build(text, {**base, "d/a": "other"}, build_args={"WHO": "x"})
    assert content.cached() == [True, False, False]
    name = workshop.build(text, {"d/b": "key"}, build_args={"WHO": "x"})
    assert name.cached() == [True, False, False]


def test_the_body_of_a_heredoc_is_part_of_the_key(workshop: Workshop) -> None:
    def text(word: str) -> str:
        return SMALL + f"COPY <<E /e\n{word}\nE\nRUN <<E\necho {word} > /r\nE\n"

    workshop.build(text("one"))
    assert workshop.build(text("one")).cached() == [True] * 3
    assert workshop.build(text("two")).cached() == [True, False, False]


def test_a_failing_step_says_where_and_leaves_the_good_ones_cached(workshop: Workshop) -> None:
    text = SMALL + "RUN echo good > /good\nRUN echo out; echo err >&2; exit 3\n"
    failed = workshop.build(text, fails=True)
    assert (
        failed.error
        == 'process "/bin/sh -c echo out; echo err >&2; exit 3" did not complete successfully: exit code: 3'
    )
    assert (failed.line, failed.exit_code) == (3, 3)
    assert "   3 | >>> RUN echo out; echo err >&2; exit 3\n" in failed.frame
    assert failed.step("exit 3")["error"] == failed.error
    assert sorted(failed.logs["[3/3] RUN echo out; echo err >&2; exit 3"].split()) == ["err", "out"]
    again = workshop.build(SMALL + "RUN echo good > /good\nRUN true\n")
    assert again.cached() == [True, True, False]


def test_cancelling_ends_the_step_and_the_next_build_goes_on(workshop: Workshop) -> None:
    text = SMALL + "RUN echo before > /before\nRUN echo begun; sleep 60\n"
    cancelled = workshop.build(text, fails=True, cancel_at="begun")
    assert cancelled.error == "context canceled"
    assert cancelled.seconds < 20
    assert workshop.build(SMALL + "RUN echo before > /before\n").cached() == [True, True]


def test_stages_that_do_not_depend_run_side_by_side(workshop: Workshop) -> None:
    text = """\
FROM busybox AS a
RUN for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.2; done; touch /a
FROM busybox AS b
RUN for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.2; done; touch /b
FROM scratch
COPY --from=a /a /
COPY --from=b /b /
"""
    built = workshop.build(text, no_cache=True)
    first, second = built.step("[a 2/2]"), built.step("[b 2/2]")
    assert first["started"] < second["completed"]
    assert second["started"] < first["completed"]
    assert built.seconds < 4


def test_stages_that_are_not_needed_do_not_run(workshop: Workshop) -> None:
    text = "FROM busybox AS bad\nRUN exit 1\nFROM busybox AS good\nRUN true\nFROM bad\n"
    built = workshop.build(text, target="good")
    assert not any("exit 1" in step["name"] for step in built.steps)


def test_a_failure_ends_the_other_stages(workshop: Workshop) -> None:
    text = "FROM busybox AS a\nRUN sleep 50\nFROM busybox AS b\nRUN sleep 0.3; exit 7\n"
    text += "FROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
    failed = workshop.build(text, fails=True, no_cache=True)
    assert failed.exit_code == 7
    assert failed.seconds < 20


def test_copy_from_sees_only_what_it_names(workshop: Workshop) -> None:
    text = (
        "FROM busybox AS a\nARG X\nRUN echo $X > /noise; echo same > /signal\nFROM scratch\nCOPY --from=a /signal /\n"
    )
    first = workshop.build(text, build_args={"X": "1"})
    second = workshop.build(text, build_args={"X": "2"})
    assert second.step("COPY --from=a")["cached"]
    assert second.config["rootfs"] == first.config["rootfs"]


def test_no_cache_and_its_filter(workshop: Workshop) -> None:
    text = "FROM busybox AS a\nRUN echo a > /a\nFROM busybox AS b\nRUN echo b > /b\n"
    text += "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    workshop.build(text)
    assert all(workshop.build(text).cached())
    assert not workshop.build(text, no_cache=True).step("[a 2/2]")["cached"]
    only = workshop.build(text, no_cache_filter=["b"])
    assert only.step("[a 2/2]")["cached"]
    assert not only.step("[b 2/2]")["cached"]


def test_links_do_not_depend_on_what_is_below(workshop: Workshop) -> None:
    text = SMALL + "ARG X\nRUN echo $X > /x\nCOPY --link a /to/a\n"
    first = workshop.build(text, {"a": "1"}, build_args={"X": "1"})
    second = workshop.build(text, {"a": "1"}, build_args={"X": "2"})
    assert second.cached() == [True, False, True]
    assert second.layers[-1] == first.layers[-1]
    assert [entry["path"] for entry in second.layers[-1]] == ["to/", "to/a"]


def test_a_cache_mount_keeps_its_files_and_leaves_none(workshop: Workshop) -> None:
    run = "RUN --mount=type=cache,target=/keep,id=keeps"
    workshop.build(SMALL + f"{run} echo kept > /keep/file\n")
    built = workshop.build(SMALL + f"{run} cat /keep/file > /got && ls -d /keep\n")
    assert list(built.files())[-1] == "got"
    assert "keep/" not in built.files()


def test_a_secret_is_neither_in_the_image_nor_in_the_key(workshop: Workshop) -> None:
    text = SMALL + "RUN --mount=type=secret,id=s [ -s /run/secrets/s ] && stat -c '%a %u' /run/secrets/s > /mode\n"
    first = workshop.build(text, secrets={"s": "one"})
    assert first.files()["mode"]["size"] == len("400 0\n")
    assert not any(path.startswith("run") for path in first.files())
    second = workshop.build(text, secrets={"s": "two"})
    assert second.image == first.image
    missing = workshop.build(SMALL + "RUN --mount=type=secret,id=gone,required cat /run/secrets/gone\n", fails=True)
    assert missing.error == "secret gone: not found"


def test_an_ssh_agent_is_there_while_the_step_runs(workshop: Workshop, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        text = SMALL + "RUN --mount=type=ssh [ -S $SSH_AUTH_SOCK ] && echo $SSH_AUTH_SOCK > /where\n"
        built = workshop.build(text, ssh={"default": str(tmp_path / "agent")})
    assert set(built.files()) & {"where", "run/"} == {"where"}
    failed = workshop.build(SMALL + "RUN --mount=type=ssh,required true\n", fails=True)
    assert failed.error == "unset ssh forward key default"


def test_binds_see_the_context_without_what_is_ignored(workshop: Workshop) -> None:
    text = f"""{SMALL}
RUN --mount=target=/src ls -a /src > /list
RUN --mount=target=/src,rw echo x > /src/new && cat /src/a > /a
"""
    built = workshop.build(text, {"a": "1", "b": "2", ".dockerignore": "b\n"})
    assert built.files()["list"]["size"] == len(".\n..\n.dockerignore\nDockerfile\na\n")
    assert "src/" not in built.files()
    assert not workshop.build(text, {"a": "changed", ".dockerignore": "b\n"}).step("ls -a")["cached"]


def test_network_none_has_no_way_out(workshop: Workshop) -> None:
    built = workshop.build(
        SMALL + "RUN --network=none ls /sys/class/net > /none\nRUN ls /sys/class/net > /host\n", no_cache=True
    )
    assert built.files()["none"]["size"] == len("lo\n")


def test_environment_of_a_run(workshop: Workshop) -> None:
    text = SMALL + "RUN env > /env && cat /etc/hosts > /hosts && cat /env /hosts\n"
    built = workshop.build(text, no_cache=True, extra_hosts=["db:10.1.2.3"], build_args={"HTTPS_PROXY": "http://p"})
    log = built.logs["[2/2] RUN env > /env && cat /etc/hosts > /hosts && cat /env /hosts"]
    for line in ("HOSTNAME=buildkitsandbox", "HOME=/root", "https_proxy=http://p", "10.1.2.3\tdb"):
        assert line in log
    assert "proxy" not in str(built.config)


def test_named_contexts_and_tags(workshop: Workshop) -> None:
    tar = context_tar([{"path": "f", "type": "file", "mode": "0644", "text": "named"}])
    built = workshop.build(
        "FROM scratch\nCOPY --from=other /f /f\n", named_contexts={"other": base64.b64encode(tar.getvalue()).decode()},
        tags=["example/x:1", "example/x:2"],
    )  # fmt: skip
    assert built.files()["f"]["size"] == len("named")
    assert sorted(built.tags) == ["example/x:1", "example/x:2"]


def test_a_named_context_can_be_a_base(workshop: Workshop) -> None:
    tar = context_tar([{"path": "f", "type": "file", "mode": "0644", "text": "base"}])
    named = {"stuff": base64.b64encode(tar.getvalue()).decode()}
    built = workshop.build("FROM stuff\nCOPY Dockerfile /\n", named_contexts=named)
    assert set(built.files()) == {"f", "Dockerfile"}


def test_source_date_epoch_makes_the_same_image_twice(workshop: Workshop) -> None:
    text = SMALL + "COPY a /d/a\nRUN mkdir /r && echo 1 > /r/f\nCOPY <<E /e\nx\nE\nWORKDIR /w/x\n"
    args = {"SOURCE_DATE_EPOCH": "1700000000"}
    first = workshop.build(text, {"a": "1"}, build_args=args, no_cache=True)
    second = workshop.build(text, {"a": "1"}, build_args=args, no_cache=True)
    assert first.image == second.image
    assert first.config["created"] == "2023-11-14T22:13:20Z"


def test_checks_are_told_as_warnings(workshop: Workshop) -> None:
    built = workshop.build("from busybox\nRUN true\n")
    assert any("ConsistentInstructionCasing" in warning for warning in built.warnings)


def test_the_cache_has_a_limit(workshop: Workshop) -> None:
    """The longest unused goes first, until no more than three quarters are left."""
    for number in range(6):
        text = SMALL + f"RUN head -c 1000000 /dev/urandom > /r{number}\n"
        built = workshop.build(text)
        workshop.ask(call="store.delete", args=[built.image], kwargs={"force": True})
    workshop.ask(call="prune", kwargs={"keep": 3_000_000})
    sizes = [shape["Size"] for shape in workshop.ask(call="records") if not shape["Shared"]]
    assert 2_000_000 <= sum(sizes) <= 3_000_000
    assert workshop.build(text).cached() == [True, True]


def test_deleting_an_image_leaves_the_cache_and_pruning_empties_it(workshop: Workshop) -> None:
    text = SMALL + "RUN echo prune me > /pruned\n"
    first = workshop.build(text)
    workshop.ask(call="store.delete", args=[first.image], kwargs={"force": True})
    assert workshop.build(text).cached() == [True, True]
    workshop.ask(call="store.delete", args=[first.image], kwargs={"force": True})
    assert workshop.ask(call="records")
    deleted, freed = workshop.ask(call="prune", kwargs={"all": True})
    assert deleted
    assert freed > 0
    assert workshop.ask(call="records") == []
    assert workshop.build(text).cached() == [True, False]


CACHED = (
    "FROM busybox AS a\nRUN echo travels > /a\nFROM busybox\nCOPY --from=a /a /b\nCOPY --link x /x\nRUN echo too > /c\n"
)


def test_a_cache_travels_in_a_folder(workshop: Workshop, tmp_path: Path) -> None:
    files = {"x": "linked"}
    place = tmp_path / "cache"
    first = workshop.build(CACHED, files, cache_to=[f"type=local,dest={place},mode=max"])
    workshop.ask(call="store.delete", args=[first.image], kwargs={"force": True})
    workshop.ask(call="prune", kwargs={"all": True})
    assert not any(workshop.build(CACHED, files, no_cache=True).step("[a 2/2]")[key] for key in ("cached", "error"))
    workshop.ask(call="prune", kwargs={"all": True})
    again = workshop.build(CACHED, files, cache_from=[f"type=local,src={place}"])
    assert [step["name"] for step in again.steps if not step["cached"] and "/" in step["name"][:10]] == []
    assert again.config["rootfs"] == first.config["rootfs"]
    missing = workshop.build(CACHED, files, cache_from=[f"type=local,src={tmp_path}/nothing"])
    assert "could not read" in missing.step("importing cache manifest")["error"]


def test_a_cache_travels_in_the_image(workshop: Workshop) -> None:
    text = SMALL + "RUN echo inline > /inline\n"
    built = workshop.build(text, build_args={"BUILDKIT_INLINE_CACHE": "1"}, tags=["inline:1"], no_cache=True)
    assert built.config["dockmagic.cache.v1"]
    workshop.ask(call="prune", kwargs={"all": True})
    assert workshop.build(text, cache_from=["inline:1"]).cached() == [True, True]


def test_the_layers_of_steps_done_again_go_when_pruned(workshop: Workshop) -> None:
    text = SMALL + "RUN date +%N > /now; head -c 100000 /dev/urandom > /noise\n"
    first = workshop.build(text)
    workshop.ask(call="store.delete", args=[first.image], kwargs={"force": True})
    layer = first.config["rootfs"]["diff_ids"][-1]
    again = workshop.build(text, no_cache=True)
    assert again.config["rootfs"]["diff_ids"][-1] != layer
    assert workshop.build(text).image == again.image
    assert workshop.ask(call="layers.has", args=[layer])
    workshop.ask(call="prune")
    assert not workshop.ask(call="layers.has", args=[layer])
    assert workshop.build(text).image == again.image, "what an image has stays"


def test_unknown_caches_are_refused(workshop: Workshop) -> None:
    assert workshop.build(SMALL, cache_to=["type=gha"], fails=True).error == 'unknown cache exporter: "gha"'


def test_outputs(workshop: Workshop, tmp_path: Path) -> None:
    text = "FROM scratch AS x\nCOPY a d/a\n"
    for kind, name in (("local", "folder"), ("tar", "files.tar"), ("oci", "oci.tar"), ("docker", "docker.tar")):
        output = {"type": kind, "dest": str(tmp_path / name)}
        workshop.build(text, {"a": "1"}, outputs=[output], tags=["out:1"])
    assert (tmp_path / "folder" / "d" / "a").read_text() == "1"
    with tarfile.open(tmp_path / "files.tar") as tar:
        assert tar.getnames() == ["d", "d/a"]
    with tarfile.open(tmp_path / "oci.tar") as tar:
        assert {"oci-layout", "index.json"} <= set(tar.getnames())
    with tarfile.open(tmp_path / "docker.tar") as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        assert json.load(manifest)[0]["RepoTags"] == ["out:1"]
    failed = workshop.build(text, {"a": "1"}, outputs=[{"type": "nope", "dest": "x"}], fails=True)
    assert failed.error == 'exporter "nope" could not be found'
    assert not [image for image in workshop.ask(call="store.list") if "out:1" in str(image)]


def test_builds_at_the_same_time_survive_pruning_and_deleting(workshop: Workshop) -> None:
    def ask(number: int) -> dict[str, object]:
        text = f"FROM busybox AS a\nRUN echo {number % 2} > /a\nFROM alpine\nCOPY --from=a /a /\nWORKDIR /w\nRUN true\n"
        entries = [{"path": "Dockerfile", "type": "file", "mode": "0644", "text": text}]
        context = base64.b64encode(context_tar(entries).getvalue()).decode()
        return {"request": {"context": context, "no_cache": number > 3}, "layers": False}

    prune = {"call": "prune", "kwargs": {"all": True}}
    answers = workshop.ask(together=[part for number in range(6) for part in (ask(number), prune)])
    built = [answer for answer in answers if isinstance(answer, dict)]
    assert [answer["error"] for answer in built] == [None] * 6, answers
    assert not [answer for answer in answers if isinstance(answer, str)]

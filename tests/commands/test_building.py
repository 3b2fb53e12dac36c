"""docker build on each engine: the result, the layer tree, what fails and how."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from dockmagic.commands.errors import CommandError
from tests.commands.conftest import Shell


def test_a_build_gives_its_layer_tree(shell: Shell, tmp_path: Path) -> None:
    dockerfile = f'FROM alpine\nRUN echo {tmp_path} > /x\nCOPY f /f\nENV A=b\nCMD ["cat", "/x"]\n'
    (tmp_path / "Dockerfile").write_text(dockerfile)
    (tmp_path / "f").write_text("12345")
    result = shell("build", "-t", "treed", str(tmp_path))
    assert result.image_id.startswith("sha256:")
    assert result.tags == ["treed:latest"]
    entries = {e.instruction.split()[0]: e for e in result.tree if not e.base}
    assert entries["COPY"].size == 5
    assert entries["COPY"].step == "[3/3]"
    assert entries["RUN"].cached is False
    assert entries["ENV"].empty
    assert result.tree.base == "alpine"
    again = shell("build", "-t", "treed", str(tmp_path))
    assert again.image_id == result.image_id
    assert "all CACHED" in again.text()
    assert [e.cached for e in again.tree if e.step and not e.base] == [True, True]


def test_a_dockerfile_from_standard_input(shell: Shell) -> None:
    result = shell("build", "-q", "-", stdin=b"FROM alpine\nCMD echo from stdin\n")
    assert shell.text("run", "--rm", str(result)) == "from stdin\n"
    assert shell.session.last_image == str(result)


def test_a_failing_step_is_marked_in_the_source(shell: Shell) -> None:
    with pytest.raises(CommandError) as failure:
        shell("build", "-", stdin=b"FROM alpine\nRUN echo said-before; exit 3\nRUN true\n")
    error = failure.value
    assert str(error).endswith("did not complete successfully: exit code: 3")
    assert "   2 | >>> RUN echo said-before; exit 3\n" in error.frame
    assert error.view is not None
    assert "said-before" in error.view.text()


def test_debug_runs_in_the_state_before_the_step_that_failed(shell: Shell) -> None:
    with pytest.raises(CommandError):
        shell("build", "-", stdin=b"FROM alpine\nENV WHO=me\nRUN echo good > /good\nWORKDIR /w\nRUN exit 9\n")
    assert shell.text("debug", "sh", "-c", "cat /good; echo $WHO; pwd") == "good\nme\n/w\n"
    assert shell.text("debug", stdin=b"cat /good") == "good\n"
    shell("build", "-q", "-", stdin=b"FROM alpine\n")
    with pytest.raises(CommandError, match="no build has failed"):
        shell("debug", "true")


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("FROM alpine\nFETCH x\n", "dockerfile parse error on line 2: unknown instruction: FETCH"),
        ("FROM alpine\nCOPY --nope a b\n", "unknown flag: --nope"),
        ("RUN true\n", "no build stage in current context"),
        ("", "cannot be empty"),
    ],
)
def test_what_no_engine_can_read_is_told_with_its_place(shell: Shell, dockerfile: str, message: str) -> None:
    with pytest.raises(CommandError, match="ERROR: failed to solve: ") as failure:
        shell("build", "-", stdin=dockerfile.encode())
    assert message in str(failure.value)


def test_a_context_that_is_not_there(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="unable to prepare context: path"):
        shell("build", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="failed to read dockerfile: open Dockerfile: no such file or directory"):
        shell("build", str(tmp_path))


def test_checks_are_shown_on_the_lines(shell: Shell) -> None:
    with pytest.raises(CommandError, match="2 warnings have been found") as failure:
        shell("build", "--check", "-", stdin=b"FROM alpine as Base\nRUN true\n")
    text = failure.value.view.text()  # type: ignore[union-attr]
    assert "Dockerfile:1 | FROM alpine as Base\n  WARNING: StageNameCasing" in text
    assert shell.text("build", "--check", "-", stdin=b"FROM alpine\n") == "Check complete, no warnings found.\n"


def test_a_dockerfile_that_is_ignored_is_still_used(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM alpine\nCOPY . /c\nCMD ls /c\n")
    (tmp_path / "kept").write_text("")
    (tmp_path / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
    result = shell("build", "-q", str(tmp_path))
    assert shell.text("run", "--rm", str(result)) == "kept\n"


def test_plain_progress_is_lines(shell: Shell) -> None:
    shell("build", "--progress", "plain", "-", stdin=b"FROM alpine\nRUN echo $((40 + 2))\n")
    shell("build", "--no-cache", "--progress", "plain", "-", stdin=b"FROM alpine\nRUN echo $((40 + 2))\n")
    lines = shell.console.stderr.decode().split("\n")
    (named,) = (line for line in lines if line.endswith("[2/2] RUN echo $((40 + 2))"))
    assert any(re.fullmatch(rf"{named.split()[0]} \d+\.\d{{3}} 42", line) for line in lines)
    assert any(line.startswith(f"{named.split()[0]} DONE ") for line in lines)


def test_plain_progress_tells_a_failed_steps_last_lines_again(shell: Shell) -> None:
    with pytest.raises(CommandError):
        shell("build", "--progress", "plain", "-", stdin=b"FROM alpine\nRUN echo said; exit 3\n")
    told = shell.console.stderr.decode()
    assert re.search(r"\n------\n > \[2/2\] RUN echo said; exit 3:\n\d+\.\d{3} said\n------\n$", told)


def test_outputs_are_written(shell: Shell, engine: str, tmp_path: Path) -> None:
    """A daemon of Docker's needs a session for them; ours writes them itself."""
    dockerfile = b"FROM scratch\nCOPY <<EOF /d/f\nhello\nEOF\n"
    if not shell.session.engine.takes_parts:
        with pytest.raises(CommandError, match="--output can't be had on this engine"):
            shell("build", "-o", str(tmp_path / "out"), "-", stdin=dockerfile)
        return
    result = shell(
        "build", "-o", str(tmp_path / "out"), "-o", f"type=tar,dest={tmp_path / 'o.tar'}", "-", stdin=dockerfile
    )
    assert (tmp_path / "out/d/f").read_text() == "hello\n"
    assert result.image_id == ""
    assert shell("build", "-o", "-", "-", stdin=dockerfile) is None
    for data in (shell.console.stdout, (tmp_path / "o.tar").read_bytes()):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert tar.getnames() == ["d", "d/f"]
    for kind in ("oci", "docker"):
        path = tmp_path / f"{kind}.tar"
        loaded = shell("build", "--load", "-t", f"{kind}:1", "-o", f"type={kind},dest={path}", "-", stdin=dockerfile)
        assert shell("image", "inspect", f"{kind}:1") is not None
        shell("rmi", loaded.image_id, "-f")
        with tarfile.open(path) as tar:
            index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
        assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == f"docker.io/library/{kind}:1"
        assert f"{kind}:1" in shell.text("load", "-i", str(path))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("type=local", "dest is required for local exporter"),
        ("type=local,dest=-", "dest cannot be stdout for local exporter"),
        ("type=oci,tar=false", "dest is required for oci exporter"),
        ("type=tar,dest=.", "destination file . is a directory"),
        ("type=bogus,dest=x", 'exporter "bogus" could not be found'),
        ("a,b", "invalid value a"),
        ("dest=x,tar=false", "type is required for output"),
        ("type=image,push=true", "a build does not push here"),
        ("type=registry", "a build does not push here"),
    ],
)
def test_outputs_that_make_no_sense(shell: Shell, output: str, message: str) -> None:
    with pytest.raises(CommandError, match="ERROR: ") as failure:
        shell("build", "-o", output, "-", stdin=b"FROM scratch\n")
    assert message in str(failure.value)


def test_what_a_build_made_is_told_in_files(shell: Shell, tmp_path: Path) -> None:
    ids, told = tmp_path / "id", tmp_path / "metadata"
    words = (
        "build",
        "-q",
        "--iidfile",
        str(ids),
        "--metadata-file",
        str(told),
        "--provenance=false",
        "-t",
        "told",
        "-",
    )
    result = shell(*words, stdin=b"FROM alpine\nLABEL told=1\n")
    assert ids.read_text() == str(result)
    metadata = json.loads(told.read_text())
    assert metadata["containerimage.config.digest"] == str(result)
    assert metadata["image.name"] == "docker.io/library/told:latest"
    with pytest.raises(CommandError):
        shell(*words, stdin=b"FROM alpine\nRUN false\n")
    assert not ids.exists()


@pytest.mark.parametrize("flag", ["--provenance=true", "--sbom=true", "--provenance=mode=max"])
def test_attestations_are_not_made(shell: Shell, flag: str) -> None:
    with pytest.raises(CommandError, match="attestations are not made here"):
        shell("build", flag, "-", stdin=b"FROM alpine\n")


def test_hints_come_after_the_checks_and_fail_nothing(shell: Shell) -> None:
    text = shell.text(
        "build",
        "--check",
        "-",
        stdin=b"FROM alpine\nRUN apt-get update\n# check=skip=AptListsLeftBehind\nRUN apt-get update\n",
    )
    assert text.startswith(
        "Check complete, no warnings found.\nDockerfile:2 | RUN apt-get update\n  HINT: AptListsLeft"
    )
    assert text.count("HINT") == 1
    shell("build", "--check", "-", stdin=b"# check=error=true\nFROM alpine\nRUN apt-get update\n")

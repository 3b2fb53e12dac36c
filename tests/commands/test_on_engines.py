"""Commands on each engine: what they give as values, what they print, how they fail."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic.commands.errors import CommandError, ExitError
from tests.commands.conftest import Shell

SLEEP = ("alpine", "sh", "-c", "echo up; echo bad >&2; while :; do sleep 0.1; done")


def test_a_run_is_an_object(shell: Shell) -> None:
    result = shell("run", "--rm", "alpine", "sh", "-c", "echo '{\"a\": 1}'; echo err >&2")
    assert (result.stdout, result.stderr, result.exit_code) == ('{"a": 1}\n', "err\n", 0)
    assert result.json() == {"a": 1}
    assert list(result) == result.lines == ['{"a": 1}']
    assert (shell.console.stdout, shell.console.stderr) == (b'{"a": 1}\n', b"err\n")


def test_a_run_that_fails_raises_and_keeps_the_output(shell: Shell) -> None:
    with pytest.raises(ExitError) as failure:
        shell("run", "--rm", "alpine", "sh", "-c", "echo before; exit 7")
    assert failure.value.exit_code == 7
    assert failure.value.view.stdout == "before\n"  # type: ignore[union-attr]


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/passwd", 126)])
def test_what_can_not_start_has_dockers_exit_code(shell: Shell, command: str, code: int) -> None:
    with pytest.raises(CommandError) as failure:
        shell("run", "--rm", "alpine", command)
    assert failure.value.exit_code == code
    assert str(failure.value).startswith("docker: Error response from daemon: ")
    assert str(failure.value).endswith("Run 'docker run --help' for more information")


def test_an_image_that_is_nowhere_is_said_so_with_125(shell: Shell) -> None:
    with pytest.raises(CommandError) as failure:
        shell("run", "--rm", "127.0.0.1:9/nothing:here")
    assert failure.value.exit_code == 125
    assert shell.console.notes[0] == "Unable to find image '127.0.0.1:9/nothing:here' locally"
    with pytest.raises(CommandError, match="docker: Error response from daemon: No such image"):
        shell("run", "--pull", "never", "127.0.0.1:9/nothing:here")


def test_standard_input_reaches_the_container_and_ends(shell: Shell) -> None:
    assert shell.text("run", "--rm", "-i", "alpine", "wc", "-c", stdin=b"12345").strip() == "5"


def test_a_long_output_comes_whole(shell: Shell) -> None:
    result = shell("run", "--rm", "alpine", "sh", "-c", "yes line | head -n 200000")
    assert len(result.lines) == 200_000
    assert set(result.lines) == {"line"}


def test_a_script_of_any_interpreter(shell: Shell) -> None:
    body = b"echo $1 $0\nexit 3\n"
    with pytest.raises(ExitError) as failure:
        shell("run", "--rm", "--script", "sh", "alpine", "first", stdin=body)
    assert failure.value.exit_code == 3
    assert failure.value.view.stdout.split()[0] == "first"  # type: ignore[union-attr]
    with pytest.raises(CommandError, match="there is none"):
        shell("run", "--rm", "--script", "sh", "alpine")


def test_a_script_in_a_running_container_stands_for_its_command(shell: Shell, container: Callable[..., str]) -> None:
    name = container("alpine", "sleep", "1000")
    assert shell("exec", "--script", "sh", name, stdin=b"echo from $#\n").stdout == "from 0\n"
    assert shell("exec", "--script", "sh", name, "first", stdin=b"echo from $1\n").stdout == "from first\n"
    with pytest.raises(CommandError, match="requires at least 2 arguments"):
        shell("exec", name)


def test_a_detached_container_is_a_handle(shell: Shell, container: Callable[..., str]) -> None:
    handle = shell("run", "-d", *SLEEP)
    try:
        assert len(str(handle)) == 64
        assert handle.status == "running"
        assert handle.exec("sh", "-c", "echo in; exit 2").exit_code == 2
        handle.stop(0)
        assert handle.status == "exited"
        assert "up" in handle.logs()
    finally:
        handle.remove()


def test_environment_files_and_flags(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "env"
    file.write_text("# a comment\nA=file\nB=file with spaces\nFROM_HERE\n\n")
    monkeypatch.setenv("FROM_HERE", "here")
    result = shell(
        "run", "--rm", "--env-file", str(file), "-e", "A=flag", "-e", "NOT_SET", "-l", "x=y", "-h", "box", "-w", "/tmp",
        "alpine", "sh", "-c", "echo $A $B $FROM_HERE $(hostname) $PWD; env | grep -c NOT_SET || true",
    )  # fmt: skip
    assert result.lines == ["flag file with spaces here box /tmp", "0"]


def test_ps_is_a_table_of_rows(shell: Shell, container: Callable[..., str]) -> None:
    identity = container("--label", "purpose=ps", *SLEEP)
    table = shell("ps", "--filter", "label=purpose=ps")
    assert len(table) == 1
    assert table[0]["ID"] == identity[:12]
    assert table[0]["Image"] == "alpine"
    assert [row["State"] for row in table] == ["running"]
    assert table.text().split("\n")[0].split("   ")[0] == "CONTAINER ID"
    assert shell.text("ps", "-q", "--no-trunc", "-f", "label=purpose=ps") == f"{identity}\n"
    form = '{{.ID}} {{.Label "purpose"}}'
    assert shell.text("ps", "-f", "label=purpose=ps", "--format", form) == f"{identity[:12]} ps\n"
    row = json.loads(shell.text("ps", "-f", "label=purpose=ps", "--format", "json"))
    assert row["Labels"] == "purpose=ps"


def test_the_life_of_a_container(shell: Shell, container: Callable[..., str]) -> None:
    name = "life-of-a-container"
    container("--name", name, *SLEEP)
    assert shell.text("exec", name, "echo", "in") == "in\n"
    assert shell.text("exec", "-i", "-e", "A=b", name, "sh", stdin=b"echo $A") == "b\n"
    assert shell.text("pause", name) == f"{name}\n"
    assert shell.text("inspect", "-f", "{{.State.Status}}", name) == "paused\n"
    shell("unpause", name)
    shell("rename", name, f"{name}-2")
    assert shell.text("kill", f"{name}-2") == f"{name}-2\n"
    assert shell.text("wait", f"{name}-2") == "137\n"
    shell("logs", f"{name}-2")
    assert (shell.console.stdout, shell.console.stderr) == (b"up\n", b"bad\n")
    assert shell.text("start", f"{name}-2") == f"{name}-2\n"
    assert shell.text("restart", "-t", "0", f"{name}-2") == f"{name}-2\n"
    assert shell.text("stop", "-t", "0", f"{name}-2") == f"{name}-2\n"


def test_what_went_well_is_printed_before_what_did_not(shell: Shell, container: Callable[..., str]) -> None:
    container("--name", "good-one", *SLEEP)
    with pytest.raises(CommandError, match="Error response from daemon: No such container: bad-one"):
        shell("stop", "-t", "0", "bad-one", "good-one")
    assert shell.console.stdout == b"good-one\n"


def test_copying_both_ways(shell: Shell, container: Callable[..., str], tmp_path: Path) -> None:
    identity = container(*SLEEP)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    shell("cp", str(tmp_path / "folder"), f"{identity}:/tmp/")
    assert shell.text("exec", identity, "cat", "/tmp/folder/file") == "content"
    shell("cp", str(tmp_path / "folder" / "file"), f"{identity}:/tmp/renamed")
    shell("cp", f"{identity}:/tmp/renamed", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content"
    shell("cp", f"{identity}:/tmp/folder", str(tmp_path / "whole"))
    assert (tmp_path / "whole" / "file").read_text() == "content"
    shell("cp", f"{identity}:/tmp/folder/.", str(tmp_path / "whole"))
    assert sorted(p.name for p in (tmp_path / "whole").iterdir()) == ["file"]
    shell("cp", f"{identity}:/tmp/renamed", "-")
    with tarfile.open(fileobj=io.BytesIO(shell.console.stdout)) as archive:
        assert archive.getnames() == ["renamed"]
    with pytest.raises(CommandError, match="no such file or directory"):
        shell("cp", str(tmp_path / "missing"), f"{identity}:/tmp")
    with pytest.raises(CommandError, match="must specify at least one container source"):
        shell("cp", "a", "b")


def test_diff_and_commit(shell: Shell, container: Callable[..., str]) -> None:
    identity = container("alpine", "sh", "-c", "echo x > /made; while :; do sleep 0.1; done")
    shell("exec", identity, "sh", "-c", "until [ -s /made ]; do sleep 0.05; done")
    assert ("A", "/made") in list(shell("diff", identity))
    image = str(shell("commit", "-c", "ENV A=b", "-m", "made", identity, "committed:1"))
    assert image.startswith("sha256:")
    assert shell.text("run", "--rm", "committed:1", "sh", "-c", "cat /made; echo $A") == "x\nb\n"
    assert shell.text("run", "--rm", "_", "cat", "/made") == "x\n"
    difference = shell("diff", "alpine", "committed:1")
    assert (1, "/made", 0, 2) in difference.files
    assert "config Env" in difference.text()
    shell("rmi", "committed:1")


def test_images_tags_and_history(shell: Shell) -> None:
    shell("tag", "alpine", "one/more:tag")
    table = shell("images", "one/more")
    assert [(r["Repository"], r["Tag"]) for r in table] == [("one/more", "tag")]
    assert shell.text("images", "-q", "one/more") == f"{table[0]['ID']}\n"
    assert shell.text("rmi", "one/more:tag") == "Untagged: one/more:tag\n"
    assert len(shell("images", "one/more")) == 0
    history = shell("history", "alpine")
    assert history.text().startswith("IMAGE ")
    assert len(history) >= 1


def test_saving_and_loading(shell: Shell, tmp_path: Path) -> None:
    shell("tag", "alpine", "saved:1")
    shell("save", "-o", str(tmp_path / "image.tar"), "saved:1")
    shell("rmi", "saved:1")
    assert shell.text("load", "-i", str(tmp_path / "image.tar")) == "Loaded image: saved:1\n"
    shell("rmi", "saved:1")
    with pytest.raises(CommandError, match="no such file or directory"):
        shell("load", "-i", str(tmp_path / "none"))


def test_exporting_and_importing(shell: Shell, tmp_path: Path) -> None:
    created = shell("create", "alpine")
    shell("export", "-o", str(tmp_path / "root.tar"), created.id)
    shell("rm", created.id)
    image = str(shell("import", "-c", "CMD echo imported", str(tmp_path / "root.tar"), "imported:1"))
    assert image.startswith("sha256:")
    assert shell.text("run", "--rm", "imported:1") == "imported\n"
    shell("rmi", "imported:1")


def test_volumes(shell: Shell) -> None:
    assert shell.text("volume", "create", "kept-things") == "kept-things\n"
    shell("run", "--rm", "-v", "kept-things:/data", "alpine", "sh", "-c", "echo kept > /data/f")
    mount = "type=volume,source=kept-things,target=/d,readonly"
    assert shell.text("run", "--rm", "--mount", mount, "alpine", "cat", "/d/f") == "kept\n"
    assert shell("volume", "ls", "-f", "name=kept-things")[0]["Driver"] == "local"
    assert shell.text("volume", "inspect", "-f", "{{.Name}}", "kept-things") == "kept-things\n"
    assert shell.text("volume", "rm", "kept-things") == "kept-things\n"
    with pytest.raises(CommandError, match="kept-things"):
        shell("volume", "inspect", "kept-things")


def test_a_folder_of_the_machine(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").write_text("from the machine")
    assert shell.text("run", "--rm", "-v", "./:/data:ro", "alpine", "cat", "/data/here") == "from the machine"


def test_inspecting_anything(shell: Shell) -> None:
    found = shell("inspect", "alpine")
    assert found[0]["RepoTags"]
    assert json.loads(found.text()) == found.value
    assert shell.text("inspect", "-f", "{{json .Config.Cmd}} {{len .RootFS.Layers}}", "alpine").endswith(" 1\n")
    with pytest.raises(CommandError, match="Error: No such object: nothing-there"):
        shell("inspect", "nothing-there")
    assert shell.console.stdout == b"[]\n"


def test_the_engine_tells_of_itself(shell: Shell) -> None:
    assert "Server:" in shell.text("version")
    assert shell.text("version", "--format", "{{.Client.Version}}") != "\n"
    assert "Storage Driver:" in shell.text("info")
    assert shell("info", "--format", "json").value["OSType"] == "linux"
    assert [row["Type"] for row in shell("system", "df")][:2] == ["Images", "Containers"]
    assert "containers" in shell.text("flow")


def test_events_up_to_now(shell: Shell, container: Callable[..., str]) -> None:
    identity = container("--name", "eventful", "alpine", "true")
    shell("wait", identity)
    told = shell.text("events", "--since", "1m", "--until", "0s", "-f", "container=eventful", "--format", "{{.Action}}")
    assert {"create", "start", "die"} <= set(told.split())


def test_prune_asks_nobody_without_force(shell: Shell) -> None:
    with pytest.raises(CommandError, match="use --force"):
        shell("container", "prune")
    created = shell("create", "--label", "purpose=prune", "alpine")
    told = shell.text("container", "prune", "-f", "--filter", "label=purpose=prune")
    assert created.id in told
    assert "Total reclaimed space: 0B" in told


def test_the_files_of_each_layer(shell: Shell) -> None:
    body = b"FROM alpine\nRUN mkdir -p /a/b && echo 12345 > /a/b/c && echo 1 > /a/d\nRUN rm /a/b/c; echo 2 > /a/d\n"
    shell("build", "-q", "-t", "layered", "-", stdin=body)
    tree = shell("history", "--files", "layered").tree
    assert tree.base.startswith("alpine")
    first, second = [e for e in tree if not e.base and not e.empty]
    (folder,) = first.files
    assert (folder.name, folder.size) == ("a", 8)
    assert [(c.name, c.size, [g.name for g in c.children]) for c in folder.children] == [("b", 6, ["c"]), ("d", 2, [])]
    changes = {(e.name, e.change) for f in second.files for c in f.children for e in (c.children or [c])}
    assert changes == {("c", "deleted"), ("d", "changed")}
    assert second.hidden == 8
    assert "deletes or replaces 8B that the layers below still hold" in tree.html()
    shell("rmi", "layered")

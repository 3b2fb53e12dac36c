"""Start, stop, kill, restart, pause, wait, restart policies, health, what a start refuses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from docker.errors import APIError, NotFound

from tests.engine.test_containers import refused


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Return when ``condition`` holds; fail when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def state(api, id: str) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return dict(api.inspect_container(id)["State"])


def test_exit_codes(box) -> None:
    for code in (0, 1, 42, 255):
        assert box.run(["sh", "-c", f"exit {code}"])[0] == code


def test_a_signals_exit_code(box) -> None:
    assert box.run(["sh", "-c", "kill -9 $$"])[0] in {137, 0}  # pid 1 can't kill itself; its shell then ends well


def test_start_of_nothing(api) -> None:
    refused(lambda: api.start("dm-eng-nothing"), 404)


def test_a_second_start_changes_nothing(box, api, raw) -> None:
    id = box.loop()
    before = state(api, id)["StartedAt"]
    assert raw().ask("POST", f"/v1.41/containers/{id}/start").status == 304
    assert state(api, id)["StartedAt"] == before


def test_an_ended_container_starts_again(box, api) -> None:
    id = box.start(["sh", "-c", "echo x >> /count; wc -l < /count"])
    api.wait(id)
    api.start(id)
    api.wait(id)
    assert api.logs(id) == b"1\n2\n"


@pytest.mark.parametrize(
    ("command", "words", "code"),
    [
        (["nope"], 'exec: "nope": executable file not found in $PATH', 127),
        (["/no/such"], "/no/such: no such file or directory", 127),
        (["/etc/passwd"], "permission denied", 126),
    ],
)
def test_commands_that_cannot_run(box, api, command: list[str], words: str, code: int) -> None:
    id = box.create(command)
    with pytest.raises(APIError) as raised:
        api.start(id)
    assert raised.value.status_code == 400
    assert words in raised.value.explanation
    assert "failed to create shim task: OCI runtime create failed: runc create failed" in raised.value.explanation
    shown = state(api, id)
    assert (shown["Status"], shown["ExitCode"], shown["Running"]) == ("created", code, False)
    assert words in str(shown["Error"])


def test_a_failed_start_with_auto_remove_removes(box, api) -> None:
    id = box.create(["nope"], host={"auto_remove": True})
    with pytest.raises(APIError):
        api.start(id)
    until(lambda: not any(one["Id"] == id for one in api.containers(all=True)))


def test_stop_sends_term_and_then_kill(box, api) -> None:
    obedient = box.loop()
    api.stop(obedient, timeout=10)
    assert state(api, obedient)["ExitCode"] == 0
    stubborn = box.start(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"])
    until(lambda: api.logs(stubborn) == b"up\n")
    api.stop(stubborn, timeout=1)
    assert state(api, stubborn)["ExitCode"] == 137


def test_stop_uses_the_stop_signal(box, api) -> None:
    id = box.start(["sh", "-c", "trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done"], stop_signal="SIGUSR1")
    until(lambda: api.logs(id) == b"up\n")
    api.stop(id, timeout=10)
    assert state(api, id)["ExitCode"] == 7


def test_stop_of_the_stopped_changes_nothing(box, api, raw) -> None:
    id = box.start("true")
    api.wait(id)
    assert raw().ask("POST", f"/v1.41/containers/{id}/stop").status == 304


def test_kill(box, api) -> None:
    id = box.loop()
    api.kill(id)
    assert api.wait(id)["StatusCode"] == 137


def test_kill_with_a_signal(box, api) -> None:
    id = box.start(["sh", "-c", "trap 'echo got' USR2; echo up; while :; do sleep 0.05; done"])
    until(lambda: api.logs(id) == b"up\n")
    api.kill(id, "SIGUSR2")
    until(lambda: api.logs(id) == b"up\ngot\n")
    assert state(api, id)["Running"]


def test_kill_refusals(box, api) -> None:
    id = box.create()
    refused(lambda: api.kill(id), 409, "is not running")
    running = box.loop()
    refused(lambda: api.kill(running, "SIGODD"), 400, "invalid signal: SIGODD")


def test_restart(box, api) -> None:
    id = box.loop()
    first = state(api, id)
    api.restart(id, timeout=5)
    second = state(api, id)
    assert second["Running"]
    assert second["Pid"] != first["Pid"]
    assert str(second["StartedAt"]) > str(first["StartedAt"])


def test_restart_starts_what_does_not_run(box, api) -> None:
    id = box.create(["sleep", "100"])
    api.restart(id)
    assert state(api, id)["Running"]


def test_pause_and_unpause(box, api) -> None:
    id = box.start(["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"])
    until(lambda: api.logs(id).count(b"\n") > 2)
    api.pause(id)
    assert (state(api, id)["Status"], state(api, id)["Paused"]) == ("paused", True)
    assert "(Paused)" in next(one for one in api.containers() if one["Id"] == id)["Status"]
    refused(lambda: api.pause(id), 409, "already paused")
    refused(lambda: api.exec_create(id, "true"), 409, "paused")
    api.unpause(id)
    assert state(api, id)["Status"] == "running"
    before = api.logs(id)
    until(lambda: len(api.logs(id)) > len(before))


def test_pause_refusals(box, api) -> None:
    id = box.create()
    refused(lambda: api.pause(id), 409, "is not running")
    refused(lambda: api.unpause(id), 500, "is not paused")


def test_wait_for_what_does_not_run_returns(box, api) -> None:
    id = box.start(["sh", "-c", "exit 5"])
    assert api.wait(id)["StatusCode"] == 5
    assert api.wait(id, condition="not-running")["StatusCode"] == 5


def test_wait_for_removal(box, api) -> None:
    id = box.create(["sh", "-c", "exit 6"], host={"auto_remove": True})
    results: list[int] = []
    waiting = threading.Thread(target=lambda: results.append(api.wait(id, condition="removed")["StatusCode"]))
    waiting.start()
    api.start(id)
    waiting.join(20)
    assert results == [6]
    with pytest.raises(NotFound):
        api.inspect_container(id)


def test_wait_for_an_odd_condition(box, api, ours) -> None:
    id = box.create()
    refused(lambda: api.wait(id, condition="odd"), 400, "invalid condition")


def test_auto_remove_takes_its_anonymous_volumes(box, api) -> None:
    id = box.create(["true"], volumes=["/data"], host={"auto_remove": True})
    volume = api.inspect_container(id)["Mounts"][0]["Name"]
    api.start(id)
    until(lambda: not any(one["Id"] == id for one in api.containers(all=True)))
    until(lambda: volume not in [one["Name"] for one in api.volumes()["Volumes"] or []])


def test_restart_policy_on_failure(box, api) -> None:
    id = box.create(["sh", "-c", "exit 3"], host={"restart_policy": {"Name": "on-failure", "MaximumRetryCount": 2}})
    api.start(id)
    until(lambda: api.inspect_container(id)["RestartCount"] == 2 and not state(api, id)["Running"])
    assert state(api, id)["ExitCode"] == 3


def test_restart_policy_always_brings_it_back_until_stopped(box, api) -> None:
    id = box.create(["sh", "-c", "echo run; sleep 0.1"], host={"restart_policy": {"Name": "always"}})
    api.start(id)
    until(lambda: api.logs(id).count(b"run") >= 2)
    api.stop(id, timeout=1)
    until(lambda: state(api, id)["Status"] == "exited")


def test_a_clean_exit_is_no_failure(box, api) -> None:
    id = box.create(["true"], host={"restart_policy": {"Name": "on-failure"}})
    api.start(id)
    api.wait(id)
    assert api.inspect_container(id)["RestartCount"] == 0


def test_health(box, api) -> None:
    check = {"Test": ["CMD-SHELL", "test -e /healthy && echo fine"], "Interval": 10**8, "Retries": 2, "Timeout": 10**10}
    id = box.loop(healthcheck=check)
    assert state(api, id)["Health"]["Status"] == "starting"  # type: ignore[index]
    until(lambda: state(api, id)["Health"]["Status"] == "unhealthy")  # type: ignore[index]
    execution = api.exec_create(id, ["touch", "/healthy"])
    api.exec_start(execution)
    until(lambda: state(api, id)["Health"]["Status"] == "healthy")  # type: ignore[index]
    last = state(api, id)["Health"]["Log"][-1]  # type: ignore[index]
    assert (last["ExitCode"], last["Output"].strip()) == (0, "fine")
    assert "(healthy)" in next(one for one in api.containers() if one["Id"] == id)["Status"]


def test_top(box, api) -> None:
    id = box.loop()
    shown = api.top(id)
    assert {"PID", "PPID", "CMD"} <= set(shown["Titles"])
    assert any("trap" in row[-1] for row in shown["Processes"])
    ended = box.create()
    refused(lambda: api.top(ended), 409, "is not running")


def test_stats_once(box, api) -> None:
    id = box.start(["sh", "-c", "while :; do :; done"])
    until(lambda: api.stats(id, stream=False)["cpu_stats"]["cpu_usage"]["total_usage"] > 0)
    shown = api.stats(id, stream=False)
    assert shown["id"] == id
    assert shown["cpu_stats"]["cpu_usage"]["total_usage"] >= shown["precpu_stats"]["cpu_usage"]["total_usage"]
    assert shown["memory_stats"]["usage"] > 0
    assert shown["pids_stats"]["current"] >= 1


def test_changes(box, api) -> None:
    id = box.start(["sh", "-c", "touch /new; rm /etc/group; echo x >> /etc/passwd"])
    api.wait(id)
    changes = {one["Path"]: one["Kind"] for one in api.diff(id)}
    assert (changes["/new"], changes["/etc/group"], changes["/etc/passwd"]) == (1, 2, 0)


def test_no_changes(box, api) -> None:
    assert not api.diff(box.create())


def test_resize(box, api) -> None:
    id = box.start(
        ["sh", "-c", "until [ \"$(stty size)\" = '33 99' ]; do sleep 0.05; done; echo sized"], tty=True, stdin_open=True
    )
    api.resize(id, height=33, width=99)
    api.wait(id, timeout=20)
    assert b"sized" in api.logs(id)


def test_sizes_that_are_none(box, api, raw) -> None:
    id = box.loop()
    assert raw().ask("POST", f"/v1.41/containers/{id}/resize?h=x&w=1").status in {400, 500}


def test_a_kill_waits_for_the_end(box, api) -> None:
    for _ in range(5):
        id = box.loop()
        api.kill(id)
        assert api.inspect_container(id)["State"]["Status"] == "exited"
        api.remove_container(id)


def test_a_wait_ends_with_a_run_that_a_policy_repeats(box, api) -> None:
    id = box.start(["sh", "-c", "sleep 0.2; exit 3"], host={"restart_policy": {"Name": "always"}})
    assert api.wait(id)["StatusCode"] == 3

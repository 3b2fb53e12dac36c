"""Attach and exec: streams both ways, terminals, exit codes."""

from __future__ import annotations

import socket
import struct

from docker.utils.socket import demux_adaptor, frames_iter

from tests.engine.test_containers import refused
from tests.engine.test_life import until


def drain(stream, tty: bool = False) -> tuple[bytes, bytes]:  # type: ignore[no-untyped-def]
    """(stdout, stderr) of an attached socket until its end."""
    out = err = b""
    for number, data in frames_iter(stream, tty):
        one, two = demux_adaptor(number, data)
        out += one or b""
        err += two or b""
    return out, err


def under(stream) -> socket.socket:  # type: ignore[no-untyped-def]
    """The socket itself."""
    return getattr(stream, "_sock", stream)


def test_attach_before_start_misses_nothing(box, api) -> None:
    for _ in range(10):
        id = box.create(["sh", "-c", "echo out; echo err >&2"])
        stream = api.attach_socket(id, params={"stdout": 1, "stderr": 1, "stream": 1})
        api.start(id)
        assert drain(stream) == (b"out\n", b"err\n")
        stream.close()


def test_stdin_reaches_the_process_and_its_end_too(box, api) -> None:
    id = box.create(["cat"], stdin_open=True)
    stream = api.attach_socket(id, params={"stdin": 1, "stdout": 1, "stream": 1})
    api.start(id)
    under(stream).sendall(b"one\ntwo\n")
    under(stream).shutdown(socket.SHUT_WR)
    assert drain(stream)[0] == b"one\ntwo\n"
    assert api.wait(id)["StatusCode"] == 0


def test_a_terminals_output_in_frames(box, api) -> None:
    """An exec with a terminal that is started without one: docker-py's low level does so."""
    made = api.exec_create(box.loop(), ["sh", "-c", "echo out; echo err >&2"], tty=True)
    assert api.exec_start(made, demux=True) == (b"out\r\nerr\r\n", None)


def test_detach_keys_of_the_clients_own(box, api) -> None:
    """docker-py writes ``detachKeys`` when its configuration has them: Go takes any case."""
    id = box.loop()
    asked = {"Cmd": ["cat"], "Tty": True, "AttachStdin": True, "AttachStdout": True, "detachKeys": "ctrl-a"}
    made = api._result(api._post_json(api._url("/containers/{0}/exec", id), data=asked), True)
    stream = api.exec_start(made, tty=True, socket=True)
    under(stream).settimeout(20)
    under(stream).sendall(b"\x01")
    while under(stream).recv(100):  # its end comes, though cat waits for more
        pass
    stream.close()


def test_a_detached_start_answers_nothing(box, api) -> None:
    assert api.exec_start(api.exec_create(box.loop(), ["true"]), detach=True) == ""


def test_much_stdin(box, api) -> None:
    import threading

    id = box.create(["md5sum"], stdin_open=True)
    stream = api.attach_socket(id, params={"stdin": 1, "stdout": 1, "stream": 1})
    api.start(id)
    data = bytes(range(256)) * 40_000

    def feed() -> None:
        under(stream).sendall(data)
        under(stream).shutdown(socket.SHUT_WR)

    feeding = threading.Thread(target=feed)
    feeding.start()
    import hashlib

    assert drain(stream)[0].split()[0].decode() == hashlib.md5(data).hexdigest()
    feeding.join(10)


def test_a_process_that_ignores_its_stdin_ends(box, api) -> None:
    id = box.create(["echo", "bye"], stdin_open=True)
    stream = api.attach_socket(id, params={"stdin": 1, "stdout": 1, "stream": 1})
    under(stream).sendall(b"nobody reads this")
    api.start(id)
    assert drain(stream)[0] == b"bye\n"


def test_attach_to_a_running_container_with_its_log(box, api, ours) -> None:  # docker-py loses dockerd's first frame
    id = box.start(["sh", "-c", "echo before; until [ -e /go ]; do sleep 0.02; done; echo after"])
    until(lambda: api.logs(id) == b"before\n")
    stream = api.attach_socket(id, params={"stdout": 1, "stream": 1, "logs": 1})
    api.exec_start(api.exec_create(id, ["touch", "/go"]))
    assert drain(stream)[0] == b"before\nafter\n"


def test_attach_for_the_log_alone(box, api, ours) -> None:  # docker-py loses dockerd's first frame
    id = box.start(["echo", "x"])
    api.wait(id)
    assert api.attach(id, stdout=True, stderr=True, stream=False, logs=True) == b"x\n"


def test_two_attachments_get_the_same(box, api) -> None:
    id = box.create(["seq", "1", "50"])
    streams = [api.attach_socket(id, params={"stdout": 1, "stream": 1}) for _ in range(2)]
    api.start(id)
    assert drain(streams[0]) == drain(streams[1])


def test_attach_to_nothing(api) -> None:
    refused(lambda: api.attach_socket("dm-eng-nothing"), 404)


def test_attach_to_a_paused_container(box, api) -> None:
    id = box.loop()
    api.pause(id)
    refused(lambda: api.attach_socket(id), 409, "paused")
    api.unpause(id)


def test_a_terminal(box, api) -> None:
    id = box.create(["sh", "-c", "tty >/dev/null && echo terminal $TERM"], tty=True)
    stream = api.attach_socket(id, params={"stdout": 1, "stream": 1})
    api.start(id)
    assert drain(stream, tty=True)[0] == b"terminal xterm\r\n"


def test_detach_keys_leave_it_running(box, api) -> None:
    id = box.create(["cat"], tty=True, stdin_open=True)
    stream = api.attach_socket(id, params={"stdin": 1, "stdout": 1, "stream": 1, "detachKeys": "ctrl-x,d"})
    api.start(id)
    under(stream).sendall(b"hi\n")
    assert under(stream).recv(3).startswith(b"hi")
    under(stream).sendall(b"\x18d")
    while under(stream).recv(1000):
        pass
    assert api.inspect_container(id)["State"]["Running"]


# --- exec ---


def execute(api, id: str, command, **options) -> tuple[int, bytes]:  # type: ignore[no-untyped-def]
    execution = api.exec_create(id, command, **options)
    out = api.exec_start(execution)
    return api.exec_inspect(execution)["ExitCode"], out


def test_exec_output_and_exit_code(box, api) -> None:
    id = box.loop()
    assert execute(api, id, ["echo", "hi"]) == (0, b"hi\n")
    assert execute(api, id, ["sh", "-c", "exit 9"]) == (9, b"")


def test_exec_streams_apart(box, api) -> None:
    id = box.loop()
    execution = api.exec_create(id, ["sh", "-c", "echo out; echo err >&2"])
    assert api.exec_start(execution, demux=True) == (b"out\n", b"err\n")


def test_exec_sees_the_container(box, api) -> None:
    id = box.loop(hostname="inside", environment={"A": "1"})
    out = execute(api, id, ["sh", "-c", "hostname; echo $A; cat /proc/1/comm"])[1]
    assert out == b"inside\n1\nsh\n"


def test_exec_sees_its_containers_processes_alone(box, api, tier) -> None:
    seen = execute(api, box.loop(), ["ls", "/proc"])[1].split()
    processes = [name for name in seen if name.isdigit()]
    assert (len(processes) > 3) == tier.traced  # the loop, its sleep, this ls; or all of the host's


def test_exec_settings(box, api) -> None:
    id = box.loop()
    assert execute(api, id, ["id", "-u"], user="nobody")[1] == b"65534\n"
    assert execute(api, id, ["sh", "-c", "echo $B"], environment={"B": "2"})[1] == b"2\n"
    assert execute(api, id, ["pwd"], workdir="/tmp")[1] == b"/tmp\n"


def test_exec_detached(box, api) -> None:
    id = box.loop()
    execution = api.exec_create(id, ["sh", "-c", "exit 4"])
    api.exec_start(execution, detach=True)
    until(lambda: api.exec_inspect(execution)["ExitCode"] == 4)


def test_exec_stdin(box, api) -> None:
    id = box.loop()
    execution = api.exec_create(id, ["wc", "-c"], stdin=True)
    stream = api.exec_start(execution, socket=True)
    under(stream).sendall(b"12345")
    under(stream).shutdown(socket.SHUT_WR)
    assert drain(stream)[0].strip() == b"5"


def test_exec_terminal_and_its_size(box, api) -> None:
    id = box.loop()
    execution = api.exec_create(
        id, ["sh", "-c", "until [ \"$(stty size)\" = '20 70' ]; do sleep 0.02; done; echo ok"], tty=True, stdin=True
    )
    stream = api.exec_start(execution, tty=True, socket=True)
    until(lambda: api.exec_inspect(execution)["Running"])
    api.exec_resize(execution, height=20, width=70)
    assert drain(stream, tty=True)[0].endswith(b"ok\r\n")


def test_exec_inspect(box, api) -> None:
    id = box.loop()
    execution = api.exec_create(id, ["sleep", "0.2"], tty=False)
    shown = api.exec_inspect(execution)
    assert (shown["Running"], shown["ExitCode"], shown["ContainerID"]) == (False, None, id)
    assert (shown["ProcessConfig"]["entrypoint"], shown["ProcessConfig"]["arguments"]) == ("sleep", ["0.2"])
    api.exec_start(execution, detach=True)
    until(lambda: api.exec_inspect(execution)["ExitCode"] == 0)


def test_exec_refusals(box, api) -> None:
    created = box.create()
    refused(lambda: api.exec_create(created, "true"), 409, "is not running")
    running = box.loop()
    refused(lambda: api.exec_create(running, []), 400, "No exec command specified")
    refused(lambda: api.exec_inspect("nothing"), 404, "No such exec instance")
    refused(lambda: api.exec_create("dm-eng-nothing", "true"), 404)


def test_exec_of_a_missing_command(box, api) -> None:
    id = box.loop()
    execution = api.exec_create(id, ["nope"])
    out = api.exec_start(execution)
    assert b'exec: "nope": executable file not found in $PATH' in out
    assert api.exec_inspect(execution)["ExitCode"] in {126, 127}


def test_an_exec_runs_once(box, api, ours) -> None:  # docker-py loses dockerd's first frame
    id = box.loop()
    execution = api.exec_create(id, ["true"])
    api.exec_start(execution)
    assert b"has already run" in api.exec_start(execution)


def test_exec_ids_are_told_while_they_run(box, api) -> None:
    id = box.loop()
    execution = api.exec_create(id, ["sleep", "30"])
    api.exec_start(execution, detach=True)
    assert api.inspect_container(id)["ExecIDs"] == [execution["Id"]]


def test_frames_have_dockers_header(box, api, raw) -> None:
    id = box.start(["sh", "-c", "printf abc"])
    api.wait(id)
    body = raw().ask("GET", f"/v1.41/containers/{id}/logs?stdout=1").body
    assert body == struct.pack(">BxxxI", 1, 3) + b"abc"

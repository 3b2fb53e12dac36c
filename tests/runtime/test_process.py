"""Life of a process: start errors, exit codes, signals, streams, attachments, terminals, exec, init, pause."""

from __future__ import annotations

import os
import signal

import pytest

from dockmagic.errors import Conflict
from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.spec import User
from tests.runtime.conftest import Machine

_TRAP = "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (("nope",), 127, 'exec: "nope": executable file not found in $PATH'),
        (("/x",), 127, 'exec: "/x": stat /x: no such file or directory'),
        (("./x",), 127, 'exec: "./x": stat ./x: no such file or directory'),
        (("/etc/passwd",), 126, 'exec: "/etc/passwd": permission denied'),
        (("/etc",), 126, 'exec: "/etc": is a directory'),
        (("/etc/passwd/x",), 126, 'exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory'),
    ],
)
def test_what_cannot_start_says_so_in_runcs_words(
    machine: Machine, command: tuple[str, ...], code: int, message: str
) -> None:
    process = machine.prepare(*command)
    with pytest.raises(StartError) as caught:
        process.start()
    assert (str(caught.value), caught.value.code) == (message, code)
    ended = process.wait(5)
    assert (ended.code, ended.error) == (code, message)
    process.close()


def test_a_program_of_a_wrong_format_fails_in_the_container(machine: Machine) -> None:
    machine.run("sh", "-c", "echo nonsense > /tmp/bad; chmod 755 /tmp/bad")
    assert machine.run("/tmp/bad") == (255, b"", b"exec /tmp/bad: exec format error\n")
    machine.run("sh", "-c", "echo '#!/no/interpreter' > /tmp/bad")
    assert machine.run("/tmp/bad") == (255, b"", b"exec /tmp/bad: no such file or directory\n")
    machine.run("rm", "/tmp/bad")


def test_a_working_directory_that_is_a_file(machine: Machine) -> None:
    code, _out, err = machine.run("true", cwd="/etc/passwd")
    assert (code, err) == (126, b"mkdir /etc/passwd: not a directory")


def test_a_working_directory_closed_to_the_user(machine: Machine) -> None:
    if machine.kind == "single":
        pytest.skip("all users are one here")
    machine.run("sh", "-c", "mkdir -p -m 700 /tmp/closed")
    code, _out, err = machine.run("true", cwd="/tmp/closed", user=User(1000, 1000))
    assert (code, err) == (126, b'chdir to cwd ("/tmp/closed") set in config.json failed: permission denied')
    machine.run("rmdir", "/tmp/closed")


@pytest.mark.parametrize("code", [0, 1, 3, 125, 255])
def test_exit_codes(machine: Machine, code: int) -> None:
    assert machine.run("sh", "-c", f"exit {code}")[0] == code


def test_streams_come_apart_and_whole(machine: Machine) -> None:
    code, out, err = machine.run("sh", "-c", "seq 1 20000; echo e >&2")
    assert code == 0
    assert out == b"".join(b"%d\n" % n for n in range(1, 20001))
    assert err == b"e\n"


def test_a_signal_reaches_the_process(machine: Machine) -> None:
    process = machine.prepare("sh", "-c", _TRAP)
    stream = machine.attach(process)
    process.start()
    stream.read_until(b"ready\n")
    process.signal(signal.SIGTERM)
    assert stream.read_all()[1] == b"got\n"
    assert process.wait(5).code == 7
    process.close()


def test_killed_by_a_signal_is_128_and_the_signal(machine: Machine) -> None:
    process = machine.prepare("sleep", "100")
    process.start()
    process.signal(signal.SIGKILL)
    assert process.wait(5).code == 137
    with pytest.raises(Conflict, match="is not running"):
        process.signal(signal.SIGKILL)
    process.close()


def test_wait_gives_up_in_time(machine: Machine) -> None:
    process = machine.prepare("sleep", "100")
    pid = process.start()
    assert pid > 0
    assert process.wait(0.01) is None
    process.signal(signal.SIGKILL)
    assert process.wait(5) is not None
    process.close()


def test_stdin_is_fed_and_half_closed(machine: Machine) -> None:
    process = machine.prepare("wc", "-c", stdin=True, stdin_once=True)
    stream = machine.attach(process, stdin=True)
    process.start()
    stream.send(b"x" * 300_000)
    stream.end_input()
    assert stream.read_all()[1] == b"300000\n"
    assert process.wait(5).code == 0
    process.close()


def test_stdin_stays_open_for_the_next_attachment(machine: Machine) -> None:
    process = machine.prepare("cat", stdin=True)
    first = machine.attach(process, stdin=True)
    process.start()
    first.send(b"one\n")
    assert first.read_until(b"one\n").endswith(b"one\n")
    first.close()
    second = machine.attach(process, stdin=True)
    second.send(b"two\n")
    assert second.read_until(b"two\n").endswith(b"two\n")
    process.signal(signal.SIGKILL)
    process.wait(5)
    process.close()


def test_without_stdin_there_is_nothing_to_read(machine: Machine) -> None:
    assert machine.run("wc", "-c") == (0, b"0\n", b"")


def test_many_attachments_all_get_everything(machine: Machine) -> None:
    process = machine.prepare("sh", "-c", "seq 1 5000; seq 1 3 >&2")
    streams = [machine.attach(process) for _ in range(8)]
    only_err = machine.attach(process, stdout=False, stderr=True)
    process.start()
    expected = {1: b"".join(b"%d\n" % n for n in range(1, 5001)), 2: b"1\n2\n3\n"}
    assert [stream.read_all() for stream in streams] == [expected] * 8
    assert only_err.read_all() == {1: b"", 2: b"1\n2\n3\n"}
    process.wait(5)
    process.close()


def test_a_reader_that_goes_away_does_not_stop_the_process(machine: Machine) -> None:
    process = machine.prepare("sh", "-c", "seq 1 300000")
    gone = machine.attach(process)
    process.start()
    gone.read_some(10)
    gone.close()
    assert process.wait(20).code == 0
    process.close()


def test_a_reader_that_pauses_makes_the_process_wait_and_loses_nothing(machine: Machine) -> None:
    process = machine.prepare("sh", "-c", "seq 1 300000; echo end >&2")
    slow = machine.attach(process)
    process.start()
    assert process.wait(0.3) is None  # two megabytes don't fit anywhere
    got = slow.read_all()
    assert got[1].endswith(b"\n300000\n")
    assert len(got[1]) == len("".join(f"{n}\n" for n in range(1, 300001)))
    assert got[2] == b"end\n"
    assert process.wait(5).code == 0
    process.close()


def test_a_terminal(machine: Machine) -> None:
    script = "tty; stty size; test -t 0 && echo in; test -c /dev/console && echo console; read line; echo got $line"
    process = machine.prepare("sh", "-c", script, terminal=True, stdin=True, console_size=(20, 50))
    stream = machine.attach(process, False, stdin=True)
    process.start()
    assert stream.read_until(b"console\r\n") == b"/dev/pts/0\r\n20 50\r\nin\r\nconsole\r\n"
    stream.send(b"word\n")
    assert stream.read_all()[1].endswith(b"got word\r\n")
    assert process.wait(5).code == 0
    process.close()


def test_a_terminal_is_resized_and_interrupts(machine: Machine) -> None:
    script = "trap 'stty size; exit 6' INT; echo ready; while :; do sleep 0.05; done"
    process = machine.prepare("sh", "-c", script, terminal=True, stdin=True)
    stream = machine.attach(process, False, stdin=True)
    process.start()
    stream.read_until(b"ready\r\n")
    process.resize(30, 100)
    stream.send(b"\x03")
    assert b"30 100\r\n" in stream.read_all()[1]
    assert process.wait(5).code == 6
    process.close()


def test_exec_joins_everything(machine: Machine) -> None:
    container = machine.prepare("sh", "-c", "echo 1 > /dev/shm/mark; exec sleep 100", hostname="inner", network="none")
    container.start()
    script = "hostname; cat /dev/shm/mark; ls /sys/class/net; ps | grep -c 'sleep 10[0]'; grep CapEff /proc/self/status"
    code, out, err = machine.run_exec(container, "sh", "-c", script)
    assert (code, err) == (0, b"")
    assert out.decode().split() == ["inner", "1", "lo", "1", "CapEff:", "00000000a80425fb"]
    assert machine.run_exec(container, "id", "-u", user=User(33, 33))[:2] == (0, b"33\n")
    assert machine.run_exec(container, "nope")[0] == 127
    assert machine.run_exec(container, "sh", "-c", "tty", terminal=True)[1].startswith(b"/dev/pts/")
    assert machine.run_exec(container, "sh", "-c", "exit 9")[0] == 9
    container.signal(signal.SIGKILL)
    container.wait(5)
    assert machine.run_exec(container, "true")[2] == b"cannot exec in a stopped container"
    container.close()


def test_exec_ends_though_its_children_keep_the_pipes(machine: Machine) -> None:
    container = machine.prepare("sleep", "100")
    container.start()
    process = machine.prepare_exec(container, "sh", "-c", "echo out; sleep 100 &")
    stream = machine.attach(process)
    process.start()
    assert process.wait(5).code == 0
    assert stream.read_all()[1] == b"out\n"
    process.close()
    container.signal(signal.SIGKILL)
    container.wait(5)
    container.close()


def test_all_processes_of_a_container_are_listed_and_end_with_it(machine: Machine) -> None:
    container = machine.prepare("sh", "-c", "sleep 101 & sleep 102 & echo up; wait")
    stream = machine.attach(container)
    first = container.start()
    stream.read_until(b"up\n")
    pids = container.pids()
    assert first in pids
    assert len(pids) == 3
    container.signal(signal.SIGKILL)
    container.wait(5)
    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}/root/bin")] == []
    assert container.pids() == []
    container.close()


def test_init_passes_signals_reaps_and_gives_the_code(machine: Machine) -> None:
    process = machine.prepare("sh", "-c", f"ps | head -3; {_TRAP}", init=True)
    stream = machine.attach(process)
    process.start()
    listing = stream.read_until(b"ready\n")
    assert b"docker-init" in listing
    process.signal(signal.SIGTERM)
    assert stream.read_all()[1] == b"got\n"
    assert process.wait(5).code == 7
    process.close()
    orphans = "sh -c 'sleep 0.01 & exec true'; sleep 0.1; cut -d' ' -f3 /proc/[0-9]*/stat | grep -c Z"
    assert machine.run("sh", "-c", orphans, init=True)[1] == b"0\n"


def test_pause_stops_all_and_resume_goes_on(machine: Machine) -> None:
    process = machine.prepare("sh", "-c", "echo go; i=0; while :; do i=$((i+1)); echo $i; done")
    stream = machine.attach(process)
    pid = process.start()
    stream.read_until(b"go\n")
    process.pause()
    assert _ticks(pid) == _ticks(pid)
    process.resume()
    stream.read_some()
    process.signal(signal.SIGKILL)
    stream.close()
    assert process.wait(5).code == 137
    process.close()


def _ticks(pid: int) -> tuple[str, ...]:
    """CPU time of a process in ticks, read after enough turns for a running one to have moved on."""
    for _ in range(2000):
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    return tuple(fields[11:13])

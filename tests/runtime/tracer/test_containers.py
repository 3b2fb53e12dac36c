"""What a container sees and can do."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from dockmagic.runtime.protocols import StartError
from dockmagic.runtime.spec import Limits, Mount, User
from dockmagic.runtime.tracer.tier import TracerTier
from tests.runtime.tracer.conftest import Box


def test_it_sees_its_own_root(box: Box) -> None:
    assert box.lines("pwd; ls /bin/busybox; readlink /proc/self/root; cat /proc/self/root/etc/passwd | head -1") == [
        "/", "/bin/busybox", "/", "root:x:0:0:root:/root:/bin/sh",
    ]  # fmt: skip


def test_streams_and_exit_code(box: Box) -> None:
    result = box.run("sh", "-c", "cat; echo err >&2; exit 7", stdin=b"given")
    assert (result.code, result.out, result.err) == (7, "given", "err\n")


def test_a_signal_is_128_and_its_number(box: Box) -> None:
    assert box.sh("sh -c 'kill -TERM $$'; exit $?").code == 128 + signal.SIGTERM


def test_the_first_process_is_spared_what_it_does_not_handle(box: Box) -> None:
    assert box.lines("kill -TERM $$; kill -USR1 1; kill -KILL $$; echo alive") == ["alive"]
    assert box.sh("trap 'exit 7' TERM; kill -TERM $$").code == 7
    assert box.sh("kill -TERM $$; echo alive", init=True).code == 128 + signal.SIGTERM
    launched = box.background("sleep", "300")
    launched.signal(signal.SIGTERM)
    assert box.execute(launched.pid, "true").code == 0
    launched.signal(signal.SIGKILL)
    assert launched.wait() == 137


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("nope",), 127, 'exec: "nope": executable file not found in $PATH'),
        (("/nope",), 127, 'exec: "/nope": stat /nope: no such file or directory'),
        (("/etc",), 126, 'exec: "/etc": is a directory'),
        (("/etc/passwd",), 126, 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_what_cannot_start_says_so_in_dockers_words(box: Box, args: tuple[str, ...], code: int, message: str) -> None:
    with pytest.raises(StartError) as caught:
        box.run(*args)
    assert (caught.value.code, str(caught.value)) == (code, message)


def test_a_missing_working_directory_is_made(box: Box) -> None:
    assert box.lines("pwd", cwd="/made/for/it") == ["/made/for/it"]
    assert box.lines("pwd; stat -c %u /other", cwd="/other", user=User(12, 12)) == ["/other", "0"]


def test_links_out_of_the_root_stay_inside(box: Box) -> None:
    (box.rootfs / "out").symlink_to("../../../../../../etc/passwd")
    assert box.lines("head -1 /out") == ["root:x:0:0:root:/root:/bin/sh"]


def test_files_are_written_where_they_belong(box: Box) -> None:
    box.lines(
        "mkdir -p /a/b && cd /a && echo one > b/f && mv b/f ../g && ln -s /g l && cat l && rm -r b && rmdir /a || true"
    )
    assert (box.rootfs / "g").read_text() == "one\n"
    assert (box.rootfs / "a/l").is_symlink()


def test_a_link_replaced_from_outside_is_seen(box: Box) -> None:
    """As docker cp does to a running container."""
    for name in ("one", "two"):
        (box.rootfs / name).mkdir()
        (box.rootfs / name / "f").write_text(name)
    link = box.rootfs / "current"
    link.symlink_to("/one")
    launched = box.background("sh", "-c", "while :; do read x < /current/f; echo $x > /seen; done")
    seen = box.rootfs / "seen"
    _until(lambda: seen.exists() and seen.read_text() == "one\n")
    link.unlink()
    link.symlink_to("/two")
    _until(lambda: seen.read_text() == "two\n")
    launched.signal(signal.SIGKILL)
    launched.wait()


def test_scripts_run_by_their_interpreter(box: Box) -> None:
    for name, line in (("plain", "#!/bin/sh"), ("with", "#!/bin/busybox sh"), ("nested", "#!/plain")):
        (box.rootfs / name).write_text(f"{line}\necho {name} $0 $1\n")
        (box.rootfs / name).chmod(0o755)
    assert box.lines("/plain x; /with y") == ["plain /plain x", "with /with y"]
    assert box.lines("/nested z") == ["plain /plain /nested"]
    (box.rootfs / "bad").write_text("#!/nothing\n")
    (box.rootfs / "bad").chmod(0o755)
    assert box.sh("/bad").code == 127


def test_programs_of_other_machines_are_no_programs(box: Box) -> None:
    header = b"\x7fELF\1\1\1" + bytes(9) + b"\2\0\3\0" + bytes(64)  # 32 bits, i386
    (box.rootfs / "old").write_bytes(header)
    (box.rootfs / "old").chmod(0o755)
    result = box.run("/old")
    assert (result.code, result.err) == (255, "exec /old: exec format error\n")


def test_proc_shows_the_containers_paths(box: Box) -> None:
    script = "cd /etc; readlink /proc/$$/cwd; head -1 /proc/self/cwd/group; readlink /proc/$$/exe"
    assert box.lines(script) == ["/etc", "root:x:0:", "/bin/sh"]
    script = "exec 3< /etc/group; readlink /proc/self/fd/3; head -1 /proc/self/fd/3; cat /dev/fd/3 | head -1"
    assert box.lines(script) == ["/etc/group", "root:x:0:", "root:x:0:"]


def test_proc_shows_tracked_ids_and_own_mounts(box: Box) -> None:
    uid, gid = box.lines("grep -E '^(Uid|Gid)' /proc/self/status", user=User(12, 13))
    assert (uid.split()[1:], gid.split()[1:]) == (["12"] * 4, ["13"] * 4)
    mounts = box.lines("cat /proc/mounts", mounts=(Mount("/data", kind="tmpfs"),))
    assert mounts[0].startswith("overlay / overlay rw")
    assert any(line.startswith("tmpfs /data tmpfs rw") for line in mounts)


def test_dev_has_what_docker_gives(box: Box) -> None:
    names = set(box.lines("ls /dev"))
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin", "stdout"} <= names
    assert box.lines("echo x > /dev/null; head -c 3 /dev/zero | wc -c; stat -c %t,%T /dev/null") == ["3", "1,3"]
    assert box.lines("echo shared > /dev/shm/f; cat /dev/shm/f; echo out >> /dev/stdout") == ["shared", "out"]


def test_hostname(box: Box) -> None:
    script = "hostname; uname -n; cat /proc/sys/kernel/hostname; hostname other; hostname"
    assert box.lines(script, hostname="box") == ["box", "box", "box", "other"]
    assert os.uname().nodename not in ("box", "other")


# --- mounts ---


def test_binds_show_folders_and_files(box: Box, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "hosts").write_text("1.2.3.4 there\n")
    mounts = (Mount("/data", str(tmp_path / "volume")), Mount("/etc/hosts", str(tmp_path / "hosts")))
    assert box.lines("cat /etc/hosts; echo hi > /data/f; cd /data; pwd; ls -d /data", mounts=mounts) == [
        "1.2.3.4 there", "/data", "/data",
    ]  # fmt: skip
    assert (tmp_path / "volume/f").read_text() == "hi\n"


def test_what_is_read_only_stays_so(box: Box, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/f").write_text("kept")
    (tmp_path / "volume/f").chmod(0o666)
    before = (tmp_path / "volume").stat().st_mtime_ns
    attempts = (
        "echo x > f", "echo x > new", "rm f", "mv f g", "mkdir d", "ln -s a b", "ln f h", "chmod 777 f", "chown 5 f",
        "touch f", "exec 5<f; touch /proc/self/fd/5", "truncate -s 0 f", "mkfifo p",
        "exec 5<f; chmod 700 /proc/self/fd/5",
    )  # fmt: skip
    script = "cd /data; " + "; ".join(f"({attempt}) 2>/dev/null && echo '{attempt}'" for attempt in attempts) + "; true"
    assert box.lines(script, mounts=(Mount("/data", str(tmp_path / "volume"), read_only=True),)) == []
    assert (tmp_path / "volume/f").read_text() == "kept"
    assert stat.S_IMODE((tmp_path / "volume/f").stat().st_mode) == 0o666
    assert (tmp_path / "volume").stat().st_mtime_ns == before


def test_files_do_not_move_or_link_across_mounts(box: Box, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    script = "echo x > /f; ln /f /data/l 2>&1 | grep -o 'cross-device link'; mv /f /data/f && cat /data/f"
    assert box.lines(script, mounts=(Mount("/data", str(tmp_path / "volume")),)) == ["cross-device link", "x"]


def test_a_read_only_root_leaves_tmpfs_writable(box: Box) -> None:
    mounts = (Mount("/run", kind="tmpfs", options=("mode=700",)),)
    script = "(echo x > /f) 2>&1 | grep -o 'Read-only file system'; echo y > /run/f; cat /run/f; stat -c %a /run"
    assert box.lines(script, mounts=mounts, read_only=True) == ["Read-only file system", "y", "700"]


def test_masked_paths_are_empty(box: Box) -> None:
    assert box.lines("cat /proc/kcore | wc -c; ls /sys/firmware | wc -l") == ["0", "0"]
    assert "Read-only" in box.sh("echo 50 > /proc/sys/vm/swappiness").err


# --- life and death ---


def test_nothing_outlives_the_first_process(box: Box) -> None:
    result = box.sh("sleep 300 & echo $!; (setsid sleep 301 & echo $!)")
    assert result.code == 0
    for pid in result.out.split():
        assert not _alive(int(pid))


def test_a_storm_of_forks_ends_too(box: Box) -> None:
    launched = box.background("sh", "-c", "for i in 1 2 3; do (while :; do (: &) done) & done; wait")
    _until(lambda: len(_children(launched.pid)) == 3)
    launched.signal(signal.SIGKILL)
    assert launched.wait() == 137
    state = launched._state
    _until(lambda: not os.path.exists(state))  # its supervisor has seen the last one go


def test_nothing_outlives_the_tracer(box: Box) -> None:
    launched = box.background("sh", "-c", "sleep 300 & setsid sleep 301 & wait")
    with open(f"/proc/{launched.pid}/status") as file:
        tracer = next(int(line.split()[1]) for line in file if line.startswith("TracerPid"))
    _until(lambda: len(_children(launched.pid)) == 2)
    family = [launched.pid, *_children(launched.pid)]
    os.kill(tracer, signal.SIGKILL)
    assert launched.wait() == 128 + signal.SIGKILL
    _until(lambda: not any(_alive(pid) for pid in family))
    folder = os.path.dirname(launched._state)
    assert os.path.isdir(launched._state)
    _until(lambda: not os.path.exists(f"/proc/{tracer}") or os.waitpid(tracer, os.WNOHANG)[0] > 0)
    TracerTier(folder)  # the next engine's
    assert not os.path.exists(launched._state)


def test_signals_reach_only_the_containers_processes(box: Box) -> None:
    with subprocess.Popen(["sleep", "300"]) as outside:
        try:
            result = box.sh(f"kill -9 {outside.pid} 2>&1; sleep 300 & kill -9 -1; wait; echo survived")
            assert "No such process" in result.out
            assert "survived" in result.out
            assert outside.poll() is None
        finally:
            outside.kill()


def test_stop_and_continue(box: Box) -> None:
    script = (
        "sleep 300 & p=$!; kill -STOP $p; until grep -q '^State.*stopped' /proc/$p/status; do :; done; "
        "grep State /proc/$p/status; kill -CONT $p; kill $p; wait $p; echo $?"
    )
    state, code = box.lines(script)
    assert "T (stopped)" in state
    assert code == "143"


def test_too_much_memory_ends_with_137_and_says_so(box: Box) -> None:
    result = box.sh("x=$(head -c 150000000 /dev/zero | tr '\\0' x); sleep 5", limits=Limits(memory=50_000_000))
    assert result.launched.oom_killed
    assert result.code == 137 or "Killed" in result.err


def test_a_limit_of_processes_holds(box: Box) -> None:
    script = "for i in 1 2 3 4 5; do sleep 300 & done; echo not reached"
    result = box.sh(script, limits=Limits(pids=4))
    assert "fork" in result.err
    assert "not reached" not in result.out
    assert box.sh("(true); (true); (true); (true); echo all", limits=Limits(pids=3)).out == "all\n"


def test_an_ulimit_holds(box: Box) -> None:
    assert box.lines("ulimit -n", limits=Limits(rlimits=(("nofile", 99, 99),))) == ["99"]


def test_a_terminal_is_the_controlling_one(box: Box) -> None:
    near, far = os.openpty()
    launched = box.tier.launch(box.spec("sh", "-c", "tty; stty size; cat; exit $?", terminal=True), (far, far, far))
    os.close(far)
    out = b""
    os.write(near, b"hello\n")
    while out.count(b"hello") < 2:  # echoed by the terminal, then by cat, which is there to be interrupted
        out += os.read(near, 1000)
    os.write(near, b"\x03")
    assert launched.wait() == 130
    os.close(near)
    assert re.search(rb"/dev/pts/\d+\r\n", out)  # the echo may stand before it or after


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def _until(condition: object, seconds: float = 5) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        os.sched_yield()


def test_a_paused_container_does_nothing_until_it_goes_on(box: Box) -> None:
    launched = box.background("sh", "-c", "while :; do echo x >> /ticks; done")
    ticks = box.rootfs / "ticks"
    _until(lambda: ticks.exists() and ticks.stat().st_size > 0)
    launched.pause()
    _until(lambda: _state(launched.pid) == "t")
    before = ticks.stat().st_size
    subprocess.run(["ls", "-R", "/etc"], check=False, stdout=-3, stderr=-3)  # time in which it would go on
    assert ticks.stat().st_size == before
    launched.resume()
    _until(lambda: ticks.stat().st_size > before)
    launched.pause()
    launched.signal(signal.SIGKILL)
    assert launched.wait() == 137


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_the_first_process_is_number_one(box: Box) -> None:
    script = "echo out > /proc/1/fd/1; readlink /proc/1/exe; trap 'echo got' USR1; kill -USR1 1"
    assert box.run("sh", "-c", f"exec >> /log; {script}; :").code == 0
    assert (box.rootfs / "log").read_text().splitlines() == ["out", "/bin/sh", "got"]

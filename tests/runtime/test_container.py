"""What a container's process sees, and what is kept from it."""

from __future__ import annotations

from dockmagic.runtime.spec import Device, Limits, Mount, User
from tests.runtime import inside
from tests.runtime.conftest import Machine


def _sh(machine: Machine, script: str, **fields: object) -> str:
    code, out, err = machine.run("sh", "-c", script, **fields)
    assert (code, err) == (0, b""), err.decode()
    return out.decode()


def test_it_is_alone_with_its_own_pids_hostname_and_root(machine: Machine) -> None:
    out = _sh(machine, "echo $$; hostname; echo /proc/[0-9]* /bin/[b]usybox /wor[k]", hostname="box")
    assert out.split() == ["1", "box", "/proc/1", "/bin/busybox", "/wor[k]"]


def test_it_is_root_with_dockers_capabilities_and_no_more(machine: Machine) -> None:
    out = _sh(machine, "id -u; grep -E 'Cap(Prm|Eff|Bnd|Inh|Amb)' /proc/self/status")
    uid, *capabilities = out.split()
    assert uid == "0"
    values = dict(zip(capabilities[::2], capabilities[1::2], strict=True))
    assert values == {
        "CapInh:": "0" * 16,
        "CapPrm:": "00000000a80425fb",
        "CapEff:": "00000000a80425fb",
        "CapBnd:": "00000000a80425fb",
        "CapAmb:": "0" * 16,
    }


def test_another_user_has_no_capabilities_and_its_own_groups(machine: Machine) -> None:
    user = User(1000, 1001, () if machine.kind == "single" else (7, 8))
    out = _sh(machine, "id -u; id -g; id -G; grep CapEff /proc/self/status", user=user)
    groups = "1001" if machine.kind == "single" else "1001 7 8"
    lines = out.splitlines()
    assert lines[0] == "1000"
    assert lines[1] == "1001"
    assert lines[2].replace(" 65534", "") == groups
    assert lines[3].split()[1] == "0" * 16


def test_devices_are_those_of_docker(machine: Machine) -> None:
    out = _sh(
        machine,
        "cd /dev; ls; cat null; head -c 4 zero | od -An -tx1; head -c 8 urandom | wc -c; echo x >full 2>/dev/null ||"
        " echo full; touch shm/a mqueue/b 2>/dev/null; for i in fd stdin ptmx; do readlink $i; done",
    )
    lines = out.splitlines()
    names = set(lines[: lines.index("zero") + 1])
    assert {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "mqueue", "fd", "stdin", "ptmx"} <= names
    assert lines[lines.index("zero") + 1 :] == [
        " 00 00 00 00",
        "8",
        "full",
        "/proc/self/fd",
        "/proc/self/fd/0",
        "pts/ptmx",
    ]


def test_shm_has_the_size_asked_for(machine: Machine) -> None:
    out = _sh(machine, "df -k /dev/shm | tail -1", limits=Limits(shm_size=3 * 1024 * 1024))
    assert out.split()[1] == "3072"


def test_mounting_and_new_namespaces_are_refused(machine: Machine) -> None:
    script = (
        "mount -t tmpfs x /tmp; unshare -m true; unshare -U true; hostname x; mknod /tmp/d b 8 0 && cat /tmp/d; true"
    )
    code, _out, err = machine.run("sh", "-c", script)
    assert code == 0
    assert err.count(b"ermission denied") + err.count(b"not permitted") + err.count(b"can't open") >= 4
    _sh(machine, "rm -f /tmp/d")


def test_a_device_made_in_the_root_cannot_be_opened(root_machine: Machine) -> None:
    code, _out, err = root_machine.run("sh", "-c", "mknod /tmp/zero c 1 5 && head -c 1 /tmp/zero; rm /tmp/zero; exit 9")
    assert code == 9
    assert b"ermission denied" in err


def test_secrets_of_the_machine_are_masked(machine: Machine) -> None:
    out = _sh(machine, "cat /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /proc/acpi /sys/firmware | wc -w")
    assert out.split()[0] == "0"


def test_proc_sys_is_read_only(machine: Machine) -> None:
    code, _out, err = machine.run("sh", "-c", "echo 1 > /proc/sys/vm/drop_caches")
    assert code != 0
    assert b"Read-only" in err or b"denied" in err


def test_a_read_only_root(machine: Machine) -> None:
    script = "touch /x 2>/dev/null || echo no; touch /dev/shm/x && echo yes"
    assert _sh(machine, script, read_only=True).split() == ["no", "yes"]


def test_binds_and_tmpfs_are_mounted_where_asked(machine: Machine) -> None:
    shared = machine.folder / "rootfs" / "var"
    mounts = (
        Mount("/data/in", str(shared)),
        Mount("/data/ro", str(shared), read_only=True),
        Mount("/etc/one", str(machine.folder / "rootfs" / "bin" / "busybox"), read_only=True),
        Mount("/scratch", kind="tmpfs", options=("size=1m", "mode=700")),
    )
    script = (
        "touch /data/in/made && ls /data/ro/made; touch /data/ro/x 2>/dev/null || echo no; cmp /etc/one /bin/busybox"
        " && echo same; stat -c %a /scratch; df -k /scratch | tail -1 | awk '{print $2}'; rm /data/in/made"
    )
    assert _sh(machine, script, mounts=mounts).split() == ["/data/ro/made", "no", "same", "700", "1024"]


def test_a_mounts_target_is_resolved_inside_the_root(machine: Machine) -> None:
    rootfs = machine.folder / "rootfs"
    _sh(machine, "ln -sfn ../../../../tmp /tmp/up; ln -sfn /etc /tmp/etc-link")
    mounts = (Mount("/tmp/up/inside", kind="tmpfs"), Mount("/tmp/etc-link/there", kind="tmpfs"))
    out = _sh(machine, "grep -cE ' /(tmp/inside|etc/there) tmpfs' /proc/mounts", mounts=mounts)
    assert out.strip() == "2"
    _sh(machine, "rm /tmp/up /tmp/etc-link; rmdir /tmp/inside /etc/there")
    assert not (rootfs / "etc" / "there").exists()


def test_what_a_mounts_source_lacks_is_told(machine: Machine) -> None:
    code, _out, err = machine.run("true", mounts=(Mount("/x", "/no/such/place"),))
    assert code == 127
    assert b'error mounting "/no/such/place" to rootfs at "/x": no such file or directory' in err


def test_no_new_privileges(machine: Machine) -> None:
    assert _sh(machine, "grep NoNewPrivs /proc/self/status", no_new_privileges=True).split()[1] == "1"
    assert _sh(machine, "grep NoNewPrivs /proc/self/status").split()[1] == "0"


def test_limits_of_the_process(machine: Machine) -> None:
    limits = Limits(rlimits=(("nofile", 100, 200), ("core", 0, 0)))
    assert _sh(machine, "ulimit -Sn; ulimit -Hn; ulimit -c", limits=limits).split() == ["100", "200", "0"]


def test_sysctls_of_its_own_namespaces(machine: Machine) -> None:
    out = _sh(machine, "cat /proc/sys/kernel/msgmax", sysctls=(("kernel.msgmax", "12345"),))
    assert out.strip() == "12345"


def test_no_network_but_loopback(machine: Machine) -> None:
    assert _sh(machine, "ls /sys/class/net; ifconfig lo | grep -c 'inet addr:127.0.0.1'", network="none").split() == [
        "lo",
        "1",
    ]


def test_environment_and_working_directory(machine: Machine) -> None:
    env = ("PATH=/bin", "A=b=c", "EMPTY=")
    out = _sh(machine, 'echo "$A|$EMPTY|$HOME|"; pwd; stat -c %u /made/for/it', env=env, cwd="/made/for/it")
    assert out.splitlines() == ["b=c|||", "/made/for/it", "0"]


def test_signals_are_at_their_defaults(machine: Machine) -> None:
    _code, out, _err = machine.run("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status")
    own_to_libc = 0b11 << 31  # signals 32 and 33, which no program can set by libc
    assert [int(value, 16) & ~own_to_libc for value in out.split()[1::2]] == [0, 0]


def test_no_descriptor_of_ours_is_left_open(machine: Machine) -> None:
    assert _sh(machine, "ls /proc/self/fd").split() == ["0", "1", "2", "3"]  # 3 is ls's own


def test_streams_can_be_opened_again_by_another_user(machine: Machine) -> None:
    code, out, err = machine.run("sh", "-c", "echo a >/dev/stdout; echo b >/dev/stderr", user=User(1000, 1000))
    assert (code, out, err) == (0, b"a\n", b"b\n")


def test_a_privileged_container_has_all_capabilities(root_machine: Machine) -> None:
    out = _sh(root_machine, "grep CapBnd /proc/self/status; mount -t tmpfs x /tmp && echo mounted", privileged=True)
    assert int(out.split()[1], 16) > 0xA80425FB
    assert out.split()[2] == "mounted"


def test_host_pids(machine: Machine) -> None:
    code, out, _err = machine.run("sh", "-c", "echo $$; sleep 100 & exec sh -c 'exit 4'", pid_mode="host")
    assert code == 4
    assert int(out) > 1


def test_one_id_stands_for_all(machine: Machine) -> None:
    """Packages change owners, set capabilities and make devices: it must not fail where only one id is mapped."""
    expected = "5" if machine.kind == "namespaces" else "0" if machine.kind == "single" else "5"
    out = _sh(machine, "touch /tmp/owned && chown 5:6 /tmp/owned && stat -c %u /tmp/owned; rm /tmp/owned")
    assert out.strip() == expected


def test_the_seccomp_profile_is_in_force(machine: Machine) -> None:
    filters = _sh(machine, "grep Seccomp: /proc/self/status").split()[1]
    assert filters == "2"
    if machine.kind != "single":  # there the emulation of root is a filter too
        assert _sh(machine, "grep Seccomp: /proc/self/status", seccomp="unconfined").split()[1] == "0"


def test_apt_is_told_of_the_one_id(machine: Machine) -> None:
    """And nothing of that is left in the root that becomes a layer."""
    out = _sh(machine, 'cat "$APT_CONFIG" 2>/dev/null || true')
    assert out == ('APT::Sandbox::User "root";\n' if machine.kind == "single" else "")
    assert not (machine.folder / "rootfs" / "dev" / "dockmagic").exists()


def test_an_image_of_one_program(machine: Machine) -> None:
    """No /proc, /sys, /dev, not even /etc: as images from scratch are."""
    rootfs = machine.call(inside.make_small_root)
    assert machine.run("/busybox", "echo", "hello", rootfs=rootfs) == (0, b"hello\n", b"")
    assert machine.run("/busybox", "ls", "/", rootfs=rootfs)[1].split() == [b"busybox", b"dev", b"proc", b"sys"]


def test_a_link_in_the_place_of_proc_is_not_followed(machine: Machine) -> None:
    rootfs = machine.call(inside.make_small_root, "proc")
    code, _out, err = machine.run("/busybox", "true", rootfs=rootfs)
    assert (code, err) == (126, b"/proc: not a directory")


def test_joining_anothers_ipc_and_pids(machine: Machine) -> None:
    first = machine.prepare("sleep", "100")
    pid = first.start()
    script = "readlink /proc/self/ns/ipc; ps | grep -c 'sleep 10[0]'"
    out = _sh(machine, script, ipc=f"ns:/proc/{pid}/ns/ipc", pid_mode=f"ns:/proc/{pid}/ns/pid")
    assert out.split() == [machine.call(inside.read_link, f"/proc/{pid}/ns/ipc"), "1"]
    first.signal(9)
    first.wait(5)
    first.close()


def test_ipc_of_the_host(machine: Machine) -> None:
    out = _sh(machine, "readlink /proc/self/ns/ipc", ipc="host")
    assert out.strip() == machine.call(inside.read_link, "/proc/self/ns/ipc")


def test_a_device_is_shown(machine: Machine) -> None:
    devices = (Device("/dev/zero", "/dev/inner/nought"),)
    assert _sh(machine, "head -c 3 /dev/inner/nought | wc -c", devices=devices).strip() == "3"


def test_privileged_where_only_this_user_can_be(machine: Machine) -> None:
    out = _sh(machine, "mount -t tmpfs x /mnt 2>/dev/null || mount -t tmpfs x /tmp; id -u", privileged=True)
    assert out.split() == ["0"]


def test_host_and_domain_name(machine: Machine) -> None:
    out = _sh(machine, "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname", hostname="h", domainname="d.e")
    assert out.split() == ["h", "d.e"]

"""The filters, run by a small interpreter of classic BPF."""

from __future__ import annotations

import errno
import platform
import struct

import pytest

from dockmagic.runtime.namespaces import bpf, capabilities, seccomp
from dockmagic.runtime.spec import DEFAULT_CAPABILITIES, Spec

_X86 = platform.machine() == "x86_64"
pytestmark = pytest.mark.skipif(not _X86, reason="the numbers used here are those of x86_64")
DEFAULT = capabilities.mask_of(DEFAULT_CAPABILITIES)
EPERM, ENOSYS = bpf.errno(errno.EPERM), bpf.errno(errno.ENOSYS)


def _run(program: bytes, number: int, *arguments: int, architecture: int = bpf.AUDIT_X86_64) -> int:
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(list(arguments) + [0] * 6)[:6])
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator = at = 0
    while True:
        operation, yes, no, k = code[at]
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif operation == 0x54:
            accumulator &= k
        elif operation == 0x05:
            at += k
        elif operation == 0x06:
            return k
        else:
            taken = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[operation]
            at += yes if taken else no


@pytest.fixture
def profile() -> bytes:
    return seccomp.default_profile(DEFAULT)


_REFUSED = {
    "mount": 165, "umount2": 166, "unshare": 272, "setns": 308, "pivot_root": 155, "bpf": 321, "keyctl": 250,
    "perf_event_open": 298, "reboot": 169, "init_module": 175, "open_by_handle_at": 304, "io_uring_setup": 425,
    "kexec_load": 246, "swapon": 167, "userfaultfd": 323, "settimeofday": 164, "sethostname": 170, "syslog": 103,
    "get_mempolicy": 239, "open_tree": 428,
}  # fmt: skip


@pytest.mark.parametrize("name", _REFUSED)
def test_refused(profile: bytes, name: str) -> None:
    assert _run(profile, _REFUSED[name]) == EPERM


def test_what_ordinary_programs_do_is_allowed(profile: bytes) -> None:
    refused = {number for number in range(335) if _run(profile, number) != bpf.ALLOW}
    ordinary = {
        0,
        1,
        2,
        9,
        39,
        41,
        56,
        57,
        59,
        92,
        101,
        105,
        117,
        133,
        157,
        161,
        202,
        257,
        310,
        311,
        317,
        318,
        319,
        332,
    }
    assert not refused & ordinary
    assert len(refused) < 70


def test_calls_from_the_future_do_not_exist(profile: bytes) -> None:
    assert _run(profile, 463) == ENOSYS
    assert _run(profile, 0x40000000 | 165) == ENOSYS  # x32's mount
    assert _run(profile, 0xFFFFFFFF) == ENOSYS
    assert _run(profile, 462) == bpf.ALLOW


def test_another_architecture_is_no_way_around(profile: bytes) -> None:
    assert _run(profile, 21, architecture=bpf.AUDIT_I386) == EPERM  # mount
    assert _run(profile, 4, architecture=bpf.AUDIT_I386) == bpf.ALLOW  # write
    assert _run(profile, 40, architecture=bpf.AUDIT_AARCH64) == ENOSYS


@pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
def test_clone_makes_no_namespaces(profile: bytes, flag: int) -> None:
    assert _run(profile, 56, flag | 17) == EPERM
    assert _run(profile, 56, 0x3D0F00) == bpf.ALLOW  # a thread
    assert _run(profile, 435) == ENOSYS


def test_arguments_decide(profile: bytes) -> None:
    assert [_run(profile, 135, value) for value in (0, 8, 0x20000, 0xFFFFFFFF)] == [bpf.ALLOW] * 4
    assert _run(profile, 135, 0x0040000) == EPERM  # ADDR_NO_RANDOMIZE
    assert _run(profile, 41, 2) == bpf.ALLOW
    assert _run(profile, 41, 40) == EPERM  # AF_VSOCK


def test_a_capability_opens_its_calls() -> None:
    profile = seccomp.default_profile(DEFAULT | capabilities.mask_of(["CAP_SYS_ADMIN"]))
    assert [_run(profile, number) for number in (165, 272, 308, 435, 321)] == [bpf.ALLOW] * 5
    assert _run(profile, 56, 0x10000000) == bpf.ALLOW
    assert _run(profile, 250) == EPERM
    assert _run(seccomp.default_profile(0), 161) == EPERM  # chroot


def test_root_with_one_id_is_answered_success() -> None:
    program = seccomp.pretend_root(asks=False)
    success = bpf.errno(0)
    for number in (92, 93, 94, 260, 105, 106, 113, 114, 116, 117, 119, 122, 123, 188, 189, 190):
        assert _run(program, number) == success
    assert _run(program, 133, 0, 0o020666) == success
    assert _run(program, 133, 0, 0o060660) == success
    assert _run(program, 133, 0, 0o010644) == bpf.ALLOW  # a FIFO is really made
    assert _run(program, 259, 0, 0, 0o020666) == success
    assert _run(program, 259, 0, 0, 0o140644) == bpf.ALLOW
    assert _run(program, 257) == bpf.ALLOW
    assert _run(program, 182, architecture=bpf.AUDIT_I386) == bpf.ALLOW


def test_what_can_be_remembered_is_asked_about() -> None:
    program = seccomp.pretend_root(asks=True)
    for number in (92, 93, 94, 260, 90, 91, 268, 452, 188, 189, 190):
        assert _run(program, number) == bpf.ASK
    assert _run(program, 133, 0, 0o020666) == bpf.ASK
    assert _run(program, 133, 0, 0o010644) == bpf.ALLOW
    assert _run(program, 105) == bpf.errno(0)
    assert _run(program, 257) == bpf.ALLOW


def test_which_containers_get_the_profile() -> None:
    assert seccomp.program(Spec("x", "/", ("true",)), DEFAULT) == seccomp.default_profile(DEFAULT)
    assert seccomp.program(Spec("x", "/", ("true",), seccomp="unconfined"), DEFAULT) is None
    assert seccomp.program(Spec("x", "/", ("true",), privileged=True), DEFAULT) is None

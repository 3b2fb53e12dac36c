"""The filter's program, run by the module's own little interpreter."""

from __future__ import annotations

import errno

import pytest

from dockmagic.runtime.tracer import rules
from dockmagic.runtime.tracer.arch import Architecture
from dockmagic.runtime.tracer.arch.aarch64 import ARCHITECTURE as AARCH64
from dockmagic.runtime.tracer.arch.x86_64 import ARCHITECTURE as X86_64
from dockmagic.runtime.tracer.filter import ALLOW, TRACE, Case, FilterBuilder, answer, run

MACHINES = pytest.mark.parametrize("arch", [X86_64, AARCH64], ids=lambda arch: arch.name)
TRACED = ("openat", "execve", "utimensat", "sendto", "getsockopt", "newfstatat")


def decide(arch: Architecture, name: str, *arguments: int, guard_descriptors: bool = False) -> int:
    program = rules.build(arch, TRACED, guard_descriptors=guard_descriptors)
    return run(program, arch.numbers[name], arch.audit, arguments)


@MACHINES
def test_calls_with_paths_stop_and_others_run(arch: Architecture) -> None:
    assert decide(arch, "openat") == TRACE
    assert decide(arch, "execve") == TRACE
    program = rules.build(arch, TRACED, guard_descriptors=False)
    for number in range(600):
        if number not in arch.numbers.values():
            assert run(program, number, arch.audit) == ALLOW


@MACHINES
def test_every_rule_is_found_wherever_it_stands(arch: Architecture) -> None:
    builder = FilterBuilder(arch)
    for at, name in enumerate(arch.numbers):
        builder.add(name, answer(at % 100))
    program = builder.build()
    for at, (name, number) in enumerate(arch.numbers.items()):
        assert run(program, number, arch.audit) == answer(at % 100), name


@MACHINES
def test_what_docker_refuses_is_refused(arch: Architecture) -> None:
    for name in ("mount", "reboot", "ptrace", "setns", "init_module", "bpf"):
        assert decide(arch, name) == answer(errno.EPERM)
    for name in ("clone3", "io_uring_setup", "open_by_handle_at"):
        assert decide(arch, name) == answer(errno.ENOSYS)
    assert decide(arch, "clone", 0x10000000) == answer(errno.EPERM)  # CLONE_NEWUSER
    assert decide(arch, "clone", 0x11) == ALLOW


def test_another_machines_calls_and_x32_are_refused() -> None:
    program = rules.build(X86_64, TRACED, guard_descriptors=False)
    assert run(program, 257, 0x40000003) == answer(errno.ENOSYS)  # AUDIT_ARCH_I386
    assert run(program, 0x40000000 | 257, X86_64.audit) == answer(errno.ENOSYS)


@MACHINES
def test_calls_without_a_path_run_untouched(arch: Architecture) -> None:
    assert decide(arch, "utimensat", 3, 0) == ALLOW
    assert decide(arch, "utimensat", 3, 0x7F00_0000_0000) == TRACE
    assert decide(arch, "utimensat", 3, 0, guard_descriptors=True) == TRACE
    assert decide(arch, "sendto", 3, 1, 1, 0, 0) == ALLOW
    assert decide(arch, "sendto", 3, 1, 1, 0, 0x1_0000_0000) == TRACE
    assert decide(arch, "getsockopt", 3, 1, 17) == TRACE
    assert decide(arch, "getsockopt", 3, 1, 4) == ALLOW


@MACHINES
def test_a_process_only_seems_to_become_undumpable(arch: Architecture) -> None:
    assert decide(arch, "prctl", 4, 0) == answer(0)
    assert decide(arch, "prctl", 15, 0) == ALLOW


def test_a_case_looks_at_bits_or_at_all_64() -> None:
    builder = FilterBuilder(X86_64)
    builder.add("ioctl", ALLOW, Case(0, 6, TRACE, bits=True), Case(1, 5, answer(1), wide=True))
    program = builder.build()
    number = X86_64.numbers["ioctl"]
    assert run(program, number, X86_64.audit, (2,)) == TRACE
    assert run(program, number, X86_64.audit, (1, 5)) == answer(1)
    assert run(program, number, X86_64.audit, (1, 5 | 1 << 32)) == ALLOW

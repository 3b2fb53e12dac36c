"""One stopped process's registers, read and written with GETREGSET and SETREGSET.

There is one buffer, since one process is treated at a time; handlers read and write its words through ``words``.
"""

from __future__ import annotations

import ctypes
import struct

from dockmagic.runtime.tracer.arch import Architecture
from dockmagic.runtime.tracer.kernel import NT_PRSTATUS, PTRACE_GETREGSET, PTRACE_SETREGSET, ptrace

_MASK = (1 << 64) - 1


class Registers:
    """``words[i]`` is the i-th 64-bit register in the order of the machine's register set."""

    def __init__(self, arch: Architecture) -> None:
        self._arch = arch
        self._buffer = (ctypes.c_uint64 * arch.register_count)()
        self.words = memoryview(self._buffer).cast("B").cast("Q")
        self.number_index = arch.number
        self.result_index = arch.result
        self._vector = ctypes.create_string_buffer(
            struct.pack("@PN", ctypes.addressof(self._buffer), 8 * arch.register_count), 16
        )
        self._set = arch.number_register_set
        self._number = ctypes.c_int(0)
        self._number_vector = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(self._number), 4), 16)

    def load(self, pid: int) -> None:
        """Read the registers of ``pid``, which must be stopped."""
        ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, self._vector)

    def store(self, pid: int) -> None:
        ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, self._vector)

    def set_number(self, pid: int, number: int) -> None:
        """Make the call about to run another one; -1 skips it. To be followed by :meth:`store`."""
        if self._set:
            self._number.value = number
            ptrace(PTRACE_SETREGSET, pid, self._set, self._number_vector)
        else:
            self.words[self.number_index] = number & _MASK

    def skip(self, pid: int, result: int) -> None:
        """Let the call not happen and give ``result`` (a negative errno for an error)."""
        self.set_number(pid, -1)
        self.words[self.result_index] = result & _MASK
        self.store(pid)

    def again(self, number: int) -> None:
        """When a call has returned: go back to the instruction that enters the kernel, to make call ``number``."""
        words = self.words
        words[self._arch.instruction] -= self._arch.call_size
        if not self._set:  # x86: the number is taken from the result's register, and -1 says that no call is under way
            words[self.result_index] = number
            words[self.number_index] = _MASK

    def snapshot(self) -> bytes:
        return bytes(self._buffer)

    def restore(self, saved: bytes) -> None:
        ctypes.memmove(self._buffer, saved, len(saved))

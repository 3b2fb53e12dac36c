"""Socket addresses inside messages: recvmsg, recvmmsg and sendmmsg, whose addresses the kernel finds through memory."""

from __future__ import annotations

import struct
from collections.abc import Callable

from dockmagic.runtime.tracer.guest import CHANGED, Guest, Handler
from dockmagic.runtime.tracer.task import Task

_HEADER = 56  # sizeof struct msghdr: name, its length and padding, then five words
_ENTRY = 64  # sizeof struct mmsghdr: a msghdr, and how many bytes came or went
_NAME = struct.Struct("=QI")
_SENT = 56  # offsetof(struct mmsghdr, msg_len)
_MOST = 1024  # UIO_MAXIOV
_LONGEST = 128  # sizeof struct sockaddr_storage

Outward = Callable[[Task, bytes], bytes]
Inward = Callable[[bytes], bytes]


class Datagrams:
    """``outward`` gives the address for the kernel, ``inward`` the container's."""

    def __init__(self, guest: Guest, outward: Outward, inward: Inward) -> None:
        self._guest = guest
        self._words = guest.words
        self._outward = outward
        self._inward = inward

    def table(self) -> dict[str, Handler]:
        return {"recvmsg": self._receive, "recvmmsg": self._receive_many, "sendmmsg": self._send_many}

    def _receive(self, task: Task) -> int | None:
        at = self._words[self._guest.args[1]]
        asked = self._asked(task, at)
        if not asked:
            return None

        def after(task: Task) -> None:
            if not self._words[self._guest.registers.result_index] >> 63:
                self._translate(task, at, *asked)

        task.after = after
        return None

    def _receive_many(self, task: Task) -> int | None:
        words, args = self._words, self._guest.args
        at, count = words[args[1]], min(words[args[2]] & 0xFFFFFFFF, _MOST)
        asked = [self._asked(task, at + _ENTRY * number) for number in range(count)]
        if not any(asked):
            return None

        def after(task: Task) -> None:
            received = words[self._guest.registers.result_index]
            if not received >> 63:
                for number, one in enumerate(asked[:received]):
                    if one:
                        self._translate(task, at + _ENTRY * number, *one)

        task.after = after
        return None

    def _asked(self, task: Task, at: int) -> tuple[int, int] | tuple[()]:
        """(where the address is wanted, the room there) of the message header at ``at``; empty when it isn't."""
        data = task.space.read(task.pid, at, _NAME.size)
        if len(data) < _NAME.size:
            return ()
        name, room = _NAME.unpack(data)
        return (name, room) if name and room else ()

    def _translate(self, task: Task, at: int, name: int, room: int) -> None:
        """Put the container's address in the place of the kernel's."""
        space, pid = task.space, task.pid
        (filled,) = struct.unpack("=I", space.read(pid, at + 8, 4))
        value = space.read(pid, name, min(filled, room)) if filled else b""
        if len(value) < filled or not value:
            return  # none, or cut short: the rest isn't known
        changed = self._inward(value)
        if changed != value:
            space.write(pid, name, changed[:room])
            space.write(pid, at + 8, struct.pack("=I", len(changed)))

    def _send_many(self, task: Task) -> int | None:
        guest, words, args = self._guest, self._words, self._guest.args
        at, count = words[args[1]], min(words[args[2]] & 0xFFFFFFFF, _MOST)
        if task.in_scratch(at):
            return None
        entries = bytearray(task.space.read(task.pid, at, _ENTRY * count))
        changed: dict[int, bytes] = {}
        for number in range(len(entries) // _ENTRY):
            name, size = _NAME.unpack_from(entries, _ENTRY * number)
            value = task.space.read(task.pid, name, size) if name and 2 < size <= _LONGEST else b""
            wanted = self._outward(task, value) if value else value
            if wanted != value:
                changed[number] = wanted
        if not changed:
            return None
        block = guest.put_block(task, bytes(len(entries)) + b"".join(changed.values()))
        place = block + len(entries)
        for number, value in changed.items():
            _NAME.pack_into(entries, _ENTRY * number, place, len(value))
            place += len(value)
        task.space.write(task.pid, block, bytes(entries))
        words[args[1]] = block

        def after(task: Task) -> None:
            sent = words[guest.registers.result_index]
            if sent >> 63:
                return
            for number in range(min(sent, count)):  # the kernel told our copy how much went
                length = task.space.read(task.pid, block + _ENTRY * number + _SENT, 4)
                task.space.write(task.pid, at + _ENTRY * number + _SENT, length)

        task.after = after
        return CHANGED

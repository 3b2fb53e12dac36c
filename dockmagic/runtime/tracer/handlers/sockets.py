"""Socket addresses: paths of AF_UNIX sockets, the container's own loopback address, and who is at the other end."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Callable
from functools import partial

from dockmagic.runtime.tracer.guest import CHANGED, Guest, Handler
from dockmagic.runtime.tracer.handlers.datagrams import Datagrams
from dockmagic.runtime.tracer.kernel import AT_FDCWD
from dockmagic.runtime.tracer.network import Network, is_internet
from dockmagic.runtime.tracer.task import Task

_PATH_ROOM = 107  # sizeof sun_path less the NUL, linux/un.h
_LONGEST = 128  # sizeof struct sockaddr_storage
_UNIX = struct.pack("=H", int(socket.AF_UNIX))
_SOL_SOCKET = 1  # asm-generic/socket.h
_CREDENTIALS = struct.Struct("=iII")  # struct ucred, linux/socket.h
_MESSAGE = 56  # sizeof struct msghdr: name, its length and padding, then five words
_MASK = (1 << 64) - 1
_KEPT_FOLDERS = 256


class Sockets:
    """The handlers; a table of them is :meth:`table`. ``network`` is None when the container uses the host's."""

    def __init__(self, guest: Guest, network: Network | None) -> None:
        self._guest = guest
        self._words = guest.words
        self._network = network
        self._folders: dict[bytes, int] = {}
        self._named: dict[bytes, bytes] = {}
        self._count = 0
        self._uid, self._gid = os.geteuid(), os.getegid()

    def table(self) -> dict[str, Handler]:
        table: dict[str, Handler] = {
            "bind": self._bind,
            "connect": self._naming(1, 2),
            "sendto": self._naming(4, 5),
            "sendmsg": self._sendmsg,
            "getsockname": self._asking(1, 2, peer=False),
            "getpeername": self._asking(1, 2, peer=True),
            "getsockopt": self._getsockopt,
        }
        if self._network is not None:
            table["recvfrom"] = self._asking(4, 5, peer=True)
            table["accept"] = table["accept4"] = self._asking(1, 2, peer=True)
            inward = partial(self._inward, peer=True)
            table.update(Datagrams(self._guest, partial(self._outward, binding=False), inward).table())
        return table

    # --- towards the kernel ---

    def _outward(self, task: Task, value: bytes, *, binding: bool) -> bytes:
        """The address for the kernel. Raises OSError."""
        if value[:2] == _UNIX:
            return self._unix(task, value, binding=binding)
        if self._network is not None and is_internet(value):
            return self._network.bind(value) if binding else self._network.connect(value)
        return value

    def _unix(self, task: Task, value: bytes, *, binding: bool) -> bytes:
        path = value[2:].split(b"\0")[0]
        if not path:
            return value  # unnamed or abstract
        guest = self._guest
        place = guest.resolve(task, AT_FDCWD, path, not binding)
        if binding:
            if os.path.lexists(place.host):
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            guest.adding(task, place)
        elif task.credentials.users.fs:
            guest.files.check(place.host, task.credentials, 2)
        if guest.natural(path, place):
            return value
        host = place.host
        if len(host) > _PATH_ROOM:
            host = self._short(host, binding=binding)
        return _UNIX + host + b"\0"

    def _short(self, host: bytes, *, binding: bool) -> bytes:
        """Another path of the same socket, through a descriptor of ours for its folder.

        Where the very name is too long, of the socket itself; one that is bound gets its name afterwards.
        """
        folder, _, name = host.rpartition(b"/")
        short = b"%s/%s" % (self._held(folder), name)
        if len(short) <= _PATH_ROOM:
            return short
        if not binding:
            return self._held(host)
        self._count += 1
        short = b"%s/.dm-%d" % (self._held(folder), self._count)
        self._named[short] = host
        return short

    def _held(self, host: bytes) -> bytes:
        """The path of a descriptor of ours for a folder or socket."""
        fd = self._folders.get(host)
        if fd is None:
            if len(self._folders) >= _KEPT_FOLDERS:
                os.close(self._folders.pop(next(iter(self._folders))))
            fd = self._folders[host] = os.open(host, os.O_PATH | os.O_CLOEXEC)
        return b"/proc/%d/fd/%d" % (os.getpid(), fd)

    def _read(self, task: Task, pointer: int, size: int) -> bytes:
        if not pointer or not 2 < size <= _LONGEST:
            return b""
        return task.space.read(task.pid, pointer, size)

    def _naming(self, address: int, size: int) -> Handler:
        words, register, size_register = self._words, self._guest.args[address], self._guest.args[size]

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            value = self._read(task, words[register], words[size_register] & 0xFFFFFFFF)
            changed = self._outward(task, value, binding=False) if value else value
            if changed == value:
                return None
            if self._network is not None and is_internet(changed) and self._bind_first(task, changed):
                return CHANGED
            words[register] = self._guest.put_block(task, changed)
            words[size_register] = len(changed)
            return CHANGED

        return handler

    def _bind_first(self, task: Task, target: bytes) -> bool:
        """Let the process bind its socket to the container's address, then make its call again; whether it is so.

        A socket that is bound already refuses, and nothing is lost.
        """
        guest, words, network = self._guest, self._words, self._network
        descriptor = words[guest.args[0]]
        if task.prepared == descriptor:
            task.prepared = -1
            return False
        source = network.source(target) if network is not None else None
        if source is None:
            return False
        registers = guest.registers
        address = guest.put_block(task, source)
        saved, number = registers.snapshot(), words[registers.number_index]
        words[guest.args[1]], words[guest.args[2]] = address, len(source)
        registers.set_number(task.pid, guest.arch.numbers["bind"])
        task.prepared = descriptor

        def bound(task: Task) -> None:
            registers.restore(saved)
            registers.again(number)
            registers.store(task.pid)

        task.after = bound
        return True

    def _bind(self, task: Task) -> int | None:
        words = self._words
        register, size_register = self._guest.args[1], self._guest.args[2]
        if task.in_scratch(words[register]):
            return None
        value = self._read(task, words[register], words[size_register] & 0xFFFFFFFF)
        if not value:
            return None
        changed = self._outward(task, value, binding=True)
        if value[:2] == _UNIX and value[2:3] != b"\0":
            short = changed[2:].split(b"\0")[0]
            if task.credentials.users.fs or short in self._named:
                place = self._guest.resolve(task, AT_FDCWD, value[2:].split(b"\0")[0], False)
                task.after = self._socket_born(short, place.host)
        if changed == value:
            return None
        if self._network is not None and is_internet(value):
            other = self._network.fallback(value)
            if other is not None:
                task.after = self._bind_again(other)
        words[register] = self._guest.put_block(task, changed)
        words[size_register] = len(changed)
        return CHANGED

    def _socket_born(self, short: bytes, host: bytes) -> Callable[[Task], None]:
        guest = self._guest

        def after(task: Task) -> None:
            if self._words[guest.registers.result_index] == 0:
                if short in self._named:
                    os.rename(short, host)
                if not task.credentials.users.fs:
                    return
                mode = stat.S_IFSOCK | 0o777 & ~task.fs.umask
                guest.files.born(host, os.path.dirname(host), task.credentials, mode)

        return after

    def _bind_again(self, other: bytes) -> Callable[[Task], None]:
        guest, words = self._guest, self._words
        number = guest.arch.numbers["bind"]

        def after(task: Task) -> None:
            if words[guest.registers.result_index] == -errno.EINVAL & _MASK:
                address = words[guest.args[1]]
                task.space.write(task.pid, address, other)
                words[guest.args[2]] = len(other)
                guest.registers.again(number)
                guest.registers.store(task.pid)

        return after

    def _sendmsg(self, task: Task) -> int | None:
        words, register = self._words, self._guest.args[1]
        if task.in_scratch(words[register]):
            return None
        header = task.space.read(task.pid, words[register], _MESSAGE)
        if len(header) < _MESSAGE:
            return None
        name, size = struct.unpack_from("=QI", header)
        value = self._read(task, name, size)
        changed = self._outward(task, value, binding=False) if value else value
        if changed == value:
            return None
        address = self._guest.put_block(task, bytes(_MESSAGE) + changed)
        task.space.write(task.pid, address, struct.pack("=QI", address + _MESSAGE, len(changed)) + header[12:])
        words[register] = address
        return CHANGED

    # --- towards the container ---

    def _inward(self, value: bytes, *, peer: bool) -> bytes:
        if value[:2] == _UNIX and len(value) > 3 and value[2]:
            host = value[2:].split(b"\0")[0]
            prefix = b"/proc/%d/fd/" % os.getpid()
            if host in self._named:
                host = self._named[host]
            elif host.startswith(prefix):
                number, _, name = host[len(prefix) :].partition(b"/")
                folder = next((f for f, fd in self._folders.items() if b"%d" % fd == number), b"")
                host = folder + b"/" + name
            known = self._guest.namespace.guest(host) if host[:1] == b"/" else None
            return value if known is None else _UNIX + known + b"\0"
        if self._network is not None and is_internet(value):
            return self._network.seen(value, peer=peer)
        return value

    def _asking(self, address: int, size: int, *, peer: bool) -> Handler:
        guest, words = self._guest, self._words
        register, size_register = guest.args[address], guest.args[size]

        def handler(task: Task) -> int | None:
            target, length = words[register], words[size_register]
            if not target or not length:
                return None
            (room,) = struct.unpack("=I", task.space.read(task.pid, length, 4))

            def after(task: Task) -> None:
                if words[guest.registers.result_index] >> 63:
                    return
                space, pid = task.space, task.pid
                (filled,) = struct.unpack("=I", space.read(pid, length, 4))
                value = space.read(pid, target, min(filled, room))
                if len(value) < filled:
                    return  # cut short: the rest isn't known
                changed = self._inward(value, peer=peer)
                if changed != value:
                    space.write(pid, target, changed[:room])
                    space.write(pid, length, struct.pack("=I", len(changed)))

            task.after = after
            return None

        return handler

    def _getsockopt(self, task: Task) -> int | None:
        """SO_PEERCRED: the other's tracked ids instead of the engine's."""
        guest, words = self._guest, self._words
        if words[guest.args[1]] & 0xFFFFFFFF != _SOL_SOCKET:
            return None
        target = words[guest.args[3]]

        def after(task: Task) -> None:
            if words[guest.registers.result_index] >> 63:
                return
            data = task.space.read(task.pid, target, _CREDENTIALS.size)
            if len(data) < _CREDENTIALS.size:
                return
            pid, uid, gid = _CREDENTIALS.unpack(data)
            other = guest.tasks.get(pid)
            if other is not None:
                uid, gid = other.credentials.users.effective, other.credentials.groups.effective
            else:
                uid, gid = 0 if uid == self._uid else uid, 0 if gid == self._gid else gid
            task.space.write(task.pid, target, _CREDENTIALS.pack(pid, uid, gid))

        task.after = after
        return None


def handlers(guest: Guest, network: Network | None) -> dict[str, Handler]:
    return Sockets(guest, network).table()

"""Calls that name a path and are let run with the host's: chdir, rename, mkdir, unlink and their kin."""

from __future__ import annotations

import errno
import os
import stat

from dockmagic.runtime.tracer import kernel
from dockmagic.runtime.tracer.guest import Guest, Handler
from dockmagic.runtime.tracer.handlers.family import Family
from dockmagic.runtime.tracer.identity import may
from dockmagic.runtime.tracer.kernel import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    signed32,
)
from dockmagic.runtime.tracer.task import Task

_RENAME_EXCHANGE = 2  # linux/fs.h


class Paths(Family):
    """The handlers; a table of them is :meth:`table`."""

    def table(self) -> dict[str, Handler]:
        return {
            "access": self._access(None, 0, 1),
            "faccessat": self._access(0, 1, 2),
            "faccessat2": self._access(0, 1, 2, 3),
            "chdir": self._chdir(),
            "fchdir": self._fchdir(),
            "chroot": self._chroot(),
            "getcwd": self._getcwd(),
            "umask": self._umask(),
            "rename": self._rename(None, 0, None, 1),
            "renameat": self._rename(0, 1, 2, 3),
            "renameat2": self._rename(0, 1, 2, 3, 4),
            "link": self._link(None, 0, None, 1),
            "linkat": self._link(0, 1, 2, 3, 4),
            "symlink": self._symlink(None, 1),
            "symlinkat": self._symlink(1, 2),
            "mkdir": self._mkdir(None, 0, 1),
            "mkdirat": self._mkdir(0, 1, 2),
            "unlink": self._unlink(None, 0),
            "rmdir": self._unlink(None, 0),
            "unlinkat": self._unlink(0, 1, 2),
            "truncate": self._changing(None, 0),
            "utime": self._changing(None, 0),
            "utimes": self._changing(None, 0),
            "futimesat": self._changing(0, 1),
            "utimensat": self._changing(0, 1, 3),
            "statfs": self._reading(0),
            "inotify_add_watch": self._reading(1),
        }

    def _reading(self, argument: int) -> Handler:
        guest, words, register = self._guest, self._words, self._register(argument)

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            path = guest.path(task, register)
            return self._finish(task, register, path, guest.resolve(task, AT_FDCWD, path, True))

        return handler

    # --- access ---

    def _access(self, dirfd: int | None, name: int, mode: int, flags: int | None = None) -> Handler:
        guest, words = self._guest, self._words
        folder, register, mode_register = self._register(dirfd), self._register(name), self._register(mode)
        flag_register = self._register(flags)
        faccessat, get_errno = kernel.faccessat, kernel.get_errno

        def handler(task: Task) -> int | None:
            path = guest.path(task, register)
            asked = words[flag_register] if flag_register >= 0 else 0
            want = words[mode_register] & 7
            fd = signed32(words[folder]) if folder >= 0 else AT_FDCWD
            follow = not asked & AT_SYMLINK_NOFOLLOW
            if not path and asked & AT_EMPTY_PATH:
                host, read_only = b"/proc/%d/fd/%d" % (task.pid, fd), False
                if fd == AT_FDCWD:
                    host = guest.cwd(task)[1]
                follow = True
            else:
                place = guest.resolve(task, fd, path, follow)
                host, read_only = place.host, place.mount.read_only
            credentials = task.credentials
            user = credentials.users.effective if asked & AT_EACCESS else credentials.users.real
            if user:
                seen = guest.files.seen(host, follow)
                group = credentials.groups.effective if asked & AT_EACCESS else credentials.groups.real
                judged = credentials._replace(
                    users=credentials.users._replace(fs=user), groups=credentials.groups._replace(fs=group)
                )
                if want and not may(judged, seen.uid, seen.gid, seen.mode, want):
                    return -errno.EACCES
            elif not follow and os.path.islink(host):
                pass
            elif faccessat(AT_FDCWD, host, want & 1, 0) != 0:
                code = get_errno()
                if code != errno.EACCES or want & 1:
                    return -code
            if want & 2 and read_only:
                return -errno.EROFS
            return 0

        return handler

    # --- working directory, root, umask ---

    def _chdir(self) -> Handler:
        guest, words, register = self._guest, self._words, self._register(0)

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            path = guest.path(task, register)
            place = guest.resolve(task, AT_FDCWD, path, True)
            natural = guest.natural(path, place)
            if task.credentials.users.fs:
                guest.files.check(place.host, task.credentials, 1, True)
            result = None if natural else guest.put(task, register, place.host)
            task.fs.generation = -1
            return result

        return handler

    def _fchdir(self) -> Handler:
        def handler(task: Task) -> int | None:
            task.fs.generation = -1
            return None

        return handler

    def _chroot(self) -> Handler:
        guest, register = self._guest, self._register(0)

        def handler(task: Task) -> int | None:
            if not task.credentials.privileged:
                return -errno.EPERM
            place = guest.resolve(task, AT_FDCWD, guest.path(task, register), True)
            if not os.path.isdir(place.host):
                return -(errno.ENOTDIR if os.path.exists(place.host) else errno.ENOENT)
            task.fs.root = place.guest
            return 0

        return handler

    def _getcwd(self) -> Handler:
        guest, words = self._guest, self._words
        buffer, size = self._register(0), self._register(1)

        def handler(task: Task) -> int | None:
            path = guest.visible(task, guest.cwd(task)[0]) + b"\0"
            if len(path) > words[size]:
                return -errno.ERANGE
            task.space.write(task.pid, words[buffer], path)
            return len(path)

        return handler

    def _umask(self) -> Handler:
        words, register = self._words, self._register(0)

        def handler(task: Task) -> int | None:
            task.fs.umask = words[register] & 0o777
            return None

        return handler

    # --- names ---

    def _rename(self, olddir: int | None, old: int, newdir: int | None, new: int, flags: int | None = None) -> Handler:
        guest, words = self._guest, self._words
        old_folder, old_register = self._register(olddir), self._register(old)
        new_folder, new_register = self._register(newdir), self._register(new)
        flag_register = self._register(flags)

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[new_register]):
                return None
            source, target = guest.path(task, old_register), guest.path(task, new_register)
            from_place = guest.resolve(task, self._dirfd(old_folder), source, False)
            natural = guest.natural(source, from_place)
            to_place = guest.resolve(task, self._dirfd(new_folder), target, False)
            natural = natural and guest.natural(target, to_place)
            real = os.lstat(from_place.host)
            guest.moving(task, from_place)
            if from_place.mount is not to_place.mount:
                return -errno.EXDEV  # on one file system the kernel would do it, and a volume would get a layer's file
            exchange = flag_register >= 0 and bool(words[flag_register] & _RENAME_EXCHANGE)
            (guest.moving if exchange else guest.removing)(task, to_place)
            result = (
                None if natural else guest.put_two(task, old_register, from_place.host, new_register, to_place.host)
            )
            plain = stat.S_ISREG(real.st_mode) and not exchange
            guest.resolver.moved(from_place.guest, to_place.guest, plain)
            if not plain:
                guest.files.forget()
            return result

        return handler

    def _link(self, olddir: int | None, old: int, newdir: int | None, new: int, flags: int | None = None) -> Handler:
        guest, words = self._guest, self._words
        old_folder, old_register = self._register(olddir), self._register(old)
        new_folder, new_register = self._register(newdir), self._register(new)
        flag_register = self._register(flags)

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[new_register]):
                return None
            asked = words[flag_register] if flag_register >= 0 else 0
            source, target = guest.path(task, old_register), guest.path(task, new_register)
            if source or not asked & AT_EMPTY_PATH:
                from_place = guest.resolve(task, self._dirfd(old_folder), source, bool(asked & AT_SYMLINK_FOLLOW))
            else:
                from_place = guest.namespace.place(b"/proc/%d/fd/%d" % (task.pid, self._dirfd(old_folder)))
            to_place = guest.resolve(task, self._dirfd(new_folder), target, False)
            guest.adding(task, to_place)
            guest.resolver.linked(to_place.guest)
            anonymous = from_place.guest.startswith(b"/proc/")
            if not anonymous:
                guest.writable(from_place)
                if from_place.mount is not to_place.mount:
                    return -errno.EXDEV
            if anonymous or guest.copy_up is None or from_place.mount is not guest.namespace.root:
                if anonymous and flag_register >= 0:
                    words[old_folder] = AT_FDCWD & ((1 << 64) - 1)
                    words[flag_register] = AT_SYMLINK_FOLLOW
                return guest.put_two(task, old_register, from_place.host, new_register, to_place.host)
            guest.copy_up.link(from_place.host, to_place.host)
            return 0

        return handler

    def _symlink(self, dirfd: int | None, name: int) -> Handler:
        guest, words = self._guest, self._words
        folder, register = self._register(dirfd), self._register(name)

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            path = guest.path(task, register)
            place = guest.resolve(task, self._dirfd(folder), path, False)
            natural = guest.natural(path, place)
            guest.adding(task, place)
            result = None if natural else guest.put(task, register, place.host)
            guest.resolver.linked(place.guest)
            return result

        return handler

    def _mkdir(self, dirfd: int | None, name: int, mode: int) -> Handler:
        guest, words = self._guest, self._words
        folder, register, mode_register = self._register(dirfd), self._register(name), self._register(mode)

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            path = guest.path(task, register)
            place = guest.resolve(task, self._dirfd(folder), path.rstrip(b"/") or path, False)
            guest.adding(task, place)
            parent = guest.parent(place).host
            wanted = words[mode_register] & 0o1777 & ~task.fs.umask
            if task.credentials.plain_root and wanted & 0o700 == 0o700 and guest.files.inherited_group(parent) is None:
                if guest.natural(path, place):
                    return None
                return guest.put(task, register, place.host)
            os.mkdir(place.host, 0o700)
            os.chmod(place.host, wanted | 0o700)
            guest.files.born(place.host, parent, task.credentials, stat.S_IFDIR | wanted)
            return 0

        return handler

    def _unlink(self, dirfd: int | None, name: int, flags: int | None = None) -> Handler:
        guest, words = self._guest, self._words
        folder, register, flag_register = self._register(dirfd), self._register(name), self._register(flags)
        rmdir = guest.arch.numbers.get("rmdir", -1)

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            path = guest.path(task, register)
            place = guest.resolve(task, self._dirfd(folder), path.rstrip(b"/") or path, False)
            natural = guest.natural(path, place)
            guest.removing(task, place)
            result = None if natural else guest.put(task, register, place.host)
            if flag_register >= 0:
                folder_goes = bool(words[flag_register] & AT_REMOVEDIR)
            else:
                folder_goes = words[guest.registers.number_index] == rmdir
            if folder_goes:
                guest.forget_folder(place.guest)
            guest.resolver.removed(place.guest)
            return result

        return handler

    # --- contents and times ---

    def _changing(self, dirfd: int | None, name: int, flags: int | None = None) -> Handler:
        """truncate and the utime family; a NULL path means the descriptor itself."""
        guest, words = self._guest, self._words
        folder, register, flag_register = self._register(dirfd), self._register(name), self._register(flags)

        def handler(task: Task) -> int | None:
            if task.in_scratch(words[register]):
                return None
            fd = self._dirfd(folder)
            path = guest.path(task, register) if words[register] else b""
            asked = words[flag_register] if flag_register >= 0 else 0
            if not words[register] or (not path and asked & AT_EMPTY_PATH):
                if fd == AT_FDCWD:
                    return None
                host = guest.own_descriptor(task, fd)
                if host.startswith(b"/proc/"):
                    return None
                words[folder] = AT_FDCWD & ((1 << 64) - 1)
                return guest.put(task, register, host)
            place = guest.resolve(task, fd, path, not asked & AT_SYMLINK_NOFOLLOW)
            natural = guest.natural(path, place)
            guest.own(place)
            if task.credentials.users.fs:
                guest.files.check_change(place.host, task.credentials)
            return None if natural else guest.put(task, register, place.host)

        return handler


def handlers(guest: Guest) -> dict[str, Handler]:
    return Paths(guest).table()

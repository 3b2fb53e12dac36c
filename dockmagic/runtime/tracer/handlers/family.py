"""What the families of calls that rewrite paths have in common."""

from __future__ import annotations

from dockmagic.runtime.tracer.guest import Guest
from dockmagic.runtime.tracer.kernel import AT_FDCWD, signed32
from dockmagic.runtime.tracer.namespace import Place
from dockmagic.runtime.tracer.task import Task


class Family:
    """A guest, its registers, and the places of arguments in them."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._words = guest.words

    def _register(self, argument: int | None) -> int:
        """The register of an argument counted from 0; -1 for one that the call doesn't have."""
        return -1 if argument is None else self._guest.args[argument]

    def _dirfd(self, register: int) -> int:
        return AT_FDCWD if register < 0 else signed32(self._words[register])

    def _finish(self, task: Task, register: int, path: bytes, place: Place) -> int | None:
        """Let the call run, with the host's path unless the kernel reaches the same by the one given."""
        if self._guest.natural(path, place):
            return None
        return self._guest.put(task, register, place.host)

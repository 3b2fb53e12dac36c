"""Removing big trees without waiting for it: renamed away at once, deleted by a thread, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from pathlib import Path

from dockmagic.images.files import remove_tree
from dockmagic.images.snapshots import overlay


class Trash:
    """A folder of trees that are gone already. What a crash left in it is deleted by the next :meth:`sweep`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def throw(self, path: Path) -> None:
        """Make ``path`` gone, at once; nothing when it is not there."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, self._folder / uuid.uuid4().hex)
        self.sweep()

    def sweep(self) -> None:
        """See to it that a thread empties the folder; it ends when there is nothing left."""
        with self._guard:
            if self._thread is None and os.listdir(self._folder):
                self._thread = threading.Thread(target=self._empty, name="trash", daemon=True)
                self._thread.start()

    def _empty(self) -> None:
        while True:
            with self._guard:
                names = os.listdir(self._folder)
                if not names:
                    self._thread = None
                    return
            for name in names:
                try:
                    overlay.unmount(self._folder / name / "merged")  # a root that was mounted until now
                    remove_tree(self._folder / name)
                except OSError:  # held by a mount, say: the next engine will try again
                    with self._guard:
                        self._thread = None
                    return

    def close(self) -> None:
        """Wait until the thread is done."""
        thread = self._thread
        if thread is not None:
            thread.join()

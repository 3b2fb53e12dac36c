"""Chains and pins while several threads keep and let go."""

from __future__ import annotations

import threading
from pathlib import Path

from dockmagic.database import Database
from dockmagic.errors import NotFound
from dockmagic.images.schema import MIGRATIONS, ROOM
from dockmagic.images.snapshots.chains import Chains

LAYER = "sha256:" + "a" * 64


def test_what_could_be_pinned_is_there_however_much_is_let_go_meanwhile(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    database.migrate(ROOM, MIGRATIONS)
    chains = Chains(database)
    stop = threading.Event()

    def let_go() -> None:
        while not stop.is_set():
            chains.release([LAYER])

    others = [threading.Thread(target=let_go) for _ in range(3)]
    for thread in others:
        thread.start()
    pinned = lost = 0
    try:
        while pinned < 200:
            with database.transaction() as tx:
                tx.execute("INSERT OR IGNORE INTO layer VALUES (?, NULL)", (LAYER,))
                chains.add(LAYER, "", LAYER)
            try:
                chains.pin("test", LAYER)
            except NotFound:
                continue
            pinned += 1
            lost += not chains.has(LAYER)
            chains.unpin("test")
    finally:
        stop.set()
        for thread in others:
            thread.join()
    assert lost == 0

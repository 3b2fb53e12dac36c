"""What an unpacked layer's folder alone does not say: which names of the layers below it hides."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from dockmagic.images.attributes import Owners
from dockmagic.images.untar import Unpacked


@dataclass(frozen=True)
class Record:
    """Whiteouts and opaque folders of a layer, as paths without a slash at either end.

    This record is what counts. The markers that overlayfs wants in the folder itself (a character device 0:0, an
    extended attribute) are made from it when the layer is first mounted so; a clone needs none.
    """

    whiteouts: frozenset[bytes] = field(default=frozenset())
    opaque: frozenset[bytes] = field(default=frozenset())
    implicit: frozenset[bytes] = field(default=frozenset())
    """Folders without an entry of their own: they look as the layers below have them."""
    marked: tuple[str, ...] = ()
    """Forms of overlay whose markers are in the folder: ``trusted``, ``user``."""

    @classmethod
    def of(cls, unpacked: Unpacked) -> Record:
        return cls(_bytes(unpacked.whiteouts), _bytes(unpacked.opaque), _bytes(unpacked.implicit))

    @classmethod
    def decode(cls, text: str) -> Record:
        value = json.loads(text)
        return cls(
            _bytes(value["whiteouts"]), _bytes(value["opaque"]), _bytes(value["implicit"]), tuple(value["marked"])
        )

    def encode(self) -> str:
        return json.dumps(
            {
                "whiteouts": sorted(map(os.fsdecode, self.whiteouts)),
                "opaque": sorted(map(os.fsdecode, self.opaque)),
                "implicit": sorted(map(os.fsdecode, self.implicit)),
                "marked": self.marked,
            }
        )

    @property
    def hides(self) -> bool:
        """Whether it hides anything of the layers below by name."""
        return bool(self.whiteouts or self.opaque)

    @cached_property
    def gone(self) -> dict[bytes, list[bytes]]:
        """The whiteouts' names by their folder."""
        names: dict[bytes, list[bytes]] = {}
        for path in self.whiteouts:
            folder, _, base = path.rpartition(b"/")
            names.setdefault(folder, []).append(base)
        return names

    def with_mark(self, form: str) -> Record:
        return replace(self, marked=(*self.marked, form))


@dataclass(frozen=True)
class Folder:
    """An unpacked layer on disk."""

    number: int
    diff_id: str
    path: Path
    owners: Owners
    record: Record


def _bytes(names: list[str]) -> frozenset[bytes]:
    return frozenset(map(os.fsencode, names))

"""The keys that leave a terminal without ending what runs in it.

Both sides look for them, as docker's do: the engine for clients that don't, a client so that it knows why it ended.
"""

from __future__ import annotations

from dockmagic.errors import InvalidParameter


class DetachKeys:
    """Finds the sequence in what a terminal's user types, bytes as they come.

    ``keys``: ``ctrl-p,ctrl-q`` (the default), ``ctrl-`` with a letter or one of ``@[\\]^_``, or single characters
    (docker attach, "Override the detach sequence"). Raises InvalidParameter.
    """

    def __init__(self, keys: str) -> None:
        self._sequence = _codes(keys or "ctrl-p,ctrl-q")
        self._matched = 0

    def pass_on(self, data: bytes) -> tuple[bytes, bool]:
        """What goes on to the process, and whether the sequence is complete."""
        out = bytearray()
        for byte in data:
            if byte == self._sequence[self._matched]:
                self._matched += 1
                if self._matched == len(self._sequence):
                    return bytes(out), True
                continue
            out += self._sequence[: self._matched]
            self._matched = 1 if byte == self._sequence[0] else 0
            if not self._matched:
                out.append(byte)
        return bytes(out), False


def _codes(keys: str) -> bytes:
    codes = bytearray()
    for key in keys.split(","):
        if len(key) == 1:
            codes += key.encode()
        elif key.startswith("ctrl-") and len(key) == 6 and (key[5].isalpha() or key[5] in "@[\\]^_"):
            codes.append(ord(key[5].upper()) & 0x1F)
        else:
            raise InvalidParameter(f"Invalid detach keys ({keys}) provided")
    return bytes(codes)

"""The stand-in for ``hello-world``: one static program that tells how its own output came about."""

from __future__ import annotations

from dockmagic.images.standins.program import printing

MADE = "2026-01-01T00:00:00Z"
"""The image's date; fixed, so that its id is the same everywhere."""

# Docker's own hello-world tells the same story of its flow; the words here are ours, since the way is another one.
_TEXT = """
Hello from dockmagic!
This message shows that containers run here.

It took these steps to reach you:
 1. The client (a notebook cell, or a command in a terminal) asked the engine
    to run "hello-world", by an HTTP request to the engine's socket.
 2. The engine had no such image, and no registry was in reach to pull it from.
    So dockmagic made the image on the spot: a single layer with a single file,
    /hello, a {size} byte program written for this machine ({architecture}).
 3. The engine created a new container from that image and ran /hello in it.
 4. /hello printed this text; the engine streamed it to the client, which shows
    it to you.

What to try next: this Dockerfile, in a cell that begins with
%%dockerfile -t greeting, or as a file with: dockmagic build -t greeting .

    FROM dockmagic/host
    RUN echo "built on $(date)" > /greeting
    CMD ["cat", "/greeting"]

and then %docker run greeting, or: dockmagic run greeting

"""


def program(machine: str, architecture: str) -> bytes:
    """The file /hello for ``machine`` (as uname names it); ``architecture`` is the image's word for it."""
    size = len(printing(_text(architecture, "0000"), machine))
    return printing(_text(architecture, str(size)), machine)


def _text(architecture: str, size: str) -> bytes:
    return _TEXT.format(architecture=architecture, size=size).encode()

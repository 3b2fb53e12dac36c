"""docker's own command on two engines, and what of its words is left out before they are compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import services

Scrub = tuple[tuple[str, str], ...]
SCRUB: Scrub = (
    (r"[0-9a-f]{64}", "ID"),
    (r"\b[0-9a-f]{12}\b", "ID"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"(About a minute|Less than a second|\d+ (seconds?|minutes?|hours?|years?)) ago", "AGO"),
    (r"Up (Less than a second|\d+ seconds?)", "UP"),
    # dockerd 20.10 says it a little differently from the newer ones whose words are ours
    (r"failed to create task for container: failed", "failed"),
    (r'invalid mode: "(.*)"', r"invalid mode: \1"),
    (r"[Cc]annot kill container", "cannot kill container"),
    (r"[Cc]ontainer ID is not running", "container ID is not running"),
    (r"[Ii]nvalid signal", "invalid signal"),
    (r"[Nn]o command specified", "no command specified"),
    (r"[Ll]imit (\d+) is outside", r"limit \1 is outside"),
)
"""Of single commands."""
SCRUB_OF_SCRIPTS: Scrub = (
    *SCRUB,
    (r"Invalid filter", "invalid filter"),
    (r"Container ID is already paused", "container ID is already paused"),
    (
        r"You cannot remove a running container ID\. Stop the container before attempting removal or force remove|"
        r'cannot remove container "/[\w-]+": container is running: stop the container before removing or force remove',
        "RUNNING",
    ),
    (r' \(name:"[\w-]+" id:"ID"\)', ""),
    (r"no such image: [\w-]+: No such image", "No such image"),
)


def program() -> str:
    """Where the docker command is."""
    found = shutil.which("docker")
    if found is None:
        services.missing("the docker command is not installed")
    return str(found)


@dataclass(frozen=True)
class Command:
    """The docker command with one engine as its host and a home of its own, whose folder is where it works."""

    program: str
    host: str
    home: Path

    def run(self, *words: str) -> str:
        """What ``docker WORDS`` writes, and its exit code."""
        return self._scrubbed([self.program, "-H", self.host, *words], SCRUB)

    def script(self, lines: list[str]) -> str:
        """The same for the ``lines`` of a shell, which finds ``docker``; each with its exit code."""
        text = "\n".join(f'{line}\necho "[$?] {number}"' for number, line in enumerate(lines, 1))
        return self._scrubbed(["sh", "-c", text], SCRUB_OF_SCRIPTS)

    def _scrubbed(self, command: list[str], scrub: Scrub) -> str:
        path = f"{Path(self.program).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
            check=False, cwd=self.home,
            env={
                **os.environ, "HOME": str(self.home), "DOCKER_CLI_HINTS": "false", "DOCKER_HOST": self.host,
                "PATH": path,
            },
        )  # fmt: skip
        text = done.stdout.decode(errors="replace").replace("\r", "")
        for pattern, word in scrub:
            text = re.sub(pattern, word, text)
        return f"{text}[{done.returncode}]"

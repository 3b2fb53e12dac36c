"""How long the language takes, for ``make bench``."""

from __future__ import annotations

import statistics
import time

from dockmagic.dockerfile import check, instructions, parse

_STEPS = (
    "RUN apk add --no-cache curl git && adduser -D app",
    "COPY --from=build --chown=app:app /src/bin/app /usr/local/bin/",
    'ENV HOME=/home/app PATH="/home/app/bin:$PATH"',
    "RUN --mount=type=cache,target=/root/.cache make install",
    'CMD ["/usr/local/bin/app", "--serve"]',
)


def dockerfile(lines: int = 150) -> str:
    """A file of that many lines, an instruction on each."""
    steps = [_STEPS[index % len(_STEPS)] for index in range(lines - 2)]
    return "\n".join(["FROM golang:1.23 AS build", "FROM alpine", *steps]) + "\n"


def measure(lines: int = 150, times: int = 50) -> dict[str, float]:
    """Median milliseconds of parsing, of parsing to typed instructions, and of a check."""
    text = dockerfile(lines)
    jobs = {
        "parse": lambda: parse(text),
        "instructions": lambda: instructions(parse(text)),
        "check": lambda: check(text),
    }
    results = {}
    for name, job in jobs.items():
        durations = []
        for _ in range(times):
            start = time.perf_counter()
            job()
            durations.append(time.perf_counter() - start)
        results[name] = statistics.median(durations) * 1000
    return results


if __name__ == "__main__":
    for job, milliseconds in measure().items():
        print(f"{job}: {milliseconds:.2f} ms")

"""A Builder in a process of its own, told what to do in lines of JSON: ``python -m tests.builder.worker FOLDER CASES``.

A line asks for a build or for a call of the Builder; the answer is one line.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from tests.builder.cases import Driver, layer_entries


def build(driver: Driver, ask: dict[str, Any]) -> dict[str, Any]:
    """Build, and tell what came of it. ``cancel_at``: cancel when this text shows up in a log."""
    from dockmagic.builder.request import BuildError, BuildRequest

    fields = dict(ask["request"])
    if fields.get("context") is not None:
        fields["context"] = io.BytesIO(base64.b64decode(fields["context"]))
    if "secrets" in fields:
        fields["secrets"] = {name: value.encode() for name, value in fields["secrets"].items()}
    if "named_contexts" in fields:
        fields["named_contexts"] = {
            name: value if "://" in value else io.BytesIO(base64.b64decode(value))
            for name, value in fields["named_contexts"].items()
        }
    cancelled = threading.Event()
    steps: dict[str, dict[str, Any]] = {}
    logs: dict[str, bytes] = {}
    warnings: list[str] = []

    def progress(status: Any) -> None:
        for vertex in status.vertexes:
            steps[vertex.digest] = {
                "name": vertex.name, "cached": vertex.cached, "error": vertex.error,
                "started": vertex.started, "completed": vertex.completed,
            }  # fmt: skip
        for entry in status.logs:
            logs[entry.vertex] = logs.get(entry.vertex, b"") + entry.msg
            if ask.get("cancel_at") and ask["cancel_at"].encode() in logs[entry.vertex]:
                cancelled.set()
        warnings.extend(warning.short for warning in status.warnings)

    answer: dict[str, Any] = {"error": None, "image": None}
    begin = time.monotonic()
    try:
        result = driver.builder.build(BuildRequest(**fields), progress, cancelled)
        if not result.image_id:  # only other outputs were asked for
            answer["images"] = len(driver.store.list())
        image = driver.store.get(result.image_id) if result.image_id else None
        answer |= {} if image is None else {
            "image": image.id, "config": image.config, "tags": image.tags, "platforms": result.platforms,
            "layers": [layer_entries(layer) for layer in image.layers] if ask.get("layers", True) else [],
        }  # fmt: skip
    except BuildError as error:
        answer |= {"error": str(error), "line": error.line, "frame": error.code_frame, "exit_code": error.exit_code}
    answer["seconds"] = time.monotonic() - begin
    answer["steps"] = list(steps.values())
    answer["logs"] = {steps[vertex]["name"]: data.decode("utf-8", "replace") for vertex, data in logs.items()}
    answer["warnings"] = warnings
    return answer


def together(driver: Driver, asks: list[dict[str, Any]]) -> list[Any]:
    """Several builds and calls at the same time; their answers in order, a failure as its text."""
    answers: list[Any] = [None] * len(asks)

    def one(number: int) -> None:
        try:
            answers[number] = build(driver, asks[number]) if "request" in asks[number] else call(driver, asks[number])
        except Exception:  # told to the test
            answers[number] = traceback.format_exc()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(asks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def call(driver: Driver, ask: dict[str, Any]) -> Any:
    """A method of the Builder or of the store."""
    kind, _, name = ask["call"].rpartition(".")
    snapshots = driver.store.snapshots
    owners = {"store": driver.store, "snapshots": snapshots, "layers": snapshots.layers, "": driver.builder}
    return getattr(owners[kind], name)(*ask.get("args", []), **ask.get("kwargs", {}))


def main() -> None:
    """Serve until standard input ends."""
    driver = Driver(Path(sys.argv[1]), Path(sys.argv[2]))
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            if "together" in ask:
                answer = {"answer": together(driver, ask["together"])}
            else:
                answer = {"answer": build(driver, ask) if "request" in ask else call(driver, ask)}
        except Exception:  # told to the test, which fails with it
            answer = {"failure": traceback.format_exc()}
        print(json.dumps(answer, default=str), flush=True)
    driver.store.snapshots.close()
    driver.runtime.close()


if __name__ == "__main__":
    main()

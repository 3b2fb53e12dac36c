"""BuildKit's integration cases, built by our Builder: error, config, history, every layer's entries, local output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEAST = 160
MISSING = {
    "TestErrorsSourceMap#2": "asks a registry for an image that is not there; here a stand-in registry says so",
    "TestErrorsSourceMap#6": "the same",
}
"""Cases that are not had as they were recorded: there is no internet in a test."""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the namespaces tier, real owners")
def test_integration_cases(conformance: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.builder.cases", str(conformance), str(result)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    outcomes = json.loads(result.read_text())
    failed = [outcome for outcome in outcomes if outcome["problems"]]
    passed = len(outcomes) - len(failed)
    seconds = sum(outcome["seconds"] for outcome in outcomes)
    print(f"\nintegration_cases: {passed} of {len(outcomes)} in {seconds:.1f} s")
    for outcome in failed:
        print(outcome["id"], *outcome["problems"], sep="\n    ")
    for id, reason in MISSING.items():
        print(f"{id}: {reason}")
    assert passed >= LEAST
    assert len(outcomes) == 168

"""BuildKit's integration cases through the engine's API: error, config, history, layers' entries, local output."""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path

import pytest

from tests.builder.apicases import ApiDriver
from tests.support import services

MISSING = {
    "TestErrorsSourceMap#2": "asks docker.io for an image that is not there; no test has docker.io to ask",
    "TestErrorsSourceMap#6": "the same",
}
"""Cases that can't be had here, and why."""


NOBODY = "http://127.0.0.1:1"
"""A mirror where nobody listens: there is no internet in a test."""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the namespaces tier, real owners")
def test_integration_cases(conformance: Path, tmp_path: Path) -> None:
    cases = json.loads((conformance / "integration_cases.json").read_text())
    failed = {}
    begin = time.monotonic()
    with services.embedded(tmp_path / "root", DOCKMAGIC_REGISTRY_MIRRORS=NOBODY) as url:
        driver = ApiDriver(url, tmp_path, conformance)
        for case in cases:  # in their order, for later ones of a test build on the cache of earlier ones
            try:
                problems = driver.run(case)
            except Exception:  # whatever goes wrong in one case is that case's failure
                problems = [traceback.format_exc()[-1500:]]
            if problems:
                failed[case["id"]] = problems
        driver.close()
    print(f"\nintegration_cases: {len(cases) - len(failed)} of {len(cases)} in {time.monotonic() - begin:.1f} s")
    for id, problems in failed.items():
        print(id, *problems, sep="\n    ")
    for id, reason in MISSING.items():
        print(f"{id}: {reason}")
    assert failed.keys() <= MISSING.keys()
    assert len(cases) == 168

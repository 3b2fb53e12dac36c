"""Limits: which can't be, and which a tier accepts without keeping them, and says so."""

from __future__ import annotations

import pytest

from tests.engine.conftest import IMAGE
from tests.engine.test_containers import refused


def test_limits_that_a_tier_cannot_keep_are_told(api, tier) -> None:
    limits = {"Memory": 64 << 20, "NanoCpus": 500_000_000, "CpuShares": 512, "CpusetCpus": "0", "PidsLimit": 50}
    made = api.create_container_from_config({"Image": IMAGE, "Cmd": ["true"], "HostConfig": limits})
    api.remove_container(made["Id"])
    told = " ".join(made["Warnings"] or ())
    for words in ("CPU CFS scheduler", "CPU shares", "cpuset", "PIDs limit"):
        assert (words in told) == (not tier.limits)
    assert ("memory limit" in told) == (tier.name == "rootless")  # the tracer adds up what is used


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"CpuPeriod": 5}, "CPU cfs period can not be less than 1ms"),
        ({"CpuQuota": 5}, "CPU cfs quota can not be less than 1ms"),
        ({"NanoCpus": 10**8, "CpuPeriod": 50_000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"CpusetCpus": "4000"}, "Requested CPUs are not available"),
        ({"CpusetCpus": "x"}, "Invalid value x for cpuset cpus"),
        ({"OomScoreAdj": 5000}, "range for oom score adj is [-1000, 1000]"),
    ],
)
def test_limits_that_cannot_be(api, host, words: str) -> None:
    refused(lambda: api.create_container_from_config({"Image": IMAGE, "Cmd": ["true"], "HostConfig": host}), 400, words)

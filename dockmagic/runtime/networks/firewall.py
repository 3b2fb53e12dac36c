"""Getting along with a firewall that drops what it doesn't know, as a Docker daemon's on the same machine does.

A packet passes only when every chain lets it: what a rule of our own allows, another table's policy still drops. So the
exception goes where the policy is, by the tool that manages it.
"""

from __future__ import annotations

import os
import subprocess

_TOOLS = ("/usr/sbin/iptables", "/sbin/iptables", "/usr/bin/iptables")


def let_through(prefix: str) -> None:
    """Allow forwarding from and to interfaces whose names begin with ``prefix``, where the policy is to drop."""
    tool = next((path for path in _TOOLS if os.access(path, os.X_OK)), None)
    if tool is None:
        return
    rules = _run(tool, "-S", "FORWARD")
    if "-P FORWARD DROP" not in rules:
        return
    for option in ("-i", "-o"):
        if f"-A FORWARD {option} {prefix}+ -j ACCEPT" not in rules:
            _run(tool, "-I", "FORWARD", option, f"{prefix}+", "-j", "ACCEPT")


def _run(tool: str, *arguments: str) -> str:
    done = subprocess.run([tool, "-w", *arguments], capture_output=True, text=True, check=False)
    return done.stdout

"""Resource limits of the container's process (docker run --ulimit)."""

from __future__ import annotations

import resource

from dockmagic.runtime.protocols import StartError


def set_limits(limits: tuple[tuple[str, int, int], ...]) -> None:
    """(name, soft, hard) items. Raises StartError for what this machine doesn't allow; -1 is unlimited."""
    for name, soft, hard in limits:
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is None:
            raise StartError(f"invalid ulimit type: {name}", 128)
        try:
            resource.setrlimit(number, (soft, hard))
        except (OSError, ValueError) as error:
            current = resource.getrlimit(number)[1]
            if isinstance(error, ValueError) and 0 <= current < hard:
                # No CAP_SYS_RESOURCE: the hard limit can't be raised. As far as it goes, as rootless Docker
                resource.setrlimit(number, (min(soft, current), current))
                continue
            raise StartError(f"error setting rlimit type {name}: {error}", 128) from error

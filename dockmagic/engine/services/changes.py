"""Dockerfile instructions applied to an image's config: --change of docker commit and docker import."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dockmagic.errors import InvalidParameter

if TYPE_CHECKING:
    from dockmagic.builder.config import ImageConfig


def apply(config: ImageConfig, changes: Iterable[str]) -> None:
    """Raises InvalidParameter for what is no instruction, or none that changes a config."""
    from dockmagic import dockerfile as language
    from dockmagic.dockerfile.instructions import trigger

    for change in changes:
        if not change.strip():
            continue
        try:
            one = trigger(change)
        except language.DockerfileError as error:
            raise InvalidParameter(str(error)) from None
        if isinstance(one, language.Cmd):
            config.cmd(config.with_shell(one.args) if one.shell_form else one.args)
        elif isinstance(one, language.Entrypoint):
            config.entrypoint(config.with_shell(one.args) if one.shell_form else one.args)
        elif isinstance(one, language.Env):
            config.env([(pair.key, pair.value) for pair in one.pairs])
        elif isinstance(one, language.Label):
            config.label([(pair.key, pair.value) for pair in one.pairs])
        elif isinstance(one, language.Expose):
            config.expose(one.ports)
        elif isinstance(one, language.Volume):
            config.volume(one.volumes)
        elif isinstance(one, language.User):
            config.set_user(one.user)
        elif isinstance(one, language.Workdir):
            config.set_workdir(one.path)
        elif isinstance(one, language.StopSignal):
            config.stop_signal(one.signal)
        elif isinstance(one, language.OnBuild):
            config.onbuild(one.expression)
        elif isinstance(one, language.HealthCheck):
            times = {"Interval": one.interval, "Timeout": one.timeout, "StartPeriod": one.start_period}
            config.healthcheck(one.test, {**times, "StartInterval": one.start_interval}, one.retries)
        else:
            raise InvalidParameter(f"{one.keyword.lower()} is not a valid change command")

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
    from dockmagic.builder.dispatch import metadata
    from dockmagic.dockerfile.instructions import trigger

    metadata_types = (
        language.Label,
        language.User,
        language.Expose,
        language.Volume,
        language.StopSignal,
        language.OnBuild,
        language.HealthCheck,
    )
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
        elif isinstance(one, language.Workdir):
            config.set_workdir(one.path)
        elif isinstance(one, metadata_types):
            metadata(config, one)
        else:
            raise InvalidParameter(f"{one.keyword.lower()} is not a valid change command")

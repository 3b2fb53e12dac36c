"""How steps are called in the progress: ``[stage-1 2/3] RUN make``."""

from __future__ import annotations

import math

from dockmagic.builder.model import StagePlan
from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.shell import Lexer
from dockmagic.platforms import Platform


def prefixed(plan: StagePlan, text: str, platform: Platform | None, *, triggered: bool = False) -> str:
    """The next step's name. ``platform`` when several are built at once."""
    if not plan.total:
        return text
    plan.index += 1
    place = f"{plan.index:{int(1 + math.log10(plan.total))}d}/{plan.total}"
    words = [str(platform) if platform else "", plan.name, place]
    return f"[{' '.join(word for word in words if word)}] {'ONBUILD ' if triggered else ''}{text}"


def command_text(code: str, environment: dict[str, str], lexer: Lexer) -> str:
    """An instruction with its variables replaced and its keyword in capitals."""
    try:
        code = lexer.word(code, environment)
    except DockerfileError:  # only a name: as written is good enough
        pass
    keyword, space, rest = code.partition(" ")
    return keyword.upper() + space + rest


def heredoc_summary(text: str) -> str:
    """The first line of a heredoc, for its step's name."""
    lines = text.strip().replace("\r\n", "\n").split("\n")
    return lines[0] + ("..." if len(lines) > 1 else "")

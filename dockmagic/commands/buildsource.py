"""The Dockerfile of a build before it is sent: what is wrong with it, its stages, whether it needs a context."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dockmagic import dockerfile as language
from dockmagic.commands.errors import CommandError
from dockmagic.dockerfile.errors import DockerfileError


class Source:
    """A Dockerfile's text. ``name`` is what messages call it: Dockerfile, or the cell.

    ``before`` is how many of its lines come from earlier cells; places are told from there on.
    """

    def __init__(self, text: str, name: str = "Dockerfile", before: int = 0) -> None:
        self.text = text
        self.name = name
        self.before = before
        self.stages: list[language.Stage] = []
        self._error: DockerfileError | None = None
        try:
            self.stages, _ = language.instructions(language.parse(text))
        except DockerfileError as error:
            self._error = error

    def refuse(self) -> None:
        """Raise CommandError, with the line, when no engine could read it. Foreign syntaxes are the engine's matter."""
        if not self.text.strip():
            raise CommandError(f"ERROR: failed to solve: the {self.name} cannot be empty")
        if self._error is not None and not self._foreign():
            line = self._error.line
            said = str(self._error)
            if line > self.before:
                said = said.replace(f"on line {line}:", f"on line {line - self.before}:")
            raise CommandError(f"ERROR: failed to solve: {said}", frame=self.frame(line))

    def _foreign(self) -> bool:
        match = re.match(r"#\s*syntax\s*=\s*(\S+)", self.text, re.IGNORECASE)
        return bool(match) and "docker/dockerfile" not in match[1] if match else False

    def needs_context(self) -> bool:
        """Whether an instruction reads the context; unsure means yes."""
        if not self.stages:
            return True
        for stage in self.stages:
            for command in stage.commands:
                code = command.code
                keyword = command.keyword.upper()
                from_stage = "--from=" in code
                if keyword in {"COPY", "ADD"} and not from_stage and not _only_elsewhere(code):
                    return True
                binds = keyword == "RUN" and re.search(r"--mount=(?:\S*type=bind|(?!\S*type=))", code)
                if binds and not re.search(r"\bfrom=", code):
                    return True
                if keyword == "ONBUILD":
                    return True
        return False

    def frame(self, line: int, last: int = 0) -> str:
        """The source lines around ``line`` (from 1) marked as BuildKit prints them; "" when there is no such line."""
        lines = self.text.rstrip("\n").split("\n")
        if not self.before < line <= len(lines):
            return ""
        end = max(last, line)
        first, stop = max(self.before + 1, line - 2), min(len(lines), end + 2)
        shown = [f"{self.name}:{line - self.before}", "-" * 20]
        for number in range(first, stop + 1):
            mark = ">>>" if line <= number <= end else "   "
            shown.append(f"{number - self.before:4d} | {mark} {lines[number - 1]}".rstrip())
        return "\n".join([*shown, "-" * 20, ""])

    def find(self, instruction: str, label: str = "") -> language.Instruction | None:
        """The instruction that a step's name is made of: the same words, or the same keyword and most of the words.

        ``label`` is the stage in the step's name; "" looks in all of them.
        """
        wanted = instruction.split()
        best: tuple[float, language.Instruction] | None = None
        for index, stage in enumerate(self.stages):
            if label and (stage.name or f"stage-{index}").lower() != label.lower():
                continue
            for command in stage.commands:
                words = command.code.split()
                if [w.upper() for w in words[:1]] != [w.upper() for w in wanted[:1]]:
                    continue
                if words[1:] == wanted[1:]:
                    return command
                common = len(set(words) & set(wanted)) / max(len(words), len(wanted), 1)
                if best is None or common > best[0]:
                    best = (common, command)
        return best[1] if best else None

    def chain(self, target: str = "") -> list[str]:
        """The labels that steps of the built image carry: those of its stage and of the stages it is FROM."""
        if not self.stages:
            return [""]
        index = self._index(target)
        chosen: list[str] = []
        while index is not None and 0 <= index < len(self.stages):
            stage = self.stages[index]
            chosen.insert(0, (stage.name or f"stage-{index}").lower())
            base = stage.base.lower()
            index = next((i for i, s in enumerate(self.stages[:index]) if base in {s.name.lower(), str(i)}), None)
        return chosen

    def base(self, target: str = "") -> str:
        """The image that the built one rests on, as the Dockerfile has it; "" for scratch and names with variables."""
        written = self.written_base(target)
        return "" if "$" in written or written == "scratch" else written

    def written_base(self, target: str = "") -> str:
        """What the FROM says that the built image rests on, whatever it means; "" when there is none."""
        labels = self.chain(target)
        for i, stage in enumerate(self.stages):
            if labels and (stage.name or f"stage-{i}").lower() == labels[0]:
                return stage.base
        return ""

    def global_arguments(self) -> str:
        """The lines before the first FROM, which give variables in bases their values."""
        first = min((stage.line for stage in self.stages), default=1)
        return "\n".join(self.text.split("\n")[: first - 1])

    def _index(self, target: str) -> int | None:
        if not target:
            return len(self.stages) - 1
        for i, stage in enumerate(self.stages):
            if target.lower() in {stage.name.lower(), str(i)}:
                return i
        return None


def _only_elsewhere(code: str) -> bool:
    """Whether all sources of a COPY or ADD are heredocs or URLs."""
    words: Sequence[str] = [w for w in code.split()[1:] if not w.startswith("--")]
    sources = words[:-1]
    return bool(sources) and all(re.match(r"<<|https?://|git@|git://|ssh://", w) for w in sources)

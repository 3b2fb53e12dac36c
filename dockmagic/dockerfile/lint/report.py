"""What checks find: warnings, which of them are wanted, and the error that stops a build."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dockmagic.dockerfile.directives import find_directive
from dockmagic.dockerfile.errors import DockerfileError
from dockmagic.dockerfile.golang import parse_bool, quote
from dockmagic.dockerfile.lint.rules import RULES, Rule
from dockmagic.dockerfile.source import Range

_ALL = "all"


@dataclass(frozen=True)
class CheckWarning:
    """One finding."""

    rule: str
    description: str
    detail: str
    url: str
    range: Range
    level: int = 1

    @property
    def line(self) -> int:
        """The first line, from 1."""
        return self.range.start.line

    def __str__(self) -> str:
        """As BuildKit prints it: ``Rule: detail (line N)``."""
        return f"{self.rule}: {self.detail} (line {self.line})"


@dataclass
class Report:
    """The result of a check."""

    warnings: list[CheckWarning] = field(default_factory=list)
    """Sorted by line."""
    error: DockerfileError | None = None
    """What would stop the build, in BuildKit's words; with ``error=true`` a warning does."""
    errors: list[DockerfileError] = field(default_factory=list)
    """Everything that is wrong; more than ``error`` only when checked with ``recover``."""


@dataclass(frozen=True)
class Options:
    """``# check=skip=Rule,…;error=true;experimental=Rule,…``: names, or "all"."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    @classmethod
    def parse(cls, text: str) -> Options:
        """DockerfileError if it is not valid."""
        skip: frozenset[str] = frozenset()
        experimental: frozenset[str] = frozenset()
        error = False
        for part in text.strip().split(";", 2) if text.strip() else ():
            key, separator, value = part.partition("=")
            key, value = key.strip(), value.strip()
            if not separator:
                raise DockerfileError(f"invalid check option {quote(part)}")
            if key == "skip":
                skip = _names(value)
            elif key == "experimental":
                experimental = _names(value)
            elif key == "error":
                parsed = parse_bool(value)
                if parsed is None:
                    problem = f"strconv.ParseBool: parsing {quote(value)}: invalid syntax"
                    raise DockerfileError(f"failed to parse check option {quote(part)}: {problem}")
                error = parsed
            else:
                raise DockerfileError(f"invalid check option {quote(key)}")
        return cls(skip, experimental, error)

    def wants(self, rule: Rule) -> bool:
        """Whether the rule is to be run."""
        if rule.experimental:
            return bool(self.experimental & {_ALL, rule.name})
        return not self.skip & {_ALL, rule.name}


def _names(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split(","))


def options_of(text: str, override: str | None = None) -> Options:
    """The options of a file: ``override`` (the build argument BUILDKIT_DOCKERFILE_CHECK), else its directive."""
    if override is None:
        directive = find_directive("check", text)
        override = directive.value.partition(" ")[0] if directive else ""
    try:
        return Options.parse(override)
    except DockerfileError as error:
        raise DockerfileError(f"failed to parse check options: {error}") from None


class Linter:
    """Collects warnings that are wanted."""

    def __init__(self, options: Options, *, own: bool = True) -> None:
        self.options = options
        self.own = own
        self.warnings: list[CheckWarning] = []

    def warn(self, rule: Rule, range: Range, *values: str, comments: Iterable[str] = (), suggestion: str = "") -> None:
        """Add a warning; ``comments`` are the instruction's, one of which may be ``check=skip=…``."""
        if (rule.own and not self.own) or not self.options.wants(rule) or _skipped(rule, comments):
            return
        detail = rule.template.format(*values) + (f" (did you mean {suggestion}?)" if suggestion else "")
        self.warnings.append(CheckWarning(rule.name, rule.description, detail, rule.url, range))

    def violation(self) -> DockerfileError | None:
        """The error that BuildKit's warnings are with ``error=true``; hints of ours never are."""
        counted = [warning for warning in self.warnings if not RULES[warning.rule].own]
        if not self.options.error or not counted:
            return None
        names = dict.fromkeys(warning.rule for warning in counted)
        return DockerfileError(f"lint violation found for rules: {', '.join(names)}", counted[0].range)

    def sorted_warnings(self) -> list[CheckWarning]:
        """By line; those of one line as they were found."""
        return sorted(self.warnings, key=lambda warning: warning.line)


def _skipped(rule: Rule, comments: Iterable[str]) -> bool:
    for comment in comments:
        key, separator, value = comment.partition("=")
        if separator and key.strip().lower() == "check":
            try:
                options = Options.parse(value.strip().partition(" ")[0])
            except DockerfileError:
                continue
            if options.skip & {_ALL, rule.name}:
                return True
    return False

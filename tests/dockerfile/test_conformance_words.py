"""BuildKit's cases of words, heredocs and directives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dockmagic.dockerfile import DockerfileError, Heredoc, Lexer
from dockmagic.dockerfile.directives import command, detect_syntax, find_directive
from dockmagic.dockerfile.heredoc import heredocs_in_line, parse_heredoc
from tests.dockerfile.conftest import Score

Cases = Callable[[str], list[Any]]


def _env(entries: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


class _AnyCase(dict[str, str]):
    """Windows' environment: names in any case."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.upper(), default)


def test_shell_env(cases: Cases, score: Score) -> None:
    misses = []
    every = cases("shell_env.json")
    for case in every:
        windows = case["platform"] == "windows"
        env = _AnyCase(_env(case["env"])) if windows else _env(case["env"])
        found: dict[str, Any] = {"result": None, "error_message": None}
        try:
            expansion = Lexer().expand(case["word"], env)
            found["result"] = expansion.result
            if not windows:  # the case's names were found on Linux
                found["unmatched"] = sorted(expansion.unmatched)
        except DockerfileError as error:
            found["error_message"] = str(error)
        wanted = {key: sorted(case[key]) if key == "unmatched" else case[key] for key in found}
        if found != wanted:
            misses.append(f"{case['id']}: {found} != {wanted}")
    score("shell_env.json", misses, len(every))
    assert len(every) == 230


def test_shell_words(cases: Cases, score: Score) -> None:
    misses = []
    every = cases("shell_words.json")
    for case in every:
        try:
            words = Lexer().words(case["word"], _env(case["env"]))
        except DockerfileError:
            words = None
        if words != case["words"] or (words is None) != case["error"]:
            misses.append(f"{case['id']}: {words} != {case['words']}")
    score("shell_words.json", misses, len(every))
    assert len(every) == 24


def test_shell_calls(cases: Cases, score: Score) -> None:
    misses = []
    every = cases("shell_calls.json")
    for case in every:
        lexer = Lexer(
            case["escape"],
            raw_quotes=case["raw_quotes"],
            raw_escapes=case["raw_escapes"],
            skip_quotes=case["skip_process_quotes"],
            skip_unset=case["skip_unset"],
        )
        found: dict[str, Any] = {"error": None}
        try:
            expansion = lexer.expand(case["word"], case["env"])
            found |= {"result": expansion.result, "words": expansion.words or None}
            if "matched" in case:
                found |= {"matched": set(expansion.matched), "unmatched": set(expansion.unmatched)}
        except DockerfileError as error:
            found["error"] = str(error)
        wanted = {key: set(case[key]) if key in {"matched", "unmatched"} else case.get(key) for key in found}
        if found != wanted:
            misses.append(f"{case['word']}: {found} != {wanted}")
    score("shell_calls.json", misses, len(every))
    assert len(every) == 463


def _heredoc(ours: Heredoc | None) -> dict[str, Any] | None:
    if ours is None:
        return None
    return {
        "Name": ours.name,
        "FileDescriptor": ours.descriptor,
        "Expand": ours.expand,
        "Chomp": ours.chomp,
        "Content": ours.content,
    }


def test_heredoc_calls(cases: Cases, score: Score) -> None:
    misses = []
    every = cases("heredoc_calls.json")
    for case in every:
        found: Any = None
        error = None
        try:
            if "src" in case:
                found = _heredoc(parse_heredoc(case["src"]))
            else:
                found = [_heredoc(heredoc) for heredoc in heredocs_in_line(case["line"])] or None
        except DockerfileError as raised:
            error = str(raised)
        if (found, error) != (case["heredoc"] if "src" in case else case["heredocs"], case["error"]):
            misses.append(f"{case}: {found}, {error}")
    score("heredoc_calls.json", misses, len(every))
    assert len(every) == 125


def test_directive_calls(cases: Cases, score: Score) -> None:
    misses = []
    every = cases("directive_calls.json")
    for case in every:
        detects = case["fn"] == "DetectSyntax"
        directive = detect_syntax(case["in"]) if detects else find_directive(case["key"], case["in"])
        found: tuple[Any, ...] = ("", "", None)
        if directive is not None:
            found = (command(directive), directive.value, directive.line)
        line = case["ranges"][0]["Start"]["Line"] if case["ranges"] else None
        if found != (case["value"], case["cmdline"], line) or (directive is not None) != case["ok"]:
            misses.append(f"{case}: {found}")
    score("directive_calls.json", misses, len(every))
    assert len(every) == 27

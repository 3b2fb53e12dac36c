"""Checks: options, what is known of base images, errors, and going on after them."""

from __future__ import annotations

import pytest

from dockmagic.dockerfile import BaseImage, Ignore, check
from dockmagic.dockerfile.lint import RULES


def found(text: str, **options: object) -> list[tuple[str, int]]:
    """Rules and lines of BuildKit's checks."""
    report = check(text, own_rules=False, **options)  # type: ignore[arg-type]
    assert report.error is None
    return [(warning.rule, warning.line) for warning in report.warnings]


def test_every_rule_of_buildkit_is_there_and_explained() -> None:
    buildkit = [rule for rule in RULES.values() if not rule.own]
    assert len(buildkit) == 22
    assert all(rule.url.startswith("https://docs.docker.com/go/dockerfile/rule/") for rule in buildkit)
    assert [rule.name for rule in buildkit if rule.experimental] == ["InvalidDefinitionDescription"]


def test_a_warning_prints_as_buildkits() -> None:
    report = check("FROM a as b\n", own_rules=False)
    assert [str(warning) for warning in report.warnings] == [
        "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"
    ]


def test_warnings_are_sorted_by_line() -> None:
    text = "FROM scratch AS a\nMAINTAINER x\nFROM scratch AS A\nENV a b\n"
    assert found(text) == [
        ("MaintainerDeprecated", 2),
        ("StageNameCasing", 3),
        ("DuplicateStageName", 3),
        ("LegacyKeyValueFormat", 4),
    ]


class TestOptions:
    """``# check=…``."""

    def test_skipping_in_the_file_and_before_an_instruction(self) -> None:
        assert found("# check=skip=MaintainerDeprecated,FromAsCasing\nFROM scratch as a\nMAINTAINER x\n") == []
        assert found("FROM scratch\n# check=skip=all\nMAINTAINER x\nMAINTAINER y\n") == [("MaintainerDeprecated", 4)]

    def test_a_build_argument_takes_the_directives_place(self) -> None:
        text = "# check=skip=all\nFROM scratch\nMAINTAINER x\n"
        argument = {"BUILDKIT_DOCKERFILE_CHECK": "skip=JSONArgsRecommended"}
        assert found(text, build_args=argument) == [("MaintainerDeprecated", 3)]

    def test_warnings_may_be_an_error(self) -> None:
        report = check("# check=error=true\nFROM scratch as a\nMAINTAINER x\n")
        assert str(report.error) == "lint violation found for rules: FromAsCasing, MaintainerDeprecated"
        assert report.error is not None
        assert report.error.line == 2

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("skip", 'invalid check option "skip"'),
            ("what=all", 'invalid check option "what"'),
            (
                "error=maybe",
                'failed to parse check option "error=maybe": strconv.ParseBool: parsing "maybe": invalid syntax',
            ),
        ],
    )
    def test_options_that_are_not_valid(self, option: str, message: str) -> None:
        report = check(f"# check={option}\nFROM scratch\n")
        assert str(report.error) == f"failed to parse check options: {message}"


class TestBaseImages:
    """What a base image brings."""

    TEXT = "FROM python\nENV A=$PYTHON_VERSION B=$PATH C=$PAHT\n"

    def test_of_an_unknown_image_only_what_looks_like_a_slip_is_told(self) -> None:
        assert found(self.TEXT) == [("UndefinedVar", 2)]
        assert "did you mean $PATH?" in check(self.TEXT).warnings[0].detail

    def test_of_a_known_image_everything_is_told(self) -> None:
        assert found(self.TEXT, images=lambda name, platform: BaseImage()) == [("UndefinedVar", 2)] * 2
        assert found(self.TEXT, images=lambda name, platform: BaseImage(env=("PYTHON_VERSION=3",))) == [
            ("UndefinedVar", 2)
        ]

    def test_its_shell_makes_the_shell_form_right(self) -> None:
        assert found("FROM a\nCMD b\n") == [("JSONArgsRecommended", 2)]
        assert found("FROM a\nCMD b\n", images=lambda name, platform: BaseImage(shell=("sh",))) == []

    def test_its_triggers_are_checked_at_the_from(self) -> None:
        assert found("FROM a\n", images=lambda name, platform: BaseImage(onbuild=("ENV a b",))) == [
            ("LegacyKeyValueFormat", 1)
        ]
        assert found("FROM scratch AS a\nONBUILD ENV a b\nFROM a\n") == [("LegacyKeyValueFormat", 3)]

    def test_its_platform_is_compared(self) -> None:
        report = check("FROM a\n", images=lambda name, platform: BaseImage(platform="linux/arm64"))
        assert [warning.detail for warning in report.warnings] == [
            'Base image a was pulled with platform "linux/arm64", expected "linux/amd64" for current build'
        ]


def test_only_stages_that_are_built_are_looked_at_in_a_build() -> None:
    text = "FROM scratch AS a\nENV a b\nFROM scratch AS b\nCOPY --from=a /x /\nFROM scratch AS c\nENV c d\n"
    assert found(text, target="b", all_stages=False) == [("LegacyKeyValueFormat", 2)]
    assert found(text, target="2", all_stages=False) == [("LegacyKeyValueFormat", 6)]
    assert found(text, target="b") == [("LegacyKeyValueFormat", 2), ("LegacyKeyValueFormat", 6)]


def test_ignored_files_are_those_of_the_context() -> None:
    text = "FROM scratch\nCOPY a b /\nADD https://x/a git@x:a /\nCOPY --from=x a /\n"
    assert found(text, ignore=Ignore.of(["a"])) == [("CopyIgnoredFile", 2)]


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("FROM a\nRUNN x", "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)", 2),
        ("ARG a", "dockerfile contains no stages to build", 0),
        ("FROM $a", "base name ($a) should not be blank", 1),
        ("ARG B=1\nFROM a:${b:?no}", 'failed to process "a:${b:?no}": b: no', 2),
        ("FROM --platform=$TARGETPLATFROM a", "empty platform value from expression $TARGETPLATFROM", 1),
        (
            "FROM --platform=a/b/c/d a",
            'failed to parse platform a/b/c/d: "a/b/c/d": cannot parse platform specifier',
            1,
        ),
        ("FROM a\nCOPY --from=3 x /", "invalid stage index 3", 2),
        ("FROM a\nCOPY --from=$X x /", "variable expansion is not supported for --from", 2),
        (
            "FROM a AS a\nCOPY --from=b x /\nFROM a AS b\nCOPY --from=a x /",
            "circular dependency detected on stage: a",
            4,
        ),
        (
            "FROM a AS a\nCOPY --from=b x /\nFROM a AS b",
            'cannot copy from stage "b", it needs to be defined before current stage "a"',
            2,
        ),
        ("FROM a\nEXPOSE x", "invalid containerPort: x", 2),
        ("FROM a\nRUN --mount=type=tmp x", 'unsupported mount type "tmp" (did you mean tmpfs?)', 2),
    ],
)
def test_what_would_stop_the_build(text: str, message: str, line: int) -> None:
    report = check(text)
    assert str(report.error).startswith(message)
    assert report.error is not None
    assert report.error.line == line


def test_a_target_that_is_not_there() -> None:
    assert str(check("FROM a AS build", target="bulid").error) == (
        'target stage "bulid" could not be found (did you mean build?)'
    )


def test_going_on_after_errors() -> None:
    report = check(
        "FROM scratch\nRUNN x\nENV\nMAINTAINER me\nCMD [1]\nCOPY <<EOF /x\nhi", recover=True, own_rules=False
    )
    assert [(warning.rule, warning.line) for warning in report.warnings] == [("MaintainerDeprecated", 4)]
    assert sorted(error.line for error in report.errors) == [2, 3, 5, 6]

"""Our own checks: what they find, and what they leave alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dockmagic.dockerfile import check
from dockmagic.dockerfile.lint import RULES

OWN = {rule.name for rule in RULES.values() if rule.own}


def found(text: str) -> list[tuple[str, int]]:
    """Our rules and their lines."""
    report = check(text)
    assert report.error is None
    return [(warning.rule, warning.line) for warning in report.warnings if warning.rule in OWN]


@pytest.mark.parametrize(
    "text",
    [
        "RUN curl -o /tmp/a.tgz https://x/a.tgz\nRUN rm -f /tmp/a.tgz",
        "COPY a.tgz /tmp/\nRUN tar xf /tmp/a.tgz && rm /tmp/a.tgz",
        "WORKDIR /src\nCOPY . .\nRUN make && rm -rf /src",
        "RUN git clone https://x/y /opt/y\nRUN rm -rf /opt/*",
        "ADD a b /data/\nRUN <<EOF\nrm -r /data/b\nEOF",
    ],
)
def test_removing_what_another_layer_holds(text: str) -> None:
    report = [finding for finding in found(f"FROM a\n{text}") if finding[0] == "RemovedInLaterLayer"]
    assert len(report) == 1


@pytest.mark.parametrize(
    "text",
    [
        "RUN curl -o /tmp/a https://x/a && rm /tmp/a",
        "RUN curl -o /tmp/a https://x/a\nRUN rm /tmp/b",
        "RUN curl -o /tmp/a https://x/a\nRUN echo rm /tmp/a",
        "COPY a /a\nRUN cd /x && rm a",
        "COPY a /a\nRUN rm $FILE",
        "RUN --mount=target=/src rm -rf /src/x",
    ],
)
def test_removing_what_is_the_layers_own_or_not_known(text: str) -> None:
    assert found(f"FROM a\n{text}") == []


def test_apt_lists() -> None:
    assert found("FROM a\nRUN apt-get update && apt-get install -y b") == [("AptListsLeftBehind", 2)]
    assert found("FROM a\nRUN apt-get -qq update\nRUN rm -rf /var/lib/apt/lists/*") == [
        ("AptListsLeftBehind", 2),
        ("RemovedInLaterLayer", 3),
    ]
    assert found("FROM a\nRUN apt-get update && apt-get install b && rm -rf /var/lib/apt/lists/*") == []
    assert found("FROM a\nRUN --mount=type=cache,target=/var/lib/apt apt-get update") == []
    assert found("FROM a AS b\nRUN apt-get update\nFROM a") == []


def test_copying_everything_before_the_dependencies() -> None:
    assert found("FROM a\nCOPY . /app\nRUN pip install -r requirements.txt") == [("CopyBeforeInstall", 2)]
    assert found("FROM a\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .") == []
    assert found("FROM a\nCOPY . .\nRUN pip install .") == []
    assert found("FROM a\nCOPY --from=b . .\nRUN npm ci") == []


def test_commands_that_a_later_stage_replaces() -> None:
    assert found('FROM x AS a\nCMD ["a"]\nFROM a\nCMD ["b"]') == [("CommandOverridden", 2)]
    assert found('FROM x AS a\nCMD ["a"]\nFROM a\nENTRYPOINT ["b"]') == [("CommandOverridden", 2)]
    assert found('FROM x AS a\nENTRYPOINT ["a"]\nCMD ["x"]\nFROM a AS b\nFROM b\nENTRYPOINT ["b"]\nCMD ["y"]') == [
        ("CommandOverridden", 2),
        ("CommandOverridden", 3),
    ]
    assert found('FROM x AS a\nCMD ["a"]\nFROM x\nCMD ["b"]') == []
    assert found('FROM x AS a\nENTRYPOINT ["a"]\nFROM a\nCMD ["b"]') == []


@pytest.mark.parametrize(
    "text",
    [
        "ENV X=ghp_" + "a1" * 18,
        "ARG KEY=AKIA" + "ABCDEFGH23456789",
        "RUN curl -H 'Authorization: Bearer abcdef123456' https://x",
        "RUN git clone https://me:pass@example.com/x",
        "COPY <<EOF /key\n-----BEGIN RSA PRIVATE KEY-----\nEOF",
    ],
)
def test_secrets_in_plain_sight(text: str) -> None:
    assert found(f"FROM a\n{text}") == [("SecretByValue", 2)]


@pytest.mark.parametrize(
    "text",
    [
        'RUN curl -H "Authorization: Bearer $TOKEN" https://x',
        "RUN git clone https://$USER:$PASS@example.com/x",
        "RUN --mount=type=secret,id=t,env=TOKEN curl https://x",
        "ENV URL=postgres://db:5432/x",
    ],
)
def test_what_is_no_secret(text: str) -> None:
    assert found(f"FROM a\n{text}") == []


def test_our_checks_can_be_skipped_too() -> None:
    assert found("# check=skip=AptListsLeftBehind\nFROM a\nRUN apt-get update") == []
    assert found("FROM a\n# check=skip=AptListsLeftBehind\nRUN apt-get update") == []
    report = check("FROM a\nRUN apt-get update", own_rules=False)
    assert report.warnings == []


def test_hints_are_quiet_on_good_files(conformance: Path) -> None:
    """Of BuildKit's corpus they find fault with a few, rightly: lists that stay, a CMD replaced, a whole context."""
    corpus = json.loads((conformance / "parse_corpus.json").read_text())
    texts = {case["dockerfile"] for case in corpus if isinstance(case.get("dockerfile"), str)}
    findings = [warning for text in texts for warning in check(text).warnings if warning.rule in OWN]
    for warning in findings:
        assert warning.rule in {"AptListsLeftBehind", "CommandOverridden", "CopyBeforeInstall"}, str(warning)
    assert len(findings) < len(texts) / 25


def test_hints_never_fail_a_build() -> None:
    report = check("# check=error=true\nFROM a\nRUN apt-get update\n")
    assert report.error is None
    assert [warning.rule for warning in report.warnings] == ["AptListsLeftBehind"]

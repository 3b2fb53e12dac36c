"""Every token's place."""

from __future__ import annotations

from dockmagic.dockerfile import parse, tokens


def marked(text: str) -> list[tuple[str, str]]:
    """Each token's kind and the text at its place, which has to be on one line."""
    tree = parse(text, recover=True)
    lines = text.split("\n")
    found = []
    for node in tree.nodes:
        for token in tokens(node, tree.escape):
            start, end = token.range
            assert start.line == end.line
            found.append((token.kind, lines[start.line - 1][start.column : end.column]))
    return found


def test_flags_and_arguments_over_several_lines() -> None:
    assert marked("COPY --from=a --chown='b c' \\\n  x \\\n  # note\n  /y/") == [
        ("keyword", "COPY"),
        ("flag", "--from=a"),
        ("flag", "--chown='b c'"),
        ("argument", "x"),
        ("argument", "/y/"),
    ]


def test_pairs_are_keys_and_values() -> None:
    assert marked('ENV A=1 B="2 3"\nLABEL key a value') == [
        ("keyword", "ENV"),
        ("key", "A"),
        ("value", "1"),
        ("key", "B"),
        ("value", '"2 3"'),
        ("keyword", "LABEL"),
        ("key", "key"),
        ("value", "a value"),
    ]


def test_json_strings_have_decoded_values_and_places_with_quotes() -> None:
    text = 'CMD ["a", "b\\n"]'
    assert marked(text) == [("keyword", "CMD"), ("argument", '"a"'), ("argument", '"b\\n"')]
    assert [token.value for token in tokens(parse(text).nodes[0])] == ["CMD", "a", "b\n"]


def test_a_trigger_has_its_own_tokens() -> None:
    assert marked("ONBUILD \\\n RUN --mount=type=ssh git pull") == [
        ("keyword", "ONBUILD"),
        ("keyword", "RUN"),
        ("flag", "--mount=type=ssh"),
        ("argument", "git pull"),
    ]


def test_what_cannot_be_read_is_given_as_words() -> None:
    assert marked("FRO alpine now\nENV X")[1:] == [
        ("argument", "alpine"),
        ("argument", "now"),
        ("keyword", "ENV"),
        ("argument", "X"),
    ]


def test_health_checks_have_a_type_and_a_command() -> None:
    assert marked("HEALTHCHECK --retries=2 CMD  curl x") == [
        ("keyword", "HEALTHCHECK"),
        ("flag", "--retries=2"),
        ("argument", "CMD"),
        ("argument", "curl x"),
    ]

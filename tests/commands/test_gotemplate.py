"""Go's templates as far as docker's --format goes. The expected texts are docker 28's."""

from __future__ import annotations

import pytest

from dockmagic.commands.gotemplate import Template, TemplateError, Typed

VALUE = {
    "State": {"Running": True, "ExitCode": 0, "Error": ""},
    "Cmd": ["sh", "-c"],
    "Labels": {"b": "2", "a": "1"},
    "Nothing": None,
    "Size": 1983948.0,
    "Name": "/web",
    "Empty": [],
    "Markup": "<b>&",
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.State.Running}}", "true"),
        ("{{.Cmd}}", "[sh -c]"),
        ("{{.Labels}}", "map[a:1 b:2]"),
        ("{{json .Cmd}} {{json .Markup}}", '["sh","-c"] "\\u003cb\\u003e\\u0026"'),
        ("{{len .Cmd}} {{index .Cmd 1}} {{index .Labels \"a\"}}", "2 -c 1"),
        ("{{.Size}}", "1.983948e+06"),
        ("{{range .Cmd}}<{{.}}>{{end}}", "<sh><-c>"),
        ("{{range $i, $e := .Cmd}}{{$i}}{{$e}};{{end}}", "0sh;1-c;"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "a=1 b=2 "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .Nothing}}a{{else if eq .State.ExitCode 0}}zero{{end}}", "zero"),
        ("{{with .Labels}}{{.a}}{{end}}", "1"),
        ("{{.Name | upper | printf \"%-6s|\"}}", "/WEB  |"),
        ("{{join .Cmd \",\"}} {{lower \"AbC\"}} {{title \"ab cd\"}}", "sh,-c abc Ab Cd"),
        ("{{println .Name}}", "/web\n"),
        ("{{slice .Name 1}} {{truncate .Name 3}}", "web /we"),
        ("a {{- /* gone */ -}} b", "ab"),
        ("{{if and .State.Running (not .Nothing)}}both{{end}}", "both"),
        ("{{(index .Cmd 0)}} {{(.State).ExitCode}}", "sh 0"),
        ("{{$x := .Name}}{{$x}}", "/web"),
        ("{{range .Cmd}}{{if eq . \"-c\"}}{{break}}{{end}}{{.}}{{end}}", "sh"),
        ("{{`raw {{ }}`}}", "raw {{ }}"),
        ("{{\"a\\tb\"}}", "a\tb"),
        ("{{.Nothing}}", "<no value>"),
        ("no action", "no action"),
    ],
)  # fmt: skip
def test_what_a_template_makes(source: str, text: str) -> None:
    assert Template(source).execute(VALUE) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{foo", 'template: :1: function "foo" not defined'),
        ("{{.Foo}}", 'template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo"'),
        ("{{.Name.X}}", 'template: :1:2: executing "" at <.Name.X>: can\'t evaluate field X in type string'),
        ("{{if .Name}}", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{}}", "template: :1: missing value for command"),
        ('{{"open}}', "template: :1: un"),
        ("{{nope .Name}}", 'template: :1: function "nope" not defined'),
        ("{{index .Cmd 7}}", "index out of range: 7"),
        ("{{.Name", "template: :1: unclosed action"),
    ],
)
def test_what_is_wrong_with_a_template(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as failure:
        Template(source).execute(VALUE)
    assert message in str(failure.value)


def test_rows_have_only_their_fields_and_methods_take_arguments() -> None:
    row = Typed("*formatter.ContainerContext", {"ID": "abc", "Label": {"a": "1"}.get})
    assert Template('{{.ID}} {{.Label "a"}}').execute(row) == "abc 1"
    with pytest.raises(TemplateError, match=r"can't evaluate field Foo in type \*formatter.ContainerContext"):
        Template("{{.Foo}}").execute(row)


def test_a_map_may_be_asked_for_what_it_has_not() -> None:
    assert Template("{{.Actor.ID}}", strict=False).execute({}) == "<no value>"

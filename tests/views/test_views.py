"""What people look at: text, HTML, and hostile values that stay text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from dockmagic.trace import StatusResponse, Vertex, VertexLog
from dockmagic.views.build import BuildProgress, BuildResult
from dockmagic.views.changes import Changes, ImageDiff
from dockmagic.views.checks import Checks, Finding
from dockmagic.views.flow import Flow
from dockmagic.views.layers import FileEntry, History, LayerEntry, LayerTree
from dockmagic.views.pull import PullProgress
from dockmagic.views.run import RunResult
from dockmagic.views.table import Table, columns_text
from dockmagic.views.text import Json, Text
from dockmagic.views.usage import Usage
from dockmagic.views.view import View, clean

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J\x07\u202e'\"&"

KEPT = {"details", "summary", "table", "thead", "tbody", "tr", "td", "th", "caption", "progress", "pre", "code", "div",
        "span", "b", "a", "img"}  # fmt: skip
"""What JupyterLab's sanitizer keeps of what the views use."""

ATTRIBUTES = {"style", "title", "scope", "value", "max", "href", "open", "src", "alt", "width", "height"}


def tree(evil: str = "RUN make") -> LayerTree:
    entries = [
        LayerEntry("ADD rootfs", 1000, 1.0, base=True),
        LayerEntry("CMD sh", 0, 1.0, base=True, empty=True),
        LayerEntry(evil, 500, 2.0, step="[2/3]", cached=False, seconds=1.25,
                   files=[FileEntry(evil, 500, children=[FileEntry(evil, 500, "changed")])]),
        LayerEntry("COPY a /a", 0, 2.0, step="[3/3]", cached=True),
        LayerEntry("CMD [\"a\"]", 0, 2.0, empty=True),
    ]  # fmt: skip
    return LayerTree("name:latest", "sha256:" + "ab" * 32, entries, base="alpine", note="built in 1.3 s")


def progress(evil: str = "out") -> BuildProgress:
    made = BuildProgress()
    made.add(StatusResponse(vertexes=[Vertex("b", "[1/2] FROM docker.io/library/alpine", started=1.0, completed=2.0)]))
    made.add(StatusResponse(vertexes=[Vertex("c", f"[2/2] RUN {evil}", started=1.0)]))
    made.add(StatusResponse(logs=[VertexLog("c", f"{evil}\n".encode())]))
    return made


def pulled(evil: str) -> PullProgress:
    made = PullProgress()
    made.add({"status": f"Pulling from {evil}", "id": evil})
    made.add({"status": evil, "id": "abc", "progressDetail": {"current": 1, "total": 2}})
    return made


EVERY = [
    Text(EVIL),
    Json([EVIL], f'["{EVIL}"]'),
    Table([("A", EVIL)], [{"A": EVIL}], caption=EVIL),
    Table([("A", "A")], [{"A": EVIL}], lines=EVIL),
    RunResult(EVIL.encode(), EVIL.encode(), 1),
    tree(EVIL),
    History(Table([("A", "A")], [{"A": EVIL}]), tree(EVIL)),
    progress(EVIL),
    BuildResult("sha256:" + "ab" * 32, [EVIL], None, progress(EVIL), progress(EVIL).instructions),
    BuildResult("sha256:" + "ab" * 32, [EVIL], tree(EVIL), progress(EVIL)),
    pulled(EVIL),
    Changes([(0, EVIL), (2, EVIL)]),
    ImageDiff((EVIL, EVIL), [("Env", EVIL, EVIL)], 1, [(1, EVIL, 0, 3)]),
    Checks(EVIL, [Finding(EVIL, EVIL, EVIL, "javascript:alert(1)", 1)], EVIL),
    Usage([("ID", EVIL), ("CPUPerc", "CPU %")], [{"ID": EVIL, "CPUPerc": EVIL}], {EVIL: [(1.0, 2.0), (250.0, 3.0)]}),
    Flow(EVIL, EVIL, [EVIL], [EVIL], [(EVIL, EVIL, EVIL)]),
]


class Reader(HTMLParser):
    """Collects tags and attributes, and sees that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("view", EVERY, ids=lambda v: type(v).__name__)
def test_hostile_values_stay_text(view: View) -> None:
    reader = Reader()
    reader.feed(view.html())
    assert reader.open == []
    assert reader.tags <= KEPT
    assert {name for name, _ in reader.attributes} <= ATTRIBUTES
    assert not any("javascript:" in value for _, value in reader.attributes)
    for shown in (view.text(), view.html()):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", shown)


@pytest.mark.parametrize("view", EVERY, ids=lambda v: type(v).__name__)
def test_styles_survive_the_sanitizer(view: View) -> None:
    """No variables, no currentColor, no element that needs a style sheet."""
    assert not re.search(r"var\(|currentColor|inherit|hsl|<style|<svg|aria-|data-", view.html())


@pytest.mark.parametrize("view", EVERY, ids=lambda v: type(v).__name__)
def test_the_bundle_is_the_two_forms(view: View) -> None:
    assert view._repr_mimebundle_() == {"text/plain": view.text(), "text/html": view.html()}


def test_control_characters_are_written_out() -> None:
    assert clean("a\x1b[0m\nb\t\u202e") == "a\\x1b[0m\nb\t\\u202e"
    assert clean("a\nb", lines=False) == "a\\nb"
    assert clean("a\udc80") == "a\\udc80"
    assert clean("한국어 é") == "한국어 é"


def test_columns_are_dockers() -> None:
    assert columns_text([["A", "LONG HEADING", "C"], ["x", "y", "z"]]) == (
        "A         LONG HEADING   C\nx         y              z"
    )


def test_wide_characters_take_two_columns() -> None:
    lines = columns_text([["NAME", "X"], ["한국어한국어", "y"]]).split("\n")
    assert lines[0] == "NAME           X"
    assert lines[1] == "한국어한국어   y"


def test_a_table_is_a_list_of_rows() -> None:
    table = Table([("ID", "ID")], [{"ID": "1", "More": "m"}, {"ID": "2", "More": "n"}])
    assert [row["More"] for row in table] == ["m", "n"]
    assert table[1]["ID"] == "2"
    assert len(table[0:1]) == 1
    assert table.lines == ["ID", "1", "2"]


def test_the_layer_tree_reads_well_as_text() -> None:
    assert tree().text() == (
        "name:latest  abababababab  3 layers, 1.5kB, built in 1.3 s\n"
        "      FROM alpine      1kB  #######···  base\n"
        "[2/3] RUN make        500B  ###·······  1.2 s\n"
        "[3/3] COPY a /a         0B  ··········  CACHED\n"
        '      CMD ["a"]'
    )


def test_the_layer_tree_tells_shares() -> None:
    made = tree()
    assert made.size == 1500
    assert made.share(made.entries[2]) == pytest.approx(1 / 3)


def test_a_running_build_shows_the_end_of_its_output() -> None:
    made = progress()
    made.add(StatusResponse(logs=[VertexLog("c", b"".join(b"line %d\n" % i for i in range(50)))]))
    shown = made.text().split("\n")
    assert shown[0].startswith("[1/2] FROM alpine")
    assert shown[-1] == "    line 49"
    assert len(shown) == 10


def test_a_failed_step_is_told_from_one_that_was_cancelled() -> None:
    made = progress()
    made.add(StatusResponse(vertexes=[Vertex("d", "[2/2] RUN other", started=1.0, error="context canceled")]))
    assert made.failed is None
    made.add(StatusResponse(vertexes=[Vertex("c", "[2/2] RUN out", started=1.0, completed=2.0, error="exit code: 3")]))
    assert made.failed is not None
    assert "ERROR" in made.text()


def test_a_pull_is_a_line_a_layer() -> None:
    made = PullProgress()
    for message in (
        {"status": "Pulling from library/alpine", "id": "latest"},
        {"status": "Pulling fs layer", "id": "abc", "progressDetail": {}},
        {"status": "Downloading", "id": "abc", "progressDetail": {"current": 5, "total": 10}},
        {"status": "Pull complete", "id": "abc", "progressDetail": {}},
        {"status": "Digest: sha256:1"},
    ):
        made.add(message)
    assert made.text() == "latest: Pulling from library/alpine\nabc: Pull complete\nDigest: sha256:1"
    made.add({"error": "no space", "errorDetail": {"message": "no space left"}})
    assert made.error == "no space left"


def test_a_result_tells_all_of_a_run() -> None:
    assert RunResult(b"out\n", b"err\n", 3).text() == "out\nstderr:\nerr\nexit code: 3"
    assert RunResult(b'{"a": 1}\n{"a": 2}\n', b"", 0).json() == [{"a": 1}, {"a": 2}]
    with pytest.raises(ValueError, match="Expecting value"):
        RunResult(b"no json", b"", 0).json()


def test_what_a_face_has_shown_is_not_shown_again() -> None:
    view = Text("x")
    with pytest.raises(NotImplementedError):
        view._ipython_display_()
    view.shown = lambda: True
    view._ipython_display_()


def test_usage_has_charts_that_are_told_in_words() -> None:
    rows = [{"ID": "a", "CPUPerc": "7.00%", "MemPerc": "1.00%"}, {"ID": "b", "CPUPerc": "0.00%", "MemPerc": "0.00%"}]
    columns = [("ID", "CONTAINER ID"), ("CPUPerc", "CPU %")]
    made = Usage(columns, rows, {"a": [(1.5, 0.0), (7.0, 1.0)], "b": [(0.0, 0.0)]})
    assert made.text() == Table(columns, rows).text()
    assert 'alt="2 samples, 1.5 to 7.0 %"' in made.html()
    assert 'alt="0.0 %"' in made.html()
    assert made.html().count('src="data:image/svg+xml;base64,') == 2


def test_a_layer_on_its_way_tells_how_far() -> None:
    made = PullProgress()
    made.add({"status": "Downloading", "id": "abc", "progressDetail": {"current": 5_000_000, "total": 10_000_000}})
    assert '<progress value="5000000" max="10000000"></progress> 5MB of 10MB' in made.html()


def test_hints_before_a_build_say_nothing_of_warnings() -> None:
    hint = [Finding("RemovedInLaterLayer", "gone too late", "", "", 2, own=True)]
    before = Checks("FROM a\nRUN rm x", hint, "cell", asked=False)
    assert before.text() == "cell:2 | RUN rm x\n  HINT: RemovedInLaterLayer: gone too late"
    assert "<a" not in before.html() and "Check complete" not in before.html()
    assert Checks("FROM a\nRUN rm x", hint).text().startswith("Check complete, no warnings found.\n")

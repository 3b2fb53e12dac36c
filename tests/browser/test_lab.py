"""What people see and touch in JupyterLab: the tree, the stop button, help, a terminal, hostile content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import nbformat
import pytest

from tests.browser.conftest import Book, Lab, Open

HIT = "window.dockmagicHit=1"
EVIL = f"<img src=x onerror={HIT}><script>{HIT}</script><svg onload={HIT}>"

BOOK = [
    "%load_ext dockmagic",
    "%docker history --files alpine",
    "%docker run --rm alpine sh -c 'echo up; exec sleep 1000'",
    "%docker run --rm -it alpine sh",
    "%docker imag",
    "%%dockerfile\nFROM alpine\nWORKDIR /srv",
]
TREE, LONG, TERMINAL, TYPED, INSTRUCTION = range(1, 6)


@pytest.fixture(scope="module")
def book(open_book: Open) -> Iterator[Book]:
    with open_book("face.ipynb", *BOOK) as opened:
        opened.run(0)
        opened.output(0)
        yield opened


def test_the_tree_opens_to_files(book: Book) -> None:
    book.run(TREE)
    output = book.output(TREE)
    files = output.get_by_text("alpine-release", exact=False)
    assert files.count() == 1
    assert not files.is_visible()
    output.locator("summary", has_text="files").click()
    output.locator("summary", has_text="etc/").click()
    assert files.is_visible()


def test_the_stop_button_stops_the_container(book: Book, engine_client: docker.DockerClient) -> None:
    book.run(LONG)
    book.cell(LONG).get_by_text("up", exact=True).wait_for()
    assert any("sleep" in str(c.attrs["Args"]) for c in engine_client.containers.list())
    book.page.locator("[data-jp-item-name=interrupt] jp-button, [data-jp-item-name=interrupt] button").first.click()
    assert "was stopped and removed" in book.text(LONG)
    assert not any("sleep" in str(c.attrs["Args"]) for c in engine_client.containers.list(all=True))


def test_a_terminal_takes_input_and_leaves_text(book: Book, lab: Lab) -> None:
    book.run(TERMINAL)
    cell = book.cell(TERMINAL)
    screen = cell.locator(".xterm-rows")
    screen.get_by_text("/ #").first.wait_for()
    book.page.keyboard.type("stty size | tr ' ' x; echo typed | tr a-z A-Z\n")
    screen.get_by_text("TYPED", exact=True).wait_for()
    book.page.keyboard.type("sleep 1000 && echo never\n")
    screen.get_by_text("echo never").wait_for()
    book.page.keyboard.press("Control+c")
    screen.get_by_text("^C").first.wait_for()
    book.page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData('text/plain', 'echo pasted | rev');
            document.querySelector('.xterm-helper-textarea').dispatchEvent(
                new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
        }"""
    )
    book.page.keyboard.press("Enter")
    screen.get_by_text("detsap", exact=True).wait_for()
    book.page.keyboard.type("true\n")
    book.page.keyboard.press("Control+d")
    text = book.text(TERMINAL)
    assert "TYPED" in text
    assert "detsap" in text
    assert "exit code: 0" in text
    assert cell.locator(".xterm").count() == 0
    book.save()
    saved = nbformat.read(lab.folder / "face.ipynb", 4).cells[TERMINAL].outputs
    assert "TYPED" in saved[0]["data"]["text/plain"]
    assert [list(o["data"]) for o in saved if o["output_type"] == "display_data"] == [["text/plain"]]


def edit(book: Book, index: int) -> Any:
    """Put the cursor at the end of a cell."""
    book.select(index)
    editor = book.cell(index).locator(".cm-content")
    editor.click()
    book.page.keyboard.press("Control+End")
    return editor


def test_tab_completes(book: Book) -> None:
    editor = edit(book, TYPED)
    book.page.keyboard.press("Tab")
    offered = book.page.locator(".jp-Completer .jp-Completer-match")
    offered.first.wait_for()
    assert set(offered.all_inner_texts()) == {"image", "images"}
    book.page.keyboard.press("Escape")
    book.page.keyboard.type("es alp")
    book.page.keyboard.press("Tab")
    assert "%docker images alp" in editor.inner_text()


def test_shift_tab_explains(book: Book) -> None:
    edit(book, INSTRUCTION)
    for _ in "/srv ":
        book.page.keyboard.press("ArrowLeft")
    book.page.keyboard.press("Shift+Tab")
    book.page.locator(".jp-Tooltip", has_text="working directory of later steps").wait_for()
    book.page.keyboard.press("Escape")


@pytest.fixture(scope="module")
def hostile(engine_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image whose labels, instructions, files and output are markup and control characters."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "files").mkdir()
    (folder / "files" / EVIL.replace("/", "⁄")).write_text("x" * 100)
    (folder / "files" / "red\x1b[31m\u202ebackwards").write_text("x")
    (folder / "Dockerfile").write_text(
        f"FROM alpine\nLABEL evil='{EVIL}'\nENV EVIL='{EVIL}'\nCOPY files /files\n"
        f"RUN echo '{EVIL}'; printf '\\033]0;title\\007\\033[2J'; touch '/{EVIL.replace('/', '⁄')}'\n"
        f'CMD ["echo", "{EVIL}\\u001b]0;title\\u0007"]\n'
    )
    engine_client.images.build(path=str(folder), tag="hostile")
    engine_client.containers.create("hostile", name="hostile-one", labels={EVIL: EVIL}, command=["echo", EVIL])
    return "hostile"


HOSTILE = [
    "%load_ext dockmagic",
    "%docker history --files hostile",
    "%docker diff alpine hostile",
    "%docker inspect hostile",
    "%docker ps -a --no-trunc",
    "%docker flow",
    "%docker run --rm hostile",
    f"%%dockerfile -t hostile-two --no-cache\nFROM hostile\nRUN echo '{EVIL}'; : '{EVIL}'",
    f"%%dockerfile\nFROM hostile\nRUN echo '{EVIL}'; exit 3",
    f"r = %docker run --rm alpine echo '{EVIL}'\nr",
    f"%docker run --rm --label '{EVIL}' 'alpine:{EVIL}'",
    "%docker images --format '{{.Repository}} <b id=injected>{{.Tag}}</b>'",
]

LIVE = """() => {
    const found = [];
    const live = ['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'SVG', 'FORM', 'BASE', 'META'];
    for (const output of document.querySelectorAll('.jp-OutputArea-output')) {
        for (const e of output.querySelectorAll('*')) {
            if (live.includes(e.tagName.toUpperCase())) {
                found.push(e.outerHTML);
            }
            for (const a of e.attributes) {
                if (a.name.startsWith('on') || /^\\s*javascript:/i.test(a.value)) found.push(e.outerHTML);
            }
            if (e.tagName === 'IMG' && !e.src.startsWith('data:')) found.push(e.outerHTML);
            if (e.id === 'injected') found.push(e.outerHTML);
        }
    }
    if (window.dockmagicHit) found.push('a script of the image ran');
    return found;
}"""


def test_hostile_content_stays_text(hostile: str, open_book: Open, lab: Lab) -> None:
    with open_book("hostile.ipynb", *HOSTILE) as book:
        text = ""
        for index in range(len(HOSTILE)):  # one after another: a cell that fails takes those that wait with it
            book.run(index)
            text += book.text(index)
        assert text.count("onerror=") > 10
        assert book.page.evaluate(LIVE) == []
        assert book.dialogs == []
        book.save()

    saved = nbformat.read(lab.folder / "hostile.ipynb", 4)
    saved.cells.append(nbformat.v4.new_markdown_cell("So that the lab does not know its signature"))
    nbformat.write(saved, lab.folder / "strange.ipynb")
    with open_book("strange.ipynb") as book:
        trusted = "() => window.jupyterapp.shell.currentWidget.content.widgets[1].model.trusted"
        assert book.page.evaluate(trusted) is False
        output = book.cell(1).locator(".jp-OutputArea-output")
        summary = output.locator("summary", has_text="COPY files")
        summary.click()
        output.locator("summary", has_text="files/").first.click()
        output.get_by_text("red\\x1b[31m\\u202ebackwards").wait_for()
        assert book.page.evaluate(LIVE) == []
        assert book.dialogs == []

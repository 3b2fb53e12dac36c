"""JupyterLab in the system's Chromium, on an engine of ours: one lab and one browser for all tests."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import nbformat
import pytest

from tests.support import images, services

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

SETTINGS = {
    "@jupyterlab/apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}',
}


@pytest.fixture(scope="session")
def engine_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An engine with alpine and busybox."""
    with services.embedded(tmp_path_factory.mktemp("engine") / "root") as url:
        images.provide(url)
        yield url


@pytest.fixture(scope="session")
def engine_client(engine_url: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=engine_url, timeout=120)
    yield client
    client.close()


class Lab:
    """A JupyterLab that serves ``folder``; ``enter`` begins a command in the network it is in."""

    def __init__(self, address: str, folder: Path, enter: list[str]) -> None:
        self.address = address
        self.folder = folder
        self.enter = enter


@pytest.fixture(scope="session")
def lab(engine_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Where that can be had, in a network of its own: Chromium drops its requests whenever a container's link comes
    or goes."""
    for module in ("jupyterlab", "anywidget", "playwright"):
        if importlib.util.find_spec(module) is None:
            services.missing(f"{module} is not installed")
    if CHROMIUM is None:
        services.missing("chromium is not installed")
    base = tmp_path_factory.mktemp("lab")
    for name, text in SETTINGS.items():
        place = base / "settings" / f"{name}.jupyterlab-settings"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (base / "notebooks").mkdir()
    names = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "HOME": "home",
             "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
             "IPYTHONDIR": "ipython"}  # fmt: skip
    environment = {**os.environ, **{k: str(base / v) for k, v in names.items()}, "DOCKMAGIC_HOST": engine_url}
    port = services.free_port()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--IdentityProvider.token=", f"--ServerApp.root_dir={base / 'notebooks'}", "--ServerApp.open_browser=False",
        "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    own = os.geteuid() == 0 and all(shutil.which(p) for p in ("unshare", "nsenter", "ip"))
    if own:
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    log = base / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    enter = ["nsenter", f"--net=/proc/{process.pid}/ns/net"] if own else []
    try:
        if own:
            _await_own_network(process)
        ask = [*enter, sys.executable, "-c", _WAIT, str(port)]
        if subprocess.run(ask, timeout=90, check=False).returncode:
            pytest.fail(f"JupyterLab did not come up:\n{log.read_text(errors='replace')[-3000:]}")
        yield Lab(f"http://127.0.0.1:{port}", base / "notebooks", enter)
    finally:
        services.end(process)


def _await_own_network(process: subprocess.Popen[bytes]) -> None:
    """Return when it has left this process's network: who entered its network before would be in this one."""
    outside, deadline = os.readlink("/proc/self/ns/net"), time.monotonic() + 30
    while os.readlink(f"/proc/{process.pid}/ns/net") == outside:
        assert process.poll() is None and time.monotonic() < deadline, "it stays in this network"


_WAIT = """
import socket, sys, time
for _ in range(800):
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", int(sys.argv[1]))) == 0:
            sys.exit(0)
    time.sleep(0.1)
sys.exit(1)
"""


@pytest.fixture(scope="session")
def browser(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium in the lab's network."""
    from playwright.sync_api import sync_playwright

    program = tmp_path_factory.mktemp("chromium") / "chromium"
    program.write_text(f'#!/bin/sh\nexec {" ".join(lab.enter)} {CHROMIUM} "$@"\n')
    program.chmod(0o755)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(program), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


class Book:
    """A notebook open in the lab. ``dialogs`` are those that its page has opened: none should."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.dialogs: list[str] = []
        page.on("dialog", self._dialog)
        page.set_default_timeout(120_000)

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def command(self, name: str) -> None:
        """Execute one of the lab's commands, without waiting for what it began."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    def select(self, index: int) -> None:
        self.page.evaluate(
            "i => { const c = window.jupyterapp.shell.currentWidget.content; c.deselectAll(); c.activeCellIndex = i; }",
            index,
        )

    def run(self, index: int) -> None:
        """Run a cell, and go on at once."""
        self.select(index)
        self.command("notebook:run-cell")

    def cell(self, index: int) -> Any:
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def output(self, index: int) -> Any:
        """The cell's output, once it has run."""
        self.page.wait_for_function(
            "i => /\\[\\d+\\]/.test(document.querySelectorAll('.jp-Notebook .jp-CodeCell')[i]"
            ".querySelector('.jp-InputPrompt').textContent)",
            arg=index,
        )
        return self.cell(index).locator(".jp-OutputArea-output")

    def text(self, index: int) -> str:
        return "\n".join(self.output(index).all_inner_texts())

    def save(self) -> None:
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


OPEN = """() => {
    const w = window.jupyterapp && window.jupyterapp.shell.currentWidget;
    const s = w && w.sessionContext && w.sessionContext.session;
    return s && s.kernel && s.kernel.status === 'idle' && document.querySelector('.jp-Notebook .jp-CodeCell');
}"""

Open = Callable[..., contextlib.AbstractContextManager[Book]]


@pytest.fixture(scope="session")
def open_book(lab: Lab, browser: Any) -> Open:
    """Opens a notebook of cells, or a file that is there already."""

    @contextlib.contextmanager
    def opened(name: str, *sources: str) -> Iterator[Book]:
        if sources:
            cells = [nbformat.v4.new_code_cell(source) for source in sources]
            spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), lab.folder / name)
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        try:
            book = Book(page)
            page.goto(f"{lab.address}/lab/tree/{name}?reset")
            page.wait_for_function(OPEN)
            yield book
        finally:
            page.close()

    return opened

"""A container under Docker's default profile as a stand-in for a Binder pod (uid 1000) or Colab (root)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support import debian

IMAGE = "dockmagic-pod"
NEEDED = ["pytest", "pytest-timeout", "nbclient", "nbval"]


def _docker(daemon: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", "-H", daemon, *arguments], check=False, **options)  # type: ignore[call-overload,no-any-return]


def make_image(daemon: str, project: Path) -> None:
    """Debian with Python, the project's wheel and what its tests need, and a user with uid 1000."""
    with tempfile.TemporaryDirectory(prefix="dockmagic-pod-") as folder:
        root = Path(folder, "root")
        root.mkdir()
        subprocess.run(["tar", "-C", str(root), "-xf", str(debian.tarball())], check=True)
        wheels = root / "wheels"
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "-w", str(wheels), str(project), *NEEDED], check=True
        )
        install = "/opt/venv/bin/pip install -q --no-compile --no-index --find-links /wheels"
        script = (
            f"set -e; python3 -m venv /opt/venv; {install} dockmagic {' '.join(NEEDED)}; rm -r /wheels;"
            " useradd --uid 1000 --create-home jovyan; chown -R jovyan /opt/venv"
        )
        subprocess.run(["chroot", str(root), "sh", "-c", script], check=True)
        tar = subprocess.Popen(["tar", "-C", str(root), "-cf", "-", "."], stdout=subprocess.PIPE)
        _docker(daemon, "import", "-", IMAGE, stdin=tar.stdout, stdout=subprocess.DEVNULL).check_returncode()
        if tar.wait():
            raise RuntimeError("tar of the pod's root failed")


def run_tests(daemon: str, project: Path, options: Sequence[str], tests: Sequence[str]) -> int:
    """The exit code of pytest inside the pod, without network; the tests are the project's, the package its wheel."""
    home = "/home/jovyan" if "--user" in options else "/root"
    return _docker(
        daemon, "run", "--rm", "--network", "none", *options,
        "-v", f"{project}/tests:/project/tests:ro", "-v", f"{project}/pyproject.toml:/project/pyproject.toml:ro",
        "-v", f"{project}/notebooks:/project/notebooks:ro",
        "-w", "/project", "-e", f"HOME={home}", "-e", "DOCKMAGIC_TEST_ENGINES=embedded",
        IMAGE, "/opt/venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests,
    ).returncode  # fmt: skip


def run_binder(daemon: str, project: Path) -> int:
    """The exit code of what Binder does, in the pod as uid 1000 without network: postBuild, then each notebook."""
    return _docker(
        daemon, "run", "--rm", "--network", "none", "--user", "1000:1000", "--security-opt", "no-new-privileges",
        "-v", f"{project}:/project:ro", "-w", "/project", "-e", "HOME=/home/jovyan", "-e", "PYTHONDONTWRITEBYTECODE=1",
        "-e", "PATH=/opt/venv/bin:/usr/bin:/bin", IMAGE, "python", "-m", "tests.support.binder",
    ).returncode  # fmt: skip

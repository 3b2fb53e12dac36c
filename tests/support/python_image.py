"""A stand-in for ``python:3.X-slim``: this very Python on busybox, and a pip that installs from wheels in the image."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.support import images

TAG = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
STOCK = ("Jinja2", "MarkupSafe")
"""What pip finds there; built again as wheels from what is installed here, for there may be no network."""

ENV = ["PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels", "PIP_ROOT_USER_ACTION=ignore", "PIP_DISABLE_PIP_VERSION_CHECK=1"]
LEFT_OUT = {
    "dist-packages", "ensurepip", "EXTERNALLY-MANAGED", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "test", "tests", "tkinter", "turtledemo", "turtle.py", "__phello__", "_tkinter",
}  # fmt: skip


def python() -> bytes:
    """The image's archive."""
    executable = Path(os.path.realpath(sys.executable))
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    files = {str(path): path for path in _tree(library)}
    files[str(executable)] = executable
    natives = [executable, *(path for path in files.values() if path.suffix == ".so")]
    files |= {path: Path(path) for path in _libraries(natives)}
    pip = importlib.metadata.distribution("pip")
    pip_folder = Path(str(pip.locate_file("pip")))
    files |= {f"/opt/pip/pip/{path.relative_to(pip_folder)}": path for path in _tree(pip_folder)}
    layer = io.BytesIO(images.rootfs())
    with tarfile.open(fileobj=layer, mode="a", format=tarfile.PAX_FORMAT) as tar:
        for name, path in sorted(files.items()):
            info = tar.gettarinfo(os.path.realpath(path), arcname=name.lstrip("/"))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            with path.open("rb") as data:
                tar.addfile(info, data)
        for name in ("python", "python3"):
            link = tarfile.TarInfo(f"usr/local/bin/{name}")
            link.type, link.linkname, link.mtime = tarfile.SYMTYPE, str(executable), images.STAMP
            tar.addfile(link)
        script = "#!/usr/local/bin/python\nimport sys\n\nsys.path.insert(0, '/opt/pip')\n"
        script += "from pip._internal.cli.main import main\n\nsys.exit(main())\n"
        _add(tar, "usr/local/bin/pip", script.encode(), 0o755)
        for name in STOCK:
            wheel, data = _wheel(importlib.metadata.distribution(name))
            _add(tar, f"wheels/{wheel}", data, 0o644)
    return images.archive(TAG, layer.getvalue(), ["python3"], ENV)


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime, info.size = mode, images.STAMP, len(data)
    tar.addfile(info, io.BytesIO(data))


def _tree(folder: Path) -> Iterator[Path]:
    """The files under ``folder`` that a program may want."""
    for where, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f not in LEFT_OUT and not f.startswith("config-")]
        for name in names:
            path = Path(where, name)
            wanted = name not in LEFT_OUT and not name.startswith(("_tkinter", "_test")) and ".opt-" not in name
            if wanted and path.is_file() and path.suffix != ".a":
                yield path


def _libraries(natives: list[Path]) -> set[str]:
    """The libraries, and the loader, that ``natives`` need."""
    told = subprocess.run(["ldd", *map(str, natives)], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", told, re.MULTILINE))


def _wheel(distribution: importlib.metadata.Distribution) -> tuple[str, bytes]:
    """(file name, content) of a wheel with the files of an installed distribution."""
    tag = re.search(r"(?m)^Tag: (\S+)$", distribution.read_text("WHEEL") or "")
    assert tag is not None, distribution.name
    out = io.BytesIO()
    record = []
    name = f"{re.sub('[-.]+', '_', distribution.name)}-{distribution.version}"
    with zipfile.ZipFile(out, "w") as wheel:
        for file in distribution.files or []:
            if "__pycache__" in file.parts or ".." in file.parts or file.name in {"RECORD", "INSTALLER", "REQUESTED"}:
                continue
            data = Path(str(file.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{file},sha256={digest},{len(data)}\n")
            wheel.writestr(str(file), data)
        folder = next(file.parts[0] for file in distribution.files or [] if file.name == "WHEEL")
        wheel.writestr(f"{folder}/RECORD", "".join([*record, f"{folder}/RECORD,,\n"]))
    return f"{name}-{tag[1]}.whl", out.getvalue()

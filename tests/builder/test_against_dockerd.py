"""The same Dockerfile built by dockerd's BuildKit and by our engine, through the API: config and final file tree.

dockerd may be as old as 20.10. What its BuildKit does otherwise than today's is left out of the comparison: empty
folders that its mounts leave behind, a missing WorkingDir that means ``/``.

It runs in every tier (scripts/test). Where owners are recorded and not the kernel's, links are root's (see
ownership.py).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.builder.cases import context_tar
from tests.support import images

Tree = dict[str, tuple[Any, ...]]
RECORDED = os.environ.get("DOCKMAGIC_RUNTIME") in {"tracer", "rootless"}


def _archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, mode, owner in (("x/", 0o750, 0), ("x/a", 0o640, 5), ("b", 0o4755, 7)):
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mode, info.uid, info.gid, info.mtime = mode, owner, owner, 1000
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(info)
    return out.getvalue()


FILES = [
    ("a.txt", "file", "0644", "A"), ("b.txt", "file", "0755", "B"), ("d", "dir", "0700", ""),
    ("d/e", "file", "0600", "E"),
    ("d/l", "symlink", "0777", "e"), ("d/sub", "dir", "0755", ""), ("d/sub/f", "file", "0644", "F"),
    ("ln", "symlink", "0777", "d"), ("w1.go", "file", "0644", "1"), ("w2.go", "file", "0644", "2"),
    (".hid", "file", "0644", "h"), ("sp ace", "file", "0644", "s"),
]  # fmt: skip

HARD = {
    "copies": """\
COPY a.txt b.txt /m/
COPY d /dd
COPY d/ /dd2/
COPY ln /ln1
COPY ln/e /e1
COPY *.go /go/
COPY d/* /star/
COPY . /all
""",
    "odd names": """\
COPY ["sp ace","/sp/"]
COPY d/sub/../e /up
COPY w?.go /q/
COPY [ab].txt /set/
COPY nomatch* a.txt /n/
""",
    "owners": """\
COPY --chown=nobody a.txt /1
COPY --chown=1000:nobody d /2
COPY --chown=55 d /p/q/r
RUN chown 3:4 /1 && chmod 4755 /1
""",
    "archives": """\
ADD arch.tgz /arch2
ADD arch.tgz a.txt /mix/
ADD d /d
ADD *.go /g/
COPY arch.tgz /kept/
""",
    "whiteouts": """\
RUN mkdir -p /t/u && echo 1 > /t/u/f && echo 2 > /t/g
RUN rm -rf /t/u && mkdir /t/u && echo 3 > /t/u/h
RUN rm /t/g && ln -s u /t/g
RUN rm -rf /t/u /etc/passwd
RUN mv /t /t2 && mkfifo /p
""",
    "links in the destination": """\
RUN mkdir /real && ln -s /real /lnk && ln -s ../../../real /esc && ln -s nowhere /dang
COPY a.txt /lnk/
COPY d /lnk
COPY a.txt /esc/z
COPY b.txt /lnk/sub2/
COPY a.txt /dang
""",
    "variables": """\
ARG V=1
ARG W=w$V
ENV A=$W B="x y" C=${V:+set}
ENV A=2 D=$A
ENV PATH=$PATH:/x
RUN echo $A $B $C $D $V $W $PATH > /env
LABEL a=$A "b c"="d e" m="multi\\
line"
""",
    "metadata": """\
EXPOSE 80 443/udp 8000-8002
VOLUME /v1 /v2
VOLUME ["/v3"]
STOPSIGNAL 9
USER 1:2
MAINTAINER me
HEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD curl x || exit 1
SHELL ["/bin/sh","-e","-c"]
CMD echo $A
ENTRYPOINT ["x"]
""",
    "workdirs": """\
USER nobody
WORKDIR /a/b
WORKDIR c
RUN touch /tmp/x && pwd > /tmp/pwd
USER 0
WORKDIR /etc
WORKDIR ../usr/../opt/x
""",
    "triggers": """\
AS p
ONBUILD RUN echo t >> /trig
ONBUILD ENV TR=1
FROM p
RUN cat /trig
""",
    "mounts": """\
RUN --mount=type=bind,target=/ctx,source=d ls /ctx | wc -l > /n
RUN --mount=type=cache,target=/c/d/e touch /c/d/e/x
RUN --mount=type=tmpfs,target=/tf touch /tf/y
RUN --mount=type=bind,target=/w,rw echo z > /w/new && cat /w/new > /got
""",
    "stages": """\
AS a
RUN echo a > /a
FROM alpine AS b
RUN echo b > /b
FROM a
COPY --from=b /b /b
COPY --from=0 /a /a2
""",
    "permissions": """\
RUN umask 077 && mkdir -p /u/v && touch /u/v/w && chmod 1777 /u && chmod 2755 /u/v && chown 10:20 /u/v/w
USER 10:20
RUN touch /u/mine && id -u > /u/id
""",
    "home": """\
USER nobody
RUN touch /tmp/n; echo $HOME > /tmp/h; pwd > /tmp/p
COPY a.txt /tmp/c
WORKDIR /home/w
""",
    "over what is there": """\
RUN chmod 755 /tmp && mkdir /etc/x && echo 1 >> /etc/passwd && touch -d @1 /etc/group
COPY a.txt /f
COPY b.txt /f
COPY d /dir
COPY d/sub /dir
RUN rm /dir/e
COPY d /dir
""",
    "from nothing": """\
AS b
FROM scratch
COPY --from=b /bin/ /bin/
RUN ["/bin/sh","-c","echo hi > /x"]
""",
    "shell forms": """\
SHELL ["/bin/sh", "-ec"]
RUN true; echo yes > /yes
CMD ["a", "b c"]
""",
    "hard links": """\
RUN mkdir /h && echo 1 > /h/a && ln /h/a /h/b && ln /h/a /c
RUN echo 2 >> /h/b
RUN rm /h/a
""",
    "deep": """\
RUN i=0; p=; while [ $i -lt 40 ]; do p=$p/d$i; i=$((i+1)); done; mkdir -p $p && echo x > $p/f
COPY a.txt /very/long/path/that/is/not/there/yet/
""",
    "inherited cmd": """\
AS x
ENTRYPOINT ["e"]
CMD ["c"]
FROM x
ENTRYPOINT ["f"]
""",
}


@pytest.fixture(scope="module")
def clients(embedded: str, dockerd: str) -> Iterator[list[docker.DockerClient]]:
    """Ours and theirs, with the same alpine."""
    both = [docker.DockerClient(base_url=url, timeout=120) for url in (embedded, dockerd)]
    for client in both:
        client.images.load(images.alpine())
    yield both
    for client in both:
        client.close()


def context(dockerfile: str) -> bytes:
    out = io.BytesIO()
    entries = [
        {"path": path, "type": kind, "mode": mode, "text": text, "linkname": text}
        for path, kind, mode, text in [*FILES, ("Dockerfile", "file", "0644", dockerfile)]
    ]
    with (
        tarfile.open(fileobj=context_tar(entries)) as made,
        tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for member in made:
            tar.addfile(member, made.extractfile(member) if member.isreg() else None)
        info = tarfile.TarInfo("arch.tgz")
        data = _archive()
        info.size, info.mtime = len(data), 5
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def build(client: docker.DockerClient, body: bytes) -> tuple[dict[str, Any] | None, Tree]:
    """The image's config and its flattened tree; None for a build that failed."""
    answer = client.api._post(
        client.api._url("/build"), data=body, headers={"Content-Type": "application/x-tar"}, stream=True,
        params={"version": "2", "nocache": "1", "networkmode": "host"},
    )  # fmt: skip
    messages = [json.loads(line) for line in answer.content.splitlines() if line.strip()]
    id = next((message["aux"]["ID"] for message in messages if message.get("id") == "moby.image.id"), None)
    if id is None:
        return None, {}
    try:
        with tarfile.open(fileobj=io.BytesIO(b"".join(client.api.get_image(id)))) as tar:

            def member(name: str) -> io.BytesIO:
                reader = tar.extractfile(name)
                assert reader is not None
                return io.BytesIO(reader.read())

            manifest = json.load(member("manifest.json"))[0]
            return json.load(member(manifest["Config"])), flattened([member(name) for name in manifest["Layers"]])
    finally:
        client.api.remove_image(id, force=True)


def flattened(layers: list[io.BytesIO]) -> Tree:
    """All layers over one another: type, mode, owner, link and content of every path."""
    tree: Tree = {}

    def forget(path: str, *, itself: bool = True) -> None:
        for name in [name for name in tree if name.startswith(path + "/") or (itself and name == path)]:
            del tree[name]

    for layer in layers:
        with tarfile.open(fileobj=layer) as tar:
            for member in tar:
                path = member.name.strip("/")
                folder, _, name = path.rpartition("/")
                if name == ".wh..wh..opq":
                    forget(folder, itself=False)
                elif name.startswith(".wh."):
                    forget(f"{folder}/{name[4:]}".lstrip("/"))
                elif member.islnk():
                    tree[path] = tree[member.linkname.strip("/")]
                else:
                    if not member.isdir():
                        forget(path)
                    reader = tar.extractfile(member) if member.isreg() else None
                    content = hashlib.sha256(reader.read()).hexdigest() if reader else ""
                    bits = oct(member.mode & 0o7777)
                    tree[path] = (member.type.decode(), bits, member.uid, member.gid, member.linkname, content)
    return tree


def without_empty_folders(tree: Tree, other: Tree) -> Tree:
    """Without folders that are in this tree alone, with nothing in them."""
    while True:
        empty = [
            path
            for path, entry in tree.items()
            if path not in other and entry[0] == "5" and not any(name.startswith(path + "/") for name in tree)
        ]
        if not empty:
            return tree
        tree = {path: entry for path, entry in tree.items() if path not in empty}


@pytest.mark.parametrize("name", list(HARD))
def test_config_and_files_are_the_same(clients: list[docker.DockerClient], name: str) -> None:
    text = HARD[name]
    first = "FROM alpine " if text.startswith("AS ") else "FROM alpine\n"
    body = context(first + text)
    (our_config, ours), (their_config, theirs) = (build(client, body) for client in clients)
    assert their_config is not None, "dockerd could not build it"
    assert our_config is not None, "we could not build it"
    theirs = without_empty_folders(theirs, ours)
    differing = {path for path in {*ours, *theirs} if ours.get(path) != theirs.get(path)}
    if RECORDED:
        differing = {path for path in differing if _unowned(ours.get(path)) != _unowned(theirs.get(path))}
    assert {path: (ours.get(path), theirs.get(path)) for path in differing} == {}
    assert settings(our_config) == settings(their_config)
    assert our_config.get("author") == their_config.get("author")


def _unowned(entry: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    """A link without its owner; anything else as it is."""
    return (*entry[:2], *entry[4:]) if entry is not None and entry[0] == "2" else entry


def settings(document: dict[str, Any]) -> dict[str, Any]:
    """The container's part, what is not set left out."""
    return {"WorkingDir": "/", **{key: value for key, value in document["config"].items() if value}}

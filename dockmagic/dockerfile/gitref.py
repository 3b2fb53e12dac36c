"""Git sources of ADD and of build contexts: ``https://host/repo.git#ref:folder``, ``git@host:repo?branch=main``, ….

The rules are those of BuildKit's dfgitutil and gitutil.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, unquote

from dockmagic.dockerfile.errors import GitReferenceError, InstructionError
from dockmagic.dockerfile.golang import parse_bool, quote
from dockmagic.dockerfile.mounts import split_fields

_SCHEME = re.compile(r"([a-zA-Z0-9]+)://")
_SCP = re.compile(r"([a-zA-Z0-9-_]+)@([a-zA-Z0-9-.]+):(.*?)(?:\?(.*?))?(?:#(.*))?", re.DOTALL)
_SCHEMES = frozenset({"http", "https", "ssh", "git"})
_FLAGS = frozenset({"submodules", "keep-git-dir", "fetch-by-commit"})
"""Options that may stand without a value."""


@dataclass(frozen=True)
class GitReference:
    """Where to fetch from, and what.

    ``like_local_path``: written ``github.com/…``, which could be a folder's name; only build contexts take it.
    ``unencrypted``: the connection is. ``keep_git_dir`` and ``submodules`` are None where not given.
    """

    remote: str
    short_name: str
    ref: str = ""
    checksum: str = ""
    subdir: str = ""
    like_local_path: bool = False
    unencrypted: bool = False
    keep_git_dir: bool | None = None
    submodules: bool | None = None
    mtime: str = ""
    """"checkout" or "commit", or "" for the default."""
    fetch_by_commit: bool = False


class NotGit(GitReferenceError):
    """The source is no git reference: a path, or a URL of something else."""


def parse_git_reference(source: str) -> GitReference | None:
    """The git reference that a source is, or None. GitReferenceError if it is one with options that are not valid."""
    try:
        return read_git_reference(source)
    except NotGit:
        return None


def read_git_reference(source: str) -> GitReference:
    """As ``parse_git_reference``, but NotGit says why a source is none."""
    if source.startswith(("./", "../")):
        raise NotGit("invalid argument")
    like_local_path = source.startswith("github.com/")
    scheme, path, remote, query, fragment = _split(f"https://{source}" if like_local_path else source)
    if like_local_path:
        remote = remote.removeprefix("https://")
    elif scheme in {"http", "https"} and not path.endswith(".git"):
        raise NotGit("invalid argument")
    reference = GitReference(
        remote,
        remote.rpartition("/")[2].removesuffix(".git"),
        like_local_path=like_local_path,
        unencrypted=scheme in {"http", "git"},
    )
    return _with_query(_with_fragment(reference, fragment), query)


def _split(source: str) -> tuple[str, str, str, str, str]:
    """Scheme, path, what git is given, query and fragment."""
    match = _SCHEME.match(source)
    if match is None:
        scp = _SCP.fullmatch(source)
        if scp is None:
            raise NotGit("unknown protocol")
        user, host, path, query, fragment = scp.groups(default="")
        return "ssh", path, f"{user}@{host}:{path}", query, fragment
    scheme = match.group(1).lower()
    if scheme not in _SCHEMES:
        raise NotGit(f"{scheme}: invalid protocol")
    base, _, fragment = source.partition("#")
    base, _, query = base.partition("?")
    _, slash, path = base[match.end() :].partition("/")
    return scheme, unquote(slash + path), scheme + base[match.end(1) :], query, unquote(fragment)


def _with_fragment(reference: GitReference, fragment: str) -> GitReference:
    if not fragment.startswith("#"):
        ref, _, subdir = fragment.partition(":")
        return replace(reference, ref=ref, subdir=subdir)
    # Two signs in the source: https://host/repo.git##ref=…,subdir=…
    options = {"ref": "", "commit": "", "subdir": ""}
    try:
        fields = split_fields(fragment[1:], "fragment") if fragment[1:] else []
    except InstructionError as error:
        raise GitReferenceError(f"failed to parse URL fragment {quote(fragment)}: {error}") from None
    for field in fields:
        key, separator, value = field.partition("=")
        problem = ""
        if not separator:
            problem = f"invalid field '{field}' must be a key=value pair"
        elif key.lower() not in options:
            problem = f"unexpected key '{key.lower()}' in '{field}' (supported keys: ref, commit, subdir)"
        if problem:
            raise GitReferenceError(f"failed to parse URL fragment {quote(fragment)}: {problem}")
        options[key.lower()] = value
    ref = options["ref"] or options["commit"]
    return replace(reference, ref=ref, checksum=options["commit"], subdir=options["subdir"])


def _with_query(reference: GitReference, query: str) -> GitReference:
    names: dict[str, str] = {}
    for name, values in parse_qs(query, keep_blank_values=True).items():
        if len(values) > 1:
            raise GitReferenceError(f"query {quote(name)} has multiple values")
        reference = _with_option(reference, name, values[0], names)
    if "tag" in names:
        reference = _with_ref(reference, "refs/tags/" + names["tag"].removeprefix("refs/tags/"))
    if "branch" in names:
        if "tag" in names:
            raise GitReferenceError("branch conflicts with tag")
        reference = _with_ref(reference, "refs/heads/" + names["branch"].removeprefix("refs/heads/"))
    if reference.checksum and not reference.ref and not reference.fetch_by_commit:
        reference = replace(reference, ref=reference.checksum)
    return reference


def _with_option(reference: GitReference, name: str, value: str, names: dict[str, str]) -> GitReference:
    if not value and name not in _FLAGS:
        raise GitReferenceError(f"query {quote(name)} has no value")
    if name == "ref":
        return _with_ref(reference, value)
    if name in {"tag", "branch"}:
        names[name] = value
        return reference
    if name == "subdir":
        if reference.subdir and reference.subdir != value:
            raise GitReferenceError(f"subdir conflicts: {quote(reference.subdir)} vs {quote(value)}")
        return replace(reference, subdir=value)
    if name in {"checksum", "commit"}:
        return replace(reference, checksum=value)
    if name in _FLAGS:
        flag = parse_bool(value) if value else True
        if flag is None:
            raise GitReferenceError(f"invalid {name} value: {quote(value)}")
        if name == "keep-git-dir":
            return replace(reference, keep_git_dir=flag)
        return replace(reference, submodules=flag) if name == "submodules" else replace(reference, fetch_by_commit=flag)
    if name == "mtime":
        if value not in {"checkout", "commit"}:
            raise GitReferenceError(f'invalid mtime value: {quote(value)} (must be "checkout" or "commit")')
        return replace(reference, mtime=value)
    raise GitReferenceError(f"unexpected query {quote(name)}")


def _with_ref(reference: GitReference, ref: str) -> GitReference:
    if reference.ref and reference.ref != ref:
        raise GitReferenceError(f"ref conflicts: {quote(reference.ref)} vs {quote(ref)}")
    return replace(reference, ref=ref)

"""Our tree and instructions in the shape in which the conformance cases tell BuildKit's."""

from __future__ import annotations

from typing import Any

from dockmagic.dockerfile import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    HealthCheck,
    Instruction,
    Label,
    Maintainer,
    Mount,
    Node,
    OnBuild,
    Run,
    Shell,
    ShellCommand,
    Stage,
    StopSignal,
    Transfer,
    User,
    Volume,
    Workdir,
)


def node(ours: Node, *, top: bool = True) -> dict[str, Any]:
    """A node; one inside an ONBUILD has no lines of its own."""
    args: list[dict[str, Any]] = [{"value": arg} for arg in ours.args]
    if ours.child is not None:
        args = [{"value": "", "children": [node(ours.child, top=False)]}]
    heredocs = [
        {"name": doc.name, "fd": doc.descriptor, "expand": doc.expand, "chomp": doc.chomp, "content": doc.content}
        for doc in ours.heredocs
    ]
    shape = {
        "value": ours.keyword,
        "args": args,
        "attributes": {"json": True} if ours.json else None,
        "flags": ours.flags,
        "heredocs": heredocs,
        "prev_comment": ours.comments,
    }
    shape = {key: value for key, value in shape.items() if value or key == "value"}
    lines = {"start_line": ours.start_line, "end_line": ours.end_line} if top else {}
    return shape | {"original": ours.original} | lines


def stage(ours: Stage) -> dict[str, Any]:
    """A stage with its commands."""
    return {
        "base": ours.base,
        "name": ours.name,
        "platform": ours.platform,
        "doc": ours.doc,
        "orig_cmd": ours.origin.keyword,
        "commands": [command(each) for each in ours.commands],
    }


def meta_arg(ours: Arg) -> list[dict[str, Any]]:
    """An ARG before the first FROM."""
    return [{"Key": arg.key, "Value": arg.value, "DocComment": arg.doc} for arg in ours.args]


def command(ours: Instruction) -> dict[str, Any]:
    """A typed instruction; Go's type name is part of it."""
    go_type = {"HealthCheck": "HealthCheck", "OnBuild": "Onbuild"}.get(type(ours).__name__, type(ours).__name__)
    shape = {"name": ours.keyword, "string": ours.code, "go_type": f"*instructions.{go_type}Command"}
    shape["fields"] = _fields(ours)
    if isinstance(ours, Run):
        shape |= {"flags_used": list(ours.flags_used), "mounts": [_mount(mount) for mount in ours.mounts]}
        shape |= {"network": ours.network, "security": ours.security}
    return shape


def _or_none(values: Any) -> list[Any] | None:
    return list(values) or None


def _fields(ours: Instruction) -> dict[str, Any]:
    if isinstance(ours, ShellCommand):
        return _shell_fields(ours)
    if isinstance(ours, Transfer):
        return _transfer_fields(ours)
    if isinstance(ours, (Env, Label)):
        pairs = [{"Key": pair.key, "Value": pair.value, "NoDelim": pair.legacy} for pair in ours.pairs]
        return {"Env" if isinstance(ours, Env) else "Labels": pairs}
    if isinstance(ours, Arg):
        return {"Args": meta_arg(ours)}
    if isinstance(ours, HealthCheck):
        times = {
            "Interval": ours.interval,
            "Timeout": ours.timeout,
            "StartPeriod": ours.start_period,
            "StartInterval": ours.start_interval,
            "Retries": ours.retries,
        }
        return {"Health": {"Test": list(ours.test)} | {key: value for key, value in times.items() if value}}
    simple: dict[type[Instruction], tuple[str, str]] = {
        OnBuild: ("Expression", "expression"),
        User: ("User", "user"),
        Workdir: ("Path", "path"),
        Maintainer: ("Maintainer", "maintainer"),
        StopSignal: ("Signal", "signal"),
        Expose: ("Ports", "ports"),
        Volume: ("Volumes", "volumes"),
        Shell: ("Shell", "shell"),
    }
    name, attribute = simple[type(ours)]
    value = getattr(ours, attribute)
    return {name: list(value) if isinstance(value, tuple) else value}


def _shell_fields(ours: ShellCommand) -> dict[str, Any]:
    files = _or_none({"Name": file.name, "Data": file.data, "Chomp": file.chomp} for file in ours.files)
    fields = {"CmdLine": list(ours.args), "Files": files, "PrependShell": ours.shell_form}
    if isinstance(ours, Entrypoint):
        fields["CmdLine"] = _or_none(ours.args)
    elif isinstance(ours, Run):
        fields["FlagsUsed"] = list(ours.flags_used)
    else:
        assert isinstance(ours, Cmd)
    return fields


def _transfer_fields(ours: Transfer) -> dict[str, Any]:
    contents = _or_none({"Path": file.name, "Data": file.data, "Expand": file.expand} for file in ours.contents)
    fields = {
        "DestPath": ours.destination,
        "SourcePaths": _or_none(ours.sources),
        "SourceContents": contents,
        "Chown": ours.chown,
        "Chmod": ours.chmod,
        "Link": ours.link,
        "ExcludePatterns": _or_none(ours.exclude),
    }
    if isinstance(ours, Copy):
        return fields | {"From": ours.from_, "Parents": ours.parents}
    assert isinstance(ours, Add)
    return fields | {"KeepGitDir": ours.keep_git_dir, "Checksum": ours.checksum, "Unpack": ours.unpack}


def _mount(ours: Mount) -> dict[str, Any]:
    return {
        "Type": ours.type,
        "From": ours.from_,
        "Source": ours.source,
        "Target": ours.target,
        "ReadOnly": ours.readonly,
        "SizeLimit": ours.size,
        "CacheID": ours.id,
        "CacheSharing": ours.sharing,
        "Required": ours.required,
        "Env": ours.env,
        "Mode": ours.mode,
        "UID": ours.uid,
        "GID": ours.gid,
    }

"""RUN --mount."""

from __future__ import annotations

import pytest

from dockmagic.dockerfile import InstructionError, Mount, Run, instruction, parse
from dockmagic.dockerfile.mounts import parse_mount, read_mount, split_fields


def mount(spec: str) -> Mount:
    """A mount without variables."""
    return parse_mount(spec, lambda word: word)


def test_the_default_is_a_bind_that_is_read_only() -> None:
    assert mount("target=/x") == Mount(target="/x", spec="target=/x")
    assert mount("dst=/x,rw").readonly is False
    assert mount("dst=/x,readwrite=false").readonly is True


def test_each_type_has_its_options() -> None:
    cache = mount("type=CACHE,id=a,target=/c,sharing=Locked,mode=0755,uid=1,gid=2,from=b,source=s")
    assert (cache.type, cache.id, cache.sharing) == ("cache", "a", "locked")
    assert (cache.mode, cache.uid, cache.gid, cache.from_, cache.source) == (0o755, 1, 2, "b", "s")
    assert cache.readonly is False
    assert mount("type=tmpfs,target=/t,size=1.5g").size == 1536 << 20
    secret = mount("type=secret,id=a,env=A,required")
    assert (secret.env, secret.required, secret.target) == ("A", True, "")
    assert mount("type=secret,id=a,env=").env == ""
    assert mount("type=ssh").env is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("type=tmp", 'unsupported mount type "tmp" (did you mean tmpfs?)'),
        ("typ=tmpfs", "unexpected key 'typ' in 'typ=tmpfs' (did you mean type?)"),
        ("type=cache,sharing=lock", 'unsupported sharing value "lock" (did you mean locked?)'),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("target=/x,ro=maybe", "invalid value for ro: maybe"),
        ("target=/x,required", "unexpected key 'required' for mount type 'bind'"),
        ("target=/x,size=1", "unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,size=big", "invalid value for size: big"),
        ("type=cache,mode=9", "invalid value 9 for mode"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        ("target=/x,mode=7", 'mode not allowed for "bind" type mounts'),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,source=b", "both source and id can't be set"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("target=/x,sharing=shared", "invalid cache sharing set for bind mount"),
        ("", "failed to parse csv mounts: EOF"),
        ('a"b', 'failed to parse csv mounts: parse error on line 1, column 2: bare " in non-quoted-field'),
    ],
)
def test_refused(spec: str, message: str) -> None:
    with pytest.raises(InstructionError) as caught:
        mount(spec)
    assert str(caught.value) == message


def test_values_have_variables_but_the_source_image_has_not() -> None:
    spec = "type=cache,target=$T,mode=$M"
    assert read_mount(spec) == Mount(spec=spec)
    values = {"$T": "/t", "$M": "0700"}
    expanded = parse_mount(spec, lambda word: values.get(word, word))
    assert (expanded.target, expanded.mode) == ("/t", 0o700)
    with pytest.raises(InstructionError) as caught:
        instruction(parse("RUN --mount=from=$X,target=/y z").nodes[0])
    assert caught.value.message == "'from' doesn't support variable expansion, define alias stage instead"


def test_a_run_has_its_mounts_in_order() -> None:
    command = instruction(parse("RUN --mount=target=/a --mount=type=tmpfs,target=/b --network=none x").nodes[0])
    assert isinstance(command, Run)
    assert [(each.type, each.target) for each in command.mounts] == [("bind", "/a"), ("tmpfs", "/b")]
    assert (command.network, command.flags_used) == ("none", ("mount", "network"))


def test_fields_may_be_quoted() -> None:
    assert split_fields('a,"b,c","d""e",', "x") == ["a", "b,c", 'd"e', ""]

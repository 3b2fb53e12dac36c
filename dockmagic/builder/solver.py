"""Carrying out a plan: stages in parallel, each step from the cache or done anew and kept."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from dockmagic.builder import graph
from dockmagic.builder.cache import BuildCache, Record
from dockmagic.builder.config import rfc3339
from dockmagic.builder.copying import Copier, CopyOptions, make_folders
from dockmagic.builder.digests import Digester
from dockmagic.builder.files import FileSteps
from dockmagic.builder.frames import Framer
from dockmagic.builder.leases import Lease
from dockmagic.builder.metadata import Applier
from dockmagic.builder.model import CopyStep, RunStep, StagePlan, Step, WorkdirStep
from dockmagic.builder.mounts import MountMaker
from dockmagic.builder.owners import owner
from dockmagic.builder.request import BuildError
from dockmagic.builder.sandbox import Cancelled, Sandbox
from dockmagic.builder.tree import FolderTree, Tree, resolve
from dockmagic.builder.vertexes import Reporter, VertexHandle
from dockmagic.errors import DockmagicError, NotFound
from dockmagic.images.chain import chain_id
from dockmagic.images.protocols import Image, Layer, Snapshot, Snapshots

_VERSION = "1"
"""Part of every key: a change of what steps do makes old records useless."""
_WORKERS = 16


class Layers(Protocol):
    """The image store, as far as steps' layers go."""

    def layer(self, diff_id: str) -> Layer | None:
        """A layer that is kept, or None."""
        ...

    def keep(self, key: str, diff_id: str, chain: str) -> None:
        """Keep a stack for the record ``key`` and its layer, whatever happens to images."""
        ...

    def empty(self) -> Layer:
        """The layer without entries."""
        ...

    def size(self, diff_id: str) -> int:
        """bytes of a layer's files"""
        ...

    def chain(self, image: Image) -> str:
        """The chain id of an image's root, unpacked."""
        ...


class BuildSnapshots(Snapshots, Protocol):
    """The snapshots, with what builds ask beyond the common shape."""

    def prepare(self, key: str, parent: str, *, volatile: bool = False) -> Snapshot:
        """``volatile``: a step's root, which a crash of the machine may take."""
        ...

    def commit(self, key: str, *, epoch: int | None = None) -> tuple[str, Layer] | None:
        """``epoch`` (seconds): no file is younger."""
        ...


@dataclass
class Result:
    """A stage's (or a step's) root: its layers, when each was made, and the context it is, when it is one."""

    chain: str = ""
    layers: list[Layer] = field(default_factory=list)
    created: list[str | None] = field(default_factory=list)
    tree: Tree | None = None
    vertex: str = ""
    """The digest of the vertex that made it"""
    keys: list[str] = field(default_factory=list)
    """Of the records that its own steps are"""

    def plus(self, chain: str, layer: Layer, created: int, vertex: str, key: str) -> Result:
        """With one more layer."""
        keys = [*self.keys, key]
        return Result(chain, [*self.layers, layer], [*self.created, rfc3339(created)], None, vertex, keys)


class Vanished(DockmagicError):
    """Layers went between being made and being held."""


class Stop(threading.Event):
    """Set by the first failure, or from outside."""

    def __init__(self, outer: threading.Event) -> None:
        super().__init__()
        self._outer = outer

    def is_set(self) -> bool:
        return super().is_set() or self._outer.is_set()


@dataclass
class Tools:
    """What a solver works with. ``context`` gives the build context, loading it when first asked."""

    snapshots: BuildSnapshots
    layers: Layers
    cache: BuildCache
    digester: Digester
    applier: Applier
    reporter: Reporter
    framer: Framer
    context: Callable[[], Tree]
    context_identity: str | None
    folder: Path
    stop: Stop
    lease: Lease
    brought: Collection[str] = ()
    """Keys of records that came with an imported cache"""


class Solver:
    """Solves the plans of one build (one for each platform). Close it when done."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._results: dict[StagePlan, Future[Result]] = {}
        self._lock = threading.Lock()
        self._views: dict[str, str] = {}
        self._keys: dict[str, threading.Lock] = {}
        self.files: FileSteps | None = None
        self.mounts: MountMaker | None = None
        self.sandbox: Sandbox | None = None
        self.epoch: int | None = None
        self._used: list[str] = []
        self.keys: list[str] = []
        """Of every record that was used or made"""

    def solve(self, target: StagePlan) -> Result:
        """The target's result. Raises BuildError, the first one that happened."""
        order = graph.reachable(target)
        with ThreadPoolExecutor(min(_WORKERS, max(1, len(order))), thread_name_prefix="stage") as pool:
            futures = []
            for plan in order:  # what a stage needs comes before it, so that no worker waits for one not begun
                if plan not in self._results:
                    self._results[plan] = pool.submit(self._stage, plan)
                    futures.append(self._results[plan])
            wait(futures)
        if self._used:
            self._tools.cache.use(self._used)
            self._used = []
        failures = [error for future in futures if (error := future.exception()) is not None]
        for error in sorted(failures, key=lambda error: isinstance(error, Cancelled)):
            raise error
        return self._results[target].result()

    def close(self) -> None:
        """Let go of the views of stages that were read from."""
        for key in self._views.values():
            with contextlib.suppress(DockmagicError):
                self._tools.snapshots.remove(key)
        self._views.clear()

    # --- what steps ask of stages ---

    def result_of(self, plan: StagePlan) -> Result:
        return self._results[plan].result()

    def chain_of(self, stage: StagePlan) -> str | None:
        result = self.result_of(stage)
        return None if result.tree is not None else result.chain

    def tree_of(self, stage: StagePlan | None) -> Tree:
        if stage is None:
            return self._tools.context()
        result = self.result_of(stage)
        return result.tree if result.tree is not None else FolderTree(self._view(result.chain))

    def known_tree(self, chain: str, query: str) -> str | None:
        return self._tools.cache.known_tree(chain, query)

    def learn_tree(self, chain: str, query: str, digest: str) -> None:
        self._tools.cache.learn_tree(chain, query, digest)

    def context_identity(self) -> str | None:
        return self._tools.context_identity

    def _view(self, chain: str) -> str:
        """The path of a chain's root, mounted once a build."""
        with self._lock:
            key = self._views.get(chain)
            if key is not None:
                return str(self._tools.snapshots.mount(key).path)
            key = f"view-{uuid.uuid4().hex}"
            snapshot = self._tools.snapshots.view(key, chain)
            self._views[chain] = key
            return str(snapshot.path)

    # --- stages ---

    def _stage(self, plan: StagePlan) -> Result:
        try:
            result = self._base(plan)
            for step in plan.steps:
                result = self._step(plan, step, result)
            return result
        except BaseException:
            self._tools.stop.set()
            raise

    def _base(self, plan: StagePlan) -> Result:
        if plan.base is not None:
            return self.result_of(plan.base)
        if self._tools.stop.is_set():
            raise Cancelled
        if plan.image is not None:
            return self._from_image(plan, plan.image)
        if plan.source is not None:
            if plan.steps or (not plan.implicit and plan.named is None):
                return self._from_tree(plan.source)
            return Result(tree=plan.source)
        return Result()

    def _from_image(self, plan: StagePlan, image: Image) -> Result:
        name = plan.base_label if plan.base_label.startswith("[") else f"FROM {plan.base_label}"
        vertex = self._tools.reporter.vertex(name)
        expected = ""
        for layer in image.layers:
            expected = chain_id(expected, layer.diff_id)
        if self._tools.lease.hold(expected):
            vertex.cached()
        else:
            with vertex.running():
                self._hold(self._tools.layers.chain(image))
        layers = list(image.layers)
        return Result(expected, layers, [None] * len(layers), vertex=vertex.digest)

    def _hold(self, chain: str) -> None:
        """Raises Vanished when somebody has deleted it since it was made, which takes being very unlucky."""
        if not self._tools.lease.hold(chain):
            raise Vanished(f"layers {chain} were deleted while they were in use")

    def _from_tree(self, tree: Tree) -> Result:
        """A context of files as the beginning of a stage: one layer without a line in the history."""
        snapshots = self._tools.snapshots
        key = f"build-{uuid.uuid4().hex}"
        snapshot = snapshots.prepare(key, "", volatile=True)
        try:
            Copier(str(snapshot.path), self._tools.applier, self._tools.stop).copy(tree, "", "/", CopyOptions())
            committed = snapshots.commit(key)
        except BaseException:
            snapshots.remove(key)
            raise
        if committed is None:
            return Result()
        self._hold(committed[0])
        return Result(committed[0], [committed[1]], [rfc3339(time.time_ns())])

    # --- steps ---

    def _step(self, plan: StagePlan, step: Step, parent: Result) -> Result:
        tools = self._tools
        if tools.stop.is_set():
            raise Cancelled
        vertex = tools.reporter.vertex(step.name, [parent.vertex] if parent.vertex else [])
        try:
            key = self._key(step, parent)
        except (DockmagicError, OSError) as raised:
            error = raised if isinstance(raised, DockmagicError) else BuildError(_os_message(raised))
            with contextlib.suppress(DockmagicError), vertex.running():
                raise error from raised
            raise tools.framer.error(error, step.instruction.range) from raised
        with self._one_at_a_time(key):
            if not plan.no_cache:
                found = self._cached(step, key, parent, vertex)
                if found is not None:
                    return found
            try:
                with vertex.running():
                    try:
                        return self._perform(plan, step, key, parent, vertex)
                    except Vanished:
                        return self._perform(plan, step, key, parent, vertex)
            except Cancelled:
                raise
            except DockmagicError as error:
                raise tools.framer.error(error, step.instruction.range) from error
            except OSError as error:
                raise tools.framer.error(BuildError(_os_message(error)), step.instruction.range) from error

    @contextlib.contextmanager
    def _one_at_a_time(self, key: str) -> Iterator[None]:
        """Two stages with the same step: the second waits, and finds it in the cache."""
        with self._lock:
            turn = self._keys.setdefault(key, threading.Lock())
        with turn:
            yield

    def _cached(self, step: Step, key: str, parent: Result, vertex: VertexHandle) -> Result | None:
        tools = self._tools
        record = tools.cache.find(key)
        if record is None:
            return None
        layer = tools.layers.layer(record.diff_id)
        if layer is None:
            return None
        chain = record.chain or chain_id(parent.chain, record.diff_id)
        if not tools.lease.hold(chain):
            try:
                chain = tools.snapshots.unpack(parent.chain, layer)
            except NotFound:  # the layer went meanwhile
                return None
            if not tools.lease.hold(chain):
                return None
        if key in tools.brought:
            own = chain if record.chain else tools.snapshots.unpack("", layer)
            tools.layers.keep(key, record.diff_id, own)
        self._used.append(key)
        self.keys.append(key)
        vertex.cached()
        return parent.plus(chain, layer, record.created, vertex.digest, key)

    def _perform(self, plan: StagePlan, step: Step, key: str, parent: Result, vertex: VertexHandle) -> Result:
        tools = self._tools
        linked = isinstance(step, CopyStep) and step.link
        # Files that only come, and nothing that runs: they are a layer by themselves, without the root to write on.
        apart = linked or (parent.chain != "" and self._only_adds(step))
        snapshot_key = f"build-{uuid.uuid4().hex}"
        snapshot = tools.snapshots.prepare(snapshot_key, "" if apart else parent.chain, volatile=True)
        try:
            if isinstance(step, RunStep):
                assert self.sandbox is not None and self.mounts is not None, "set up before solving"
                with self.mounts.prepare(step, ignore_cache=plan.no_cache) as prepared:
                    self.sandbox.run(step, snapshot, prepared, vertex.log)
            else:
                below = self._view(parent.chain) if apart and not linked else None
                self._add_files(step, parent, str(snapshot.path), below, linked=linked)
            committed = tools.snapshots.commit(snapshot_key, epoch=self.epoch)
        except BaseException:
            tools.snapshots.remove(snapshot_key)
            raise
        return self._keep(step, key, parent, committed, vertex, linked=linked, apart=apart)

    def _only_adds(self, step: Step) -> bool:
        assert self.files is not None, "set up before solving"
        return isinstance(step, WorkdirStep) or (isinstance(step, CopyStep) and not self.files.may_unpack(step))

    def _add_files(self, step: Step, parent: Result, root: str, below: str | None, *, linked: bool) -> None:
        assert self.files is not None, "set up before solving"
        tools = self._tools
        copier = Copier(root, tools.applier, tools.stop, below)
        if isinstance(step, WorkdirStep):
            numbers = owner(below or root, step.user) if step.user else None
            epoch = None if self.epoch is None else self.epoch * 10**9
            make_folders(copier.destination, step.path, tools.applier, CopyOptions(numbers, epoch=epoch))
            return
        assert isinstance(step, CopyStep), "there are three kinds of steps"
        names = self._names_root(step, parent) if linked else (below or root)
        self.files.carry_out(step, copier, self.files.owner_of(step, names))

    def _keep(
        self,
        step: Step,
        key: str,
        parent: Result,
        committed: tuple[str, Layer] | None,
        vertex: VertexHandle,
        *,
        linked: bool,
        apart: bool,
    ) -> Result:
        tools = self._tools
        layer = committed[1] if committed is not None else tools.layers.empty()
        chain = committed[0] if committed is not None else ""
        if committed is None or apart:
            chain = tools.snapshots.unpack(parent.chain, layer)
        self._hold(chain)
        if linked and committed is not None:
            self._hold(committed[0])
        tools.layers.keep(key, layer.diff_id, committed[0] if linked and committed is not None else chain)
        before = tools.cache.find(key)
        if before is not None and before.diff_id != layer.diff_id:
            # Its files go when the cache is pruned: deleting them now would slow down what comes next.
            tools.cache.save(replace(before, key=f"{key} {before.diff_id}"))
        created = time.time_ns()
        kind = type(step).__name__.removesuffix("Step").lower()
        tools.cache.save(
            Record(
                key,
                "" if linked else chain,
                layer.diff_id,
                parent.chain,
                kind,
                step.name,
                tools.layers.size(layer.diff_id),
                created,
            )
        )
        self.keys.append(key)
        return parent.plus(chain, layer, created, vertex.digest, key)

    # --- keys ---

    def _key(self, step: Step, parent: Result) -> str:
        parts: list[Any] = [_VERSION, type(step).__name__, parent.chain, self.epoch]
        if isinstance(step, WorkdirStep):
            parts += [step.path, step.user]
        elif isinstance(step, RunStep):
            parts += self._run_key(step)
        elif isinstance(step, CopyStep):
            assert self.files is not None, "set up before solving"
            if step.link:
                parts[2] = "link"
                if self.files.names_owner(step):
                    parts.append(self.files.owner_of(step, self._names_root(step, parent)))
            parts += [step.destination, step.owner, repr(step.mode), step.exclude]
            parts += [self.files.item_key(step, item) if item.inline is None else _inline(item) for item in step.items]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _names_root(self, step: CopyStep, parent: Result) -> str:
        """Where ``--link --chown=NAME`` looks its names up: what it is put on."""
        return self._view(parent.chain) if parent.chain and step.owner else str(self._tools.folder)

    def _run_key(self, step: RunStep) -> list[Any]:
        assert self.sandbox is not None, "set up before solving"
        around = self.sandbox.around
        network = step.network if step.network != "default" else around.network
        environment = sorted(step.environment.items())
        script = hashlib.sha256(step.script[1]).hexdigest() if step.script else ""
        key: list[Any] = [step.args, environment, step.workdir, step.user, network, script]
        key += [around.hostname, around.hosts, around.shm_size, around.rlimits]
        for planned in step.mounts:
            mount = planned.mount
            parts: list[Any] = [mount.type, planned.target, mount.id, mount.env]
            if mount.type == "bind":
                parts += [mount.source, mount.readonly, self._bind_key(planned.stage, mount.source)]
            elif mount.type == "cache":
                parts += [mount.sharing, mount.mode, mount.uid, mount.gid]
            elif mount.type == "tmpfs":
                parts.append(mount.size)
            elif mount.type == "secret":
                parts += [mount.source, mount.mode, mount.uid, mount.gid]
            key.append(parts)
        return key

    def _bind_key(self, stage: StagePlan | None, source: str) -> str:
        chain = self.chain_of(stage) if stage is not None else self.context_identity()
        query = json.dumps(["bind", source])
        if chain is not None and (known := self.known_tree(chain, query)):
            return known
        tree = self.tree_of(stage)
        digest = self._tools.digester.tree(tree, resolve(tree, source))
        if chain is not None:
            self.learn_tree(chain, query, digest)
        return digest


def _inline(item: Any) -> list[str]:
    return [item.path, hashlib.sha256(item.inline).hexdigest()]


def _os_message(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "too many links"
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)

"""The builder's face: a request in, an image in the store out. Begin reading here.

A build loads its context (context.py), plans stages and steps (planner.py), carries them out (solver.py), and puts the
image together (assemble.py). Everything temporary is in one folder, which goes with the build.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.builder.assemble import Built, assemble
from dockmagic.builder.bases import BaseImages
from dockmagic.builder.cache import BuildCache
from dockmagic.builder.cachetransfer import CacheTransfer, config_with, place_of
from dockmagic.builder.checks import report_checks
from dockmagic.builder.context import Context, MaskedTree, ignore_of, read_context, read_file
from dockmagic.builder.digests import Digester
from dockmagic.builder.exporters import export
from dockmagic.builder.files import FileSteps
from dockmagic.builder.leases import Lease, Leases
from dockmagic.builder.metadata import Applier
from dockmagic.builder.mounts import CacheFolders, MountMaker
from dockmagic.builder.named import NamedContexts
from dockmagic.builder.options import Settings, settings_of
from dockmagic.builder.outputs import check, keeps_image
from dockmagic.builder.planner import Options, Planner
from dockmagic.builder.pruning import Pruner
from dockmagic.builder.remote import Remotes
from dockmagic.builder.request import BuildError, BuildRequest, BuildResult, Progress
from dockmagic.builder.sandbox import Cancelled, Sandbox
from dockmagic.builder.solver import Solver, Stop, Tools
from dockmagic.builder.storage import StoreLayers
from dockmagic.builder.tree import FolderTree, Tree
from dockmagic.builder.vertexes import Reporter
from dockmagic.database import Database
from dockmagic.dockerfile.gitref import parse_git_reference
from dockmagic.dockerfile.ignore import Ignore
from dockmagic.errors import DockmagicError, InvalidParameter
from dockmagic.platforms import Platform
from dockmagic.runtime.protocols import Runtime
from dockmagic.runtime.spec import Exit

ROOTS = ("build-", "view-", "mount-", "export-")
"""What the keys of a build's snapshots begin with"""
LIMIT = 20 << 30
"""bytes of layers, beyond images', that the build cache may keep"""
LIMIT_VARIABLE = "DOCKMAGIC_BUILD_CACHE"
_SIGKILL = 9
_ENDING = 10.0
"""seconds that a killed process may take to end"""
_SMALL = 1 << 17
"""bytes up to which a context's file is remembered"""

if TYPE_CHECKING:
    from dockmagic.images.registry import Registry
    from dockmagic.images.store import Store


class Builder:
    """Builds images. One for the engine's life; builds may run at the same time."""

    def __init__(self, store: Store, registry: Registry, runtime: Runtime, database: Database, folder: Path) -> None:
        """``folder`` takes temporary files and the folders of cache mounts."""
        self._store = store
        self._registry = registry
        self._runtime = runtime
        self._cache = BuildCache(database)
        self._folder = folder
        self._layers = StoreLayers(store)
        self._leases = Leases(store)
        self._caches = CacheFolders(folder / "cache-mounts", self._cache)
        self._scratch = folder / "builds"
        self._clean()
        self._scratch.mkdir(parents=True, mode=0o700)

    def _clean(self) -> None:
        """Remove what builds of an engine that was killed left behind."""
        for folder in self._scratch.glob("build-*/run-*"):
            running = self._runtime.find(folder)
            if running is not None and not isinstance(running, Exit):
                with contextlib.suppress(DockmagicError):  # it may be ending just now
                    running.signal(_SIGKILL)
                    running.wait(_ENDING)
                running.close()
        snapshots = self._store.snapshots
        for key in [key for key in snapshots.keys() if key.startswith(ROOTS)]:  # noqa: SIM118 - no mapping
            snapshots.remove(key)
        if self._scratch.exists():
            shutil.rmtree(self._scratch, ignore_errors=True)

    def build(self, request: BuildRequest, progress: Progress, cancelled: threading.Event) -> BuildResult:
        """Build what the request asks for. Raises BuildError with BuildKit's message and the lines it is about."""
        check(request.outputs)
        folder = Path(tempfile.mkdtemp(dir=self._scratch, prefix="build-"))
        try:
            with self._leases.take() as lease:
                return _Build(self, request, Reporter(progress), Stop(cancelled), folder, lease).run()
        except BuildError:
            raise
        except DockmagicError as error:
            raise BuildError(str(error)) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._bound()

    def _bound(self) -> None:
        """Keep the cache below its limit: the longest unused goes, to some way below, so that it is not soon again."""
        limit = int(os.environ.get(LIMIT_VARIABLE) or LIMIT)
        if self._cache.total() > limit:
            self.prune(keep=limit * 3 // 4)

    def records(self) -> list[dict[str, Any]]:
        """The build cache in the API's BuildCache shape."""
        return self._pruner().shapes()

    def prune(
        self, *, filters: Mapping[str, Sequence[str]] | None = None, all: bool = False, keep: int = 0
    ) -> tuple[list[str], int]:
        """Empty the build cache down to ``keep`` bytes: ids of what went, and bytes freed."""
        return self._pruner().prune(filters or {}, all=all, keep=keep)

    def _pruner(self) -> Pruner:
        return Pruner(self._cache, self._caches, self._layers)


class _Build:
    """One build on its way."""

    def __init__(
        self, builder: Builder, request: BuildRequest, reporter: Reporter, stop: Stop, folder: Path, lease: Lease
    ) -> None:
        self._builder = builder
        self._request = request
        self._reporter = reporter
        self._stop = stop
        self._folder = folder
        self._lease = lease
        self._settings: Settings = settings_of(request)
        self._remotes = Remotes(folder, stop)
        self._context_epoch: int | None = None
        self._context: Context | None = None
        self._tree: Tree | None = None
        self._warnings: list[str] = []
        self._rules: Ignore | None = None
        self._definition = ""
        """The digest of the step that read the Dockerfile"""
        self._lock = threading.Lock()

    def run(self) -> BuildResult:
        try:
            return self._run()
        finally:
            if self._context is not None:
                self._context.close()

    def _run(self) -> BuildResult:
        settings, builder = self._settings, self._builder
        context = self._context = self._load_context()
        text, filename = self._dockerfile(context)
        if self._request.on_dockerfile is not None:
            self._request.on_dockerfile(text)
        self._rules = self._ignore_rules(context)
        contexts = NamedContexts(settings.contexts, self._remotes, self._folder)
        resolver = BaseImages(builder._store, builder._registry, self._request, self._reporter)
        resolver.check_syntax(text)
        digester = Digester(builder._cache)
        transfer = CacheTransfer(builder._store, builder._registry, builder._cache, self._request, self._reporter)
        places = [place_of(place, exporting=True) for place in self._request.cache_to]
        transfer.bring()
        keys: list[str] = []
        try:
            built: list[Built] = []
            for platform in settings.platforms:
                options = self._options(platform)
                planner = Planner(text, filename, options, resolver, contexts, self._context_epoch)
                target = planner.plan()
                if not built:
                    self._warnings = report_checks(text, options, self._reporter, self._rules, self._definition)
                solver = self._solver(planner, digester, transfer.brought)
                try:
                    result = solver.solve(target)
                finally:
                    solver.close()
                    keys += solver.keys
                built.append(Built(target, result, planner.epoch, platform or Platform.host()))
            if self._stop.is_set():
                raise Cancelled
            answer = self._finish(built, inline=any(place.kind == "inline" for place in places))
            transfer.take(places, keys, [key for item in built for key in item.result.keys])
            return answer
        finally:
            transfer.forget(keys)

    def _options(self, platform: Platform | None) -> Options:
        settings = self._settings
        return Options(
            build_args=dict(settings.build_args),
            labels=dict(settings.labels),
            target=settings.target,
            platform=platform,
            multi_platform=len(settings.platforms) > 1,
            no_cache=settings.no_cache,
            no_cache_filter=settings.no_cache_filter,
        )

    def _solver(self, planner: Planner, digester: Digester, brought: Collection[str]) -> Solver:
        builder, request, folder = self._builder, self._request, self._folder
        applier = Applier(real_owners=builder._runtime.capability.id_mapping != "single")
        assert self._context is not None, "loaded before anything is solved"
        tools = Tools(
            snapshots=builder._store.snapshots,
            layers=builder._layers,
            cache=builder._cache,
            digester=digester,
            applier=applier,
            reporter=self._reporter,
            framer=planner.framer,
            context=self._build_context,
            context_identity=self._identity(self._context),
            folder=folder,
            stop=self._stop,
            lease=self._lease,
            brought=brought,
        )
        solver = Solver(tools)
        solver.epoch = planner.epoch
        solver.files = FileSteps(solver, digester, self._remotes, applier, planner.epoch, folder)
        solver.sandbox = Sandbox(builder._runtime, folder, self._settings.surroundings, self._stop)
        solver.mounts = MountMaker(
            snapshots=builder._store.snapshots,
            caches=builder._caches,
            applier=applier,
            sources=solver,
            folder=folder,
            secrets=request.secrets,
            agents=request.ssh,
            namespace=self._settings.cache_namespace,
        )
        return solver

    def _finish(self, built: list[Built], *, inline: bool) -> BuildResult:
        request, builder = self._request, self._builder
        inline = inline or self._settings.build_args.get("BUILDKIT_INLINE_CACHE", "") in {"1", "true"}

        def finish(config: bytes, item: Built) -> bytes:
            return config_with(config, builder._cache, item.result.keys) if inline else config

        images = assemble(builder._store, built, request, self._reporter, finish)
        export(builder._store, images, built, request, self._reporter)
        platforms = {str(item.platform): image.id for item, image in zip(built, images, strict=True)}
        if not keeps_image(request.outputs):
            return BuildResult("", self._warnings, {})
        return BuildResult(images[0].id, self._warnings, platforms)

    # --- the context ---

    def _load_context(self) -> Context:
        request = self._request
        if request.remote:
            with self._reporter.vertex("[internal] load remote build context").running():
                return self._remote_context(request.remote)
        if request.context is None:
            return read_context(io.BytesIO(), self._folder)
        vertex = self._reporter.vertex("[internal] load build context")
        with vertex.running():
            begun = time.time()
            context = read_context(request.context, self._folder)
            vertex.moved("transferring context:", context.size, begun)
            return context

    def _remote_context(self, remote: str) -> Context:
        git = parse_git_reference(remote)
        if git is not None:
            keep = self._settings.build_args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "") in {"1", "true"}
            checkout = self._remotes.git(git, keep_git_dir=keep)
            self._context_epoch = checkout.committed
            return Context(lambda: FolderTree(str(checkout.path), recorded=False, owner=(0, 0)))
        if not remote.startswith(("http://", "https://")):
            raise InvalidParameter(f"remote {remote} is neither a git repository nor an HTTP URL")
        download = self._remotes.http(remote)
        self._context_epoch = download.modified
        with download.path.open("rb") as file:
            return read_context(file, self._folder)

    def _dockerfile(self, context: Context) -> tuple[str, str]:
        name = self._settings.dockerfile
        with self._reporter.vertex(f"[internal] load build definition from {name}").running() as vertex:
            self._definition = vertex.digest
            data = context.dockerfile
            if data is None:
                data = self._read(name)
            if data is None:
                raise BuildError(f"failed to read dockerfile: open {name}: no such file or directory")
            vertex.moved("transferring dockerfile:", len(data))
        return data.decode("utf-8", "surrogateescape"), name

    def _identity(self, context: Context) -> str | None:
        """What names the files that steps see: the context's content, and whose rules leave some of it out."""
        return f"context {context.identity} {self._settings.dockerfile}" if context.identity else None

    def _read(self, path: str) -> bytes | None:
        """A file of the context; remembered for a context that is known."""
        context, cache = self._context, self._builder._cache
        assert context is not None, "loaded before anything is read"
        key = f"context {context.identity}" if context.identity else ""
        if key and (known := cache.known_tree(key, f"file {path}")) is not None:
            return None if known == "-" else known[1:].encode("latin-1")
        data = read_file(context.tree, path)
        if key and (data is None or len(data) < _SMALL):
            cache.learn_tree(key, f"file {path}", "-" if data is None else "=" + data.decode("latin-1"))
        return data

    def _ignore_rules(self, context: Context) -> Ignore | None:
        if context.dockerfile is not None:
            return None
        with self._reporter.vertex("[internal] load .dockerignore").running():
            return ignore_of(self._read, self._settings.dockerfile)

    def _build_context(self) -> Tree:
        """The context's files without what is to be ignored; worked out when the first step asks."""
        with self._lock:
            if self._tree is None:
                assert self._context is not None, "loaded before anything is solved"
                tree = self._context.tree
                self._tree = MaskedTree(tree, self._rules) if self._rules is not None else tree
            return self._tree

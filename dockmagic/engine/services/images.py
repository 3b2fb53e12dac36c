"""Images as the API shows them: lists, inspect, history, removal, what descends from what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dockmagic.engine import clock
from dockmagic.engine.filters import Filters, boolean, check, excluded_by_label, labels_match
from dockmagic.engine.services.containers.initlayer import InitLayers
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.events import Events
from dockmagic.errors import Conflict, DockmagicError, NotFound
from dockmagic.images.deletion import InUse
from dockmagic.images.reference import Reference

if TYPE_CHECKING:
    from dockmagic.images.store import Store, StoredImage

_FILTERS = {"before", "dangling", "label", "reference", "since", "until"}
NO_TAG = "<none>:<none>"


class Images:
    """Answers about the store's images, and removal with an eye on the containers."""

    def __init__(
        self, store: Store, init_layers: InitLayers, containers: ContainerRegistry, events: Events, driver: str
    ) -> None:
        self._store = store
        self._init_layers = init_layers
        self._containers = containers
        self._events = events
        self._driver = driver

    # --- lists ---

    def matching(self, filters: Filters, *, all: bool, old_style: bool = False) -> list[dict[str, Any]]:
        """The API's ImageSummary list, newest first. Raises InvalidParameter, NotFound."""
        check(filters, _FILTERS)
        dangling = boolean(filters, "dangling")
        before = self._created(filters, "before")
        since = self._created(filters, "since")
        until = clock.parse_moment(filters["until"][0], "until") // 10**9 if filters.get("until") else 0
        images = self._store.list()
        users = self._users()
        parents = {image.parent for image in images if image.parent}
        shown = []
        for image in sorted(images, key=created_at, reverse=True):
            moment = created_at(image)
            if not all and dangling is None and not image.tags and not image.digests and image.id in parents:
                continue  # a step of a build, shown by --all
            if dangling is True and (image.tags or image.id in parents):
                continue
            if dangling is False and not image.tags:
                continue
            if (before and moment >= before) or (since and moment <= since) or (until and moment > until):
                continue
            if not labels_match(filters, labels(image)):
                continue
            tags = image.tags
            if filters.get("reference"):
                tags = [tag for tag in tags if _refers(tag, filters["reference"])]
                if not tags and not any(_refers(digest, filters["reference"]) for digest in image.digests):
                    continue
            shown.append({**self._summary(image, tags, old_style=old_style), "Containers": users[image.id]})
        return shown

    def summaries(self) -> list[dict[str, Any]]:
        """Every image, with its containers counted and its shared bytes (docker system df)."""
        images = self._store.list()
        uses: dict[str, int] = {}
        for image in images:
            for layer in image.layers:
                uses[layer.diff_id] = uses.get(layer.diff_id, 0) + 1
        users = self._users()
        return [
            {
                **self._summary(image, image.tags),
                "SharedSize": sum(layer.content_size for layer in image.layers if uses[layer.diff_id] > 1),
                "Containers": users[image.id],
            }
            for image in images
        ]

    def _users(self) -> Counter[str]:
        """How many containers each image has, by its id."""
        return Counter(container.record.image_id for container in self._containers.all())

    def layers_size(self) -> int:
        """bytes of all layers, each counted once."""
        sizes = {layer.diff_id: layer.content_size for image in self._store.list() for layer in image.layers}
        return sum(sizes.values())

    def ancestry(self, name: str) -> set[str]:
        """The ids of the image ``name`` and of every image that begins with its layers."""
        try:
            base = self._store.get(name)
        except NotFound:
            return set()
        wanted = [layer.diff_id for layer in base.layers]
        return {
            image.id
            for image in self._store.list()
            if image.id == base.id or (wanted and [x.diff_id for x in image.layers][: len(wanted)] == wanted)
        }

    # --- one image ---

    def id_of(self, name: str) -> str:
        """The id of the image ``name``, "" when there is none."""
        try:
            return self._store.resolve(name)
        except DockmagicError:
            return ""

    def inspect(self, name: str) -> dict[str, Any]:
        """The API's ImageInspect, with what older versions had. Raises NotFound."""
        image = self._store.get(name)
        config = image.config
        answer: dict[str, Any] = {
            "Id": image.id,
            "RepoTags": list(image.tags),
            "RepoDigests": list(image.digests),
            "Parent": image.parent or "",
            "Comment": _last_comment(config),
            "Created": config.get("created") or clock.ZERO,
            "DockerVersion": config.get("docker_version") or "",
            "Author": config.get("author") or "",
            "Config": _full_config(config.get("config") or {}),
            "Architecture": config.get("architecture") or "",
            "Os": config.get("os") or "",
            "Size": image.size,
            "GraphDriver": {"Data": None, "Name": self._driver},
            "RootFS": {"Type": "layers", "Layers": [layer.diff_id for layer in image.layers]},
            "Metadata": {"LastTagTime": clock.ZERO},
        }
        if config.get("variant"):
            answer["Variant"] = config["variant"]
        answer["VirtualSize"] = image.size
        answer["Container"] = config.get("container") or ""
        answer["ContainerConfig"] = _container_config(config)
        return answer

    def require_platform(self, name: str, wanted: Mapping[str, Any]) -> None:
        """Raises NotFound when the image ``name`` is not there, or is not for the OCI platform ``wanted``."""
        config = self._store.get(name).config
        keys = ("os", "architecture", "variant")
        asked = [wanted.get(key) or "" for key in keys]
        actual = [config.get(key) or "" for key in keys]
        if asked[:2] != actual[:2] or (asked[2] and actual[2] and asked[2] != actual[2]):
            raise other_platform(name, "/".join(filter(None, asked)), "/".join(filter(None, actual)))

    def history(self, name: str) -> list[dict[str, Any]]:
        """The API's HistoryResponseItem list, newest first. Raises NotFound."""
        image = self._store.get(name)
        layers = iter(image.layers)
        steps = []
        for entry in image.config.get("history") or ():
            layer = None if entry.get("empty_layer") else next(layers, None)
            steps.append((entry, layer.content_size if layer else 0))
        steps += [({}, layer.content_size) for layer in layers]
        ids = self._step_ids(image, len(steps))
        tags: dict[str, list[str]] = {known.id: list(known.tags) for known in self._store.list()}
        return [
            {
                "Id": id,
                "Created": _seconds(entry.get("created")),
                "CreatedBy": entry.get("created_by") or "",
                "Tags": tags.get(id) or None,
                "Size": size,
                "Comment": entry.get("comment") or "",
            }
            for id, (entry, size) in zip(ids, reversed(steps), strict=True)
        ]

    def _step_ids(self, image: StoredImage, count: int) -> list[str]:
        """Newest first: the image's id, its parents' while they are known, then ``<missing>``."""
        ids = [image.id]
        at = image
        while len(ids) < count and at.parent:
            try:
                at = self._store.get(at.parent)
            except NotFound:
                break
            ids.append(at.id)
        return (ids + ["<missing>"] * count)[:count]

    # --- removal ---

    def delete(self, name: str, *, force: bool, prune: bool) -> list[dict[str, str]]:
        """The API's ImageDeleteResponseItem list. Raises NotFound, Conflict."""
        image = self._store.get(name)
        done = self._store.delete(name, force=force, prune=prune, in_use=self.in_use)
        if any("Deleted" in item for item in done):
            self._init_layers.release([layer.diff_id for layer in image.layers])
        for item in done:
            action, reference = ("untag", image.id) if "Untagged" in item else ("delete", item["Deleted"])
            self._events.publish("image", action, reference, {"name": item.get("Untagged") or reference})
        return done

    def in_use(self, image_id: str) -> InUse | None:
        """The container that keeps an image, a running one before a stopped one, or None."""
        users = [c for c in self._containers.all() if c.record.image_id == image_id]
        users.sort(key=lambda c: not c.running)
        return InUse(users[0].id, users[0].running) if users else None

    def prune(self, filters: Filters) -> tuple[list[dict[str, str]], int]:
        """Remove unused images: dangling ones, all with the filter dangling=false; what went, and bytes freed."""
        check(filters, {"dangling", "label", "label!", "until"})
        only_dangling = boolean(filters, "dangling") is not False
        until = clock.parse_moment(filters["until"][0], "until") // 10**9 if filters.get("until") else 0
        before = self.layers_size()
        done: list[dict[str, str]] = []
        used = {container.record.image_id for container in self._containers.all()}
        for image in self._store.list():
            if image.id in used or (only_dangling and image.tags):
                continue
            if not labels_match(filters, labels(image)) or excluded_by_label(filters, labels(image)):
                continue
            if until and created_at(image) > until:
                continue
            for name in image.tags or [image.id]:
                try:
                    done += self.delete(name, force=False, prune=True)
                except (Conflict, NotFound):
                    continue  # a child or a new container holds it, or it went with another one
        self._events.publish("image", "prune", "", {"reclaimed": str(before - self.layers_size())})
        return done, before - self.layers_size()

    # --- shapes ---

    def _summary(self, image: StoredImage, tags: Iterable[str], *, old_style: bool = False) -> dict[str, Any]:
        shown = list(tags)
        digests = list(image.digests)
        if old_style and not shown:  # up to 1.42 (API history, v1.43)
            shown = [NO_TAG]
            digests = digests or ["<none>@<none>"]
        summary: dict[str, Any] = {
            "Id": image.id,
            "ParentId": image.parent or "",
            "RepoTags": shown,
            "RepoDigests": digests,
            "Created": created_at(image),
            "Size": image.size,
            "SharedSize": -1,
            "Labels": labels(image) or None,
            "Containers": -1,
        }
        return {**summary, "VirtualSize": image.size}

    def _created(self, filters: Filters, name: str) -> int:
        values = filters.get(name)
        return created_at(self._store.get(values[0])) if values else 0


def labels(image: StoredImage) -> dict[str, str]:
    return (image.config.get("config") or {}).get("Labels") or {}


def created_at(image: StoredImage) -> int:
    """Seconds since the epoch of the image's config."""
    return _seconds(image.config.get("created"))


def _seconds(time: str | None) -> int:
    try:
        return clock.parse(time) // 10**9 if time else 0
    except ValueError:
        return 0


def _last_comment(config: dict[str, Any]) -> str:
    history = config.get("history") or []
    return config.get("comment") or (history[-1].get("comment") if history else "") or ""


def _full_config(config: dict[str, Any]) -> dict[str, Any]:
    """An image's config with the fields of a container's, as dockerd up to API 1.49 shows it."""
    defaults: dict[str, Any] = {
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False,
        "AttachStderr": False, "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None, "Cmd": None,
        "Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": None,
    }  # fmt: skip
    return {**defaults, **{name: value for name, value in config.items() if value is not None}}


def other_platform(reference: str, wanted: str, actual: str) -> NotFound:
    """An image is there, but for another platform (containerd's words)."""
    return NotFound(
        f"image with reference {reference} was found but does not match the specified platform: "
        f"wanted {wanted}, actual: {actual}"
    )


def _container_config(config: dict[str, Any]) -> dict[str, Any]:
    """The Config of the container that made an image, as the classic builder and commit kept it (until API 1.44)."""
    kept = config.get("container_config")
    if kept:
        return _full_config(kept)
    history = config.get("history") or []
    last = (history[-1].get("created_by") or "") if history else ""
    return {**_full_config(config.get("config") or {}), "Cmd": _command_of(last)}


def _command_of(created_by: str) -> list[str] | None:
    """``RUN |1 a=b /bin/sh -c make # buildkit`` in the classic builder's words: its arguments, shell and command."""
    text = created_by.removesuffix(" # buildkit")
    run = re.fullmatch(r"(?:RUN )?(\|(\d+) )?(.*?)(/bin/sh -c) (.*)", text, re.DOTALL)
    if run is None:
        return ["/bin/sh", "-c", f"#(nop) {text}"] if text else None
    arguments = [f"|{run[2]}", *run[3].split()] if run[1] else []
    return [*arguments, "/bin/sh", "-c", run[5]]


def _refers(name: str, patterns: Iterable[str]) -> bool:
    """Whether a tag or digest reference matches one of the patterns (distribution, reference.FamiliarMatch)."""
    from fnmatch import fnmatchcase

    reference = Reference.parse(name)
    candidates = {reference.familiar, reference.familiar_name}
    return any(
        _same_depth(pattern, candidate) and fnmatchcase(candidate, pattern)
        for pattern in patterns
        for candidate in candidates
    )


def _same_depth(pattern: str, name: str) -> bool:
    return pattern.count("/") == name.count("/")  # path.Match: a star stays in its segment

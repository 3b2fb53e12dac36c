"""What ``docker rmi`` does, decides and says (moby, daemon/images/image_delete.go)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from dockmagic.errors import Conflict
from dockmagic.images.reference import DEFAULT_TAG, Reference, parse_normalized

if TYPE_CHECKING:
    from dockmagic.images.store import Store


class InUse(NamedTuple):
    """A container that uses an image."""

    container: str
    running: bool = False


Users: TypeAlias = "Callable[[str], InUse | str | None]"
_Records: TypeAlias = "list[dict[str, str]]"


class _DeleteConflict(Conflict):
    def __init__(self, image_id: str, hard: bool, used: bool, reason: str) -> None:
        forced = "cannot be forced" if hard else "must be forced"
        super().__init__(f"conflict: unable to delete {_short(image_id)} ({forced}) - {reason}")
        self.used = used


def delete(store: Store, name: str, force: bool, prune: bool, in_use: Users) -> _Records:
    """Untag ``name``, and remove the image when that was its last name. Raises NotFound and Conflict."""
    records: _Records = []
    with store.database.transaction():
        image_id = store.resolve(name)
        references = store.names.of(image_id)
        untagged = False
        if not _is_id_prefix(image_id, name):
            user = _user(in_use, image_id)
            if not force and _is_single(references) and user:
                raise Conflict(
                    f'conflict: unable to remove repository reference "{name}" (must force) - container '
                    f"{_short(user.container)} is using its referenced image {_short(image_id)}"
                )
            references = _untag(store, parse_normalized(name), image_id, records)
            if references:
                return records
            untagged = True
        elif _is_single(references):
            _check(store, image_id, in_use, soft=not force, referenced=False)
            for reference in references:
                _remove_reference(store, reference, records)
        _delete(store, image_id, records, force, prune, untagged, in_use)
    store.snapshots.collect()
    return records


def _untag(store: Store, reference: Reference, image_id: str, records: _Records) -> list[Reference]:
    """Remove one name; when it was its repository's last tag here, the repository's digests too. What is left."""
    if not reference.tag and not reference.digest:
        reference = reference.with_tag(DEFAULT_TAG)
    _remove_reference(store, reference, records)
    left = store.names.of(image_id)
    same = [other for other in left if other.name == reference.name]
    if reference.digest or any(not other.digest for other in same):
        return left
    for other in same:
        _remove_reference(store, other, records)
    return [other for other in left if other not in same]


def _remove_reference(store: Store, reference: Reference, records: _Records) -> None:
    if reference.digest:  # a digest's tag names nothing
        reference = Reference(reference.domain, reference.path, "", reference.digest)
    if store.names.remove(reference):
        records.append({"Untagged": reference.familiar})


def _delete(
    store: Store, image_id: str, records: _Records, force: bool, prune: bool, quiet: bool, in_use: Users
) -> None:
    """Remove the image, its last references, layers no other has, and then its parent when nothing names that."""
    try:
        _check(store, image_id, in_use, soft=not force, referenced=True)
    except _DeleteConflict as conflict:
        dangling = not store.names.of(image_id) and not store.children(image_id)
        if quiet and (not dangling or conflict.used):
            return
        raise
    for reference in store.names.of(image_id):
        _remove_reference(store, reference, records)
    with store.database.transaction() as tx:
        row = tx.execute("SELECT parent FROM image WHERE id = ?", (image_id,)).fetchone()
        diff_ids = [
            layer["diff_id"]
            for layer in tx.execute("SELECT diff_id FROM image_layer WHERE image = ? ORDER BY position", (image_id,))
        ]
        tx.execute("DELETE FROM image WHERE id = ?", (image_id,))
    records.append({"Deleted": image_id})
    records.extend({"Deleted": chain} for chain in store.snapshots.release(diff_ids))
    parent = row["parent"]
    if prune and parent and store.has(parent):
        _delete(store, parent, records, False, True, True, in_use)


def _check(store: Store, image_id: str, in_use: Users, *, soft: bool, referenced: bool) -> None:
    """Raise what forbids removing the image; ``soft`` also what could be forced."""
    if store.children(image_id):
        raise _DeleteConflict(image_id, True, False, "image has dependent child images")
    user = _user(in_use, image_id)
    if user and user.running:
        raise _DeleteConflict(
            image_id, True, True, f"image is being used by running container {_short(user.container)}"
        )
    if not soft:
        return
    if referenced and store.names.of(image_id):
        raise _DeleteConflict(image_id, False, False, "image is referenced in multiple repositories")
    if user:
        raise _DeleteConflict(
            image_id, False, True, f"image is being used by stopped container {_short(user.container)}"
        )


def _user(in_use: Users, image_id: str) -> InUse | None:
    user = in_use(image_id)
    return InUse(user) if isinstance(user, str) else user


def _is_single(references: Sequence[Reference]) -> bool:
    """At most one tag, and no digest but of the same repository."""
    if len(references) <= 1:
        return True
    tags = [reference for reference in references if not reference.digest]
    if len(tags) > 1:
        return False
    single = tags[0] if tags else references[0]
    return {reference.name for reference in references if reference.digest} == {single.name}


def _is_id_prefix(image_id: str, text: str) -> bool:
    return image_id.startswith(text) or image_id.partition(":")[2].startswith(text)


def _short(identifier: str) -> str:
    """Docker's twelve digits (stringid.TruncateID)."""
    return identifier.rpartition(":")[2][:12]

"""From a record to a prepared process: the root, the files, the network, the Spec."""

from __future__ import annotations

from dockmagic.engine.services.containers.record import Container
from dockmagic.engine.services.containers.specs import SpecMaker, shim_folder
from dockmagic.engine.services.networks.endpoints import Endpoints
from dockmagic.errors import DockmagicError, NotFound
from dockmagic.images.protocols import Snapshots
from dockmagic.runtime.protocols import Process, Runtime, StartError
from dockmagic.runtime.spec import Exit

_WRONG_KIND = (
    ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is "
    "the expected type"
)


class Launcher:
    """Prepares processes for containers and takes back what they were given."""

    def __init__(self, runtime: Runtime, snapshots: Snapshots, networks: Endpoints, specs: SpecMaker) -> None:
        self._runtime = runtime
        self._snapshots = snapshots
        self._networks = networks
        self._specs = specs

    def mount(self, container: Container) -> str:
        """The container's root as a path, mounted if it was not."""
        with container.lock:
            if container.rootfs is None:
                snapshot = self._snapshots.mount(container.id)
                container.rootfs, container.copy_on_write = snapshot.path, snapshot.copy_on_write
            return str(container.rootfs)

    def prepare(self, container: Container) -> Process:
        """Everything before the process starts. Under the container's lock."""
        for request in container.record.host_config.get("DeviceRequests") or []:
            alternatives = " ".join(f"[{' '.join(names)}]" for names in request.get("Capabilities") or [])
            raise DockmagicError(
                f'could not select device driver "{request.get("Driver") or ""}" with capabilities: [{alternatives}]'
            )
        self.mount(container)
        self._mount_images(container)
        container.folder.mkdir(parents=True, exist_ok=True)
        network = self._networks.enter(container)
        try:
            self._networks.write_files(container)
            shim = shim_folder(container)
            process = self._runtime.prepare(self._specs.make(container, network), shim)
            try:
                self._networks.publish(container, shim)
            except DockmagicError:
                process.close()
                raise
        except DockmagicError:
            self._networks.leave(container)
            raise
        return process

    def _mount_images(self, container: Container) -> None:
        chains = {point.destination: point.chain for point in container.record.mounts}
        for key, destination in container.image_keys().items():
            try:
                root = self._snapshots.mount(key)
            except NotFound:
                root = self._snapshots.view(key, chains[destination])
            container.image_roots[destination] = root.path

    def release(self, container: Container) -> None:
        """The process has ended."""
        self._networks.leave(container)

    def find(self, container: Container) -> Process | Exit | None:
        """The process of a container that ran when the last engine ended."""
        self.mount(container)
        found = self._runtime.find(shim_folder(container))
        if found is not None and not isinstance(found, Exit):
            self._networks.restore(container)
        return found


def failure(error: StartError) -> StartError:
    """The runtime's error in the words of dockerd 28."""
    hint = ""
    if str(error).startswith("error mounting") and str(error).endswith("not a directory"):
        hint = _WRONG_KIND
    wrapped = StartError(
        "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create "
        f"failed: unable to start container process: {error}: unknown{hint}",
        error.code,
    )
    wrapped.status = 400 if error.code in {126, 127} else 500
    return wrapped

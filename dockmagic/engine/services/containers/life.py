"""A container's life: start, stop, kill, pause, its end, its return by a restart policy."""

from __future__ import annotations

import signal as numbers
import threading
import time
from collections.abc import Callable

from dockmagic.engine import clock, log
from dockmagic.engine.services.containers import signals
from dockmagic.engine.services.containers.health import HealthMonitor
from dockmagic.engine.services.containers.launch import Launcher, failure
from dockmagic.engine.services.containers.record import Container, Pending
from dockmagic.engine.services.containers.registry import ContainerRegistry
from dockmagic.engine.services.events import Events
from dockmagic.errors import Conflict, DockmagicError, NotModified
from dockmagic.runtime.protocols import Process, Runtime, StartError
from dockmagic.runtime.spec import Exit

_LOST = 255
"""The exit code of a container whose end nobody saw, as dockerd gives it."""
_BACKOFF = 0.1
_BACKOFF_LIMIT = 60.0
_BACKOFF_RESET = 10.0
"""Seconds; moby, restartmanager.go: 100 ms doubling up to a minute, anew after a run of 10 s."""
_STOP_TIMEOUT = 10
_KILL_PATIENCE = 10
"""Seconds that a SIGKILL's answer waits for the end (moby, daemon.Kill)."""


class Life:
    """Starts and ends containers. ``when_removable`` is called with one that ends and was created with AutoRemove."""

    def __init__(
        self, registry: ContainerRegistry, runtime: Runtime, launcher: Launcher, health: HealthMonitor, events: Events
    ) -> None:
        self._registry = registry
        self._runtime = runtime
        self._launcher = launcher
        self._health = health
        self._events = events
        self._closing = False
        self.when_removable: Callable[[Container], None] = lambda container: None

    # --- begin ---

    def start(self, container: Container) -> None:
        """Raises NotModified when it runs, Conflict, StartError, and what keeps it from starting."""
        with container.lock:
            record = container.record
            if container.removing or container.removed:
                raise Conflict("container is marked for removal and cannot be started")
            if record.status == "paused":
                raise Conflict("cannot start a paused container, try unpause instead")
            if container.running:
                raise NotModified("")
            container.stopping = record.stopped_by_user = False
            container.backoff = 0.0
            record.restart_count = 0
            self._launch(container)

    def _launch(self, container: Container) -> None:
        record = container.record
        try:
            process = self._launcher.prepare(container)
        except DockmagicError as error:
            self._not_started(container, str(error), 128)
            raise
        container.process = process
        for pending in container.pending:
            pending.deliver(process.attach(**pending.streams))
        container.pending.clear()
        try:
            record.pid = process.start()
        except StartError as error:
            container.process = None
            process.close()
            self._launcher.release(container)
            wrapped = failure(error)
            self._not_started(container, str(wrapped), error.code)
            raise wrapped from error
        record.status = "running"
        record.started_at = clock.now()
        record.finished_at = clock.ZERO if record.finished_at == clock.ZERO else record.finished_at
        record.exit_code, record.error, record.oom_killed = 0, "", False
        self._registry.save(container)
        self._events.publish("container", "start", container.id, container.attributes())
        self._watch(container, process)
        self._health.begin(container)

    def _not_started(self, container: Container, message: str, code: int) -> None:
        for pending in container.pending:
            pending.deliver(None)
        container.pending.clear()
        record = container.record
        record.exit_code, record.error, record.pid = code, message, 0
        if record.status == "restarting":
            record.status = "exited"
        self._registry.save(container)
        self._events.publish("container", "die", container.id, container.attributes(exitCode=str(code)))
        if record.host_config["AutoRemove"]:
            self.when_removable(container)

    def _watch(self, container: Container, process: Process) -> None:
        def watch() -> None:
            exit = process.wait()
            self._ended(container, process, exit or Exit(_LOST, clock.now()))

        threading.Thread(target=watch, name=f"container {container.id[:12]}", daemon=True).start()

    # --- end ---

    def _ended(self, container: Container, process: Process, exit: Exit) -> None:
        with container.lock:
            if container.process is not process:
                return
            process.close()
            container.process = None
            self._finish(container, exit)
        if container.record.host_config["AutoRemove"] and container.record.status == "exited":
            self.when_removable(container)

    def _finish(self, container: Container, exit: Exit) -> None:
        """Under the container's lock: it has ended."""
        record = container.record
        self._health.end(container)
        self._launcher.release(container)
        record.pid = 0
        record.exit_code = exit.code
        record.oom_killed = exit.oom_killed
        record.error = exit.error
        record.finished_at = exit.finished_at or clock.now()
        delay = self._restart_delay(container)
        record.status = "exited" if delay is None else "restarting"
        if delay is not None:
            record.restart_count += 1
        self._registry.save(container)
        if exit.oom_killed:
            self._events.publish("container", "oom", container.id, container.attributes())
        self._events.publish("container", "die", container.id, container.attributes(exitCode=str(exit.code)))
        container.exits += 1
        if delay is not None:
            container.restart_timer = threading.Timer(delay, self._relaunch, (container,))
            container.restart_timer.daemon = True
            container.restart_timer.start()
        container.changed.notify_all()

    def _restart_delay(self, container: Container) -> float | None:
        """Seconds until the restart policy brings it back; None: it stays as it is."""
        record = container.record
        policy = record.host_config["RestartPolicy"]
        name = policy["Name"]
        if name == "no" or container.stopping or container.removing or self._closing:
            return None
        if name == "on-failure":
            most = policy.get("MaximumRetryCount") or 0
            if record.exit_code == 0 or (most and record.restart_count >= most):
                return None
        ran = (clock.parse(record.finished_at) - clock.parse(record.started_at)) / 1e9
        container.backoff = (
            _BACKOFF if ran > _BACKOFF_RESET or not container.backoff else min(container.backoff * 2, _BACKOFF_LIMIT)
        )
        return container.backoff

    def _relaunch(self, container: Container) -> None:
        with container.lock:
            container.restart_timer = None
            if container.record.status != "restarting" or self._closing:
                return
            try:
                self._launch(container)
            except DockmagicError as error:
                log.info(f"restart of {container.id[:12]}: {error}")

    # --- what users ask of a running one ---

    def kill(self, container: Container, signal: str = "") -> None:
        """Send ``signal`` (SIGKILL when empty). Raises Conflict when it is not running."""
        number = signals.parse(signal) if signal else numbers.SIGKILL
        with container.lock:
            if container.process is None or not container.running:
                raise Conflict(f"cannot kill container: {container.name}: container {container.id} is not running")
            if number in {numbers.SIGKILL, self._stop_signal(container)}:
                self._user_stops(container)
            if number == numbers.SIGKILL and container.record.status == "paused":
                container.process.resume()
            container.process.signal(number)
            self._tell_kill(container, number)
            if number == numbers.SIGKILL:
                self._await_exit(container, _KILL_PATIENCE)

    def stop(self, container: Container, signal: str = "", timeout: int | None = None) -> None:
        """End it by its stop signal, after ``timeout`` seconds (negative: never) by SIGKILL.

        Raises NotModified when it is not running.
        """
        number = signals.parse(signal) if signal else self._stop_signal(container)
        if timeout is None:
            own = container.record.config["StopTimeout"]
            timeout = _STOP_TIMEOUT if own is None else own
        with container.lock:
            if not container.running:
                raise NotModified("")
            self._user_stops(container)
            if container.process is None:  # waiting for its restart
                self._cancel_restart(container)
                return
            if container.record.status == "paused":
                container.process.resume()
                container.record.status = "running"
            self._signal_if_there(container, number)
            self._tell_kill(container, number)
            if not self._await_exit(container, None if timeout < 0 else timeout):
                self._signal_if_there(container, numbers.SIGKILL)
                self._tell_kill(container, numbers.SIGKILL)
                self._await_exit(container, None)
        self._events.publish("container", "stop", container.id, container.attributes())

    def restart(self, container: Container, signal: str = "", timeout: int | None = None) -> None:
        try:
            self.stop(container, signal, timeout)
        except NotModified:
            pass
        self.start(container)
        self._events.publish("container", "restart", container.id, container.attributes())

    def pause(self, container: Container) -> None:
        with container.lock:
            if container.record.status == "paused":
                raise Conflict(f"container {container.id} is already paused")
            if container.process is None:
                raise Conflict(f"container {container.id} is not running")
            container.process.pause()
            container.record.status = "paused"
            self._registry.save(container)
            self._events.publish("container", "pause", container.id, container.attributes())

    def unpause(self, container: Container) -> None:
        with container.lock:
            if container.process is None or container.record.status != "paused":
                raise DockmagicError(f"Container {container.id} is not paused")
            container.process.resume()
            container.record.status = "running"
            self._registry.save(container)
            self._events.publish("container", "unpause", container.id, container.attributes())

    def resize(self, container: Container, rows: int, columns: int) -> None:
        """Raises Conflict when it is not running."""
        with container.lock:
            if container.process is None:
                raise Conflict(f"Container {container.id} is not running")
            container.process.resize(rows, columns)
        attributes = container.attributes(height=str(rows), width=str(columns))
        self._events.publish("container", "resize", container.id, attributes)

    def attach(self, container: Container, *, stdin: bool, stdout: bool, stderr: bool) -> Pending:
        """A stream of the container's, now or when it starts."""
        pending = Pending(stdin=stdin and container.record.config["OpenStdin"], stdout=stdout, stderr=stderr)
        with container.lock:
            if container.process is not None:
                pending.deliver(container.process.attach(**pending.streams))
            elif container.record.status in {"exited", "dead"} and container.record.started_at != clock.ZERO:
                container.pending.append(pending)  # it may be started again, with this client listening
            else:
                container.pending.append(pending)
            self._events.publish("container", "attach", container.id, container.attributes())
        return pending

    def forget(self, container: Container, pending: Pending) -> None:
        """The client of ``pending`` went before the container started."""
        with container.lock:
            if pending in container.pending:
                container.pending.remove(pending)
        pending.deliver(pending.stream)

    # --- engines come and go ---

    def recover(self) -> None:
        """At the engine's start: meet what runs on, note what has ended, bring back what a policy wants."""
        for container in self._registry.all():
            with container.lock:
                try:
                    self._recover(container)
                except DockmagicError as error:  # its root is damaged, say: the others come up all the same
                    log.info(f"recovery of {container.id[:12]}: {error}")
                    container.record.status, container.record.pid = "dead", 0
                    container.record.error = str(error)
                    self._registry.save(container)
            if container.record.host_config["AutoRemove"] and container.record.status in {"exited", "dead"}:
                self.when_removable(container)

    def _recover(self, container: Container) -> None:
        record = container.record
        if record.status in {"running", "paused"}:
            found = self._launcher.find(container)
            if found is not None and not isinstance(found, Exit):
                container.process = found
                record.pid = found.pid
                self._registry.save(container)
                self._watch(container, found)
                self._health.begin(container)
                return
            self._finish(container, found or Exit(_LOST, clock.now()))
            return
        policy = record.host_config["RestartPolicy"]["Name"]
        wanted = policy == "always" or (policy == "unless-stopped" and not record.stopped_by_user)
        if record.status == "restarting" or (wanted and record.status == "exited"):
            record.status = "restarting"
            self._relaunch(container)

    def shutdown(self) -> None:
        """Stop all that runs, as dockerd does when it is told to end."""
        self._closing = True
        running = [container for container in self._registry.all() if container.running]

        def stop(container: Container) -> None:
            try:
                kept = container.record.stopped_by_user
                self.stop(container)
                with container.lock:
                    container.record.stopped_by_user = kept
                    self._registry.save(container)
            except DockmagicError as error:
                log.info(f"stop of {container.id[:12]}: {error}")

        threads = [threading.Thread(target=stop, args=(container,), daemon=True) for container in running]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 15
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def end(self, container: Container) -> None:
        """Kill it, whatever its state, and wait for its end (for a forced removal). Under the container's lock."""
        self._user_stops(container)
        if container.process is None:
            self._cancel_restart(container)
            return
        if container.record.status == "paused":
            container.process.resume()
        self._signal_if_there(container, numbers.SIGKILL)
        self._tell_kill(container, numbers.SIGKILL)
        if not self._await_exit(container, 30):
            raise DockmagicError(f"container {container.id} did not end after SIGKILL")

    # --- small helps ---

    def _tell_kill(self, container: Container, number: int) -> None:
        self._events.publish("container", "kill", container.id, container.attributes(signal=str(int(number))))

    def _stop_signal(self, container: Container) -> int:
        return signals.parse(container.record.config["StopSignal"] or "SIGTERM")

    def _user_stops(self, container: Container) -> None:
        container.stopping = True
        container.record.stopped_by_user = True

    def _cancel_restart(self, container: Container) -> None:
        if container.restart_timer is not None:
            container.restart_timer.cancel()
            container.restart_timer = None
        if container.record.status == "restarting":
            container.record.status = "exited"
            self._registry.save(container)
            container.changed.notify_all()

    def _signal_if_there(self, container: Container, number: int) -> None:
        try:
            if container.process is not None:
                container.process.signal(number)
        except Conflict:
            pass  # it ended just now; its watcher is about to say so

    def _await_exit(self, container: Container, timeout: float | None) -> bool:
        return container.changed.wait_for(lambda: container.process is None, timeout)

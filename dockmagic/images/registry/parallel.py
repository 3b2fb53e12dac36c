"""Several transfers at once, of which the first to fail ends the others."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from dockmagic.images.registry.failures import Cancelled

Submit: TypeAlias = "Callable[..., concurrent.futures.Future[Any]]"


@contextlib.contextmanager
def together(workers: int, name: str, stop: threading.Event) -> Iterator[Submit]:
    """Gives ``submit(work, *arguments)``; at the end of the block no work is under way any more.

    When the block or some work fails, ``stop`` is set, at which the other work raises Cancelled; what is raised here is
    the failure that was first, not one of its consequences.
    """
    pool = concurrent.futures.ThreadPoolExecutor(workers, name)
    begun: list[concurrent.futures.Future[Any]] = []

    def guarded(work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return work(*arguments)
        except BaseException:
            stop.set()
            raise

    def submit(work: Callable[..., Any], *arguments: Any) -> concurrent.futures.Future[Any]:
        begun.append(pool.submit(guarded, work, *arguments))
        return begun[-1]

    try:
        yield submit
    except Cancelled as given_up:
        pool.shutdown(wait=True, cancel_futures=True)
        raise next(_causes(begun), given_up) from None
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _causes(begun: list[concurrent.futures.Future[Any]]) -> Iterator[BaseException]:
    for future in begun:
        error = future.exception() if future.done() and not future.cancelled() else None
        if error is not None and not isinstance(error, Cancelled):
            yield error

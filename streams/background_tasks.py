"""What runs beside the server of a process: started in order, and stopped together within a bound."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import structlog


class BackgroundTask(NamedTuple):
    """`start` returns at once. `stop` gets the seconds that are left for it; what takes longer is given up."""

    name: str
    start: Callable[[], None]
    stop: Callable[[float], Awaitable[None]]


def in_thread(name: str, stop: Callable[[float], None], *, start: Callable[[], None] = lambda: None) -> BackgroundTask:
    """A task that has threads of its own. Its `stop` may block: it is called in a daemon thread. Without `start`, its
    threads start once there is work."""

    async def stop_it(within_s: float) -> None:
        ended: Future[None] = Future()

        def run() -> None:
            if not ended.set_running_or_notify_cancel():
                return
            try:
                stop(within_s)
            except BaseException as error:
                ended.set_exception(error)
            else:
                ended.set_result(None)

        # The threads of asyncio.to_thread are few, so that stops would wait for each other, and the process for them.
        threading.Thread(target=run, name=f"stop-{name}", daemon=True).start()
        await asyncio.wrap_future(ended)

    return BackgroundTask(name, start, stop_it)


def in_loop(name: str, run: Callable[[], Coroutine[object, object, None]]) -> BackgroundTask:
    """A coroutine of the running loop that goes on until it is cancelled. If it fails, the log has
    `background_task_failed` at once."""
    running: list[asyncio.Task[None]] = []

    async def log_failure() -> None:
        try:
            await run()
        except Exception:
            structlog.get_logger(__name__).critical("background_task_failed", task=name, exc_info=True)

    async def stop(_: float) -> None:
        running[0].cancel()
        await asyncio.wait(running)

    return BackgroundTask(name, lambda: running.append(asyncio.create_task(log_failure(), name=name)), stop)


async def until_one_ends(stop: asyncio.Event, running: Iterable[asyncio.Task[object]]) -> str | None:
    """Wait until `stop` is set; None then. Or until one of the tasks, which run until they are cancelled, has ended by
    itself: what ended it."""
    stopped = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([stopped, *running], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
    if stopped in done:
        return None
    ended = done.pop()
    return "cancelled" if ended.cancelled() else repr(ended.exception())


async def end_within(within_s: float, running: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended. What takes longer is in the log as `background_task_not_stopped`
    and goes on: the caller ends the process."""
    for task in running:
        task.cancel()
    if running and (late := (await asyncio.wait(running, timeout=within_s))[1]):
        names = sorted(task.get_name() for task in late)
        structlog.get_logger(__name__).warning("background_task_not_stopped", tasks=names, within_s=within_s)


class BackgroundTasks:
    """Starts and stops tasks of the running loop's process."""

    def __init__(self, tasks: Sequence[BackgroundTask]) -> None:
        self._tasks = tasks
        self._started: list[BackgroundTask] = []

    def start(self) -> None:
        """Start them in order. Raises what a start raises; `stop` then stops those that had started."""
        for task in self._tasks:
            task.start()
            self._started.append(task)

    async def stop(self, within_s: float) -> None:
        """Stop all at the same time. One that fails or takes longer is in the log as `background_task_not_stopped`; it
        holds up no other one, and not the process."""
        await asyncio.gather(*(_stop(task, within_s) for task in self._started))
        self._started.clear()


async def _stop(task: BackgroundTask, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await task.stop(within_s)
    except TimeoutError:
        structlog.get_logger(__name__).warning("background_task_not_stopped", task=task.name, within_s=within_s)
    except Exception:
        structlog.get_logger(__name__).exception("background_task_not_stopped", task=task.name)

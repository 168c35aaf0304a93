"""Tasks beside a server: started in order, stopped together within a bound, and no failure goes unseen."""

from __future__ import annotations

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from streams.background_tasks import BackgroundTasks, end_within, in_loop, in_thread, until_one_ends
from tests.waiting import TIMEOUT_S


class Recorded:
    """A task with a thread of its own, which does nothing but note what it is told."""

    def __init__(self, calls: list[str], name: str) -> None:
        self._calls = calls
        self._name = name

    def start(self) -> None:
        self._calls.append(f"start {self._name}")

    def stop(self, within_s: float) -> None:
        self._calls.append(f"stop {self._name} within {within_s:g}")


def test_tasks_start_in_order_and_all_stop() -> None:
    calls: list[str] = []

    async def run() -> None:
        calls.append("run loop")
        try:
            await asyncio.Event().wait()
        finally:
            calls.append("cancel loop")

    async def scenario() -> None:
        a, b = Recorded(calls, "a"), Recorded(calls, "b")
        tasks = BackgroundTasks(
            [in_thread("a", a.stop, start=a.start), in_loop("loop", run), in_thread("b", b.stop, start=b.start)]
        )
        tasks.start()
        await asyncio.sleep(0)
        await tasks.stop(60)

    asyncio.run(scenario())
    assert calls[:3] == ["start a", "start b", "run loop"]
    assert sorted(calls[3:]) == ["cancel loop", "stop a within 60", "stop b within 60"]


def test_only_what_had_started_is_stopped() -> None:
    calls: list[str] = []

    def fail() -> None:
        raise RuntimeError("no thread")

    async def scenario() -> None:
        a, b, c = (Recorded(calls, name) for name in "abc")
        tasks = BackgroundTasks(
            [
                in_thread("a", a.stop, start=a.start),
                in_thread("b", b.stop, start=fail),
                in_thread("c", c.stop, start=c.start),
            ]
        )
        with pytest.raises(RuntimeError, match="no thread"):
            tasks.start()
        await tasks.stop(60)

    asyncio.run(scenario())
    assert calls == ["start a", "stop a within 60"]


def test_more_stops_that_hang_than_a_machine_has_threads_for_do_not_hold_up_the_process() -> None:
    end, stopped = threading.Event(), threading.Event()

    def hang(_: float) -> None:
        end.wait(TIMEOUT_S)

    async def scenario() -> None:
        hanging = [in_thread(f"hangs-{number}", hang) for number in range(40)]
        tasks = BackgroundTasks([*hanging, in_thread("last", lambda _: stopped.set())])
        tasks.start()
        await tasks.stop(0.05)

    with capture_logs() as logs:
        asyncio.run(scenario())
    end.set()
    assert stopped.wait(TIMEOUT_S)
    late = {each["task"] for each in logs if each["event"] == "background_task_not_stopped"}
    assert late >= {f"hangs-{number}" for number in range(40)}


def test_a_stop_that_fails_is_logged_and_holds_up_no_other_one() -> None:
    calls: list[str] = []

    def fail(_: float) -> None:
        raise OSError("gone")

    async def scenario() -> None:
        tasks = BackgroundTasks([in_thread("a", fail), in_thread("b", Recorded(calls, "b").stop)])
        tasks.start()
        await tasks.stop(60)

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert [(each["event"], each["task"]) for each in logs] == [("background_task_not_stopped", "a")]
    assert calls == ["stop b within 60"]


def test_a_coroutine_that_fails_is_logged_at_once() -> None:
    async def fail() -> None:
        raise KeyError("topics")

    async def scenario() -> None:
        tasks = BackgroundTasks([in_loop("shape", fail)])
        tasks.start()
        while not logs:
            await asyncio.sleep(0)
        await tasks.stop(60)

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert [(each["event"], each["task"], each["log_level"]) for each in logs] == [
        ("background_task_failed", "shape", "critical")
    ]


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (KeyError("partition"), "KeyError('partition')"),
        (asyncio.CancelledError(), "cancelled"),  # a Kafka client's own, which its awaiters get
        (None, "None"),
    ],
)
def test_a_task_that_ends_by_itself_is_told_with_what_ended_it(ending: BaseException | None, told: str) -> None:
    async def end() -> None:
        if ending is not None:
            raise ending

    async def scenario() -> list[str | None]:
        stop, endless = asyncio.Event(), asyncio.create_task(asyncio.Event().wait())
        found = [await until_one_ends(stop, [endless, asyncio.create_task(end())])]
        stop.set()
        found.append(await until_one_ends(stop, [endless]))
        endless.cancel()
        return found

    assert asyncio.run(scenario()) == [told, None]


def test_tasks_that_do_not_end_when_they_are_cancelled_hold_a_stop_up_for_its_time_only() -> None:
    """As a destination worker whose clients wait for a Kafka that does not answer."""

    async def stubborn(may_end: asyncio.Event) -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    async def scenario() -> tuple[bool, bool]:
        may_end = asyncio.Event()
        late = asyncio.create_task(stubborn(may_end), name="destinations")
        quick = asyncio.create_task(asyncio.sleep(600, None), name="routing")
        await asyncio.sleep(0)
        await end_within(0.01, [late, quick])
        found = late.done(), quick.cancelled()
        may_end.set()
        await late
        await end_within(0.01, [])
        return found

    with capture_logs() as logs:
        assert asyncio.run(scenario()) == (False, True)
    assert [(each["event"], each["tasks"]) for each in logs] == [("background_task_not_stopped", ["destinations"])]

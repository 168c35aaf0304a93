"""A worker whose start fails ends with the reason."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from streams.runtime import worker
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task_manager import TaskManager


@pytest.mark.parametrize("error", [LookupError("odd"), asyncio.CancelledError()])
def test_a_start_that_fails_is_logged_and_ends_the_worker(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka raises the cancellation of its own tasks to whoever awaits them."""

    async def fail(_: TaskManager) -> None:
        raise error

    monkeypatch.setattr(TaskManager, "start", fail)
    monkeypatch.setattr(worker, "stop_on_signals", asyncio.Event)
    with capture_logs() as logs:
        assert asyncio.run(worker.run_worker(RuntimeSettings("sla", ()), [])) == 1
    assert [each["event"] for each in logs][-1] == "worker_start_failed"

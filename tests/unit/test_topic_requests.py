"""Descriptions of topics are asked for once for all who wait; who stops waiting leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from streams.kafka import topic_descriptions
from streams.kafka.topic_descriptions import TopicDescriptions


def test_a_request_that_fails_when_nobody_waits_any_more_is_no_error_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def admin(**_: Any) -> Any:
        asked.set()
        answer.wait()
        raise OSError("no broker answers")

    monkeypatch.setattr(topic_descriptions.kafka_python_clients, "admin", admin)
    reported: list[dict[str, Any]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        waits = asyncio.create_task(TopicDescriptions(["127.0.0.1:1"], {}, 1000).describe(["sla.alerts"]))
        await asyncio.to_thread(asked.wait)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        (request,) = asyncio.all_tasks() - {asyncio.current_task()}
        answer.set()
        await asyncio.wait([request])
        del request
        gc.collect()

    asyncio.run(run())
    assert reported == []

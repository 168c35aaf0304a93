"""A worker needs no place on disk: not even to start."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from streams.runtime.settings import RuntimeSettings
from streams.runtime.task_manager import TaskManager


def test_a_worker_is_made_and_started_without_a_writable_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_usable() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none_usable)
    monkeypatch.chdir(tmp_path)

    async def first_start() -> None:
        host = TaskManager(RuntimeSettings(app_id="sla", brokers=("127.0.0.1:1",)), [])
        await host.app.on_first_start()

    asyncio.run(first_start())
    assert not list(tmp_path.iterdir())

"""A backup that was cut off or changed is refused before anything is asked of Kafka."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from cli.kafka_io import backup
from cli.kafka_io.backup import BackupUnusable, restore_backup
from connect.kafka_io import batches
from connect.kafka_io.connection import BrokerProblem
from streams.topics import declared

NOWHERE = ["127.0.0.1:1"]


def good() -> list[str]:
    record = {"topic": "incident-events", "partition": 0, "timestamp": 1, "key": None, "value": None, "headers": []}
    lines = [json.dumps({**record, "offset": offset}) for offset in range(5)]
    digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    end = {"records": {"incident-events": 5}, "partitions": {"incident-events": 1}, "sha256": digest}
    return [*lines, json.dumps(end)]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda lines: lines[:-1], "the file ends after 5 records without its last line: it was cut off"),
        (lambda lines: [*lines[:3], *lines[4:]], "the file was changed"),
        (lambda lines: [*lines[:3], lines[3][:-9]], "line 4 is not a record of a backup"),
        (lambda lines: ["{}", *lines], "line 1 is not a record of a backup"),
        (lambda lines: ["7", *lines], "line 1 is not a record of a backup"),
        (lambda lines: [], "the file ends after 0 records"),
        (lambda lines: lines, "the backup has records of incident-events, which is not an input topic"),
    ],
)
def test_a_damaged_backup_is_refused(damage: Callable[[list[str]], list[str]], why: str) -> None:
    file = io.BytesIO("".join(f"{line}\n" for line in damage(good())).encode())
    with pytest.raises(BackupUnusable, match=why):
        restore_backup(file, NOWHERE, "sla", [])


class Silent:
    """A producer whose broker acknowledges nothing, and that can't stop."""

    async def start(self) -> None: ...
    async def send(self, *_: object, **__: object) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        await asyncio.Event().wait()


def test_a_restore_ends_where_kafka_falls_silent_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [spec for spec in declared("sla", 1, 1) if spec.is_input]
    applied: list[list[bool]] = []

    def apply_topics(_: object, given: Sequence[object], __: object) -> None:
        applied.append([spec.arrival_time for spec in given])  # type: ignore[attr-defined]

    class Reader:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> SimpleNamespace:
            return SimpleNamespace(from_beginning=lambda: None, all_ends=dict)

        def __exit__(self, *_: object) -> None: ...

    async def partitions_of(_: object, names: Sequence[str], __: object) -> dict[str, list[int]]:
        return {name: [0] for name in names}

    monkeypatch.setattr(backup, "apply_topics", apply_topics)
    monkeypatch.setattr(backup, "TopicReader", Reader)
    monkeypatch.setattr(backup, "partitions_of", partitions_of)
    monkeypatch.setattr(backup.aiokafka_clients, "idempotent_producer", lambda *_, **__: Silent())
    monkeypatch.setattr(batches, "ACK_TIMEOUT_S", 0)
    monkeypatch.setattr(backup, "_STOP_S", 0)
    file = io.BytesIO("".join(f"{line}\n" for line in good()).encode())
    with pytest.raises(BrokerProblem, match=r"acknowledged nothing for 0 s; .* delete them before you restore"):
        restore_backup(file, NOWHERE, "sla", specs)
    assert [set(each) for each in applied] == [{True}, {False}, {True}]

"""A backup that was cut off or changed is refused before anything is asked of Kafka."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable

import pytest

from cli.kafka_io.backup import BackupUnusable, restore_backup

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

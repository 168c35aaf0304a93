"""What tests of the commands against a real broker share: a deployment's size, reading by tail, writing raw records."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from click.testing import Result
from kafka import KafkaProducer

from tests.waiting import TIMEOUT_S

PARTITIONS = 5

Run = Callable[..., Result]


def tailed(run: Run, *words: object) -> list[dict[str, Any]]:
    result = run("tail", "--json", *words, "--from-beginning", "--until-idle", "0.2")
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def put(broker: str, topic: str, value: bytes, key: str = "k", headers: Sequence[tuple[str, bytes]] = ()) -> None:
    producer = KafkaProducer(bootstrap_servers=broker)
    producer.send(topic, key=key.encode(), value=value, headers=list(headers), partition=0).get(TIMEOUT_S)
    producer.close()

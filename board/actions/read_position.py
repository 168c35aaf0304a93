"""Waits until the read model has applied what is in a topic, so that an action is decided by nothing older."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Engine, select

from board.store.tables import checkpoint
from connect.kafka_io.reader import TopicReader
from streams.errors import SlaError
from streams.settings import Settings

#: The read model is usually milliseconds behind.
WITHIN_S: Final = 3.0
_LOOK_S: Final = 0.05


class ReadModelBehind(SlaError):  # noqa: N818 -- it names what happened
    """The read model has not applied everything in time."""


def topic_ends(settings: Settings, topic: str) -> Mapping[int, int]:
    """Partition → the end offset of what is committed in a topic; its name is without prefix. Raises BrokerProblem."""
    name = f"{settings.topic_prefix}.{topic}"
    with TopicReader(settings.bootstrap(), [name], settings.aiokafka_security()) as reader:
        reader.from_now()
        return reader.ends()


def wait_until_applied(
    engine: Engine, topic: str, ends: Mapping[int, int], *, pause: Callable[[float], None] = time.sleep
) -> None:
    """Return once the read model has applied a topic up to these offsets. Raises ReadModelBehind after WITHIN_S, and
    SQLAlchemyError."""
    query = select(checkpoint.c.partition, checkpoint.c.next_offset).where(checkpoint.c.topic == topic)
    for _ in range(int(WITHIN_S / _LOOK_S)):
        with engine.connect() as connection:
            applied = {row.partition: row.next_offset for row in connection.execute(query)}
        left = sum(max(end - applied.get(partition, 0), 0) for partition, end in ends.items())
        if left == 0:
            return
        pause(_LOOK_S)
    raise ReadModelBehind(
        f"the board has not read the last {left:,} records of {topic} within {WITHIN_S:g} s; see /system, and try again"
    )

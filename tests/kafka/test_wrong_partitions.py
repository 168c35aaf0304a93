"""A worker that is told of another number of partitions than the topics have does not join: keys would go astray."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_stack import SharedStack

from cli.kafka_io.topic_admin import apply_topics
from cli.local.stack import StackError
from streams.topics import declared

pytestmark = pytest.mark.kafka


def test_a_wrong_number_of_partitions_stops_the_worker(broker: str, prefix: str, tmp_path: Path) -> None:
    with SharedStack(broker, f"{prefix}sla", tmp_path, partitions=4) as stack:
        apply_topics(broker, declared(stack.prefix, 2))
        with pytest.raises(StackError, match="has 2 partitions, SLA_PARTITIONS is 4: it must be"):
            stack.start_worker()

"""A worker that is told of another number of partitions than the topics have does not join: keys would go astray."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.kafka_io.topic_admin import apply_topics
from cli.local.stack import Stack, StackError
from streams.topics import declared

pytestmark = pytest.mark.kafka


def test_a_wrong_number_of_partitions_stops_the_worker(tmp_path: Path) -> None:
    with Stack(tmp_path / "kafka", partitions=4) as stack:
        apply_topics(stack.bootstrap, declared("sla", 2))
        with pytest.raises(StackError, match="has 2 partitions, SLA_PARTITIONS is 4: it must be"):
            stack.start_worker()

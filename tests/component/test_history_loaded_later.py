"""R32: history that is loaded after statements of its months were made adjusts them; those made before it verify."""

from __future__ import annotations

import json

import pytest
from agent_harness import Cluster
from story import annulled, claimed, contract, opened, policies, resolved

from cli.events.publish_lines import prepare
from cli.events.record_view import event_of
from connect.kafka_io.reader import TopicRecord
from streams.replay.verify import ReplayedMonths, check_with_events
from streams.serde.cloudevents_json import format_line, parse_line
from streams.serde.input_records import InputRecord
from streams.sla.arrival import TimeLimits
from streams.sla.credits.submitted import submitted_statement
from streams.sla.events import Rejection
from streams.sla.instants import DAY, HOUR, SECOND, parse_rfc3339

LOADED_AT = parse_rfc3339("2026-04-10T00:00:00Z")


@pytest.mark.parametrize("taken_back", [False, True])
@pytest.mark.parametrize("partitions", [1, 3])
def test_r32_statements_made_before_history_was_loaded_verify(taken_back: bool, partitions: int) -> None:
    begin = parse_rfc3339("2026-03-02T00:00:00Z")
    published = [
        (contract("2026-03-02T00:00:00Z"), begin, False),
        (claimed("2026-03-20T00:00:00Z", "2026-03"), parse_rfc3339("2026-03-20T00:00:00Z"), False),
        (opened("2026-03-25T00:00:00Z", tenants=["acme"]), LOADED_AT, True),
        (resolved("2026-03-27T00:00:00Z"), LOADED_AT + SECOND, True),
    ]
    if taken_back:
        published.append((annulled("2026-03-28T00:00:00Z"), LOADED_AT + 3 * HOUR, True))
    cluster, lines = Cluster(policies(), partitions=partitions), []
    for number, (line, at, backfill) in enumerate(published, 1):
        cluster.pass_time(at)
        ready = prepare(number, json.dumps({"id": f"e{number}", **line}), backfill=backfill)
        assert isinstance(ready, InputRecord)
        key = ready.subject.encode()
        record = cluster.put(ready.topic, cluster.own(ready.subject), ready.value, at, key=key, headers=ready.headers)
        stored = TopicRecord(record.topic, record.partition, record.offset, at, key, record.value, [])
        lines.append(format_line(event_of(stored)))
    until = LOADED_AT + 10 * DAY
    cluster.pass_time(until + 1)
    assert ["loadedtime" in json.loads(line) for line in lines] == [backfill for _, _, backfill in published]

    statements = []
    for each in cluster.outputs():
        if each["type"] == "credit.statement":
            parsed = parse_line(json.dumps(each))
            assert not isinstance(parsed, Rejection)
            statements.append(submitted_statement(parsed[1], each["data"]))
    statuses = [each.status for each in statements if each.month == "2026-03"]
    assert statuses == ["final", "adjusted", *(["adjusted"] if taken_back else [])]
    found = check_with_events(statements, lines, ReplayedMonths(policies(), TimeLimits()))
    assert found == dict.fromkeys(range(len(statements)))

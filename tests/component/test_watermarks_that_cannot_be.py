"""Watermarks, and requests for them, that no agent can have sent (R26): rejected, and ignored where rows have them."""

from __future__ import annotations

import pytest
from agent_harness import INCIDENTS, LEDGER, Cluster
from story import contract, micros, opened, policies, resolved

from agents.changelog.input_rows import row_key
from agents.changelog.ledger import WATERMARK
from streams.internal_topics import TO_INCIDENTS, TO_LEDGER, wrap
from streams.runtime.processor import Record
from streams.serde.codec import encode
from streams.sla.instants import DAY, HOUR, MINUTE
from streams.worker_progress import REQUEST

START = micros("10:00")
FAR = 2**62
IMPOSSIBLE = [
    (2, START, "invalid", "partition 2 does not exist; there are 2"),
    (-1, START, "invalid", "partition -1 does not exist"),
    (0, -1, "invalid", "not an instant"),
    (0, FAR, "invalid", "not an instant"),
]


def begun() -> Cluster:
    cluster = Cluster(policies(), partitions=2)
    cluster.publish(contract("09:00"), START)
    cluster.publish(opened("10:00", tenants=["acme"]), START)
    return cluster


def mark(partition: int, until: int) -> bytes:
    head = {"event_id": "m", "source": "/sla/incidents", "subject": "p", "occurred_at": START}
    return encode("time.mark", {**head, "partition": partition, "marked_until": until})


def send(cluster: Cluster, value: bytes, route: bytes) -> None:
    topic = "ledger-internal" if route == TO_LEDGER else "incidents-internal"
    envelope = wrap(Record("sla.impacts", 0, 0, START, b"p", value, ()), route, b"copy", topic, 0)
    cluster.put(topic, cluster.own("acme"), value, START, headers=envelope.headers)


def statements_follow(cluster: Cluster) -> bool:
    cluster.publish(resolved("11:00"), START + HOUR)
    cluster.pass_time(START + 40 * DAY)
    return any(each["type"] == "credit.statement" for each in cluster.outputs())


@pytest.mark.parametrize(("partition", "until", "code", "said"), IMPOSSIBLE)
def test_a_watermark_that_cannot_be_is_rejected(partition: int, until: int, code: str, said: str) -> None:
    cluster = begun()
    send(cluster, mark(partition, until), TO_LEDGER)
    (reject,) = cluster.rejects()
    assert (reject.code, reject.place[0]) == (code, "ledger-internal")
    assert said in reject.message
    assert cluster.rows(LEDGER, WATERMARK) == {}
    cluster.rebuild_all()
    assert statements_follow(cluster)


@pytest.mark.parametrize(("partition", "until", "code", "said"), IMPOSSIBLE)
def test_a_request_that_cannot_be_is_rejected(partition: int, until: int, code: str, said: str) -> None:
    cluster = begun()
    send(cluster, encode("state.mark", {"partition": partition, "until": until}), TO_INCIDENTS)
    (reject,) = cluster.rejects()
    assert (reject.code, reject.place[0]) == (code, "incidents-internal")
    assert said in reject.message
    assert cluster.rows(INCIDENTS, REQUEST) == {}
    assert statements_follow(cluster)


def test_watermarks_that_may_be_are_applied() -> None:
    cluster = begun()
    send(cluster, mark(1, START + MINUTE), TO_LEDGER)
    assert cluster.codes() == []
    assert len(cluster.rows(LEDGER, WATERMARK)) == 1


@pytest.mark.parametrize(("partition", "until"), [(2, START), (-1, START), (0, FAR)])
def test_a_row_of_an_earlier_release_that_cannot_be_is_ignored(partition: int, until: int) -> None:
    cluster = begun()
    row = encode("state.mark", {"partition": partition, "until": until})
    for number in range(2):
        cluster.tasks[LEDGER, number].rows[row_key(WATERMARK, str(partition))] = row
    cluster.rebuild_all()
    for number in range(2):
        timers = cluster.tasks[LEDGER, number].processor._ledger.timers
        assert dict(timers.watermarks()) == {0: -1, 1: -1}
    assert statements_follow(cluster)


def test_a_stored_request_that_is_never_reached_is_ignored() -> None:
    cluster = begun()
    row = encode("state.mark", {"partition": 0, "until": FAR})
    for number in range(2):
        cluster.tasks[INCIDENTS, number].rows[row_key(REQUEST)] = row
    cluster.rebuild_all()
    assert statements_follow(cluster)

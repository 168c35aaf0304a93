"""Topics of alerts and closings that were deleted and made anew, or that another cluster has."""

from __future__ import annotations

import pytest
from aiokafka.errors import CommitFailedError
from aiokafka.structs import TopicPartition
from notify_bench import play
from notify_desk import ALERTS, INCIDENTS, ROWS, Desk
from structlog.testing import capture_logs

from connect.notify.commit_texts import CommitText, commit_text, read_commit_text
from connect.notify.read_positions import Committed, ReadPositions
from streams.sla.instants import DAY
from tests.page_triggers import event, value_of


@pytest.mark.parametrize("seen", ["from the middle", "from its beginning", "nothing"])
def test_a_topic_of_alerts_that_was_made_anew_is_read_from_its_beginning_with_the_closings_since(seen: str) -> None:
    """A process that was stopped meanwhile asks for the offset of before, which the new topic may have."""

    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"old-{number}")), at=5)
            kafka.put(INCIDENTS, value_of(event("closed", f"old-{number}")), at=6)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, INCIDENTS: 3})
        desk.positions.same_topics(0)
        kafka.logs[ALERTS] = []
        for number in range(5):
            kafka.put(ALERTS, value_of(event("breached", f"new-{number}")), at=8)
        kafka.put(INCIDENTS, value_of(event("closed", "new-0")), at=9)
        kafka.at[ALERTS] = {"from the middle": 3, "from its beginning": 0, "nothing": 9}[seen]
        end = {"from the middle": 5, "from its beginning": 5, "nothing": 3}[seen]
        await desk.until(lambda: kafka.committed_at == {ALERTS: end, INCIDENTS: 4})
        desk.positions.made_anew("sla.alerts")
        desk.positions.same_topics(0)
        await desk.until(lambda: not desk.positions.begins_anew and kafka.committed_at == {ALERTS: 5, INCIDENTS: 4})
        await desk.until(lambda: desk.bench.delivery.open_pages == 4 and desk.bench.delivery.pending == 0)
        ended = {"breached-new-0--", "closed-new-0--/response/1"}  # not sent where both are read at once
        heard = [each for each in desk.heard if "new" in each and each not in ended]
        assert set(heard) == {f"breached-new-{number}--" for number in range(1, 5)}
        if seen == "from its beginning":
            assert len(heard) == 4, "nothing is read twice"

    play(scenario)


@pytest.mark.parametrize("meanwhile", ["nothing", "reconnected", "killed"])
def test_a_partition_of_a_topic_that_was_made_anew_which_nobody_leads_holds_up_no_other(meanwhile: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        other, its_closings = (TopicPartition(each.topic, 1) for each in (ALERTS, INCIDENTS))
        for where in (other, its_closings, TopicPartition(ROWS.topic, 1)):
            kafka.logs[where], kafka.at[where] = [], 0
        kafka.ids = {"sla.alerts": b"1", "sla.incidents": b"3"}
        for where in (ALERTS, other):
            for number in range(3):
                kafka.put(where, value_of(event("breached", f"old-{where.partition}-{number}")), at=5)
        kafka.put(its_closings, value_of(event("closed", "old-1-0")), at=6)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, other: 3, its_closings: 1})
        for _ in range(2):
            desk.positions.same_topics(0)
        for where in (ALERTS, other):
            kafka.logs[where] = []
            for number in range(5):
                kafka.put(where, value_of(event("breached", f"new-{where.partition}-{number}")), at=8)
        kafka.put(its_closings, value_of(event("closed", "new-1-0")), at=9)
        kafka.leaderless = {other}
        desk.positions.made_anew("sla.alerts", b"2")
        kafka.ids["sla.alerts"] = b"2"
        await desk.until(lambda: not desk.positions._anew and kafka.committed_at[ALERTS] == 5)
        await desk.until(lambda: {f"breached-new-0-{number}--" for number in range(5)} <= set(desk.heard))
        assert {other, its_closings} <= kafka.held, "what is read of it would be of the middle"
        if meanwhile == "reconnected":
            await desk.consumer.on_partitions_revoked(kafka.assignment())
            await desk.consumer.on_partitions_assigned(kafka.assignment())
        elif meanwhile == "killed":
            assert desk.reading is not None
            desk.reading.cancel()
            before, desk = desk, Desk(store=desk.bench.store)
            for name in ("logs", "committed_at", "texts", "ids", "leaderless"):
                setattr(desk.kafka, name, getattr(kafka, name))
            kafka = desk.kafka
            kafka.at = dict.fromkeys(kafka.logs, 0)
            await desk.start()
            desk.bench.sender.heard = before.bench.sender.heard
        await desk.until(lambda: {other, its_closings} <= kafka.held)
        assert desk.positions.begins_anew
        kafka.leaderless.clear()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 5, other: 5, its_closings: 2})
        assert not desk.positions.begins_anew
        ended = {"breached-new-1-0--", "closed-new-1-0--/response/1"}
        await desk.until(lambda: {f"breached-new-1-{number}--" for number in range(1, 5)} <= set(desk.heard))
        await desk.until(lambda: desk.bench.delivery.pending == 0)
        assert ended <= set(desk.heard) or not ended & set(desk.heard)
        assert all(
            (text := read_commit_text(kafka.texts[where])) is not None and text.topic_id == b"2"
            for where in (ALERTS, other)
        )

    play(scenario)


def test_closings_of_a_topic_that_was_made_anew_are_read_from_its_beginning() -> None:
    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        kafka.put(INCIDENTS, value_of(event("closed", "inc-0")), at=6)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, INCIDENTS: 1})
        desk.positions.same_topics(0)
        kafka.logs[INCIDENTS] = []
        kafka.put(INCIDENTS, value_of(event("closed", "inc-1")), at=9)
        kafka.put(INCIDENTS, value_of(event("closed", "inc-2")), at=9)
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, INCIDENTS: 2})
        desk.positions.made_anew("sla.incidents")
        await desk.until(lambda: desk.bench.delivery.open_pages == 0)

    play(scenario)


def test_partitions_that_are_assigned_anew_while_a_topic_is_read_again_are_read_again_too() -> None:
    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3})
        desk.positions.same_topics(0)
        kafka.logs[ALERTS] = []
        for number in range(4):
            kafka.put(ALERTS, value_of(event("breached", f"new-{number}")), at=8)
        kafka.refuses = CommitFailedError()
        desk.positions.made_anew("sla.alerts")
        await desk.until(lambda: kafka.at[ALERTS] == 4)
        kafka.refuses = None
        await desk.consumer.on_partitions_revoked(kafka.assignment())
        await desk.consumer.on_partitions_assigned(kafka.assignment())
        await desk.until(lambda: not desk.positions.begins_anew and kafka.committed_at[ALERTS] == 4)
        await desk.until(lambda: {f"breached-new-{number}--" for number in range(4)} <= set(desk.heard))

    play(scenario)


def test_a_topic_of_another_cluster_is_not_read_from_its_beginning() -> None:
    """It has another id too: everything that Kafka keeps of it would be sent again, and pages that ended long ago would
    stay open."""

    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3})
        desk.positions.same_topics(2 * DAY)
        desk.positions.made_anew("sla.alerts")
        await desk.until(lambda: not desk.positions.begins_anew)
        kafka.put(ALERTS, value_of(event("breached", "inc-4")), at=2 * DAY // 1_000)
        await desk.until(lambda: kafka.committed_at == {ALERTS: 4})
        await desk.until(lambda: len(desk.heard) == 4)

    play(scenario)


@pytest.mark.parametrize("other", [False, True], ids=["made-anew", "another-cluster"])
def test_a_notifier_that_was_killed_soon_after_its_topic_was_made_anew_loses_none_of_its_alerts(other: bool) -> None:
    """It had read on from the middle of the new topic, and committed that. The next one began there."""

    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        kafka.ids = {"sla.alerts": b"1", "sla.incidents": b"3"}
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"old-{number}")), at=5)
            kafka.put(INCIDENTS, value_of(event("closed", f"old-{number}")), at=6)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, INCIDENTS: 3})
        for _ in range(2):
            desk.positions.same_topics(0)
        desk.bench.clock.move(3 * DAY)
        kafka.logs[ALERTS] = []
        for number in range(5):
            written = 5 if other and number == 0 else 3 * DAY // 1_000
            kafka.put(ALERTS, value_of(event("breached", f"new-{number}")), at=written)
        kafka.put(INCIDENTS, value_of(event("closed", "new-0")), at=3 * DAY // 1_000)
        await desk.until(lambda: kafka.committed_at == {ALERTS: 5, INCIDENTS: 4})
        if other:
            await desk.until(lambda: desk.bench.delivery.pending == 0)  # the next one would send it
        assert desk.reading is not None
        desk.reading.cancel()

        after = Desk(store=desk.bench.store)
        for name in ("logs", "committed_at", "texts"):
            setattr(after.kafka, name, getattr(kafka, name))
        after.kafka.ids = {"sla.alerts": b"2", "sla.incidents": b"3"}
        after.bench.clock.move(4 * DAY)
        with capture_logs() as logs:
            await after.start()
            await after.until(lambda: after.kafka.at[ALERTS] == 5 and not after.positions.begins_anew)
            await after.until(lambda: after.bench.delivery.pending == 0)
        told = {log["event"]: log for log in logs}
        if other:
            assert told["topic_not_read_again"]["partitions"] == [0]
            assert after.heard == []
            return
        assert told["topic_read_again"]["offsets"] == {"sla.alerts/0": 0, "sla.incidents/0": 3}
        await after.until(lambda: after.kafka.committed_at == {ALERTS: 5, INCIDENTS: 4})
        sent = set(desk.heard) | set(after.heard)
        assert {f"breached-new-{number}--" for number in range(1, 5)} <= sent  # the other has ended meanwhile
        assert after.bench.delivery.open_pages == 4
        again = Desk(store=after.bench.store)
        for name in ("logs", "committed_at", "texts", "ids"):
            setattr(again.kafka, name, getattr(after.kafka, name))
        await again.start()
        assert not again.positions.begins_anew

    play(scenario)


def test_what_others_wrote_into_a_commit_is_ignored() -> None:
    for text in ("", "rubbish", "[]", "null", "{}", '{"topic_id": "x", "at": 1}', '{"topic_id": "01", "at": 1e999}'):
        assert read_commit_text(text) is None
        positions = ReadPositions()
        positions.resumed(Committed({ALERTS: text}, {"sla.alerts": b"1"}))
        assert not positions.begins_anew
    given = CommitText(b"\x01\xff" * 8, 7, 9)
    assert read_commit_text(commit_text(given)) == given
    assert len(commit_text(CommitText(b"\xff" * 16, 2**63, 2**63))) < 150


def test_a_topic_that_is_made_anew_soon_after_its_first_record_was_read_is_read_again() -> None:
    positions = ReadPositions()
    positions.same_topics(0)
    positions.read(ALERTS, 0, 0)
    positions.made_anew("sla.alerts")
    assert positions.places([ALERTS], "sla.alerts", "sla.incidents") == {ALERTS: 0}
    positions.read(ALERTS, 0, 0)
    assert positions.places([ALERTS], "sla.alerts", "sla.incidents") == {}

"""Topics that were made anew: read by another notifier before this one learned of it, or one after the other."""

from __future__ import annotations

from notify_bench import play
from notify_desk import ALERTS, INCIDENTS, Desk

from connect.notify.commit_texts import CommitText, commit_text
from connect.notify.read_positions import ReadPositions
from tests.page_triggers import event, value_of


def test_what_another_notifier_has_read_of_a_new_topic_is_not_read_again() -> None:
    """One that was cut off meanwhile read all alerts again, and no closing: pages that had ended were open for ever."""

    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        kafka.ids = {"sla.alerts": b"2", "sla.incidents": b"3"}
        kafka.put(ALERTS, value_of(event("breached", "inc-0")), at=8)
        kafka.put(INCIDENTS, value_of(event("closed", "inc-0")), at=9)
        kafka.put(ALERTS, value_of(event("breached", "inc-1")), at=9)
        kafka.committed_at = {ALERTS: 1, INCIDENTS: 1}
        kafka.texts = {ALERTS: commit_text(CommitText(b"2", 0)), INCIDENTS: commit_text(CommitText(b"3", 0))}
        desk.positions.made_anew("sla.alerts", b"2")
        await desk.start()
        await desk.until(lambda: desk.heard and not desk.positions.begins_anew)
        await desk.until(lambda: kafka.committed_at == {ALERTS: 2, INCIDENTS: 1})
        await desk.until(lambda: desk.bench.delivery.pending == 0)
        assert desk.heard == ["breached-inc-1--"]
        assert desk.bench.delivery.open_pages == 1

    play(scenario)


def test_closings_that_are_read_again_with_alerts_are_not_sought_at_an_offset_of_their_topic_before() -> None:
    """That one was committed: closings before it were skipped, and their pages were open for ever."""
    positions = ReadPositions()
    for where in (ALERTS, INCIDENTS):
        positions.read(where, 0, 7)
        positions.applied({where: 8})
    for _ in range(2):
        positions.same_topics(0)
    positions.made_anew("sla.incidents", b"4")
    positions.went_on({})
    for _ in range(2):
        positions.same_topics(1)
    positions.made_anew("sla.alerts", b"5")
    assert positions.places([ALERTS, INCIDENTS], ALERTS.topic, INCIDENTS.topic) == {ALERTS: 0, INCIDENTS: 0}

"""A topic of alerts that was made anew, and read by another notifier before this one learned of it."""

from __future__ import annotations

from notify_bench import play
from notify_desk import ALERTS, INCIDENTS, Desk

from connect.notify.commit_texts import CommitText, commit_text
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

"""Closings, which come from another topic than the alerts whose pages they end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from notify_bench import destination, play
from notify_desk import ALERTS, INCIDENTS, Desk

from connect.notify import alert_consumer
from connect.notify.page import Page
from streams.sla.instants import SECOND
from tests.page_triggers import event, trigger, value_of


def test_a_closing_waits_for_the_alerts_that_were_published_before_it() -> None:
    """The alerts' partition is read more slowly: the end must not overtake the page."""

    async def scenario() -> None:
        desk = Desk()
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-1")), at=5)
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-2")), at=6)
        desk.kafka.put(INCIDENTS, value_of(event("closed", "inc-1")), at=6)
        desk.kafka.visible[ALERTS] = 0
        await desk.start()
        await desk.until(lambda: INCIDENTS in desk.kafka.held)
        assert desk.kafka.committed_at == {}
        desk.kafka.visible[ALERTS] = 1
        await desk.until(lambda: desk.heard == ["breached-inc-1--"])
        await desk.until(lambda: desk.kafka.committed_at == {ALERTS: 1})
        del desk.kafka.visible[ALERTS]
        await desk.until(lambda: len(desk.heard) == 3)
        assert set(desk.heard) == {"breached-inc-1--", "breached-inc-2--", "closed-inc-1--/response/1"}
        await desk.until(lambda: INCIDENTS not in desk.kafka.held)
        await desk.until(lambda: desk.kafka.committed_at == {ALERTS: 2, INCIDENTS: 1})

    play(scenario)


@pytest.mark.parametrize("seen", ["all at once", "closing first", "alerts first"])
def test_in_a_backlog_a_closing_does_not_end_the_page_of_a_reopened_incident(seen: str) -> None:
    async def scenario() -> None:
        desk = Desk("webhook")
        desk.kafka.put(ALERTS, value_of(event("breached", id_="before")), at=5)
        desk.kafka.put(ALERTS, value_of(event("breached", id_="after", instance=2)), at=7)
        desk.kafka.put(INCIDENTS, value_of(event("closed", id_="end")), at=6)
        if seen != "all at once":
            desk.kafka.visible[ALERTS if seen == "closing first" else INCIDENTS] = seen == "closing first"
        await desk.start()
        if seen == "alerts first":
            await desk.until(lambda: len(desk.heard) == 2)
        elif seen == "closing first":
            await desk.until(lambda: INCIDENTS in desk.kafka.held)
        desk.kafka.visible.clear()
        await desk.until(lambda: len(desk.heard) == 3)
        assert desk.heard == (["before", "after", "end"] if seen == "alerts first" else ["before", "end", "after"])
        await desk.until(lambda: desk.bench.delivery.open_pages == 1)  # of the incident as it was reopened

    play(scenario)


def test_a_closing_above_the_size_of_inputs_ends_its_pages() -> None:
    """An incident with thousands of update windows: every clock is listed."""

    async def scenario(kind: str) -> None:
        desk = Desk(kind)
        closed = event("closed")
        closed["data"]["clocks"] = [{**closed["data"]["clocks"][0], "instance": number} for number in range(15_000)]
        value = value_of(closed)
        assert len(value) > 256 * 1024
        desk.kafka.put(ALERTS, value_of(event("breached")), at=5)
        await desk.start()
        await desk.until(lambda: desk.heard)
        desk.kafka.put(INCIDENTS, value, at=6)
        desk.bench.clock.move(2 * SECOND)  # Slack takes one message a second
        await desk.until(lambda: desk.heard[-1].startswith("closed-inc-1"))
        assert desk.unreadable() is None
        await desk.until(lambda: desk.bench.delivery.open_pages == 0)

    for kind in ("pagerduty", "slack", "webhook"):
        play(lambda kind=kind: scenario(kind))  # type: ignore[misc]
    many = replace(trigger("closed", clocks=[{"instance": number} for number in range(1_500)]), at=1)
    page = Page("inc-1").apply(trigger("breached"), destination("webhook"), 0, busy=False)
    data = page.apply(many, destination("webhook"), 0, busy=False).pending[-1].event["data"]
    assert (len(data["clocks"]), data["clocks"][-1], data["clocks_left_out"]) == (1_000, {"instance": 1_499}, 500)


def test_a_closing_that_waits_for_alerts_of_a_topic_that_was_made_anew_waits_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its barrier is an offset that the new topic may never have."""
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        for number in range(3):
            desk.kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        desk.kafka.put(INCIDENTS, value_of(event("closed", "inc-0")), at=6)
        desk.kafka.visible[ALERTS] = 1
        await desk.start()
        await desk.until(lambda: desk.heard == ["breached-inc-0--"] and INCIDENTS in desk.kafka.held)
        desk.kafka.logs[ALERTS] = []
        desk.kafka.at[ALERTS] = 0
        await desk.until(lambda: desk.heard[1:] == ["closed-inc-0--/response/1"])

    play(scenario)

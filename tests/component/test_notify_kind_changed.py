"""A destination of another kind under the same name: what waits is judged anew, and nothing is lost unseen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from notify_bench import Bench, destination, failed, play
from structlog.testing import capture_logs

from connect.notify.destinations.kind import MASKED
from connect.notify.triggers import PageTrigger
from tests.page_triggers import trigger

PEOPLE = ["pagerduty", "slack"]


def late(incident: str) -> PageTrigger:
    found = trigger("breached", incident)
    return replace(found, event={**found.event, "incidentended": "2026-04-10T10:00:00Z"})


async def changed(before: Bench, kind: str) -> Bench:
    """The same destination after a restart with another kind."""
    if before.running is not None:
        await before.delivery.suspend(0)
        before.running.cancel()
    after = Bench(destination(kind), before.store)
    after.clock.move(before.clock.at)
    await after.store.write(0, after.delivery.load(0, before.store.kept(0, "d").pages()))
    after.delivery.rows_written()
    after.start()
    return after


@pytest.mark.parametrize("kind", PEOPLE)
def test_people_are_not_told_of_what_has_ended_while_it_waited_for_a_webhook(kind: str) -> None:
    async def scenario() -> None:
        hook = Bench(destination("webhook"))
        await hook.give(
            *(trigger("breached", "inc-closed"), trigger("due", "inc-closed", instance=1)),
            *(trigger("breached", "inc-met"), trigger("met", "inc-met"), trigger("closed", "inc-closed")),
            *(trigger("warning", "inc-open"), trigger("breached", "inc-open")),
            *(trigger("due", "inc-open", instance=1), trigger("due", "inc-open", instance=2)),
        )
        after = await changed(hook, kind)
        await after.pass_to(60)
        assert sorted(after.sender.heard)[0][1] == "inc-open"
        assert {id_ for _, _, id_ in after.sender.heard} == {"breached-inc-open--", "due-inc-open--2"}
        assert after.store.parked() == [], "nobody was told of them, so nobody needs their end"
        await after.give(trigger("closed", "inc-open"))
        await after.pass_to(120)
        ends = [each for each in after.sender.messages if each.action == "resolve"]
        assert len(ends) == (2 if kind == "pagerduty" else 1)
        keys = {each.dedup_key("inc-open") for each in after.sender.messages if each.action == "trigger"}
        assert kind == "slack" or {each.dedup_key("inc-open") for each in ends} == keys
        assert after.store.left() == []

    play(scenario)


@pytest.mark.parametrize("kind", PEOPLE)
def test_an_end_of_what_the_kind_before_was_told_is_parked_with_the_reason(kind: str) -> None:
    async def scenario() -> None:
        hook = Bench(destination("webhook"))
        hook.start()
        await hook.give(trigger("breached", "inc-1"))
        await hook.pass_to(1)
        hook.sender.always = failed
        await hook.give(trigger("closed", "inc-1"))
        await hook.pass_to(2)
        with capture_logs() as logs:
            after = await changed(hook, kind)
        await after.pass_to(60)
        assert after.sender.heard == []
        (parked,) = after.store.parked()
        assert (parked.incident, parked.message.id) == ("inc-1", "closed-inc-1--")
        assert "kind webhook" in parked.reason
        assert after.metrics.registry.get_sample_value("sla_notify_parked_total", {"destination": "d"}) == 1
        assert [each["reason"] for each in logs if each["event"] == "message_parked"] == [parked.reason]
        (told,) = [each for each in logs if each["event"] == "destination_kind_changed"]
        assert (told["before"], told["after"], told["parked"]) == (["webhook"], kind, 1)
        again = await changed(after, "webhook")  # changed back: an operator retries it
        await again.store.write(0, again.delivery.retry(0, parked.incident, parked.message))
        again.delivery.rows_written()
        await again.pass_to(61)
        assert [id_ for _, _, id_ in again.sender.heard] == ["closed-inc-1--"]

    play(scenario)


def test_a_closing_that_names_no_clock_is_not_retried_where_each_clock_has_a_page() -> None:
    async def scenario() -> None:
        hook = Bench(destination("webhook"))
        hook.start()
        await hook.give(trigger("breached", "inc-1"))
        await hook.pass_to(1)
        hook.sender.always = failed
        await hook.give(trigger("closed", "inc-1"))
        after = await changed(hook, "pagerduty")
        (parked,) = after.store.parked()
        await after.store.write(0, after.delivery.retry(0, parked.incident, parked.message))
        after.delivery.rows_written()
        await after.pass_to(60)
        assert after.sender.heard == []
        (still,) = after.store.parked()
        assert "kind webhook" in still.reason

    play(scenario)


def test_the_end_of_a_page_is_parked_and_not_sent_elsewhere() -> None:
    async def scenario() -> None:
        pager = Bench(destination("pagerduty"))
        pager.start()
        await pager.give(trigger("breached", "inc-1"), trigger("due", "inc-1", instance=1))
        await pager.pass_to(1)
        pager.sender.always = failed
        await pager.give(trigger("closed", "inc-1"), trigger("breached", "inc-2"), trigger("warning", "inc-3"))
        await pager.give(trigger("closed", "inc-3"))
        await pager.pass_to(1)
        after = await changed(pager, "webhook")
        await after.pass_to(60)
        assert [id_ for _, _, id_ in after.sender.heard] == ["breached-inc-2--"]
        assert {each.incident for each in after.store.parked()} == {"inc-1", "inc-3"}
        assert all(each.message.action == "resolve" for each in after.store.parked())
        await after.give(trigger("closed", "inc-2"))
        await after.pass_to(120)
        assert [id_ for _, _, id_ in after.sender.heard] == ["breached-inc-2--", "closed-inc-2--"]

    play(scenario)


@pytest.mark.parametrize("kind", PEOPLE)
def test_a_late_breach_that_waits_is_told_and_ended_as_the_new_kind_does(kind: str) -> None:
    async def scenario() -> None:
        hook = Bench(destination("webhook"))
        await hook.give(late("inc-1"))
        after = await changed(hook, kind)
        await after.pass_to(60)
        told = [each.action for each in after.sender.messages]
        assert told == (["trigger", "resolve"] if kind == "pagerduty" else ["trigger"])
        assert after.store.left() == []

    play(scenario)


def test_a_digest_that_waits_goes_to_people_and_is_parked_for_machines() -> None:
    async def scenario(kind: str) -> None:
        pager = Bench(destination("pagerduty", pages_per_minute=1))
        pager.start()
        await pager.give(*(trigger("breached", f"inc-{number}") for number in range(5)))
        await pager.pass_to(50)
        pager.sender.always = failed
        await pager.pass_to(61)
        assert any(b"digest" in key for key in pager.store.left())
        after = await changed(pager, kind)
        await after.pass_to(200)
        digests = [each for each in after.sender.messages if each.clock == "digest"]
        parked = after.store.parked()
        assert (len(digests), len(parked)) == ((1, 0) if kind == "slack" else (0, 1))
        if kind == "webhook":
            assert "kind pagerduty" in parked[0].reason
        for number in range(5):
            await after.give(trigger("closed", f"inc-{number}"))
        await after.pass_to(400)
        ends = [each for each in after.sender.messages if each.clock == "digest" and each.action == "resolve"]
        assert len(ends) == (1 if kind == "slack" else 0)
        for message in after.sender.messages:
            assert after.to.kind.prepare(after.to, MASKED, "inc-0", message, 0).body
        assert [key for key in after.store.left() if b"parked" not in key] == []

    play(lambda: scenario("slack"))
    play(lambda: scenario("webhook"))


@pytest.mark.parametrize("kind", [*PEOPLE, "webhook"])
def test_a_crash_after_any_row_of_the_change_loses_and_doubles_nothing(kind: str) -> None:
    before = "webhook" if kind != "webhook" else "pagerduty"

    async def scenario(rows_left: int) -> bool:
        old = Bench(destination(before))
        old.start()
        await old.give(trigger("breached", "inc-1"), trigger("warning", "inc-2"), trigger("breached", "inc-2"))
        await old.pass_to(1)
        old.sender.always = failed
        await old.give(trigger("breached", "inc-3"), trigger("due", "inc-3", instance=1), trigger("closed", "inc-1"))
        await old.delivery.suspend(0)
        crashed = Bench(destination(kind), old.store)
        rows = crashed.delivery.load(0, old.store.kept(0, "d").pages())
        await old.store.write(0, rows[:rows_left])
        after = await changed(old, kind)
        await after.pass_to(60)
        heard = [id_ for _, _, id_ in after.sender.heard]
        assert sorted(heard) == ["breached-inc-3--", "due-inc-3--1"]
        assert [each.incident for each in after.store.parked()] == ["inc-1"]
        return rows_left < len(rows)

    async def every() -> None:
        rows_left = 0
        while await scenario(rows_left):
            rows_left += 1

    play(every)


def test_what_waits_for_the_same_kind_is_left_as_it_is() -> None:
    async def scenario() -> None:
        for kind in (*PEOPLE, "webhook"):
            old = Bench(destination(kind))
            await old.give(trigger("breached", "inc-1"), trigger("breached", "inc-2"))
            after = Bench(destination(kind), old.store)
            with capture_logs() as logs:
                assert after.delivery.load(0, old.store.kept(0, "d").pages()) == []
            assert logs == []

    play(scenario)

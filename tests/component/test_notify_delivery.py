"""Delivery by an injected clock: order, backoff, Retry-After, dead and gone destinations, parking, crashes."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import pytest
from notify_bench import Bench, destination, failed, play

from connect.notify.destination_pages import DestinationPages
from connect.notify.destinations.answers import Delivered, Failed, Outcome, Undeliverable
from connect.notify.destinations.kind import MASKED
from connect.notify.destinations.phrases import title
from connect.notify.destinations.webhook import RETRY_SCHEDULE
from connect.notify.message import Message
from connect.notify.page import Page
from connect.notify.pending_pages import PageKey
from connect.notify.triggers import PageTrigger
from streams.sla.instants import HOUR, MINUTE, SECOND
from tests.page_triggers import trigger

KINDS: list[str] = ["pagerduty", "slack", "webhook"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_a_reminder_and_an_end_are_told_in_order_and_leave_nothing(kind: str) -> None:
    async def scenario() -> None:
        bench = Bench(destination(kind))
        bench.start()
        for second, name in enumerate(["warning", "breached", "met"]):
            await bench.give(trigger(name))
            await bench.pass_to(10 * (second + 1))
        assert [id_ for _, _, id_ in bench.sender.heard] == ["warning-inc-1--", "breached-inc-1--", "met-inc-1--"]
        assert bench.store.left() == []
        assert bench.delivery.pending == bench.delivery.open_pages == 0

    play(scenario)


def test_the_way_of_an_alert_is_measured_from_its_record_to_its_delivery() -> None:
    async def scenario() -> None:
        bench = Bench(destination("webhook"))
        bench.sender.answers = [Failed("HTTP 500")]
        bench.start()
        await bench.pass_to(30)
        await bench.give(replace(trigger("breached"), at=10_000), replace(trigger("met"), at=31_000))
        await bench.pass_to(100)
        labels = {"destination": bench.to.name}
        count, seconds = (
            bench.metrics.registry.get_sample_value(f"sla_notify_arrival_to_delivery_seconds_{each}", labels)
            for each in ("count", "sum")
        )
        assert (count, seconds) == (1, 25), "20 s until it was read, 5 s until the second try; the end does not count"

    play(scenario)


def test_a_failing_message_holds_up_only_its_own_incident() -> None:
    async def scenario() -> None:
        bench = Bench(destination("webhook"))
        bench.sender.always = lambda message: Failed("HTTP 500") if message.id == "bad" else Delivered()
        bench.start()
        await bench.give(trigger("breached", "inc-1", "bad"))
        for number in range(20):
            await bench.give(trigger("breached", f"inc-{number + 2}"), trigger("met", f"inc-{number + 2}"))
        await bench.give(trigger("met", "inc-1", "after"))
        await bench.pass_to(1)
        assert bench.count("delivered") == 40
        assert "after" not in [id_ for _, _, id_ in bench.sender.heard]
        await bench.pass_to(400)
        assert [(at, id_) for at, incident, id_ in bench.sender.heard if incident == "inc-1"] == [
            (0, "bad"),
            (5, "bad"),
            (305, "bad"),
        ]
        bench.sender.always = lambda _: Delivered()
        await bench.pass_to(3000)
        assert [id_ for _, incident, id_ in bench.sender.heard if incident == "inc-1"][-2:] == ["bad", "after"]
        assert bench.store.left() == []

    play(scenario)


@pytest.mark.parametrize("kind", ["pagerduty", "slack"])
def test_an_end_that_is_retried_ends_no_page_that_was_opened_again_since(kind: str) -> None:
    """Otherwise a page that stands would be resolved, and nobody would see it any more."""

    async def scenario() -> None:
        bench = Bench(destination(kind))
        bench.sender.always = lambda m: Undeliverable("HTTP 400") if m.action == "resolve" else Delivered()
        bench.start()
        alerts = [replace(trigger("breached", id_=f"e{at}", metric="response"), at=at) for at in (1, 5)]
        end = replace(trigger("closed", id_="end", reason="resolved"), at=3)
        await bench.give(alerts[0])
        await bench.pass_to(2)
        await bench.give(end)
        await bench.pass_to(4)
        (parked,) = bench.store.parked()
        await bench.give(alerts[1])
        await bench.pass_to(6)
        bench.sender.always = lambda _: Delivered()
        await bench.store.write(0, bench.delivery.retry(0, parked.incident, parked.message))
        bench.delivery.rows_written()
        await bench.pass_to(9)
        told = [each.id for each in bench.sender.messages]
        if kind == "pagerduty":
            assert told[-1] == "e5"
            assert "opened again since" in bench.store.parked()[0].reason
        else:  # one post about the incident
            assert (told[-1], bench.store.parked()) == ("end", [])
            assert title(bench.sender.messages[-1].event, "en").endswith("(resolved, reopened since)")

    play(scenario)


def test_webhooks_are_parked_after_the_tenth_try_and_can_be_tried_again() -> None:
    async def scenario() -> None:
        bench = Bench(destination("webhook"))
        bench.sender.always = failed
        bench.start()
        await bench.give(trigger("breached", id_="e1"))
        await bench.pass_to(5 * 24 * 3600)
        instants = [at for at, _, _ in bench.sender.heard]
        assert len(instants) == 10
        for at, expected in zip(instants[:4], [0, 5, 305, 2105], strict=True):
            assert at == expected
        assert instants[-1] >= sum(RETRY_SCHEDULE) // SECOND
        (parked,) = bench.store.parked()
        assert (parked.reason, parked.message.tries, parked.message.id) == ("given up: HTTP 500", 10, "e1")
        assert bench.metrics.registry.get_sample_value("sla_notify_parked_total", {"destination": "d"}) == 1
        bench.sender.always = lambda _: Delivered()
        await bench.store.write(0, bench.delivery.retry(0, parked.incident, parked.message))
        bench.delivery.rows_written()
        await bench.settled()
        assert bench.sender.heard[-1][2] == "e1"
        await bench.give(trigger("met"))
        assert bench.sender.heard[-1][2] == "met-inc-1--"  # the page that was not announced still has its end

    play(scenario)


@pytest.mark.parametrize("kind", ["pagerduty", "slack"])
def test_others_are_parked_when_it_is_too_late(kind: str) -> None:
    async def scenario() -> None:
        bench = Bench(destination(kind, give_up_after=HOUR))
        bench.sender.always = failed
        bench.start()
        await bench.give(trigger("breached"))
        await bench.pass_to(2 * 3600)
        assert bench.sender.heard[-1][0] == 3600
        assert len(bench.sender.heard) < 30
        (parked,) = bench.store.parked()
        assert parked.reason == "given up: HTTP 500"

    play(scenario)


def test_a_final_answer_parks_at_once_and_others_go_on() -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty"))
        bench.sender.answers = [Undeliverable("HTTP 400: no such key")]
        bench.start()
        await bench.give(trigger("breached", "inc-1"), trigger("breached", "inc-2"))
        await bench.pass_to(1)
        assert [each.reason for each in bench.store.parked()] == ["HTTP 400: no such key"]
        assert (bench.count("refused"), bench.count("delivered")) == (1, 1)
        assert bench.delivery.health.healthy

    play(scenario)


def test_410_parks_the_message_and_nothing_more_is_sent() -> None:
    async def scenario() -> None:
        bench = Bench(destination("webhook"))
        bench.sender.answers = [Undeliverable("HTTP 410", gone=True)]
        bench.sender.open.clear()
        bench.start()
        await bench.give(*(trigger("breached", f"inc-{number}") for number in range(20)))
        assert bench.sender.most_at_once == 8
        bench.sender.open.set()
        await bench.pass_to(1)
        assert bench.delivery.health.disabled == "HTTP 410"
        assert not bench.delivery.health.healthy
        assert len(bench.sender.heard) == 8  # what was on its way; the rest waits
        assert len(bench.store.parked()) == 1
        assert bench.delivery.pending == 12

    play(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_retry_after_delays_the_destination(kind: str) -> None:
    async def scenario() -> None:
        bench = Bench(destination(kind))
        bench.sender.answers = [Failed("HTTP 429", 30 * SECOND, rate_limited=True)]
        bench.start()
        await bench.give(trigger("breached", "inc-1"))
        await bench.give(trigger("breached", "inc-2"))
        await bench.pass_to(29)
        assert bench.sender.heard == [(0, "inc-1", "breached-inc-1--")]
        await bench.pass_to(33)
        assert {incident for _, incident, _ in bench.sender.heard[1:]} == {"inc-1", "inc-2"}
        assert bench.delivery.health.healthy
        assert bench.delivery.pending == 0

    play(scenario)


def test_slack_is_sent_one_message_a_second() -> None:
    async def scenario() -> None:
        bench = Bench(destination("slack"))
        bench.start()
        await bench.give(*(trigger("breached", f"inc-{number}") for number in range(5)))
        await bench.pass_to(10)
        assert [at for at, _, _ in bench.sender.heard] == [0, 1, 2, 3, 4]
        assert bench.sender.most_at_once == 1

    play(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_destination_is_probed_and_costs_little(kind: str) -> None:
    async def scenario() -> None:
        bench = Bench(destination(kind))
        bench.sender.always = failed
        bench.start()
        await bench.give(*(trigger("breached", f"inc-{number}") for number in range(1_000)))
        await bench.pass_to(3600)
        assert 60 <= len(bench.sender.heard) <= 100  # not a thousand messages times their tries
        assert not bench.delivery.health.healthy
        assert bench.delivery.pending == 1_000
        bench.sender.always = lambda _: Delivered()
        await bench.pass_to(3600 + 61 + (1_000 if kind == "slack" else 0))
        assert bench.delivery.health.healthy
        assert bench.count("delivered") >= 900  # those that were tried wait for their own turn
        await bench.pass_to(4 * 3600)
        assert bench.count("delivered") == 1_000

    play(scenario)


@pytest.mark.parametrize(("kind", "ended"), [("webhook", False), ("pagerduty", True), ("slack", True)])
def test_alerts_about_a_thousand_tenants_fill_no_memory(kind: str, ended: bool) -> None:
    """A message with a thousand tenants takes 200 KB: a thousand of them ended the process, and again at its start."""

    async def scenario() -> None:
        bench = Bench(destination(kind))
        bench.sender.always = failed
        bench.start()
        tenants = [f"{number:0128}" for number in range(1_000)]
        given = 0
        tracemalloc.start()
        while bench.delivery.capacity > 0 and given < 300:
            found = json.dumps(tenants)
            bench.delivery.apply(0, trigger("breached", f"inc-{given}", tenant_ids=json.loads(found)))
            bench.delivery.rows_written()
            given += 1
            if ended:
                end = trigger("met", f"inc-{given - 1}", tenant_ids=json.loads(found))
                bench.delivery.apply(0, end)
                bench.delivery.rows_written()
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert used < 48 * 1024 * 1024
        assert given == 300 if kind != "webhook" else given < 200
        await bench.delivery.suspend(0.1)

    play(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_for_a_dead_destination_is_given_up_when_its_time_is_over(kind: str) -> None:
    """Not one message for each probe: the others would wait for hours more, and hold up alerts that are read later."""

    async def scenario() -> None:
        bench = Bench(destination(kind, give_up_after=HOUR))
        bench.sender.always = failed
        bench.start()
        for number in range(200):
            await bench.give(trigger("breached", f"inc-{number}"), partition=number % 3)
        await bench.pass_to(1800)
        await bench.give(trigger("breached", "later"))
        await bench.give(trigger("met", "inc-7"), partition=1)
        await bench.pass_to(3600 + 61)
        parked = {each.incident for each in bench.store.parked()}
        assert parked == {f"inc-{number}" for number in range(200)} - ({"inc-7"} if kind != "webhook" else set())
        assert len(bench.sender.heard) < 120
        assert min(each.message.tries for each in bench.store.parked()) == 0
        assert bench.delivery.pending == (1 if kind != "webhook" else 2)
        bench.sender.always = lambda _: Delivered()
        await bench.pass_to(3600 + 400)
        assert bench.delivery.pending == 0
        assert bench.sender.heard[-1][1] in {"later", "inc-7"}
        again = bench.store.kept(0, "d")
        assert [page.pending for page in again.pages() if page.pending] == []

    play(scenario)


def test_a_dead_destination_does_not_fill_the_memory_with_alerts_about_the_same() -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty"))
        bench.sender.always = failed
        bench.start()
        for number in range(1_500):
            rows = bench.delivery.apply(0, trigger("breached", f"inc-{number % 5}", f"e{number}"))
            await bench.store.write(0, rows)
            bench.delivery.rows_written()
            assert bench.delivery._pages.queue.queue_length < 200
        await bench.settled()
        assert bench.delivery.pending <= 10
        bench.sender.always = lambda _: Delivered()
        await bench.pass_to(600)
        assert bench.delivery.pending == 0

    play(scenario)


def test_a_flapping_destination_gets_each_message_and_no_storm() -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty"))
        shown: list[str] = []

        def flapping(message: Message) -> Outcome:
            if bench.clock.at // MINUTE % 2:
                return Failed("no connection")
            shown.append(message.id)
            return Delivered()

        bench.sender.always = flapping
        bench.start()
        for minute in range(20):
            await bench.give(*(trigger("breached", f"inc-{minute}-{number}") for number in range(10)))
            await bench.pass_to(60 * (minute + 1))
        await bench.pass_to(3600)
        assert len(shown) == len(set(shown)) == 200
        assert len(bench.sender.heard) < 400

    play(scenario)


# -- digests -----------------------------------------------------------------------------------------------------------


def burst(number: int) -> list[PageTrigger]:
    """What a late opening leads to: a breach, and one for each update window that has passed."""
    incident = f"inc-{number:02}"
    return [
        trigger("breached", incident, f"b{number}"),
        *(trigger("breached", incident, f"u{number}-{n}", metric="update", instance=n) for n in range(1, 7)),
    ]


async def apply_all(bench: Bench, triggers: list[PageTrigger]) -> None:
    """As one batch of records, whose rows are written before anything is sent."""
    rows = [row for each in triggers for row in bench.delivery.apply(0, each)]
    await bench.store.write(0, rows)
    bench.delivery.rows_written()
    await bench.settled()


def test_of_a_burst_about_one_incident_only_the_newest_state_is_told() -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty"))
        bench.start()
        await apply_all(bench, burst(1))
        assert [id_ for _, _, id_ in bench.sender.heard] == ["b1", "u1-6"]
        await bench.give(trigger("closed", "inc-01"))
        ends = [id_ for _, _, id_ in bench.sender.heard[2:]]
        assert sorted(ends) == ["closed-inc-01--/response/1", "closed-inc-01--/update/6"]  # what was never paged
        assert bench.store.left() == []

    play(scenario)


@pytest.mark.parametrize("kind", ["pagerduty", "slack"])
def test_a_burst_beyond_the_rate_becomes_digests_that_end_with_their_last_incident(kind: str) -> None:
    async def scenario() -> None:
        bench = Bench(destination(kind, pages_per_minute=6))
        bench.start()
        await apply_all(bench, [each for number in range(40) for each in burst(number)])
        await bench.pass_to(59)
        alone = {incident for _, incident, _ in bench.sender.heard}
        assert len(bench.sender.heard) == 6
        await bench.pass_to(70)
        (digest,) = [message for message in bench.sender.messages if message.clock == "digest"]
        counts = digest.event["data"]["digest"]
        assert 34 <= counts["incidents"] <= 40
        assert bench.count("delivered") == len(bench.sender.heard) <= 8
        assert bench.metrics.registry.get_sample_value("sla_notify_folded_total", {"destination": "d"}) >= 68
        assert bench.delivery.pending == 0
        request = bench.to.kind.prepare(bench.to, MASKED, "inc-00", digest, 0)
        assert f"{counts['incidents']} incidents, {counts['alerts']} alerts" in request.body.decode()

        after = Bench(bench.to, bench.store)  # the digest outlives a crash
        after.clock.move(bench.clock.at)
        after.delivery.load(0, bench.store.kept(0, "d").pages())
        after.start()
        for number in range(39):
            await after.give(trigger("closed", f"inc-{number:02}"))
            await after.pass_to(100 + 10 * number)
        assert not [each for each in after.sender.messages if each.clock == "digest"]
        assert {incident for _, incident, _ in after.sender.heard} <= alone
        await after.give(trigger("closed", "inc-39"))
        await after.pass_to(1_000)
        (end,) = [each for each in after.sender.messages if each.clock == "digest"]
        assert (end.action, end.dedup_key("inc-39")) == ("resolve", digest.dedup_key("inc-00"))
        assert after.to.kind.prepare(after.to, MASKED, "inc-39", end, 0).body
        assert after.store.left() == []

    play(scenario)


def test_thousands_of_alerts_about_hundreds_of_late_openings_make_some_dozen_messages() -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty", pages_per_minute=30))
        bench.start()
        for number in range(500):
            for each in burst(number):
                await bench.store.write(number % 8, bench.delivery.apply(number % 8, each))
        bench.delivery.rows_written()
        await bench.pass_to(300)
        assert bench.delivery.pending == 0
        assert len(bench.sender.heard) == 30 + 8  # the rate, and a digest for each partition
        for number in range(500):
            closed = trigger("closed", f"inc-{number:02}")
            await bench.store.write(number % 8, bench.delivery.apply(number % 8, closed))
        bench.delivery.rows_written()
        await bench.pass_to(600)
        assert len(bench.sender.heard) < 150
        assert bench.store.left() == []

    play(scenario)


def test_one_page_beyond_the_rate_waits_and_is_told_alone() -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty", pages_per_minute=2))
        bench.start()
        await bench.give(*(trigger("breached", f"inc-{number}", f"e{number}") for number in range(3)))
        await bench.give(trigger("met", "inc-0"))  # an end is not held up
        assert [id_ for _, _, id_ in bench.sender.heard] == ["e0", "e1", "met-inc-0--"]
        await bench.pass_to(61)
        assert [id_ for _, _, id_ in bench.sender.heard][3:] == ["e2"]
        await bench.give(*(trigger("met", f"inc-{number}") for number in (1, 2)))
        assert bench.store.left() == []

    play(scenario)


def test_a_page_that_ended_before_it_was_told_alone_waits_as_others_when_it_opens_again() -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty", pages_per_minute=1))
        bench.start()
        await bench.give(trigger("breached", "inc-0"))
        await bench.pass_to(30)
        await bench.give(trigger("breached", "inc-1"))
        bench.sender.answers = [Failed("slower", 120 * SECOND, True)]
        await bench.give(trigger("met", "inc-0"))
        await bench.pass_to(91)  # inc-1 is to be told alone, but nothing may be sent yet
        await bench.give(trigger("met", "inc-1"))
        await bench.pass_to(180)
        await bench.give(trigger("breached", "inc-2", "other"))
        await bench.give(trigger("breached", "inc-1", "again"))
        assert [id_ for _, _, id_ in bench.sender.heard][-1] == "other"
        await bench.pass_to(241)
        assert [id_ for _, _, id_ in bench.sender.heard][-1] == "again"

    play(scenario)


def test_one_page_beyond_the_rate_is_not_starved_by_pages_of_other_partitions() -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty", pages_per_minute=2))
        bench.start()
        for second in range(0, 130, 10):
            await bench.give(trigger("breached", f"inc-{second}", f"e{second}"), partition=0)
            if second == 20:
                await bench.give(trigger("breached", "inc-other", "other"), partition=1)
            await bench.pass_to(second + 10)
        assert "other" in [id_ for at, _, id_ in bench.sender.heard if at <= 80]

    play(scenario)


def test_nothing_of_a_digest_is_sent_before_its_rows_are_written() -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty", pages_per_minute=1))
        bench.start()
        await bench.give(*(trigger("breached", f"inc-{number}", f"e{number}") for number in range(4)))
        bench.store.failure = OSError("no broker")
        await bench.pass_to(61)
        assert [id_ for _, _, id_ in bench.sender.heard] == ["e0"]
        assert bench.running is not None
        with pytest.raises(OSError, match="no broker"):
            await bench.running

    play(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_may_write_nothing_more_tries_nothing_again(kind: str) -> None:
    """It stood still, or was cut off, and its successor may have ended the page meanwhile."""

    async def scenario() -> None:
        bench = Bench(destination(kind))
        bench.sender.always = failed
        bench.start()
        await bench.give(trigger("breached"))
        tried = len(bench.sender.heard)
        assert tried == 1
        bench.store.failure = OSError("no broker")
        await bench.pass_to(600)
        assert len(bench.sender.heard) == tried
        assert bench.running is not None
        with pytest.raises(OSError, match="no broker"):
            await bench.running

    play(scenario)


# -- crashes and moves -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_and_what_is_open_is_read_back_after_a_crash(kind: str) -> None:
    async def scenario() -> None:
        bench = Bench(destination(kind))
        bench.start()
        await bench.give(trigger("breached", "inc-1"))
        await bench.pass_to(5)
        bench.sender.always = failed
        await bench.give(trigger("due", "inc-1"), trigger("breached", "inc-2"))
        await bench.pass_to(8)
        waiting = bench.delivery.pending
        after = Bench(bench.to, bench.store)
        after.clock.move(bench.clock.at)
        after.delivery.load(0, bench.store.kept(0, "d").pages())
        assert after.delivery.pending == waiting == 2
        after.start()
        await after.give(trigger("closed", "inc-1"), trigger("closed", "inc-2"))
        await after.pass_to(700)
        assert after.store.left() == []
        ids = {id_ for _, _, id_ in bench.sender.heard}
        repeated = [id_ for _, _, id_ in after.sender.heard if id_ in ids]
        if kind == "webhook":
            assert sorted(repeated) == ["breached-inc-2--", "due-inc-1--"]  # the same ids as before
        else:
            assert repeated == []  # nobody is woken for what is over

    play(scenario)


def test_nothing_goes_out_before_its_rows_are_written() -> None:
    """Or the row that ends a message could lie before the row that says that it waits."""

    async def scenario() -> None:
        bench = Bench(destination("webhook"))
        bench.start()
        await bench.give(trigger("due"))
        rows = bench.delivery.apply(0, trigger("breached"))
        await bench.pass_to(5)
        assert [id_ for _, _, id_ in bench.sender.heard] == ["due-inc-1--"]
        await bench.store.write(0, rows)
        bench.delivery.rows_written()
        await bench.pass_to(6)
        assert bench.sender.heard[-1][2] == "breached-inc-1--"
        await bench.give(trigger("closed"))
        assert bench.store.left() == []

    play(scenario)


def test_when_partitions_move_what_is_on_its_way_ends_first() -> None:
    async def scenario() -> None:
        bench = Bench(destination("webhook"))
        bench.sender.open.clear()
        bench.start()
        await bench.give(trigger("breached"))
        leaving = bench.delivery.suspend(5.0)
        bench.sender.open.set()
        await leaving
        assert bench.count("delivered") == 1
        assert [key for key in bench.store.left() if b"pending" in key] == []
        assert bench.delivery.pending == bench.delivery.open_pages == 0

    play(scenario)


def test_what_does_not_end_in_time_is_left_to_the_next_owner() -> None:
    async def scenario() -> None:
        bench = Bench(destination("webhook"))
        bench.sender.open.clear()
        bench.start()
        await bench.give(trigger("breached"))
        await bench.delivery.suspend(0.01)
        assert bench.sender.at_once == 0
        assert [page.head.tries for page in bench.store.kept(0, "d").pages()] == [0]

    play(scenario)


def test_rows_that_can_t_be_kept_end_the_delivery() -> None:
    async def scenario() -> None:
        bench = Bench(destination("webhook"))
        bench.start()
        bench.store.failure = OSError("no broker")
        bench.delivery.apply(0, trigger("breached"))
        bench.delivery.rows_written()
        assert bench.running is not None
        with pytest.raises(OSError, match="no broker"):
            await bench.running

    play(scenario)


@pytest.mark.parametrize("kind", ["webhook", "pagerduty"])
def test_a_clock_that_is_set_back_delays_nothing(kind: str) -> None:
    """By a year: what waits for its next attempt, for a digest, or for a destination that is down goes on."""

    async def scenario() -> None:
        bench = Bench(destination(kind, pages_per_minute=2))
        bench.clock.at = year = 365 * 86_400 * SECOND
        bench.start()
        bench.sender.always = failed
        for number in range(6):
            await bench.give(trigger("breached", f"inc-{number}"))
        await bench.pass_to(year // SECOND + 20)
        bench.clock.at = 0
        bench.delivery.resume()  # the machine's clock looks every second
        await bench.settled()
        bench.sender.always = lambda _: Delivered()
        await bench.pass_to(900)
        assert bench.delivery.pending == 0
        await bench.give(trigger("breached", "inc-later"))
        await bench.pass_to(905)
        assert bench.sender.heard[-1][1] == "inc-later"

        after = Bench(bench.to)  # what a clock that was ahead has stored is not waited for
        stored = Page("inc-1").apply(trigger("breached"), bench.to, year, busy=False)
        after.delivery.load(0, [stored])
        after.delivery.rows_written()
        after.start()
        await after.pass_to(2)
        assert len(after.sender.heard) == 1

    play(scenario)


async def took_over_at_zero(kind: str, began: int) -> Bench:
    """A notifier whose clock shows 0, with a message that has failed since `began` by the clock of the one before."""
    bench = Bench(destination(kind))
    bench.clock.at = began
    bench.start()
    bench.sender.always = failed
    await bench.give(trigger("breached", "inc-1"))
    await bench.pass_to(began // SECOND + 1)
    await bench.delivery.suspend(0)
    after = Bench(bench.to, bench.store)
    after.sender.always = failed
    await after.store.write(0, after.delivery.load(0, bench.store.kept(0, "d").pages()))
    after.delivery.rows_written()
    return after


@pytest.mark.parametrize("kind", KINDS)
def test_a_retry_that_a_notifier_whose_clock_was_ahead_has_stored_is_not_waited_for(kind: str) -> None:
    """By nine hours, as where local time was set as UTC; another notifier has its partitions now."""

    async def scenario() -> None:
        ahead = 9 * HOUR
        after = await took_over_at_zero(kind, ahead)
        after.start()
        await after.pass_to(2)
        assert len(after.sender.heard) >= 1
        await after.pass_to((ahead + after.to.give_up_after) // SECOND + 400)
        assert [each.message.id for each in after.store.parked()] == ["breached-inc-1--"]
        assert after.delivery.pending == 0

    play(scenario)


@pytest.mark.parametrize("kind", ["pagerduty", "slack"])
def test_a_notifier_that_starts_with_a_clock_behind_gives_no_message_up_once_it_is_right(kind: str) -> None:
    """By nine hours, longer than a message is tried: it looks like one that a clock ahead has stored."""

    async def scenario() -> None:
        right = 9 * HOUR
        after = await took_over_at_zero(kind, right)
        after.clock.at = right
        after.start()
        await after.pass_to(right // SECOND + 60)
        assert len(after.sender.heard) >= 1
        assert (list(after.store.parked()), after.delivery.pending) == ([], 1)

    play(scenario)


@pytest.mark.parametrize("kind", ["webhook", "pagerduty", "slack"])
def test_one_more_alert_of_an_incident_of_which_many_wait_looks_at_the_new_one(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Ten thousand alerts of one incident: each of a thousand that wait was weighed anew for each of them."""
    weighed = 0
    size = Message.size.fget  # type: ignore[attr-defined]

    def counted(message: Message) -> int:
        nonlocal weighed
        weighed += 1
        return int(size(message))

    monkeypatch.setattr(Message, "size", property(counted))
    pages = DestinationPages(destination(kind), "sla")
    for number in range(100):
        change = pages.apply(0, trigger("breached", id_=f"e{number}", instance=number), None, number)
        assert len(change.rows) == 2
    assert (pages.queue.messages, pages.queue.alerts, weighed) == (100, 100, 100)
    assert pages.queue.size == sum(int(size(each)) for each in pages.queue.get(PageKey(0, "inc-1")).pending)  # type: ignore[union-attr]

"""Digests in delivery: their ends, reopened incidents, several digests, large bursts, rows of a release before."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from notify_bench import Bench, destination, failed, play

from connect.notify.delivery_queue import MOST_PENDING
from connect.notify.destinations.answers import Delivered, Failed
from connect.notify.incident_summaries import IncidentSummaries
from connect.notify.message import Message
from connect.notify.page_store_rows import Parked, parked_row
from connect.notify.pending_pages import PageKey
from connect.notify.triggers import PageTrigger
from streams.sla.instants import SECOND
from tests.page_triggers import event, trigger


def breached(incident: str, at: int = 0, **data: object) -> PageTrigger:
    return replace(trigger("breached", incident, f"e-{incident}-{at}-{len(data)}", **data), at=at)


def closed(incident: str, at: int = 0) -> PageTrigger:
    return replace(trigger("closed", incident, f"end-{incident}-{at}"), at=at)


async def folded(bench: Bench, *incidents: str, at: int = 0, until: int = 61) -> None:
    """One page, which uses up the rate, and alerts of these incidents, which become a digest."""
    await bench.give(breached(f"alone-{at}", at))
    await bench.give(*(breached(each, at) for each in incidents))
    await bench.pass_to(until)


def digests(bench: Bench) -> list[Message]:
    return [each for each in bench.sender.messages if each.clock == "digest"]


def small(kind: str = "pagerduty") -> Bench:
    return Bench(destination(kind, pages_per_minute=1))


@pytest.mark.parametrize("kind", ["pagerduty", "slack"])
def test_the_end_of_a_digest_never_overtakes_it(kind: str) -> None:
    async def scenario() -> None:
        bench = small(kind)
        bench.start()
        bench.sender.always = lambda message: Failed("HTTP 500") if message.clock == "digest" else Delivered()
        await folded(bench, "a", "b")
        assert [each.action for each in digests(bench)][:1] == ["trigger"]
        for incident in ("a", "b", "alone-0"):
            await bench.give(closed(incident))
        bench.sender.always = lambda _: Delivered()
        await bench.pass_to(1_000)
        last = digests(bench)[-1]
        assert (last.action, last.key) == ("resolve", digests(bench)[0].key)  # it may have arrived
        assert bench.store.left() == []

    play(scenario)


@pytest.mark.parametrize("kind", ["pagerduty", "slack"])
def test_a_digest_that_was_never_sent_has_no_end(kind: str) -> None:
    async def scenario() -> None:
        bench = small(kind)
        bench.start()
        await bench.give(breached("alone"))
        await bench.give(breached("a"), breached("b"))
        await bench.give(closed("a"), closed("b"))
        await bench.pass_to(200)
        assert [each.event["subject"] for each in bench.sender.messages] == ["alone"]
        await bench.give(closed("alone"))
        await bench.pass_to(300)
        assert len(bench.sender.messages) == 2
        assert bench.store.left() == []

    play(scenario)


def test_a_late_closing_does_not_end_the_digest_of_a_reopened_incident() -> None:
    async def scenario() -> None:
        bench = small()
        bench.start()
        await folded(bench, "a", "b", at=7)
        await bench.give(closed("a", 6), closed("b", 6))
        await bench.pass_to(200)
        assert [each.action for each in digests(bench)] == ["trigger"]
        await bench.give(closed("a", 8), closed("b", 8))
        await bench.pass_to(300)
        assert [each.action for each in digests(bench)] == ["trigger", "resolve"]

    play(scenario)


def test_a_digest_of_which_all_was_retracted_ends() -> None:
    async def scenario() -> None:
        bench = small()
        bench.start()
        await folded(bench, "a", "b")
        await bench.give(*(trigger(name, each, metric="response") for name, each in (("met", "a"), ("retracted", "b"))))
        await bench.pass_to(200)
        assert [each.action for each in digests(bench)] == ["trigger", "resolve"]
        assert not [key for key in bench.store.left() if b"alone" not in key]

    play(scenario)


def test_incidents_of_two_digests_that_are_folded_together_keep_both_open() -> None:
    async def scenario() -> None:
        bench = small()
        bench.start()
        await folded(bench, "a", "b")
        await folded(bench, "c", "d", at=1, until=122)
        first, second = (each.key for each in digests(bench))
        assert first != second
        again = [breached(each, 2, metric="resolution") for each in ("a", "c")]
        await bench.give(breached("alone-2", 2))
        await bench.give(*again)
        await bench.pass_to(190)
        assert digests(bench)[2].key == min(str(first), str(second))  # one page is told of both

        async def ends(*incidents: str) -> list[str | None]:
            await bench.give(*(closed(each, 3) for each in incidents))
            await bench.pass_to(bench.clock.at // SECOND + 60)
            return [each.key for each in digests(bench) if each.action == "resolve"]

        assert await ends("b", "d") == []
        third = digests(bench)[2].key
        assert await ends("a") == ([] if third == first else [first])
        assert sorted(map(str, await ends("c"))) == sorted([str(first), str(second)])

    play(scenario)


@pytest.mark.parametrize("kind", ["pagerduty", "slack"])
@pytest.mark.parametrize("dead", [False, True], ids=["alive", "dead"])
def test_a_burst_beyond_memory_holds_up_neither_ends_nor_new_pages(kind: str, dead: bool) -> None:
    async def scenario() -> None:
        bench = Bench(destination(kind, pages_per_minute=20))
        bench.start()
        await bench.give(breached("first"))
        if dead:
            bench.sender.always = failed
        for batch in range(10):
            assert bench.delivery.capacity > 0  # so the consumer reads on
            rows = [row for number in range(250) for row in bench.delivery.apply(0, breached(f"inc-{batch}-{number}"))]
            await bench.store.write(0, [*rows, *bench.delivery.fold_if_full(0)])
            bench.delivery.rows_written()
            await bench.settled()
        await bench.give(closed("first"))
        assert bench.delivery.pending < MOST_PENDING
        await bench.pass_to(120)
        bench.sender.always = lambda _: Delivered()
        await bench.pass_to(1_000)
        sent = bench.sender.messages
        assert bench.delivery.pending == 0
        assert "first" in {each.event["subject"] for each in sent if each.action == "resolve"}
        assert len({each.id for each in sent}) < 60
        listed = [each.event["data"]["digest"] for each in digests(bench)]
        alone = {each.event["subject"] for each in sent if each.event["subject"].startswith("inc-")}
        assert max(each["incidents"] for each in listed) + len(alone) == 2_500
        for batch in range(10):
            for number in range(250):
                await bench.store.write(0, bench.delivery.apply(0, closed(f"inc-{batch}-{number}")))
        bench.delivery.rows_written()
        await bench.pass_to(2_000)
        assert bench.store.left() == []
        assert len({each.id for each in sent}) < 120
        keys = {each.key for each in digests(bench) if each.action == "trigger"}
        assert keys == {each.key for each in digests(bench) if each.action == "resolve"}

    play(scenario)


def test_new_pages_do_not_wait_for_ends() -> None:
    async def scenario() -> None:
        bench = Bench(destination("slack"))
        bench.start()
        await bench.give(*(breached(f"inc-{number}") for number in range(30)))
        await bench.pass_to(40)
        await bench.give(*(closed(f"inc-{number}") for number in range(30)))
        await bench.give(breached("new"))
        await bench.pass_to(43)
        assert "new" in {each.event["subject"] for each in bench.sender.messages}
        await bench.pass_to(100)
        assert len(bench.sender.messages) == 62 - 1
        await bench.give(closed("new"))
        await bench.pass_to(200)
        assert bench.store.left() == []

    play(scenario)


def test_a_failed_message_does_not_give_way_to_one_whose_row_is_not_written_yet() -> None:
    """Or the row of that one could be stored after the row that replaces it."""

    async def scenario() -> None:
        bench = Bench(destination("pagerduty"))
        bench.start()
        await bench.give(breached("a"))
        await bench.give(trigger("met", "a", "met", metric="response"))
        bench.sender.open.clear()
        bench.sender.answers = [Failed("HTTP 500")]
        await bench.give(breached("a", 1))
        await bench.give(trigger("met", "a", "second", metric="response"))
        rows = bench.delivery.apply(0, breached("a", 2))
        bench.sender.open.set()
        await bench.settled()
        await bench.store.write(0, rows)
        in_memory = bench.delivery._pages.queue.get(PageKey(0, "a"))
        bench.delivery.rows_written()
        assert list(bench.store.kept(0, "d").pages()) == [in_memory]
        await bench.pass_to(60)
        await bench.give(closed("a", 3))
        assert bench.store.left() == []
        assert [each.action for each in bench.sender.messages][-1] == "resolve"

    play(scenario)


# -- rows --------------------------------------------------------------------------------------------------------------


def test_the_first_attempt_of_a_page_is_stored_before_it_is_sent() -> None:
    """A process that ends meanwhile must know that the page may be open."""

    async def scenario() -> None:
        bench = Bench(destination("pagerduty"))
        bench.sender.open.clear()
        bench.start()
        await bench.give(breached("a"))
        assert bench.sender.at_once == 1
        after = Bench(bench.to, bench.store)  # kill -9
        after.delivery.load(0, bench.store.kept(0, "d").pages())
        after.start()
        await after.give(trigger("met", "a", metric="response"))
        assert "resolve" in [each.action for each in after.sender.messages]
        assert after.store.left() == []

    play(scenario)


def test_a_digest_of_a_release_before_is_sent_and_ended_in_order() -> None:
    """It was sent with the page of one of its incidents, and its end with that of another one."""

    async def scenario(*, ended: bool) -> None:
        bench = small()
        key = "sla/digest/0123"
        digest = {
            "id": "digest-0123", "type": "sla.digest", "subject": "2 incidents", "time": "2026-01-31T09:00:00Z",
            "data": {
                "severity": "P1", "component": "api", "policy": {"name": "p", "version": "1"},
                "digest": {"incidents": 2, "alerts": 2, "severities": {"P1": 2}, "listed": []},
            },
        }  # fmt: skip
        waiting = {
            "incident": "a", "id": "digest-0123", "action": "trigger", "clock": "digest", "event": digest, "seq": 3,
            "since": 0, "due": 0, "tries": 2, "language": None, "key": key, "opens": False,
        }  # fmt: skip
        end = waiting | {
            "incident": "b", "id": "end/digest", "action": "resolve", "event": event("closed", "b"), "seq": 1,
            "tries": 0,
        }  # fmt: skip
        page = {"open": {}, "keys": {}, "language": None, "digest": key}
        rows = {"d\x1fpending\x1fa\x1fdigest-0123": waiting}
        if ended:
            rows["d\x1fpending\x1fb\x1fend/digest"] = end | {"seq": 9}
        else:
            rows |= {f"d\x1fpage\x1f{each}": page | {"incident": each} for each in "ab"}
        bench.store.log[0] = {name.encode(): json.dumps(row).encode() for name, row in rows.items()}
        found = bench.store.kept(0, "d")
        assert found.unreadable == 0
        await bench.store.write(0, bench.delivery.load(0, found.pages()))
        bench.delivery.rows_written()
        bench.start()
        await bench.pass_to(10)
        if not ended:
            assert [each.action for each in bench.sender.messages] == ["trigger"]
            await bench.give(closed("a"), closed("b"))
            await bench.pass_to(20)
        assert [(each.action, each.key) for each in bench.sender.messages] == [("trigger", key), ("resolve", key)]
        assert bench.store.left() == []

    play(lambda: scenario(ended=False))
    play(lambda: scenario(ended=True))


def test_no_row_has_the_summary_of_an_incident() -> None:
    """Rows would outlive an erasure (R29)."""

    async def scenario() -> None:
        summaries = IncidentSummaries()
        summaries.add("a", "Login fails")
        bench = Bench(destination("webhook"), summaries=summaries)
        bench.sender.always = failed
        bench.start()
        await bench.give(breached("a"))
        await bench.pass_to(5 * 24 * 3600)
        assert len(bench.store.parked()) == 1
        assert {each.event["data"]["summary"] for each in bench.sender.messages} == {"Login fails"}
        assert not [row for row in bench.store.log[0].values() if row is not None and b"Login fails" in row]

    play(scenario)


@pytest.mark.parametrize("kind", ["pending", "parked"])
def test_rows_of_a_release_before_lose_their_summary(kind: str) -> None:
    async def scenario() -> None:
        bench = Bench(destination("pagerduty"))
        await bench.store.write(0, bench.delivery.apply(0, breached("a", summary="Login fails")))
        if kind == "parked":
            (page,) = bench.store.kept(0, "d").pages()
            message = page.head._replace(event=breached("a", summary="Login fails").event)
            bench.store.log[0] = {}
            await bench.store.write(0, [parked_row(Parked("d", "a", message, "HTTP 400", 5))])
        found = bench.store.kept(0, "d")
        assert len(found.redacted) == 1
        bench.store.log[0] |= found.redacted
        assert "Login" not in str(bench.store.log)
        again = bench.store.kept(0, "d")
        assert (again.redacted, again.unreadable) == ({}, 0)
        assert len(bench.store.parked()) == (kind == "parked")

    play(scenario)

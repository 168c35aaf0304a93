"""What the core publishes about incidents, through the real notifier, in any order of arrival, transactions, reads,
crashes and hand-overs: of an ended incident no page is open and no row stays; no breach of an open one is lost, and
every breach that is found only after the end is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from histories import TIMES, arriving
from hypothesis import example, given, settings
from hypothesis import strategies as st
from notify_bench import MemoryStore, destination, play
from notify_desk import ALERTS, INCIDENTS, Desk
from story import (
    MONDAY,
    Line,
    annulled,
    merged,
    opened,
    reclassified,
    reopened,
    resolved,
    responded,
    run,
    severity_set,
    tell,
    updated,
)

from connect.notify.destinations.answers import Delivered, Failed, Outcome
from connect.notify.message import DIGEST, Message
from connect.notify.pending_pages import PageKey
from connect.notify.triggers import PageTrigger, page_trigger
from streams.serde.cloudevents_headers import INCIDENT_ENDED, headers_for
from streams.sla.instants import HOUR, SECOND, format_rfc3339, parse_rfc3339
from tests.page_triggers import value_of

ALL = frozenset(["P1", "P2", "P3", "P4"])
INCIDENTS_TOLD = ["a", "b"]
LAGS = st.sampled_from([0, 0, 0, 1, 55, 60, 115, 300, 24 * 60])
IMPACTS = ["complete_outage", "cosmetic"]


class Published(list[dict[str, Any]]):
    """Outputs, shown in one line each."""

    def __repr__(self) -> str:
        return repr(tell(self))


@st.composite
def facts(draw: st.DrawFn, of: str) -> Line:
    at = draw(TIMES)
    return draw(
        st.sampled_from(
            [
                resolved(at, of=of), resolved(at, of=of), reopened(at, of=of), reopened(at, of=of), updated(at, of=of),
                responded(at, of=of), merged(at, of=of), annulled(at, of=of), severity_set(at, "P1", of=of),
                severity_set(at, "P4", of=of), *(reclassified(at, of=of, impact=each) for each in IMPACTS),
            ]
        )
    )  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> list[Line]:
    """Facts of two incidents in the order of their arrival. Those of one incident may arrive together, long after they
    happened, as when their publisher was cut off."""
    found = list[Line]()
    for of in INCIDENTS_TOLD:
        kinds = draw(st.lists(st.sampled_from([resolved, resolved, responded, reopened]), max_size=3))
        told = [opened(draw(TIMES), of=of), *(kind(draw(TIMES), of=of) for kind in kinds)]
        told += draw(st.lists(facts(of), max_size=2))
        if draw(st.booleans()):
            together = max(str(line["time"]) for line in told)
            found += [line | {"receivedtime": together} for line in told]
        else:
            found += arriving(told, draw(st.lists(LAGS, min_size=len(told), max_size=len(told))))
    found.sort(key=lambda line: str(line["receivedtime"]))
    return [line | {"id": f"e{number}"} for number, line in enumerate(found)]


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 6), st.booleans()),
    st.tuples(st.just("publish"), st.integers(1, 6), st.booleans()),
    st.tuples(st.just("read"), st.integers(0, 4), st.integers(0, 4)),
    st.tuples(st.just("read"), st.integers(0, 50), st.integers(0, 50)),
    st.sampled_from([("pass", 1), ("pass", 70), ("hand over",), ("crash",), ("fail",), ("hold",), ("succeed",)]),
)


class World:
    """The topics, one destination, and what it shows: dedup keys, from their first attempt to their delivered end."""

    def __init__(self, kind: str, outputs: Sequence[dict[str, Any]]) -> None:
        self.to = destination(kind, **({"pages_per_minute": 1} if kind == "pagerduty" else {}))
        self.outputs = list(outputs)
        self.published = 0
        self.at = 1
        self.stamps: list[int] = []
        self.shown: dict[str, Message] = {}
        self.seen: set[str] = set()
        """Every dedup key that was shown, and every incident that a digest listed."""
        self.failing = False
        self.desk = self.connected(None)

    def connected(self, before: Desk | None) -> Desk:
        desk = Desk(to=self.to, severities=ALL, store=MemoryStore() if before is None else before.bench.store)
        desk.kafka.turns = asyncio.Semaphore(0)
        desk.bench.sender.always = self.answer
        if before is not None:
            desk.kafka.logs, desk.kafka.committed_at = before.kafka.logs, before.kafka.committed_at
            desk.kafka.visible = before.kafka.visible
            desk.bench.clock.at = before.bench.clock.at
        return desk

    def answer(self, message: Message) -> Outcome:
        if message.action == "trigger":
            key = message.dedup_key(str(message.event["subject"]))
            if message.clock == DIGEST:
                self.seen |= {each["incident_id"] for each in message.event["data"]["digest"]["listed"]}
            self.seen.add(key)
            if self.to.kind.ends_late_pages or not message.late or message.clock == DIGEST:
                self.shown[key] = message
        elif not self.failing:
            for key in [message.key] if message.clock else self.ended_by_closing(str(message.event["subject"])):
                self.shown.pop(str(key), None)
        return Failed("HTTP 500") if self.failing else Delivered()

    def ended_by_closing(self, incident: str) -> list[str]:
        """All pages but those that the notifier knows to be of a reopening: their alerts may be delivered before."""
        page = self.desk.bench.delivery._pages.queue.get(PageKey(0, incident))
        since = [] if page is None else [f"sla/{incident}/{clock}" for clock in page.open]
        return [key for key in self.shown if key.startswith(f"sla/{incident}/") and key not in since]

    # -- steps ---------------------------------------------------------------------------------------------------------

    async def step(self, name: str, *given_: Any) -> None:
        match name:
            case "publish":
                self.publish(*given_)
            case "read":
                await self.read(*given_)
            case "pass":
                await self.let_pass(*given_)
            case "hand over":
                self.desk.bench.sender.open.set()
                await self.desk.consumer.on_partitions_revoked(self.desk.kafka.assignment())
                await self.desk.consumer.on_partitions_assigned(self.desk.kafka.assignment())
            case "crash":
                await self.crash()
            case "hold":
                self.desk.bench.sender.open.clear()
            case _:
                self.failing = name == "fail"
                self.desk.bench.sender.open.set()
        await self.settled()

    def publish(self, count: int, later: bool) -> None:
        """One transaction; its records have one timestamp, in milliseconds, so the next may have the same."""
        self.at += later
        for output in self.outputs[self.published : self.published + count]:
            where = INCIDENTS if output["type"] == "incident.closed" else ALERTS
            self.desk.kafka.visible.setdefault(where, 0)
            kind, subject, ended = output["type"], str(output["subject"]), output.get(INCIDENT_ENDED)
            headers = headers_for(
                kind, output["id"], output["source"], subject, parse_rfc3339(output["time"]),
                incident_ended=None if ended is None else parse_rfc3339(ended),
            )  # fmt: skip
            self.desk.kafka.put(where, value_of(output), self.at, subject.encode(), headers)
            self.stamps.append(self.at)
        self.published = len(self.stamps)

    async def read(self, alerts: int, closings: int) -> None:
        """So many further records are fetched at most."""
        for where, count in ((ALERTS, alerts), (INCIDENTS, closings)):
            self.desk.kafka.visible[where] = min(self.desk.kafka.at[where] + count, len(self.desk.kafka.logs[where]))
        assert self.desk.kafka.turns is not None
        self.desk.kafka.turns.release()
        await self.settled()

    async def let_pass(self, seconds: float) -> None:
        bench = self.desk.bench
        await bench.pass_to(bench.clock.at // SECOND + seconds)

    async def crash(self) -> None:
        before = self.desk
        await self.stop()
        self.desk = self.connected(before)
        await self.desk.start()

    async def stop(self) -> None:
        running = [task for task in (self.desk.bench.running, self.desk.reading) if task is not None]
        tasks = [*running, *self.desk.bench.delivery._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self) -> None:
        await self.desk.bench.settled()
        for task in (self.desk.bench.running, self.desk.reading):
            if task is not None and task.done():
                task.result()

    async def finish(self) -> None:
        """Everything is published, read and delivered."""
        await self.step("succeed")
        self.publish(len(self.outputs), True)
        for _ in range(4):
            await self.read(1_000, 1_000)
            await self.let_pass(600)
        kafka = self.desk.kafka
        assert all(kafka.at[where] == len(kafka.logs[where]) for where in (ALERTS, INCIDENTS))
        assert self.desk.bench.delivery.pending == 0

    # -- what has to be ------------------------------------------------------------------------------------------------

    def needed(self, incident: str) -> tuple[set[str], set[str]]:
        """Clocks whose breach was published since the incident's last closing, and was not taken back, and those whose
        breach was found after the end. A closing of the same timestamp that lists a clock may end its page. A page
        about an update may give way to a later one's."""
        found, late = dict[str, str](), set[str]()
        closings = set[tuple[int, str]]()
        latest = 0
        made = [page_trigger(output) for output in self.outputs]
        for trigger, at in zip(made, self.stamps, strict=True):
            assert isinstance(trigger, PageTrigger)
            if trigger.incident != incident:
                continue
            if trigger.action == "close":
                found.clear()
                closings |= {(at, f"{each['metric']}/{each['instance']}") for each in trigger.data["clocks"]}
            elif trigger.action == "resolve":
                found.pop(trigger.clock, None)
                late.discard(trigger.clock)
            else:
                latest = max(latest, int(trigger.data["instance"]) if trigger.clock.startswith("update") else 0)
                found.pop(trigger.clock, None)
                if trigger.late:
                    late.add(trigger.clock)
                elif trigger.type == "sla.breached" and (at, trigger.clock) not in closings:
                    found[trigger.clock] = trigger.type
        if self.to.kind.latest_only:
            replaced = {f"update/{number}" for number in range(1, latest)}
            return set(found) - replaced, late - replaced
        return set(found), late

    def check(self, statuses: dict[str, str]) -> None:
        rows = [key.decode() for key in self.desk.bench.store.left()]
        for incident, status in statuses.items():
            pages = [key for key in self.shown if key.startswith(f"sla/{incident}/")]
            if status != "open":
                assert pages == [], f"pages of {incident}, which is {status}"
                assert [row for row in rows if incident in row.split("\x1f")] == [], f"rows of {incident}: {status}"
            digests = [each for each in self.shown.values() if each.clock == DIGEST]
            told = any(
                each["incident_id"] == incident
                for digest in digests
                for each in digest.event["data"]["digest"]["listed"]
            )
            needed, late = self.needed(incident)
            for clock in late:
                told_of = f"sla/{incident}/{clock}" in self.seen or incident in self.seen
                assert told_of, f"nobody has seen {clock} of {incident}"
            for clock in needed:
                if status == "open":
                    assert f"sla/{incident}/{clock}" in pages or told, f"nobody sees {clock} of {incident}"
        if "open" not in statuses.values():
            assert (rows, list(self.shown)) == ([], [])


def play_story(kind: str, told: list[Line], story: list[tuple[Any, ...]], until: int) -> None:
    found = run(*told, until=format_rfc3339(MONDAY + until * HOUR), states=True, extensions=True)
    statuses = {each["subject"]: each["data"]["status"] for each in found if each["type"] == "incident.state"}
    outputs = Published(each for each in found if not isinstance(page_trigger(each), str))

    async def scenario() -> None:
        world = World(kind, outputs)
        await world.desk.start()
        try:
            for name, *given_ in story:
                await world.step(name, *given_)
            await world.finish()
            world.check(statuses)
        finally:
            await world.stop()

    play(scenario)


LATE = [
    opened("10:00", of="a", received="16:00", id="e0"),
    resolved("15:00", of="a", received="16:00", id="e1"),
]


@pytest.mark.parametrize("kind", ["pagerduty", "slack", "webhook"])
@settings(max_examples=settings.default.max_examples * 3 // 5)
@given(told=lines(), story=st.lists(STEPS, max_size=30), until=st.integers(10, 90))
@example(told=LATE, story=[("publish", 1, True), ("read", 9, 9)], until=30)
def test_of_an_ended_incident_nothing_stays_and_no_breach_of_an_open_one_is_lost(
    kind: str, told: list[Line], story: list[tuple[Any, ...]], until: int
) -> None:
    play_story(kind, told, story, until)

"""Routes are recorded in Kafka: notifiers whose files differ, and the next start, leave no alert to nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connect.notify import destination_workers, route_recording
from connect.notify.destination_workers import DestinationWorkers
from connect.notify.destinations.kind import MASKED, Secrets
from connect.notify.metrics import NotifyMetrics
from connect.notify.page_store_rows import StateRow
from connect.notify.routing.file import routing_in
from connect.notify.routing.loaded import LEARNED_WITHIN_MS, LoadedRouting, RoutingInForce
from connect.notify.routing.recorded import (
    MOST_RECORDED,
    RecordedRoutes,
    is_recorded,
    read_recorded,
    recorded_key,
    recorded_row,
)
from connect.notify.routing.rules import Match
from connect.notify.triggers import PageTrigger
from streams.config_files.reload import content_digest
from streams.errors import SlaError
from streams.sla.instants import SECOND
from tests.waiting import TIMEOUT_S, until

DESTINATIONS = """\
version: 1
destinations:
  a: {kind: webhook, url: {env: A}, secrets: [{env: KEY}]}
  b: {kind: webhook, url: {env: B}, secrets: [{env: KEY}]}
"""
THIRD = "  c: {kind: webhook, url: {env: C}, secrets: [{env: KEY}]}\n"
#: All alerts go to the one or to the other; each file has both.
TO_A = DESTINATIONS + "routes: [{to: a, match: {severity: [P1, P2, P3]}, language: ja}, {to: b}]\n"
TO_B = DESTINATIONS + "routes: [{to: b, match: {severity: [P1, P2, P3]}}, {to: a}]\n"
TO_C = DESTINATIONS + THIRD + "routes: [{to: c, match: {severity: [P1, P2]}}, {to: [a, b]}]\n"


class Clock:
    def __init__(self) -> None:
        self.at = 1_000 * SECOND

    def now(self) -> int:
        return self.at


class Log:
    """The rows of routes; every notifier gets them in one order."""

    def __init__(self) -> None:
        self.rows: list[StateRow] = []
        self.readers: list[DestinationWorkers] = []
        self.ends = {0: 100}
        self.away = False
        self.asked = list[str]()
        """The destinations that were asked whether they have begun."""
        self.clock = Clock()
        self.holds = False
        self.held: list[StateRow] = []
        """Rows that have not landed yet."""

    def land(self) -> None:
        self.write(self.held)
        self.held = []

    def write(self, rows: Sequence[StateRow]) -> None:
        if self.away:
            raise SlaError("away")
        self.rows += rows
        for reader in self.readers:
            for row in rows:
                reader.routes_row(row.key, row.value)

    def kept(self) -> list[RecordedRoutes]:
        found = {row.key: row.value for row in self.rows}
        return [each for key, value in found.items() if value is not None and (each := read_recorded(key, value))]


class Worker:
    """In place of a DestinationWorker."""

    def __init__(self, name: str, log: Log, routing: RoutingInForce, *, shares: bool) -> None:
        self.name, self.log, self.routing, self.shares = name, log, routing, shares
        self.failure: str | None = None
        self.begun = True
        self.silent = False

    async def alert_ends(self) -> dict[int, int]:
        return self.log.ends

    async def has_begun(self) -> bool:
        self.log.asked.append(self.name)
        if self.silent:
            raise SlaError("away")
        return self.begun

    async def record(self, rows: Sequence[StateRow]) -> None:
        if self.log.holds:
            self.log.held += rows
            await asyncio.Event().wait()
        self.log.write(rows)

    def rows_made_anew(self, topic_id: bytes) -> None:
        assert topic_id == b"2"

    async def run(self) -> None:
        await asyncio.Event().wait()


class Notifier:
    """One process; `partitions` are those that it has of each destination."""

    def __init__(self, log: Log, text: str, *, shares: bool = False) -> None:
        self.log, self.metrics, self.made = log, NotifyMetrics(), list[Worker]()
        self.shares = shares
        self.joins = True
        self.workers = DestinationWorkers(self.load(text), self._make, self.metrics, log.clock)  # type: ignore[arg-type]
        self.running = asyncio.create_task(self.workers.run())

    def load(self, text: str) -> LoadedRouting:
        routing = routing_in(text.encode(), "notify.yaml")
        return LoadedRouting(routing, dict.fromkeys(routing.destinations, MASKED), content_digest(text.encode()))

    def _make(self, name: str, _: LoadedRouting, routing: RoutingInForce) -> Worker:
        worker = Worker(name, self.log, routing, shares=self.shares)
        worker.failure = None if self.joins else "joining"
        self.made.append(worker)
        return worker

    def read(self) -> None:
        """The feed has read what was recorded."""
        for row in self.log.rows:
            self.workers.routes_row(row.key, row.value)
        self.log.readers.append(self.workers)
        self.workers.routes_read()

    def routes(self, offset: int, severity: str = "P1", at: int = 0, scope: str = "platform") -> dict[str, str | None]:
        data = {"severity": severity, "component": "api", "scope": scope, "tenant_ids": []}
        event = {"id": f"{offset}", "type": "sla.breached", "data": data}
        routing = self.workers._routing
        found = routing.destinations_for(PageTrigger(event, "trigger", "response/1", at), 0, offset)
        return {name: language for name, language in found.items() if name in routing.own.destinations}

    def outdated(self) -> float | None:
        return self.metrics.registry.get_sample_value("sla_notify_routing_outdated")

    async def stop(self) -> None:
        if self.workers in self.log.readers:
            self.log.readers.remove(self.workers)
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


def with_another_secret(loaded: LoadedRouting) -> LoadedRouting:
    return replace(loaded, secrets={**loaded.secrets, "a": Secrets("https://other.example", ("key",))})


def play(scenario: Callable[[Log], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(Log()), TIMEOUT_S))


async def started(log: Log, text: str, *, shares: bool = False) -> Notifier:
    notifier = Notifier(log, text, shares=shares)
    notifier.read()
    await until(lambda: notifier.workers.digest == content_digest(text.encode()) and log.kept() != [])
    return notifier


def test_what_waits_at_a_start_with_a_changed_file_goes_by_the_routes_of_before() -> None:
    """One destination has read an alert and left it to the other, which was behind: it would leave it to the first."""

    async def scenario(log: Log) -> None:
        first = await started(log, TO_A)
        assert first.routes(50) == {"a": "ja"}
        await first.stop()
        second = Notifier(log, TO_B)
        second.read()
        await until(lambda: second.workers.digest == content_digest(TO_B.encode()))
        assert (second.routes(99), second.routes(100)) == ({"a": "ja"}, {"b": None})
        await second.stop()
        log.ends = {0: 200}
        third = Notifier(log, TO_B + "# a comment\n")
        third.read()
        assert (third.routes(99), third.routes(100), third.routes(300)) == ({"a": "ja"}, {"b": None}, {"b": None})
        assert len(log.kept()) == 2, "the routes are the same"
        await third.stop()

    play(scenario)


def test_notifiers_with_different_files_leave_no_alert_to_each_other() -> None:
    """Each has some partitions of each destination; the one that is newer decides, and the other learns of it."""

    async def scenario(log: Log) -> None:
        old = await started(log, TO_A)
        with capture_logs() as logs:
            new = Notifier(log, TO_B, shares=True)
            new.read()
            await until(lambda: new.workers.digest == content_digest(TO_B.encode()))
        now = log.clock.now() // 1_000
        # Before it learned of it, the old one left alerts to a, whose partitions the new one may have.
        assert new.routes(101, at=now) == {"b": None, "a": "ja"}
        assert old.routes(102, at=now) == {"b": None, "a": "ja"}
        later = now + LEARNED_WITHIN_MS
        assert new.routes(103, at=later) == old.routes(103, at=later) == {"b": None}
        assert new.routes(99) == old.routes(99) == {"a": "ja"}
        assert (old.workers.of_another, new.workers.of_another) == (content_digest(TO_B.encode()), None)
        assert (old.outdated(), new.outdated()) == (1, 0)
        assert [log["differs"] for log in logs if log["event"] == "routing_of_another_notifier"] == [True]
        # Its file is changed in turn, to the same routes: nothing begins anew.
        old.workers.use(old.load(TO_B))
        await until(lambda: old.outdated() == 0)
        assert (old.workers.of_another, len(log.kept())) == (None, 2)
        await asyncio.gather(old.stop(), new.stop())

    play(scenario)


def test_an_alert_for_a_destination_that_a_notifier_does_not_have_goes_by_its_own_file_too() -> None:
    """The newer notifier may have gone for ever, as after a deployment that failed."""

    async def scenario(log: Log) -> None:
        old = await started(log, TO_A)
        new = await started(log, TO_C, shares=True)
        later = log.clock.now() // 1_000 + LEARNED_WITHIN_MS
        assert new.routes(200, at=later) == {"c": None}
        await new.stop()
        assert old.routes(200, at=later) == {"a": "ja"}
        assert old.routes(201, "P3", at=later) == {"a": None, "b": None}
        old.workers.use(old.load(TO_A))  # SIGHUP: its file is the right one
        await until(lambda: old.workers.of_another is None)
        assert old.routes(300, "P3", at=later + LEARNED_WITHIN_MS) == {"a": "ja"}
        await old.stop()

    play(scenario)


def test_routes_of_another_notifier_stay_in_force_where_nothing_of_the_own_ones_changed() -> None:
    """The topic of alerts is made anew, or a secret of a destination is exchanged: its file is no newer for that."""

    async def scenario(log: Log) -> None:
        old, new = await started(log, TO_A), await started(log, TO_B, shares=True)
        before, later = log.kept(), log.clock.now() // 1_000 + LEARNED_WITHIN_MS
        other = with_another_secret(old.load(TO_A))
        old.workers.use(other)
        await until(lambda: len(old.made) == 3)
        await until(lambda: old.workers._exchange is None)
        assert (log.kept(), old.workers.of_another) == (before, content_digest(TO_B.encode()))
        assert old.workers._running["a"].loaded.secrets == other.secrets
        log.clock.at += SECOND
        for each in (new, old):
            each.workers.alerts_made_anew()
        await until(lambda: len(log.kept()) == 1)
        await until(lambda: all(each.workers._exchange is None for each in (new, old)))
        assert [(each.routes, each.begins) for each in log.kept()] == [(before[-1].routes, {})]
        assert new.routes(5, at=later) == old.routes(5, at=later) == {"b": None}
        assert (old.outdated(), new.outdated()) == (1, 0)
        # What it does not have goes by its own file still.
        await (await started(log, TO_C, shares=True)).stop()
        assert old.routes(900, at=later + LEARNED_WITHIN_MS) == {"a": "ja"}
        await asyncio.gather(old.stop(), new.stop())

    play(scenario)


def test_routes_that_another_notifier_records_meanwhile_are_not_overruled_by_a_new_secret() -> None:
    async def scenario(log: Log) -> None:
        old, new = await started(log, TO_A), await started(log, TO_A, shares=True)
        other = with_another_secret(old.load(TO_A))
        old.joins = False
        old.workers.use(other)
        await until(lambda: len(old.made) == 3)
        log.clock.at += SECOND
        new.workers.use(new.load(TO_B))
        await until(lambda: old.workers.of_another is not None)
        old.made[-1].failure = None
        await until(lambda: old.workers._exchange is None)
        assert [each.digest for each in log.kept()] == [content_digest(each.encode()) for each in (TO_A, TO_B)]
        await asyncio.gather(old.stop(), new.stop())

    play(scenario)


@pytest.mark.parametrize("answers", [True, False], ids=["recorded", "recorded, but Kafka's answer is lost"])
def test_alerts_that_are_read_while_routes_are_recorded_go_by_both_and_so_after_a_restart(
    answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are beyond the offset that is recorded: by it alone a restart would leave them to destinations that have
    passed them over."""
    monkeypatch.setattr(route_recording, "_ASK_S", 0.01)

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        written, answered = asyncio.Event(), asyncio.Event()

        async def record(rows: Sequence[StateRow]) -> None:
            log.rows += rows  # the feed reads it later
            written.set()
            await answered.wait()

        for each in notifier.made:
            each.record = record  # type: ignore[method-assign]
        notifier.workers.use(notifier.load(TO_B))
        await written.wait()
        assert (notifier.routes(99), notifier.routes(100)) == ({"a": "ja"}, {"a": "ja", "b": None})
        log.ends = {0: 200}
        if answers:
            monkeypatch.setattr(route_recording, "_ASK_S", TIMEOUT_S)
            answered.set()
            await until(lambda: notifier.workers._recording._taken is not None)
            assert notifier.routes(150) == {"a": "ja", "b": None}, "others may have been faster: the log decides"
            notifier.workers.routes_row(log.rows[-1].key, log.rows[-1].value)
            await until(lambda: notifier.workers._exchange is None)
            assert notifier.workers.digest == content_digest(TO_B.encode())
            assert (notifier.routes(99), notifier.routes(100)) == ({"a": "ja"}, {"b": None})
            assert len(log.kept()) == 2, "recorded once"
        else:
            log.clock.at += SECOND
            await until(lambda: len(log.kept()) > 2)
            assert notifier.routes(150) == {"a": "ja", "b": None}
        await notifier.stop()
        again = Notifier(log, TO_B)
        again.read()
        assert (again.routes(99), again.routes(100)) == ({"a": "ja"}, {"b": None})
        await again.stop()

    play(scenario)


@pytest.mark.parametrize("at_last", ["begun", "begun after a silence", "given up", "another"])
def test_routes_wait_until_a_new_destination_has_a_start_in_the_partitions_of_another_notifier(
    at_last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That one was killed before it had committed it. Whoever took its partitions over began with what was new, and
    what was led there since the routes were in force went nowhere."""
    monkeypatch.setattr(destination_workers, "_CONNECT_S", 0.0)
    monkeypatch.setattr(destination_workers, "_LOOK_AGAIN_S", 0.0)

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        assert log.asked == [], "both take alerts as before"
        notifier.joins = False
        with capture_logs() as logs:
            notifier.workers.use(notifier.load(TO_C))
            await until(lambda: len(notifier.made) == 3)
            third = notifier.made[2]
            third.begun, third.failure = False, None
            await until(lambda: len(log.asked) > 5)
            assert set(log.asked) == {"c"}
            assert len(log.kept()) == 1
            assert notifier.routes(500) == {"a": "ja"}
            assert notifier.workers.waits_for == ["c"]
            log.ends = {0: 700}
            exchange = notifier.workers._exchange
            assert exchange is not None
            if at_last == "begun":
                third.begun = True
            elif at_last == "begun after a silence":
                third.silent, exchange.give_up_at = True, 0.1
                await until(lambda: exchange.give_up_at != 0.1)
                asked = len(log.asked)
                await until(lambda: len(log.asked) > asked + 5)
                assert notifier.workers._exchange is exchange, "Kafka takes long, not the destination"
                third.silent, third.begun = False, True
            elif at_last == "given up":
                exchange.give_up_at = 0.1
            else:
                other = RecordedRoutes(recorded_key(2, "x"), notifier.load(TO_C).routing.routes, "x", {0: 700}, 2)
                log.write([recorded_row(other)])
            await until(lambda: notifier.workers._exchange is None)
        later = LEARNED_WITHIN_MS + 2
        assert (notifier.routes(699, at=later), notifier.routes(700, at=later)) == ({"a": "ja"}, {"c": None})
        told = [(each["event"], each["destinations"]) for each in logs if each["event"].startswith("destinations_not")]
        given_up = [("destinations_not_begun", ["c"])] if at_last == "given up" else []
        assert told == [("destinations_not_connected", ["c"]), *given_up]
        assert notifier.workers.waits_for == ()
        await notifier.stop()

    play(scenario)


def test_a_destination_whose_kafka_client_gives_no_answer_is_asked_last_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred that are asked one after the other would hold everything up for minutes."""
    monkeypatch.setattr(route_recording, "_ASK_S", 0.01)

    async def scenario(log: Log) -> None:
        notifier = Notifier(log, TO_A)
        await until(lambda: len(notifier.made) == 2)
        asked = list[str]()

        async def no_answer() -> dict[int, int]:
            asked.append("a")
            await asyncio.Event().wait()
            raise AssertionError

        notifier.made[0].alert_ends = no_answer  # type: ignore[method-assign]
        notifier.read()
        await until(lambda: len(log.kept()) == 1)
        assert asked == ["a"]
        await notifier.stop()

    play(scenario)


def test_what_a_suspended_notifier_routed_before_it_knew_of_other_routes_goes_by_both() -> None:
    """When it went on, one destination had read an alert before the routes of an hour ago were: its rows were refused,
    and afterwards the alert went nowhere, for the others had left it to the destinations of the new routes."""

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        late = 3_600_000 * 1_000
        assert notifier.routes(700, at=late) == {"a": "ja"}
        begins = {0: 600}
        log.write(
            [recorded_row(RecordedRoutes(recorded_key(2, "x"), notifier.load(TO_B).routing.routes, "x", begins, 2))]
        )
        assert notifier.routes(599, at=late) == {"a": "ja"}
        assert notifier.routes(700, at=late) == {"a": "ja", "b": None}
        assert notifier.routes(701, at=late) == {"b": None}
        log.write(
            [recorded_row(RecordedRoutes(recorded_key(3, "y"), notifier.load(TO_A).routing.routes, "y", {0: 900}, 3))]
        )
        assert notifier.routes(700, at=late) == {"a": "ja", "b": None}, "the next routing is that of then"
        assert (notifier.routes(899, at=late), notifier.routes(900, at=late)) == ({"b": None}, {"a": "ja"})
        await notifier.stop()

    play(scenario)


def test_what_a_suspended_notifier_routed_before_it_knew_of_several_changes_goes_by_all_of_them() -> None:
    """It went by the routes of before and the first change only. The others had left the alert to the second."""

    async def scenario(log: Log) -> None:
        own = f"{TO_A[:-2]}, {{to: c, match: {{severity: [P4]}}}}]\n".replace("routes:", f"{THIRD}routes:")
        notifier = await started(log, own)
        late = 3_600_000 * 1_000
        assert notifier.routes(800, at=late) == {"a": "ja"}
        for number, (routes, begin) in enumerate(((TO_B, 600), (TO_C, 700)), 2):
            found = notifier.load(routes).routing.routes
            key = recorded_key(number, "x")
            log.write([recorded_row(RecordedRoutes(key, found, str(number), {0: begin}, number))])
        assert notifier.routes(599, at=late) == {"a": "ja"}
        assert notifier.routes(699, at=late).keys() == {"a", "b"}
        assert notifier.routes(700, at=late).keys() == {"a", "b", "c"}
        assert notifier.routes(801, at=late).keys() == {"c"}
        await notifier.stop()

    play(scenario)


def test_the_order_of_the_log_decides_where_two_change_at_once() -> None:
    async def scenario(log: Log) -> None:
        first, second = await started(log, TO_A), await started(log, TO_A)
        log.readers.remove(first.workers)  # it reads the rows later
        before = len(log.rows)
        second.workers.use(second.load(TO_B))
        first.workers.use(first.load(TO_C))
        await until(lambda: len(log.kept()) == 3)
        for row in log.rows[before:]:
            first.workers.routes_row(row.key, row.value)
        last = log.kept()[-1].digest
        assert first.workers.digest == second.workers.digest == last
        await asyncio.gather(first.stop(), second.stop())

    play(scenario)


def test_a_start_waits_for_what_was_recorded_and_for_its_destinations(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(log: Log) -> None:
        await (await started(log, TO_A)).stop()
        notifier = Notifier(log, TO_C)
        notifier.joins = False
        await until(lambda: len(notifier.made) == 3)
        notifier.workers.use(notifier.load(TO_B))  # a change meanwhile
        notifier.workers.use(notifier.load(TO_C))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(log.kept()) == 1
        for each in notifier.made:
            each.failure = "joining"
        notifier.read()
        assert notifier.routes(500) == {"a": "ja"}
        log.away = True
        for each in notifier.made:
            each.failure = None
        for _ in range(20):
            await asyncio.sleep(0)
        assert notifier.routes(500) == {"a": "ja"}
        log.away, log.ends = False, {0: 700}
        await until(lambda: notifier.workers.digest == content_digest(TO_C.encode()))
        assert (notifier.routes(699), notifier.routes(700)) == ({"a": "ja"}, {"c": None})
        await notifier.stop()
        # One that never joins does not hold the routes of the others up for ever, unless it is a new one.
        monkeypatch.setattr(destination_workers, "_CONNECT_S", 0.0)
        notifier = Notifier(log, TO_B)
        notifier.joins = False
        await until(lambda: len(notifier.made) == 2)
        notifier.read()
        await until(lambda: notifier.workers.digest == content_digest(TO_B.encode()))
        await notifier.stop()

    play(scenario)


def test_routes_of_a_topic_of_alerts_that_was_made_anew_hold_from_its_beginning() -> None:
    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        notifier.workers.use(notifier.load(TO_B))
        await until(lambda: len(log.kept()) == 2)
        notifier.workers.alerts_made_anew()
        await until(lambda: len(log.kept()) == 1)
        assert (log.kept()[0].begins, notifier.routes(5)) == ({}, {"b": None})
        await notifier.stop()
        again = Notifier(log, TO_B)
        again.read()
        assert again.routes(5) == {"b": None}
        await again.stop()

    play(scenario)


def test_routes_are_recorded_again_where_the_topic_of_rows_was_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start with another file would have taken its routes for those of all alerts that wait."""
    monkeypatch.setattr(route_recording, "_RECORD_AGAIN_S", 0.001)

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        log.rows, log.away = [], True
        notifier.workers.rows_made_anew(b"2")
        first = notifier.workers._recording._again
        assert first is not None
        notifier.workers.rows_made_anew(b"2")  # once more meanwhile
        for _ in range(5):
            await asyncio.sleep(0)
        log.away = False
        await until(lambda: len(log.kept()) == 1)
        await until(first.cancelled)
        assert (notifier.routes(5), notifier.workers.of_another) == ({"a": "ja"}, None)
        await notifier.stop()
        again = Notifier(log, TO_B)
        again.read()
        assert again.routes(5) == {"a": "ja"}
        await again.stop()

    play(scenario)


@pytest.mark.parametrize("by", ["this notifier", "another"])
def test_routes_that_are_recorded_again_do_not_come_behind_newer_ones(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_recording, "_RECORD_AGAIN_S", 0.1)

    async def scenario(log: Log) -> None:
        notifier, other = await started(log, TO_A), await started(log, TO_A)
        log.rows, log.away = [], True
        notifier.workers.rows_made_anew(b"2")
        again = notifier.workers._recording._again
        assert again is not None
        await asyncio.sleep(0)
        log.away = False
        (notifier if by == "this notifier" else other).workers.use(other.load(TO_B))
        await until(again.done)
        if log.kept()[-1].digest != content_digest(TO_B.encode()):  # the older ones were first
            await until(lambda: len(log.kept()) == 2)
        await until(lambda: notifier.routes(500, at=10**12) == {"b": None})
        assert [each.digest for each in log.kept()][-1] == content_digest(TO_B.encode())
        await notifier.stop()
        await other.stop()

    play(scenario)


@pytest.mark.parametrize("error", [AssertionError(), asyncio.CancelledError(), RuntimeError("closed")])
def test_a_client_of_kafka_that_breaks_while_routes_are_recorded_does_not_end_the_notifier(
    error: BaseException,
) -> None:
    async def scenario(log: Log) -> None:
        notifier = Notifier(log, TO_A)
        await until(lambda: len(notifier.made) == 2)

        async def broken() -> dict[int, int]:
            raise error

        notifier.made[0].alert_ends = broken  # type: ignore[method-assign]
        notifier.read()
        await until(lambda: len(log.kept()) == 1)
        assert not notifier.running.done()
        await notifier.stop()

    play(scenario)


def test_few_changes_are_kept_and_rows_that_no_notifier_wrote_are_passed_over() -> None:
    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        workers = notifier.workers
        for number in range(MOST_RECORDED + 5):
            log.clock.at += SECOND
            log.ends = {0: 100 + number}
            workers.use(loaded := notifier.load(TO_A if number % 2 else TO_B))
            await until(lambda digest=loaded.digest: workers.digest == digest)  # type: ignore[misc]
        assert len(log.kept()) == MOST_RECORDED
        for value in (b"", b"[]", b"{}", b'{"routes": []}', b"\xff"):
            notifier.workers.routes_row(recorded_key(1, "x"), value)
        assert notifier.workers.of_another is None
        again = Notifier(log, TO_B)
        again.read()
        for each in (notifier, again):  # a destination that is far behind
            with capture_logs() as logs:
                found = [each.routes(offset) for offset in (5, 6, 300)]
            assert found[0] == found[1], "the oldest that are remembered"
            told = [(each["partition"], each["before"]) for each in logs if each["event"] == "routes_forgotten"]
            assert told in ([(0, 104)], [(0, 105)]), "said once"
        await asyncio.gather(notifier.stop(), again.stop())

    play(scenario)


def test_a_row_of_routes_is_read_as_it_was_written(tmp_path: Path) -> None:
    routes = routing_in(TO_C.encode(), "notify.yaml").routes + routing_in(TO_A.encode(), "notify.yaml").routes
    found = RecordedRoutes(recorded_key(7, "d"), routes, "d", {0: 5, 3: 0}, 7, shared=True)
    row = recorded_row(found)
    assert row.value is not None
    assert is_recorded(row.key)
    assert not is_recorded(b"d\x1fpage\x1finc")
    assert read_recorded(row.key, row.value) == found


def test_a_route_that_matches_nothing_does_not_match_everything_once_it_is_recorded() -> None:
    """Files that a template fills have conditions without a value, as for a team without tenants."""
    nobody = DESTINATIONS + "routes: [{to: a, match: {CONDITION: []}}, {to: b}]\n"

    async def scenario(log: Log) -> None:
        for condition in Match.__slots__:
            notifier = await started(log, nobody.replace("CONDITION", condition))
            assert notifier.routes(50, scope="tenants") == {"b": None}, condition
            assert notifier.workers.of_another is None
            await notifier.stop()
            log.rows = []

    play(scenario)

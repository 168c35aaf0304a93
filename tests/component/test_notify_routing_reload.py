"""The notifier reads its routing file and secrets again: nothing is lost on the way, and a wrong file is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError
from notify_bench import destination
from structlog.testing import capture_logs

from connect.notify import destination_workers
from connect.notify.destination_workers import DestinationWorkers
from connect.notify.metrics import NotifyMetrics
from connect.notify.routing.loaded import LoadedRouting, RoutingInForce, RoutingLoader
from connect.notify.routing.rules import Match, Route, Routing
from connect.notify.service import pages
from connect.notify.triggers import PageTrigger
from streams.config_files.reload import ConfigReload
from tests.waiting import TIMEOUT_S, until

ROUTES = """\
version: 1
destinations:
  first: {kind: webhook, url: {file: FIRST}, secrets: [{env: KEY}]}
  second: {kind: webhook, url: {file: SECOND}, secrets: [{env: KEY}]}
routes:
  - {match: {severity: P1}, to: first}
  - {to: second}
"""
KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Worker:
    """In place of a DestinationWorker: connected when the test says so."""

    def __init__(self, name: str, loaded: LoadedRouting, routing: RoutingInForce) -> None:
        self.name = name
        self.secret = loaded.secrets[name].main
        self.routing = routing
        self.failure: str | None = "not connected to Kafka yet"
        self.cancelled = False
        self.error: Exception | None = None
        self.end = asyncio.Event()
        self.ends: dict[int, int] | None = {0: 1_000}

    async def alert_ends(self) -> dict[int, int]:
        if self.ends is None:
            raise KafkaConnectionError("away")
        return self.ends

    async def has_begun(self) -> bool:
        return True

    async def run(self) -> None:
        try:
            await self.end.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.cancelled = True


class Office:
    """The workers of a routing file in a folder."""

    def __init__(self, place: Path) -> None:
        self.place, self.metrics = place, NotifyMetrics()
        for name in ("first", "second", "third"):
            (place / name).write_text(f"https://{name}.example/hook\n", encoding="utf-8")
        self.write(ROUTES)
        self.loader = RoutingLoader(place / "notify.yaml", {"KEY": KEY})
        self.made: list[Worker] = []
        self.workers = DestinationWorkers(self.loader.load(), self._make, self.metrics)  # type: ignore[arg-type]
        self.reload = ConfigReload("routing", self.loader, self.workers.use, lambda _: self.metrics.routing_refused())

    def write(self, text: str) -> None:
        for name in ("first", "second", "third"):
            text = text.replace(name.upper(), str(self.place / name))
        (self.place / "notify.yaml").write_text(text, encoding="utf-8")

    def _make(self, name: str, loaded: LoadedRouting, routing: RoutingInForce) -> Worker:
        self.made.append(Worker(name, loaded, routing))
        return self.made[-1]

    def of(self, name: str) -> Worker:
        return next(each for each in reversed(self.made) if each.name == name)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def routed(routing: RoutingInForce, severity: str, offset: int = 2_000) -> set[str]:
    """Where an alert goes that is at this offset, of the destinations that there are."""
    return led(routing, severity, offset) & routing.own.destinations.keys()


def led(routing: RoutingInForce, severity: str, offset: int) -> set[str]:
    """Which destinations take an alert, also those that join or end."""
    data = {"severity": severity, "component": "api", "scope": "platform", "tenant_ids": []}
    trigger = PageTrigger({"id": severity, "type": "sla.breached", "data": data}, "trigger", "response/1", 0)
    return set(routing.destinations_for(trigger, 0, offset))


def play(place: Path, scenario: Callable[[Office], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            office = Office(place)
            running = asyncio.create_task(office.workers.run())
            await until(lambda: len(office.made) == 2)
            try:
                await scenario(office)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            assert all(each.cancelled for each in office.made)

    asyncio.run(limited())


def test_other_routes_hold_at_all_destinations_for_alerts_from_then_on(tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        routing = office.of("first").routing
        assert routing is office.of("second").routing
        assert routed(routing, "P1", 500) == {"first"}
        for number, routes in enumerate(
            (ROUTES.replace("P1", "P2"), ROUTES.replace("P1", "P2") + "# a comment", ROUTES.replace("P1", "P3"))
        ):
            office.of("first").ends = {0: 1_000 + number}
            office.write(routes)
            await office.reload.look(at_once=True)
            await until(lambda: office.workers.digest == office.loader.load().digest)
        # One destination may have read it already, and the other one not yet.
        assert routed(routing, "P1", 999) == {"first"}
        assert routed(routing, "P2", 999) == {"second"}
        assert routed(routing, "P2", 1_001) == {"first"}
        assert routed(routing, "P3", 1_001) == {"second"}
        assert routed(routing, "P3", 1_002) == {"first"}
        assert len(office.made) == 2

    play(tmp_path, scenario)


@pytest.mark.parametrize("noticed", ["by its end", "by its id"])
def test_alerts_of_a_topic_that_was_made_anew_go_by_the_routes_in_force(tmp_path: Path, noticed: str) -> None:
    """Its offsets begin anew: by them they would be of before the change of routes."""

    async def scenario(office: Office) -> None:
        routing = office.of("first").routing
        assert routed(routing, "P1", 900) == {"first"}
        office.of("first").ends = {0: 1_000, 1: 7}
        office.write(ROUTES.replace("severity: P1", "severity: P2"))
        await office.reload.look(at_once=True)
        await until(lambda: office.workers.digest == office.loader.load().digest)
        furthest = routing.furthest()
        assert furthest == {0: 1_000, 1: 7}
        assert routed(routing, "P1", 1_004) == {"second"}  # read while Kafka was asked where the alerts end
        routing.alerts_end(0, 1_000, furthest)
        routing.alerts_end(1, 7, furthest)
        assert routed(routing, "P1", 5) == {"first"}
        if noticed == "by its end":
            routing.alerts_end(0, 6, routing.furthest())
        else:
            office.workers.alerts_made_anew()
        assert routed(routing, "P1", 5) == {"second"}
        assert routing.furthest().get(0) == 6

    play(tmp_path, scenario)


def test_an_alert_that_one_destination_has_routed_goes_by_the_same_routes_at_all(tmp_path: Path) -> None:
    """It was written after Kafka was asked, and read before the routes were exchanged."""

    async def scenario(office: Office) -> None:
        routing = office.of("first").routing
        office.of("first").ends = {0: 1_000, 1: 3}
        assert routed(routing, "P1", 1_004) == {"first"}
        office.write(ROUTES.replace("severity: P1", "severity: P2"))
        await office.reload.look(at_once=True)
        await until(lambda: office.workers.digest == office.loader.load().digest)
        assert routed(routing, "P1", 1_004) == {"first"}
        assert routed(routing, "P1", 1_005) == {"second"}

    play(tmp_path, scenario)


def test_other_routes_wait_until_kafka_says_where_they_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination_workers, "_CONNECT_S", 0.0)

    async def scenario(office: Office) -> None:
        before = office.workers.digest
        for each in office.made:
            each.ends = None
        office.write(ROUTES.replace("severity: P1", "severity: P2"))
        with capture_logs() as logs:
            await office.reload.look(at_once=True)
            await until(lambda: any(each["event"] == "destinations_not_connected" for each in logs))
        assert office.workers.digest == before
        office.of("second").ends = {0: 7}
        await until(lambda: office.workers.digest != before)
        assert routed(office.of("first").routing, "P1", 6) == {"first"}
        assert routed(office.of("first").routing, "P1", 7) == {"second"}

    play(tmp_path, scenario)


def test_a_removed_destination_takes_no_alert_from_the_others() -> None:
    def routing(*routes: Route) -> Routing:
        return Routing({name: destination("webhook", name) for route in routes for name in route.to}, routes)

    both = RoutingInForce(routing(Route(Match(), ("first",), continues=True), Route(Match(), ("second",))))
    p1 = Match(severity=frozenset({"P1"}))
    both.use(routing(Route(p1, ("third",)), Route(Match(), ("second",))), {0: 1_000})
    assert routed(both, "P1", 999) == {"second", "third"}
    assert routed(both, "P1", 1_001) == {"third"}


def test_a_destination_that_comes_back_takes_what_it_had_not_read_before_its_file_is_in_force(tmp_path: Path) -> None:
    """It reads on as soon as it has joined. The others have left these alerts to it, and are past them."""

    async def scenario(office: Office) -> None:
        assert routed(office.of("second").routing, "P1", 900) == {"first"}
        first = office.of("first")
        without = ROUTES.replace("first", "third").replace("FIRST", "THIRD")
        for text in (without, ROUTES):
            office.write(text)
            made, before = len(office.made), office.workers.digest
            await office.reload.look(at_once=True)
            await until(lambda made=made: len(office.made) == made + 1)  # type: ignore[misc]
            routing = office.made[-1].routing
            assert "first" in led(routing, "P1", 901), "both when it ends and when it joins"
            office.made[-1].failure = None
            await until(lambda before=before: office.workers.digest != before)  # type: ignore[misc]
            if text == without:
                await until(lambda: first.cancelled)
                assert led(routing, "P1", 902) == {"first", "third"}, "it may come back"
                assert led(routing, "P1", 3_000) == {"third"}, "written since: not its own when it comes back"
        assert led(routing, "P1", 903) == {"first"}

    play(tmp_path, scenario)


def test_a_new_destination_reads_before_alerts_are_routed_there_and_a_removed_one_ends_then(tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        first, routing = office.of("first"), office.of("first").routing
        office.metrics.up.labels("first").set(1)
        office.metrics.behind.labels("first").set(7)
        office.write(ROUTES.replace("first", "third").replace("FIRST", "THIRD"))
        await office.reload.look(at_once=True)
        await until(lambda: len(office.made) == 3)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not first.cancelled
        assert routed(routing, "P1") == {"first"}
        office.of("third").failure = None
        with capture_logs() as logs:
            await until(lambda: first.cancelled)
        told = [each for each in logs if each["event"] == "destination_removed"]
        assert [(each["absent"], each["open_pages"], each["waiting"], each["unread"]) for each in told] == [
            ("first", 0, 0, 7)
        ]
        assert routed(routing, "P1") == {"third"}
        assert routed(routing, "P1", 999) == {"third"}, "first is not there any more"
        assert [each.name for each in office.workers.workers] == ["second", "third"]
        await until(lambda: office.metric("sla_notify_up", destination="first") is None)

    play(tmp_path, scenario)


def test_the_old_routes_hold_until_every_new_destination_has_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination_workers, "_CONNECT_S", 0.0)

    async def scenario(office: Office) -> None:
        first, routing = office.of("first"), office.of("first").routing
        office.write(ROUTES.replace("first", "third").replace("FIRST", "THIRD"))
        with capture_logs() as logs:
            await office.reload.look(at_once=True)
            await until(lambda: any(each["event"] == "destinations_not_connected" for each in logs))
        third = office.of("third")
        assert not first.cancelled
        assert routed(routing, "P1") == {"first"}
        # A newer file is not kept waiting by a destination that it does not have.
        office.write(ROUTES.replace("severity: P1", "severity: P2"))
        await office.reload.look(at_once=True)
        await until(lambda: third.cancelled)
        await until(lambda: office.workers.digest == office.loader.load().digest)
        assert routed(routing, "P2", 3_000) == {"first"}
        assert [each.name for each in office.workers.workers] == ["first", "second"]
        assert (first.cancelled, office.of("second").cancelled, len(office.made)) == (False, False, 3)

    play(tmp_path, scenario)


def test_a_worker_that_ends_while_another_joins_ends_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        office = Office(tmp_path)
        running = asyncio.create_task(office.workers.run())
        await until(lambda: len(office.made) == 2)
        office.write(ROUTES.replace("first", "third").replace("FIRST", "THIRD"))
        await office.reload.look(at_once=True)
        await until(lambda: len(office.made) == 3)
        office.of("second").end.set()
        await running
        assert all(each.cancelled for each in office.made)

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


def test_a_changed_secret_restarts_its_destination_alone(tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        first, second = office.of("first"), office.of("second")
        (tmp_path / "second").write_text("https://other.example/hook\n", encoding="utf-8")
        for _ in range(2):
            await office.reload.look(at_once=False)
        await until(lambda: len(office.made) == 3)
        assert office.of("second").secret == "https://other.example/hook"
        assert (first.cancelled, second.cancelled) == (False, True)

    play(tmp_path, scenario)


def test_a_wrong_file_is_refused_loudly_and_the_old_one_stays(tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        assert office.metric("sla_notify_routing_outdated") == 0
        digest = office.workers.digest
        office.write(ROUTES.replace("to: second", "to: seconds"))
        with capture_logs() as logs:
            await office.reload.look(at_once=True)
        (told,) = [each for each in logs if each["event"] == "routing_refused"]
        assert "notify.yaml:7" in told["reason"]
        assert "there is no destination 'seconds'" in told["reason"]
        assert office.metric("sla_notify_routing_outdated") == 1
        assert office.metric("sla_notify_routing_loads_total", result="refused") == 1
        assert office.workers.digest == digest
        assert routed(office.of("first").routing, "P1") == {"first"}
        (tmp_path / "first").unlink()
        office.write(ROUTES)
        await office.reload.look(at_once=True)
        assert f"the file {tmp_path / 'first'} can't be read" in str(office.reload.problem)
        (tmp_path / "first").write_text("https://first.example/hook\n", encoding="utf-8")
        await office.reload.look(at_once=True)
        await until(lambda: office.metric("sla_notify_routing_outdated") == 0)
        assert office.reload.problem is None

    play(tmp_path, scenario)


def test_a_file_refused_while_the_one_before_is_taken_over_stays_outdated(tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        before = office.workers.digest
        office.write(ROUTES.replace("first", "third").replace("FIRST", "THIRD"))
        await office.reload.look(at_once=True)
        await until(lambda: len(office.made) == 3)
        office.write("version: 2")
        await office.reload.look(at_once=True)
        office.of("third").failure = None
        await until(lambda: office.workers.digest != before)
        assert office.metric("sla_notify_routing_outdated") == 1

    play(tmp_path, scenario)


def test_a_worker_that_ends_ends_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        office = Office(tmp_path)
        running = asyncio.create_task(office.workers.run())
        await until(lambda: len(office.made) == 2)
        office.of("first").end.set()
        await running
        assert office.of("second").cancelled

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


def test_what_ended_a_worker_is_raised(tmp_path: Path) -> None:
    async def scenario() -> None:
        office = Office(tmp_path)
        running = asyncio.create_task(office.workers.run())
        await until(lambda: len(office.made) == 2)
        office.of("first").error = OSError("its connections can't be closed")
        office.of("first").end.set()
        with pytest.raises(OSError, match="can't be closed"):
            await running
        assert office.of("second").cancelled

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


def test_the_health_page_shows_the_routing_and_stays_ready_while_one_is_refused(tmp_path: Path) -> None:
    from aiohttp.test_utils import TestClient, TestServer

    async def scenario(office: Office) -> None:
        app = pages(office.workers, office.metrics, office.reload)
        async with TestClient(TestServer(app)) as client:
            answer = await client.get("/ready")
            told = await answer.json()
            assert (answer.status, len(told["reasons"])) == (503, 2)
            assert told["routing"] == {"digest": office.workers.digest}
            for each in office.made:
                each.failure = None
            office.write("version: 2")
            await office.reload.look(at_once=True)
            answer = await client.get("/ready")
            assert answer.status == 200
            assert (await answer.json())["routing"]["refused"] == office.reload.problem

    play(tmp_path, scenario)


def test_the_health_page_says_why_topics_and_rows_are_not_read_beside_what_workers_say(tmp_path: Path) -> None:
    """A permission that was withdrawn looked like a topic that is not there; and like nothing, where it was that to
    read rows."""
    from aiohttp.test_utils import TestClient, TestServer

    class Told:
        problem: str | None = None

    async def scenario(office: Office) -> None:
        shape, feed = Told(), Told()
        app = pages(office.workers, office.metrics, office.reload, cast(Any, shape), cast(Any, feed))
        async with TestClient(TestServer(app)) as client:

            async def reasons() -> list[str]:
                return [each["reason"] for each in (await (await client.get("/ready")).json())["reasons"]]

            for each in office.made:
                each.failure = "there is no topic sla.alerts"
            shape.problem, feed.problem = "this user may not see the topic sla.alerts", "rows are not read: not allowed"
            assert await reasons() == ["there is no topic sla.alerts"] * 2 + [shape.problem, feed.problem]
            for each in office.made:
                each.failure = None
            shape.problem = None
            assert await reasons() == [feed.problem]
            feed.problem = None
            assert await reasons() == []

    play(tmp_path, scenario)

"""Rows of routes that land late: those that were given up never put older routes in force."""

from __future__ import annotations

import asyncio

import pytest
from test_notify_recorded_routes import DESTINATIONS, THIRD, Log, Notifier, play, started

from connect.notify import route_recording
from connect.notify.page_store_rows import StateRow
from connect.notify.routing.recorded import RecordedRoutes, read_recorded, recorded_key, recorded_row
from streams.config_files.reload import content_digest
from tests.waiting import until


def to(name: str) -> str:
    """A file that leads the alerts of these tests to one destination, and has all."""
    first = f"{{to: {name}, match: {{severity: [P1, P2, P3]}}}}"
    return f"{DESTINATIONS}{THIRD}routes: [{first}, {{to: [a, b, c]}}]\n"


TO_A, TO_B, TO_C = map(to, "abc")
LATE = 10**12
"""The time of an alert that no doubt is about."""


@pytest.fixture(autouse=True)
def given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_recording, "_ASK_S", 0.01)


async def in_force(notifier: Notifier, text: str) -> None:
    await until(lambda: notifier.workers.digest == content_digest(text.encode()))
    await until(lambda: notifier.workers._exchange is None)


async def give_up(log: Log, notifier: Notifier, text: str) -> None:
    """Its rows do not land yet."""
    log.holds = True
    before = len(log.held)
    notifier.workers.use(notifier.load(text))
    await until(lambda: len(log.held) > before + 1)
    log.holds = False


def third_leads(row: StateRow) -> bool:
    found = None if row.value is None else read_recorded(row.key, row.value)
    return found is not None and found.routes[0].to == ("c",)


def after_a_start(log: Log) -> dict[str, str | None]:
    notifier = Notifier(log, TO_A)
    notifier.read()
    found = notifier.routes(900, at=LATE)
    notifier.running.cancel()
    log.readers.remove(notifier.workers)
    return found


def test_what_was_given_up_does_not_come_into_force_behind_newer_routes() -> None:
    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        await give_up(log, notifier, TO_B)
        notifier.workers.use(notifier.load(TO_C))
        await in_force(notifier, TO_C)
        late = {row.key for row in log.held}
        log.land()
        assert notifier.routes(500, at=LATE) == after_a_start(log) == {"c": None}
        assert (notifier.workers.digest, notifier.workers.of_another) == (content_digest(TO_C.encode()), None)
        # The next recording deletes what is left of it.
        log.clock.at += 1_000_000
        notifier.workers.use(notifier.load(TO_A))
        await in_force(notifier, TO_A)
        assert late.isdisjoint(each.key for each in log.kept())
        await notifier.stop()

    play(scenario)


def test_what_was_given_up_does_not_come_into_force_once_the_file_is_as_before() -> None:
    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        await give_up(log, notifier, TO_B)
        notifier.workers.use(notifier.load(TO_A))
        await until(lambda: notifier.workers._exchange is None)
        log.land()
        assert notifier.routes(500, at=LATE) == after_a_start(log) == {"a": None}
        await notifier.stop()

    play(scenario)


def test_what_was_given_up_and_lands_first_is_followed_by_what_is_wanted() -> None:
    """Until it is known which one counts, alerts go by all of them."""

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        await give_up(log, notifier, TO_B)
        await give_up(log, notifier, TO_C)
        assert notifier.routes(150, at=LATE) == {"a": None, "b": None, "c": None}
        log.land()
        assert notifier.routes(500, at=LATE) == {"b": None}
        await in_force(notifier, TO_C)
        assert notifier.routes(600, at=LATE) == after_a_start(log) == {"c": None}
        await notifier.stop()

    play(scenario)


@pytest.mark.parametrize("killed", [False, True])
def test_what_another_notifier_has_given_up_does_not_come_into_force_behind_newer_routes(killed: bool) -> None:
    async def scenario(log: Log) -> None:
        first, second = await started(log, TO_A), await started(log, TO_A, shares=True)
        await give_up(log, first, TO_B)
        if killed:
            await first.stop()
        for each in [second] if killed else [second, first]:
            each.workers.use(each.load(TO_C))
            await in_force(each, TO_C)
        log.land()
        for each in [second] if killed else [second, first]:
            assert each.routes(500, at=LATE) == {"c": None}
            await each.stop()
        assert after_a_start(log) == {"c": None}

    play(scenario)


def test_routes_that_come_behind_those_of_another_notifier_are_recorded_again() -> None:
    """Both were made after the same ones, so the first one counts. The file of the other notifier was changed too."""

    async def scenario(log: Log) -> None:
        first, second = await started(log, TO_A), await started(log, TO_A, shares=True)
        await give_up(log, first, TO_B)
        log.holds = True
        second.workers.use(second.load(TO_C))
        await until(lambda: any(third_leads(row) for row in log.held))
        log.holds = False
        log.held.sort(key=third_leads, reverse=True)
        log.land()
        assert first.routes(500, at=LATE) == {"c": None}
        for each in (first, second):
            await until(lambda each=each: each.workers.digest == content_digest(TO_B.encode()))  # type: ignore[misc]
            await until(lambda each=each: each.workers._exchange is None)  # type: ignore[misc]
        assert first.routes(600, at=LATE) == second.routes(600, at=LATE) == after_a_start(log) == {"b": None}
        await asyncio.gather(first.stop(), second.stop())

    play(scenario)


def test_routes_of_another_notifier_that_follow_before_kafka_answers_stay_in_force() -> None:
    """It put its own in force when the answer came, and no other notifier did."""

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        written, answered = asyncio.Event(), asyncio.Event()
        write = type(notifier.made[0]).record

        async def record(self: object, rows: object) -> None:
            await write(self, rows)  # type: ignore[arg-type]
            written.set()
            await answered.wait()

        for each in notifier.made:
            each.record = record.__get__(each)  # type: ignore[attr-defined]
        notifier.workers.use(notifier.load(TO_B))
        await written.wait()
        number = log.kept()[-1].number + 1
        routes = notifier.load(TO_C).routing.routes
        log.write([recorded_row(RecordedRoutes(recorded_key(2, "x"), routes, "x", {0: 700}, 2, number=number))])
        answered.set()
        await until(lambda: notifier.workers._exchange is None)
        assert notifier.routes(900, at=LATE) == {"c": None}
        assert (notifier.workers.digest, len(log.kept())) == ("x", 3)
        await notifier.stop()

    play(scenario)


def test_routes_that_kafka_has_taken_behind_those_of_another_notifier_are_not_in_force() -> None:
    """They are recorded again first."""

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        log.clock.at += 1_000_000
        write = type(notifier.made[0]).record
        routes = notifier.load(TO_C).routing.routes
        numbers = list[int]()

        async def record(self: object, rows: object) -> None:
            if not numbers:
                log.write([recorded_row(RecordedRoutes(recorded_key(2, "x"), routes, "x", {0: 700}, 2, number=2))])
            await write(self, rows)  # type: ignore[arg-type]
            numbers.append(log.kept()[-1].number)
            log.clock.at += 1_000_000

        for each in notifier.made:
            each.record = record.__get__(each)  # type: ignore[attr-defined]
        notifier.workers.use(notifier.load(TO_B))
        await in_force(notifier, TO_B)
        assert numbers == [2, 3]
        assert notifier.routes(900, at=LATE) == after_a_start(log) == {"b": None}
        await notifier.stop()

    play(scenario)


def test_rows_of_releases_before_count_wherever_they_are() -> None:
    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        log.clock.at += 1_000_000
        for number, (text, found) in enumerate([(TO_B, {"b": None}), (TO_A, {"a": None})], 2):
            routes = notifier.load(text).routing.routes
            row = recorded_row(RecordedRoutes(recorded_key(number, "x"), routes, "x", {0: 100 + number}, number))
            assert row.value is not None
            log.write([row._replace(value=row.value.replace(b'"number":0,', b""))])
            assert notifier.routes(500 + number, at=LATE) == after_a_start(log) == found
        notifier.workers.use(notifier.load(TO_C))
        await in_force(notifier, TO_C)
        assert after_a_start(log) == {"c": None}
        await notifier.stop()

    play(scenario)


def test_a_row_that_kafka_has_taken_and_nobody_reads_is_recorded_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kafka has lost it. Or rows are not read, and not many are to be written meanwhile."""

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        recording, loaded = notifier.workers._recording, notifier.load(TO_B)
        log.readers.clear()
        assert [await recording.begin(loaded), await recording.begin(loaded)] == [None, None]
        assert len(log.rows) == 2
        monkeypatch.setattr(route_recording, "_READ_S", 0.0)
        recording.rows_made_anew()  # what waits to be read is of the topic before
        assert [await recording.begin(loaded), await recording.begin(loaded)] == [None, None]
        assert len(log.rows) == 4
        await notifier.stop()

    play(scenario)


def test_rows_that_are_read_again_are_not_taken_for_late_ones() -> None:
    """As after a lost connection, or where a topic made anew has them again. The next recording would delete them."""

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        log.clock.at += 1_000_000
        notifier.workers.use(notifier.load(TO_B))
        await in_force(notifier, TO_B)
        for row in tuple(log.rows):
            notifier.workers.routes_row(row.key, row.value)
        assert notifier.routes(500, at=LATE) == {"b": None}
        log.clock.at += 1_000_000
        notifier.workers.use(notifier.load(TO_C))
        await in_force(notifier, TO_C)
        assert [each.number for each in log.kept()] == [1, 2, 3]
        await notifier.stop()

    play(scenario)


def test_routes_that_were_surely_not_recorded_leave_those_that_may_be() -> None:
    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        await give_up(log, notifier, TO_B)
        log.away, loaded = True, notifier.load(TO_C)
        notifier.workers.use(loaded)
        await until(lambda: (found := notifier.workers._exchange) is not None and found.own is loaded)
        await until(lambda: notifier.workers.waits_for != ())
        assert notifier.routes(150, at=LATE) == {"a": None, "b": None}
        log.away = False
        log.land()
        await in_force(notifier, TO_C)
        assert notifier.routes(600, at=LATE) == after_a_start(log) == {"c": None}
        await notifier.stop()

    play(scenario)


def test_routes_of_another_notifier_of_the_topic_of_alerts_before_do_not_hold_for_the_one_made_anew() -> None:
    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_A)
        log.away = True
        notifier.workers.alerts_made_anew()
        await until(lambda: notifier.workers._exchange is not None)
        log.away = False
        routes = notifier.load(TO_C).routing.routes
        log.write([recorded_row(RecordedRoutes(recorded_key(2, "x"), routes, "x", {0: 700}, 2, number=2))])
        await until(lambda: notifier.workers._exchange is None)
        assert [(dict(each.begins), each.routes) for each in log.kept()] == [({}, routes)]
        await notifier.stop()

    play(scenario)


def test_routes_of_another_notifier_that_come_while_a_removed_destination_ends_are_known_to_be_in_force() -> None:
    """They were taken for this notifier's own, and when those came again it went on by the others."""

    async def scenario(log: Log) -> None:
        notifier = await started(log, TO_C)
        stops, may_end = asyncio.Event(), asyncio.Event()

        async def end(names: list[str]) -> None:
            if names:
                stops.set()
                await may_end.wait()

        notifier.workers._stop = end  # type: ignore[assignment, method-assign]
        own = DESTINATIONS + "routes: [{to: a, match: {severity: [P1]}}, {to: [a, b]}]\n"
        loaded, others = notifier.load(own), notifier.load(TO_B).routing.routes
        notifier.workers.use(loaded)
        await stops.wait()
        log.write([recorded_row(RecordedRoutes(recorded_key(2, "x"), others, "x", {0: 700}, 2, number=3))])
        may_end.set()
        await until(lambda: notifier.workers._exchange is None)
        assert (notifier.workers.digest, notifier.outdated()) == ("x", 1)
        assert notifier.workers.of_another == "x"
        again = RecordedRoutes(recorded_key(3, loaded.digest), loaded.routing.routes, loaded.digest, {0: 800}, 3)
        log.write([recorded_row(again._replace(number=4))])
        assert notifier.routes(900, at=LATE) == {"a": None}
        assert (notifier.workers.digest, notifier.outdated()) == (loaded.digest, 0)
        await notifier.stop()

    play(scenario)

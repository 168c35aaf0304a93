"""A monitor that falls silent opens one incident, whatever happens to the intakes; its next heartbeat resolves it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from heartbeat_bench import MAPPING, START, Cluster, Killed, MemoryIntake, MemoryReader, expected_silences, sources_of
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from connect.intake.heartbeats import service
from connect.intake.heartbeats.reader import HeartbeatReader, LogRow
from connect.intake.heartbeats.rows import (
    BeatRow,
    ForgottenRow,
    Gap,
    MonitorId,
    SilenceRow,
    WatermarkRow,
    decode_row,
    encode_row,
    partition_for,
)
from connect.intake.heartbeats.silence_detector import SilenceDetector, silence_begins
from connect.intake.kafka_records import OutgoingRecord
from connect.intake.mapping.monitors import MonitorRule
from streams.errors import SlaError
from streams.sla.instants import SECOND, format_rfc3339, parse_rfc3339
from tests.waiting import TIMEOUT_S, until

RULE = MonitorRule("backup", 60 * SECOND, 30 * SECOND)


def at(seconds: float) -> int:
    return START + int(seconds * SECOND)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


async def passes(cluster: Cluster, seconds: float, *intakes: MemoryIntake, step_s: float = 1.0) -> None:
    """Time passes; every intake turns each second."""
    for _ in range(int(seconds / step_s)):
        cluster.now += int(step_s * SECOND)
        for intake in intakes:
            await intake.turn()


def told(cluster: Cluster) -> list[tuple[str, str]]:
    """Type and time of the events, without repetitions, in order."""
    return [(each["type"], each["time"]) for each in cluster.unique_events().values()]


def test_a_silence_opens_at_its_instant_and_the_next_heartbeat_resolves_it() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        assert await intake.beat("backup")
        await passes(cluster, 89, intake)
        assert cluster.events == []
        await passes(cluster, 10, intake)
        (opened,) = cluster.events
        assert (opened["type"], opened["time"]) == ("incident.opened", "2026-04-10T08:01:33Z")
        assert opened["subject"] == "jobs-backup-20260410T080003.000000Z"
        assert opened["data"] == {
            "scope": "platform",
            "tenant_ids": [],
            "component": "api",
            "impact": "complete_outage",
            "channel": "monitor",
            "summary": "no heartbeat of backup since 2026-04-10T08:00:03Z",
            "started_at": "2026-04-10T08:01:03Z",
        }
        assert intake.metrics.registry.get_sample_value("sla_intake_monitors", {"state": "silent"}) == 1
        await passes(cluster, 300, intake)
        assert await intake.beat("backup")
        await passes(cluster, 1, intake)
        assert [each["type"] for each in cluster.events] == ["incident.opened", "incident.resolved"]
        assert cluster.events[1]["subject"] == opened["subject"]
        assert cluster.events[1]["time"] == format_rfc3339(cluster.now - SECOND)
        assert intake.metrics.registry.get_sample_value("sla_intake_monitors", {"state": "heard"}) == 1

    run(scenario)


def test_several_intakes_with_clocks_apart_publish_the_same_events_and_mostly_once() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        intakes = [MemoryIntake(cluster, skew_s=skew) for skew in (0, 3600, -3600)]
        await passes(cluster, 3, *intakes)
        for number in range(20):
            assert await intakes[number % 3].beat(f"probe-t{number}")
        await passes(cluster, 60, *intakes)
        assert len(cluster.unique_events()) == 20
        assert len(cluster.events) == 20, "the intake that wrote the row publishes, the others see its row"
        assert {each["data"]["tenant_ids"][0] for each in cluster.events} == {f"t{number}" for number in range(20)}

    run(scenario)


@pytest.mark.parametrize("writes", range(5))
def test_a_kill_at_any_write_between_noticing_and_publishing_loses_and_doubles_nothing(writes: int) -> None:
    async def scenario() -> None:
        cluster = Cluster(partitions=1)
        first = MemoryIntake(cluster)
        await passes(cluster, 3, first)
        await first.beat("backup")
        await passes(cluster, 89, first)
        first.publisher.writes_left = writes
        with pytest.raises(Killed):
            await passes(cluster, 20, first)
        before = len(cluster.events)
        cluster.now += 2 * SECOND
        second = MemoryIntake(cluster)
        await second.turn()
        await second.beat("backup")  # the silence has ended before anybody else noticed it
        third = MemoryIntake(cluster)
        await passes(cluster, 20, third)
        assert before in {0, 1}
        assert told(cluster)[0] == ("incident.opened", "2026-04-10T08:01:33Z")
        assert [kind for kind, _ in told(cluster)] == ["incident.opened", "incident.resolved"]

    run(scenario)


def test_the_time_without_any_intake_or_without_kafka_does_not_count() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        first = MemoryIntake(cluster)
        await passes(cluster, 3, first)
        await first.beat("backup")
        await passes(cluster, 20, first)
        cluster.now += 20 * SECOND  # shorter than the grace: the clock stands still
        second = MemoryIntake(cluster)
        await passes(cluster, 68, second)
        assert cluster.events == []
        await passes(cluster, 10, second)
        ((kind, time),) = told(cluster)
        assert kind == "incident.opened"
        assert "2026-04-10T08:01:53Z" <= time <= "2026-04-10T08:01:58Z", (
            "20 s and the time from one watermark to the next"
        )
        await second.beat("backup")
        await passes(cluster, 5, second)
        cluster.away = True
        await passes(cluster, 600, second)
        assert not await second.beat("backup")
        cluster.away = False
        await passes(cluster, 85, second)
        assert len(cluster.unique_events()) == 2, "after a long absence a monitor has the whole time again"
        await passes(cluster, 15, second)
        assert len(cluster.unique_events()) == 3

    run(scenario)


def test_absences_count_once_they_add_up_to_more_than_the_grace() -> None:
    due = 90 * SECOND
    assert silence_begins(0, RULE, []) == due
    assert silence_begins(0, RULE, [Gap(-50, -10)]) == due, "before the heartbeat"
    assert silence_begins(0, RULE, [Gap(10 * SECOND, 20 * SECOND)]) == due + 10 * SECOND
    gaps = [Gap(10 * SECOND, 30 * SECOND), Gap(40 * SECOND, 55 * SECOND)]
    assert silence_begins(0, RULE, gaps) == 55 * SECOND + due
    assert silence_begins(0, RULE, [Gap(due + 1, due + 500 * SECOND)]) == due, "it was silent before"
    assert silence_begins(0, RULE, [Gap(due, due + 20 * SECOND)]) == due + 20 * SECOND


def test_a_heartbeat_at_the_very_instant_is_in_time() -> None:
    state = SilenceDetector(lambda _: RULE)
    state.caught_up()
    name = MonitorId("jobs", "backup")
    offset = 0
    for second in range(0, 91, 5):
        list(state.apply(WatermarkRow(0, ()) if second % 90 else BeatRow(name), at(second), offset))
        offset += 1
    assert not state.unpublished
    for second in range(91, 182, 5):
        list(state.apply(WatermarkRow(0, ()), at(second), offset))
        offset += 1
    assert [each.missed_at for each in state.unpublished.values()] == [at(180)]


def test_a_monitor_that_the_mapping_no_longer_names_is_not_watched_and_its_open_incident_is_named() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        await intake.beat("backup")
        await intake.beat("probe-acme")
        await passes(cluster, 40, intake)
        assert [each["data"]["tenant_ids"] for each in cluster.events] == [["acme"]]
        with capture_logs() as logs:
            intake.heartbeats.use(sources_of(MAPPING.replace("probe-*", "sonde-*").replace("backup: {", "other: {")))
        assert [(each["event"], each["monitor"]) for each in logs] == [("silent_monitor_removed", "probe-acme")]
        await passes(cluster, 200, intake)
        assert len(cluster.events) == 1
        intake.heartbeats.use(sources_of())
        await passes(cluster, 6, intake)
        assert len(cluster.events) == 2, "named again, it has been silent"

    run(scenario)


def test_a_shorter_time_in_the_mapping_holds_for_the_present_silence_too() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        await intake.beat("backup")
        await passes(cluster, 60, intake)
        intake.heartbeats.use(sources_of(MAPPING.replace("PT60S", "PT10S")))
        await passes(cluster, 6, intake)
        assert told(cluster) == [("incident.opened", "2026-04-10T08:00:43Z")]

    run(scenario)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param("{from: monitor.wildcard, values: {b: b}}", id="no-tenant"),
        pytest.param("{from: monitor.wildcard}\n    only_tenants: [beta]", id="a-tenant-that-is-not-the-sources"),
    ],
)
def test_an_incident_that_the_mapping_cannot_make_is_told_and_published_after_its_correction(changed: str) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        await intake.beat("probe-acme")
        intake.heartbeats.use(sources_of(MAPPING.replace("{from: monitor.wildcard}", changed)))
        await passes(cluster, 40, intake)
        assert cluster.events == []
        assert intake.metrics.registry.get_sample_value(
            "sla_intake_refused_total", {"source": "jobs", "code": "invalid"}
        )
        intake.heartbeats.use(sources_of())
        await passes(cluster, 61, intake)
        assert told(cluster) == [("incident.opened", "2026-04-10T08:00:33Z")]

    run(scenario)


def test_many_silences_that_the_mapping_makes_nothing_of_are_told_once_a_minute_and_counted_once() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        for number in range(30):
            await intake.beat(f"probe-t{number}")
        intake.heartbeats.use(
            sources_of(MAPPING.replace("{from: monitor.wildcard}", "{from: monitor.wildcard, values: {b: b}}"))
        )
        with capture_logs() as logs:
            await passes(cluster, 200, intake)
        told_of = [each for each in logs if each["event"] == "silence_unmapped"]
        assert len(told_of) == 3
        assert [each["left_out"] for each in told_of] == [0, 29, 29]
        sample = intake.metrics.registry.get_sample_value
        assert sample("sla_intake_refused_total", {"source": "jobs", "code": "invalid"}) == 30
        assert sample("sla_intake_monitors", {"state": "unmapped"}) == 30
        intake.heartbeats.use(sources_of())
        await passes(cluster, 61, intake)
        assert len(cluster.events) == 30
        assert sample("sla_intake_monitors", {"state": "unmapped"}) == 0

    run(scenario)


def test_of_thousands_of_silent_monitors_that_are_removed_the_log_names_a_hundred() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        for number in range(150):
            await intake.beat(f"probe-t{number}")
        await passes(cluster, 40, intake)
        with capture_logs() as logs:
            intake.heartbeats.use(sources_of(MAPPING.replace("probe-*", "sonde-*")))
        assert len(logs) == 100
        assert logs[-1]["left_out"] == 50

    run(scenario)


@pytest.mark.parametrize("topic", ["heartbeats", "incident-events"])
@pytest.mark.parametrize("refused", [True, False], ids=["no leader", "a leader that hangs"])
def test_a_partition_that_takes_nothing_keeps_no_silence_of_others_back(
    monkeypatch: pytest.MonkeyPatch, topic: str, *, refused: bool
) -> None:
    """Nor is the time without an answer an absence of the intake for the others."""
    monkeypatch.setattr(service, "_WAIT_S", 0.0)

    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        names = {0: "", 1: ""}
        for number in range(20):
            names[partition_for(MonitorId("jobs", f"probe-t{number}"), 2)] = f"probe-t{number}"
        for name in names.values():
            assert await intake.beat(name)
        await passes(cluster, 5, intake)
        if topic == "heartbeats":
            cluster.hangs = lambda record: record.partition == 0
        else:
            cluster.hangs = lambda record: record.key.startswith(f"jobs-{names[0]}-")
        if refused:
            cluster.refused.set()
        await passes(cluster, 60, intake)
        assert [each["data"]["tenant_ids"] for each in cluster.events] == [[names[1].removeprefix("probe-")]]
        assert intake.heartbeats._partitions[1].gaps == []
        cluster.hangs = lambda _: False
        cluster.refused.set()
        await passes(cluster, 60, intake)
        assert len(cluster.unique_events()) == 2

    run(scenario)


def test_a_partition_that_nobody_leads_at_the_start_keeps_no_other_monitors_unwatched() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        reader = intake._reader = MemoryReader(cluster)
        reader.leaderless, reader.problem = partition_for(MonitorId("jobs", "backup"), 2), "nobody leads it"
        other = next(
            name for n in range(9) if partition_for(MonitorId("jobs", name := f"probe-{n}"), 2) != reader.leaderless
        )
        cluster.hangs = lambda record: record.partition == reader.leaderless
        cluster.refused.set()
        await intake.heartbeats.begin(reader)
        with capture_logs() as logs:
            await passes(cluster, 3, intake)
            assert not await intake.beat("backup")
            assert await intake.beat(other)
            await passes(cluster, 60, intake)
        assert [(each["type"], each["subject"].split("-2026")[0]) for each in cluster.events] == [
            ("incident.opened", f"jobs-{other}")
        ]
        assert intake.heartbeats.problem == "nobody leads it"
        assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["heartbeats_unavailable"]
        listening = partial(intake.metrics.registry.get_sample_value, "sla_intake_heartbeats_listening")
        assert listening() == 0
        with capture_logs() as logs:
            for error in (TimeoutError(), SlaError("nobody leads it")) * 3:
                intake.heartbeats._ended(error)
        assert len(logs) == 1  # of the time that passed: the other reason is in the log already
        reader.leaderless = reader.problem = None
        cluster.hangs = lambda _: False
        await passes(cluster, 3, intake)
        assert (intake.heartbeats.problem, listening()) == (None, 1)
        assert await intake.beat("backup")

    run(scenario)


def test_a_leader_that_hangs_slows_the_silences_of_other_partitions_down_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn that begins a write waits for it; those after it do not, until it has failed."""
    monkeypatch.setattr(service, "_WAIT_S", 0.0)

    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        names = [f"probe-{number}" for number in range(3 * service._AT_ONCE)]
        for name in names:
            assert await intake.beat(name)
        await passes(cluster, 5, intake)
        cluster.hangs = lambda record: record.partition == 0
        await passes(cluster, 10, intake)
        monkeypatch.setattr(service, "_WAIT_S", 3600.0)
        async with asyncio.timeout(TIMEOUT_S):
            await passes(cluster, 40, intake)
        others = [name for name in names if partition_for(MonitorId("jobs", name), 2) == 1]
        found = {tenant for each in cluster.events for tenant in each["data"]["tenant_ids"]}
        assert found >= {name.removeprefix("probe-") for name in others}
        cluster.refused.set()

    run(scenario)


def test_a_write_that_a_client_of_kafka_cancels_is_one_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        cluster = Cluster(1)
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        publish, ends = intake.publisher.publish, [asyncio.CancelledError()]

        async def cancelled(records: Sequence[OutgoingRecord]) -> None:
            if ends:
                raise ends.pop()
            await publish(records)

        monkeypatch.setattr(intake.publisher, "publish", cancelled)
        await passes(cluster, 3, intake)
        assert not ends
        await passes(cluster, 10, intake)
        assert intake.heartbeats._partitions[0].gaps == []
        assert intake.heartbeats.problem is None

    run(scenario)


def test_requests_are_answered_between_many_monitors(monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 monitors that fall silent at once took more than two seconds in which nothing else was done."""
    monkeypatch.setattr(service, "_WAIT_S", TIMEOUT_S)

    async def scenario() -> None:
        cluster = Cluster(partitions=1)
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        spent, slices = itertools.count(), [0]
        # Each look at the clock takes a millisecond.
        monkeypatch.setattr(intake.heartbeats, "_seconds", lambda: cluster.now / SECOND + next(spent) / 1000)

        async def others() -> None:
            while True:
                await asyncio.sleep(0)
                slices[0] += 1

        other = asyncio.create_task(others())
        for number in range(300):
            assert await intake.beat(f"probe-t{number}")
        for what in ("rows", "silences", "a new mapping"):
            slices[0] = 0
            if what == "silences":
                for _ in range(32):
                    cluster.now += SECOND
                    await intake.beat("backup")
            elif what == "a new mapping":
                intake.heartbeats.use(sources_of(MAPPING.replace("PT10S", "PT12S")))
                await intake.beat("backup")
            await intake.turn()
            assert slices[0] >= 20, what
        assert len(cluster.events) == 300
        other.cancel()

    run(scenario)


def test_a_monitor_that_is_deleted_right_after_its_first_heartbeat_is_watched_no_longer() -> None:
    """An intake reads that heartbeat back only moments later, and others later still."""

    async def scenario() -> None:
        cluster = Cluster()
        first, second = MemoryIntake(cluster), MemoryIntake(cluster)
        await passes(cluster, 3, first, second)
        assert await first.beat("probe-a")
        assert not await second.heartbeats.forget(MonitorId("jobs", "probe-a"))
        written = sum(cluster.offsets)
        for name in ("unnamed", "probe-a\n"):
            assert not await second.heartbeats.forget(MonitorId("jobs", name))
        assert sum(cluster.offsets) == written, "nothing is written for what the mapping does not name"
        await passes(cluster, 90, first, second)
        assert cluster.events == []

    run(scenario)


def test_a_forgotten_monitor_ends_its_incident_and_opens_no_other_until_it_is_heard_again() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        for name in ("backup", "probe-acme"):
            await intake.beat(name)
        await passes(cluster, 40, intake)
        for name in ("backup", "probe-acme", "probe-unknown"):
            await intake.forget(name)
        await passes(cluster, 10, intake)
        assert [kind for kind, _ in told(cluster)] == ["incident.opened", "incident.resolved"]
        await passes(cluster, 200, intake)
        cluster.compact(keep_s=0)
        await passes(cluster, 200, MemoryIntake(cluster))
        assert len(cluster.events) == 2
        values = {
            each: intake.metrics.registry.get_sample_value("sla_intake_monitors", {"state": each})
            for each in ("heard", "silent")
        }
        assert values == {"heard": 0, "silent": 0}
        await intake.beat("probe-acme")
        await passes(cluster, 40, intake)
        assert [kind for kind, _ in told(cluster)] == ["incident.opened", "incident.resolved", "incident.opened"]

    run(scenario)


@pytest.mark.parametrize("names", [1, 5_000], ids=["one-monitor-again-and-again", "each-monitor-once"])
def test_monitors_that_come_and_go_leave_nothing_behind(names: int) -> None:
    detector = SilenceDetector(lambda monitor: RULE)
    detector.caught_up()
    lasting = MonitorId("jobs", "lasting")
    list(detector.apply(BeatRow(lasting), at(0), 0))
    for number in range(5_000):
        monitor = MonitorId("jobs", f"probe-{number % names}")
        list(detector.apply(BeatRow(monitor), at(1 + number / 1000), 1 + 2 * number))
        list(detector.apply(ForgottenRow(monitor), at(1 + number / 1000), 2 + 2 * number))
    assert len(detector._due) <= 100
    for second in range(6, 100):
        list(detector.apply(None, at(second), 10_001 + second - 6))
    assert [silence.monitor for silence in detector.silences()] == [lasting]
    assert not detector._due


def test_rows_survive_their_encoding_and_unknown_ones_are_passed_over() -> None:
    name = MonitorId("jobs", "nightly.backup_1")
    assert decode_row(b"beat/jobs/x", None) == (ForgottenRow(MonitorId("jobs", "x")), "")
    for row in (BeatRow(name), SilenceRow(name, 1, 2, ended=True), WatermarkRow(5, (Gap(1, 2), Gap(3, 4)))):
        encoded = encode_row(row, 3, "w")
        assert decode_row(encoded.key.encode(), encoded.value) == (row, "w")
    for key, value in ((b"silence/a/b", None), (b"new/a/b", b'{"writer":"w"}'), (b"beat/a/b", b"{"), (None, b"1")):
        assert decode_row(key, value) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"watermark/0", b'{"writer":"x","through":Infinity,"gaps":[]}'),
        (b"watermark/0", b'{"writer":"x","through":1e400,"gaps":[]}'),
        (b"watermark/0", b'{"writer":"x","through":1,"gaps":[[1,1e30]]}'),
        (b"silence/jobs/backup", b'{"writer":"x","after":1e30,"missed_at":1,"ended":false}'),
        (b"silence/jobs/backup", b'{"writer":"x","after":-1,"missed_at":1,"ended":false}'),
        (b"beat/jobs/backup", b"[" * 200_000),
        (b"beat/jobs/probe-\n", b'{"writer":"x"}'),
    ],
)
def test_a_row_that_no_intake_writes_stops_nothing(key: bytes, value: bytes) -> None:
    async def scenario() -> None:
        cluster = Cluster(1)
        intake = MemoryIntake(cluster)
        await intake.turn()
        cluster.partitions[0].append(LogRow(0, cluster.offsets[0], key, value, cluster.now))
        cluster.offsets[0] += 1
        await intake.beat("backup")
        for _ in range(200):
            cluster.now += SECOND
            await intake.turn()
        intake.heartbeats.use(sources_of())
        assert [event["type"] for event in cluster.events] == ["incident.opened"]

    asyncio.run(scenario())


def test_heartbeats_are_not_acknowledged_while_a_defect_keeps_silences_from_being_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        cluster = Cluster(1)
        intake = MemoryIntake(cluster)
        heartbeats, failing, failed = intake.heartbeats, True, asyncio.Event()
        turn = heartbeats.turn

        async def fails(reader: HeartbeatReader) -> None:
            if failing:
                failed.set()
                raise ZeroDivisionError
            await asyncio.sleep(0)
            await turn(reader)

        monkeypatch.setattr(heartbeats, "turn", fails)
        monkeypatch.setattr(service, "_AGAIN_S", 0.0)
        with capture_logs() as logs:
            running = asyncio.create_task(heartbeats.run())
            await failed.wait()
            await asyncio.sleep(0)
            assert heartbeats.problem == "internal error: ZeroDivisionError"
            assert not await intake.beat("backup")
            failing = False
            while not await intake.beat("backup"):
                await asyncio.sleep(0)
            assert heartbeats.problem is None
            running.cancel()
        assert "heartbeats_failed" in [each["event"] for each in logs]

    run(scenario)


def test_what_was_read_is_not_read_again_when_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """With thousands of monitors that takes minutes of CPU, again and again while Kafka does not answer."""

    async def scenario() -> None:
        cluster = Cluster(1)
        intake = MemoryIntake(cluster)
        heartbeats, opened, tried = intake.heartbeats, [], asyncio.Event()
        begin, write = heartbeats.begin, intake.publisher.publish

        async def begins(reader: HeartbeatReader) -> None:
            opened.append(reader)
            await begin(reader)

        async def writes(records: Sequence[OutgoingRecord]) -> None:
            tried.set()
            await write(records)

        monkeypatch.setattr(heartbeats, "begin", begins)
        monkeypatch.setattr(intake.publisher, "publish", writes)
        monkeypatch.setattr(service, "_AGAIN_S", 0.0)
        monkeypatch.setattr(MemoryReader, "read", slowly(MemoryReader.read))
        running = asyncio.create_task(heartbeats.run())
        await until(lambda: heartbeats.problem is None)
        cluster.away = True
        for _ in range(3):
            cluster.now += 3 * SECOND
            tried.clear()
            await tried.wait()
            await until(lambda: heartbeats.problem == "Kafka is away")
        cluster.away = False
        await until(lambda: heartbeats.problem is None)
        assert len(opened) == 1
        running.cancel()

    run(scenario)


def test_the_end_of_a_client_of_kafka_is_no_end_of_the_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        intake = MemoryIntake(Cluster(1))
        begin, ends = intake.heartbeats.begin, [asyncio.CancelledError()]

        async def ended(reader: HeartbeatReader) -> None:
            if ends:
                raise ends.pop()
            await begin(reader)

        monkeypatch.setattr(intake.heartbeats, "begin", ended)
        monkeypatch.setattr(service, "_AGAIN_S", 0.0)
        monkeypatch.setattr(MemoryReader, "read", slowly(MemoryReader.read))
        running = asyncio.create_task(intake.heartbeats.run())
        while intake.heartbeats.problem is not None:
            assert not running.done()
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(scenario)


def slowly(read: Any) -> Any:
    async def reads(reader: MemoryReader) -> Any:
        await asyncio.sleep(0)
        return await read(reader)

    return reads


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "pass",
                "pass",
                "pass",
                "beat",
                "beat",
                "beat",
                "forget",
                "kill",
                "start",
                "away",
                "back",
                "compact",
                "stop",
            ]
        ),
        st.integers(0, 60),
        st.integers(0, 3),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=settings.default.max_examples * 3 // 5, deadline=None)
@given(STEPS)
def test_whatever_happens_the_incidents_are_those_of_the_complete_log(steps: list[tuple[str, int, int]]) -> None:
    names = ["backup", "probe-a", "probe-b", "probe-c"]

    async def scenario() -> None:
        cluster, history = Cluster(partitions=1), Cluster(partitions=1)
        original = cluster.append

        def append(records: Any) -> None:
            original(records)
            history.now = cluster.now
            history.append([each for each in records if each.partition is not None])

        cluster.append = append  # type: ignore[method-assign]
        intakes = [MemoryIntake(cluster)]
        for what, number, which in steps:
            one = intakes[which % len(intakes)] if intakes else None
            if what == "pass":
                for _ in range(number):
                    await passes(cluster, 1, *intakes)
            elif what == "beat" and one is not None:
                await one.beat(names[which])
            elif what == "forget" and one is not None:
                await one.forget(names[which])
            elif what == "kill" and one is not None:
                one.publisher.writes_left = number % 3
                try:
                    await passes(cluster, 5, one)
                except Killed:
                    intakes.remove(one)
                else:
                    one.publisher.writes_left = None
            elif what == "start" and len(intakes) < 3:
                intakes.append(MemoryIntake(cluster, skew_s=float(number * 1000 - 30_000)))
            elif what == "stop":
                intakes = intakes[:-1]
            elif what in {"away", "back"}:
                cluster.away = what == "away"
            elif what == "compact":
                cluster.compact(keep_s=7200)
        cluster.away = False
        last = MemoryIntake(cluster)
        await passes(cluster, 40, last)
        decided = history.partitions[0]
        found = cluster.unique_events()
        opened = {each["subject"]: each["time"] for each in found.values() if each["type"] == "incident.opened"}
        resolved = {each["subject"]: each["time"] for each in found.values() if each["type"] == "incident.resolved"}
        assert len(opened) + len(resolved) == len(found)
        seen = set()
        for subject, time in opened.items():
            name, _, last_heard = subject.removeprefix("jobs-").rpartition("-")
            after = parse_rfc3339(
                f"{last_heard[:4]}-{last_heard[4:6]}-{last_heard[6:11]}:{last_heard[11:13]}:{last_heard[13:]}"
            )
            end = resolved.get(subject)
            seen.add((name, after, parse_rfc3339(time), None if end is None else parse_rfc3339(end)))
        expected = expected_silences(decided, sources_of())
        # What the last rows showed may be published only after them.
        settled = {each for each in expected if each[2] < cluster.now - 8 * SECOND}
        assert settled <= seen <= expected

    run(scenario)


def test_thousands_of_silences_at_once_are_published_in_parts_and_no_absence_is_seen() -> None:
    async def scenario() -> None:
        cluster = Cluster(partitions=1)
        intake = MemoryIntake(cluster)
        await passes(cluster, 3, intake)
        for number in range(1500):
            assert await intake.beat(f"probe-{number}")
        await passes(cluster, 60, intake)
        assert len(cluster.events) == len(cluster.unique_events()) == 1500
        assert {each["time"] for each in cluster.events} == {"2026-04-10T08:00:33Z"}
        assert intake.heartbeats._partitions[0].gaps == []

    run(scenario)

"""Reads heartbeats back, finds silences, publishes incidents. Any number of intakes may run it side by side.

Every intake derives the same events with the same ids, so a repetition counts once (R1): after a crash between
finding and publishing, another intake or the next start publishes what is missing. The intake that wrote the row that
shows a silence publishes at once; the others wait for its next row, which says that the event is in Kafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from uuid import uuid4

import structlog
from aiokafka.errors import KafkaError

from connect.intake.heartbeats.reader import HeartbeatReader
from connect.intake.heartbeats.rows import (
    TOPIC,
    BeatRow,
    ForgottenRow,
    MonitorId,
    Row,
    SilenceRow,
    WatermarkRow,
    decode_row,
    encode_row,
    partition_for,
)
from connect.intake.heartbeats.silence_detector import SHORTEST_GAP, Silence, SilenceDetector
from connect.intake.heartbeats.silence_events import events_of, incident_of
from connect.intake.kafka_records import OutgoingRecord, PreparedEvent
from connect.intake.mapping.monitors import MONITOR_NAME, MonitorRule
from connect.intake.mapping.rules import Source
from connect.intake.metrics import IntakeMetrics
from connect.intake.record_publisher import RecordPublisher, Unavailable
from connect.kafka_io.cancellation import keep_running
from streams.errors import SlaError
from streams.kafka.cancellation import CLIENT_ENDED
from streams.kafka.causes import explained_error
from streams.log_damper import CrashLog, LogDamper

#: Monitors of one source that were heard and not deleted.
MAX_MONITORS = 10_000
_UNCONNECTED = "not connected to Kafka"
_WATERMARK_EVERY_S = 2.0
_SECOND_HAND_S = 3.0
_PUBLISHED_AGAIN_S = 15.0
_UNMAPPED_AGAIN_S = 60.0
_LOG_EVERY_S = 60.0
#: Monitors that are named in the log one by one.
_MOST_NAMED = 100
_AT_ONCE = 200
_AGAIN_S = 1.0
#: A turn waits for so long for what it writes. What Kafka does not acknowledge meanwhile is left to later turns.
_WAIT_S = 1.0
#: Work on many monitors lets requests be answered after so long.
_SLICE_S = 0.01


class Heartbeats:
    """The monitors of the mapping in force. `reader` gives an unopened reader; `seconds` is a clock that only says how
    often to write and to try."""

    def __init__(
        self,
        reader: Callable[[], HeartbeatReader],
        publisher: RecordPublisher,
        metrics: IntakeMetrics,
        seconds: Callable[[], float],
        *,
        watermark_every_s: float = _WATERMARK_EVERY_S,
        shortest_gap: int = SHORTEST_GAP,
    ) -> None:
        self.problem: str | None = _UNCONNECTED
        """Why nothing is heard or published now; None while all is well."""
        self._reader = reader
        self._publisher = publisher
        self._metrics = metrics
        metrics.heartbeats_problem.set_function(lambda: self.wanted and self.problem is not None)
        self._seconds = seconds
        self._watermark_every_s = watermark_every_s
        self._shortest_gap = shortest_gap
        self._failed = False
        """Whether an unexpected error has ended the loop, and it has not gone through since."""
        self._writer = uuid4().hex
        self._sources: Mapping[str, Source] = {}
        self._wanted = asyncio.Event()
        self._partitions: list[SilenceDetector] = []
        self._watermark_at: list[float] = []
        self._resumed_at = 0.0
        self._under_way: dict[tuple[str, int], asyncio.Task[None]] = {}
        """Writes that Kafka has not acknowledged, by what they are and their partition."""
        self._failing: set[tuple[str, int]] = set()
        """Those of which the last one failed."""
        self._log = structlog.get_logger("connect.intake.heartbeats")
        self._damper = LogDamper(_LOG_EVERY_S)
        self._reported: dict[type[BaseException], str] = {}  # reasons logged since all was well
        self._crashes = CrashLog(self._log, "heartbeats_failed")

    @property
    def wanted(self) -> bool:
        """Whether the mapping has monitors."""
        return self._wanted.is_set()

    def use(self, sources: Mapping[str, Source]) -> None:
        """Watch the monitors of these sources from now on."""
        self._sources = {name: source for name, source in sources.items() if source.monitors}
        if self._sources:
            self._wanted.set()
        for state in self._partitions:
            state.watch_again()
        silences = [silence for state in self._partitions for silence in state.silences()]
        removed = [silence for silence in silences if self.rule_of(silence.monitor) is None]
        for number, silence in enumerate(removed[:_MOST_NAMED], 1):
            source, name = silence.monitor
            self._log.warning(
                "silent_monitor_removed",
                source=source,
                monitor=name,
                incident=incident_of(silence),
                advice="resolve its incident by hand",
                left_out=len(removed) - number if number == _MOST_NAMED else 0,
            )

    def rule_of(self, monitor: MonitorId) -> MonitorRule | None:
        """The rule of a monitor; None: the mapping does not name it."""
        source = self._sources.get(monitor.source)
        return None if source is None else source.monitors.rule_for(monitor.name)

    async def beat(self, monitor: MonitorId) -> None:
        """A heartbeat; returns once all replicas have it. Raises Unavailable; SlaError beyond MAX_MONITORS."""
        if not self._partitions or self._failed:
            raise Unavailable(self.problem or _UNCONNECTED)
        partition = partition_for(monitor, len(self._partitions))
        if monitor not in self._partitions[partition]:
            count = sum(state.monitors_of[monitor.source] for state in self._partitions)
            if count >= MAX_MONITORS:
                raise SlaError(
                    f"{monitor.source} has {count:,} monitors; at most {MAX_MONITORS:,} are allowed: "
                    "delete those that are gone"
                )
        await self._write([(BeatRow(monitor), partition)])

    async def forget(self, monitor: MonitorId) -> bool:
        """Watch a monitor no longer, until it is heard again; a silence ends. False where it is not known that it was
        ever heard: its first heartbeat may not be read back yet. Raises Unavailable."""
        if not self._partitions or self._failed:
            raise Unavailable(self.problem or _UNCONNECTED)
        partition = partition_for(monitor, len(self._partitions))
        known = monitor in self._partitions[partition]
        if known or (MONITOR_NAME.fullmatch(monitor.name) and self.rule_of(monitor)):
            await self._write([(ForgottenRow(monitor), partition)])
        return known

    async def run(self) -> None:
        """Follow the topic until cancelled, once the mapping has monitors."""
        await self._wanted.wait()
        await keep_running(self._follow, self._ended, _AGAIN_S)

    async def _follow(self) -> None:
        reader = self._reader()
        try:
            await self.begin(reader)
            while True:
                try:
                    await self.turn(reader)
                except Unavailable as error:
                    # What was read holds. Reading it again would take minutes with many monitors, of an absent Kafka.
                    self._metrics.heartbeats_listening.set(0)
                    self._ended(error)
                    await asyncio.sleep(_AGAIN_S)
        finally:
            self._metrics.heartbeats_listening.set(0)
            under_way = list(self._under_way.values())
            self._under_way.clear()
            self._failing.clear()
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            await reader.close()

    def _ended(self, error: Exception | asyncio.CancelledError) -> None:
        match error:
            case asyncio.CancelledError():
                reason = CLIENT_ENDED
            case SlaError():
                reason = str(error)
            case KafkaError() | OSError() | TimeoutError():
                reason = explained_error(error)
            case _:  # a defect: nobody notices silences, so heartbeats must not be acknowledged
                self._crashes.caught(error)
                self.problem, self._failed = f"internal error: {type(error).__name__}", True
                return
        if self._reported.get(type(error)) != reason:
            self._reported[type(error)] = reason
            self._log.warning("heartbeats_unavailable", reason=reason)
        self.problem = reason

    async def begin(self, reader: HeartbeatReader) -> None:
        """Begin to read the topic."""
        count = await reader.open()
        self._partitions = [SilenceDetector(self.rule_of, self._shortest_gap) for _ in range(count)]
        self._watermark_at = [float("-inf")] * count

    async def turn(self, reader: HeartbeatReader) -> None:
        """Apply the next rows, publish what follows from them, and say that this intake listens. Raises Unavailable."""
        rows = await reader.read()
        self._resumed_at = self._seconds()
        for row in rows:
            decoded = decode_row(row.key, row.value)
            meaning, writer = decoded or (None, "")
            state = self._partitions[row.partition]
            for _ in state.apply(meaning, row.at, row.offset, own=writer == self._writer):
                await self._let_others_work()
            await self._let_others_work()
            if isinstance(meaning, WatermarkRow):
                self._watermark_at[row.partition] = self._seconds()
        for number, state in enumerate(self._partitions):
            if not state.live and reader.caught_up(number):
                state.caught_up()
        await self._write_what_follows()
        self._measure()
        if reader.problem is not None:
            self._ended(SlaError(reader.problem))

    async def _let_others_work(self) -> None:
        """Go on in a later step of the event loop, where this one has taken long."""
        if self._seconds() - self._resumed_at >= _SLICE_S:
            await asyncio.sleep(0)
            self._resumed_at = self._seconds()

    async def _write_what_follows(self) -> None:
        """Publish silences, and say that this intake listens, where no intake has said so lately. Each partition is
        written for itself: one whose leader hangs, or that has none, keeps no other waiting. Raises Unavailable."""
        now = self._seconds()
        begun = []
        for number, state in enumerate(self._partitions):
            # What is left follows in the next turns, so that this intake goes on saying that it listens.
            due = self._due(state, now)[:_AT_ONCE]
            begun += self._begin(("silences", number), due, partial(self._publish, number, due))
            late = state.live and now - self._watermark_at[number] >= self._watermark_every_s
            begun += self._begin(("watermark", number), late, partial(self._write_watermark, number))
        if begun:
            # Writes of earlier turns are not waited for: those of a leader that hangs would slow down all others.
            await asyncio.wait(begun, timeout=_WAIT_S)
        errors: list[BaseException] = []
        for what, task in [each for each in self._under_way.items() if each[1].done()]:
            del self._under_way[what]
            self._failing.discard(what)
            error = Unavailable(CLIENT_ENDED) if task.cancelled() else task.exception()
            if error is not None:
                self._failing.add(what)
                errors.append(error)
        for error in sorted(errors, key=lambda each: isinstance(each, Unavailable)):
            raise error

    def _begin(
        self, what: tuple[str, int], due: object, work: Callable[[], Coroutine[object, object, None]]
    ) -> list[asyncio.Task[None]]:
        """The task of a write that is due, unless the last one is still under way."""
        if what in self._under_way:
            return []
        if not due:
            self._failing.discard(what)
            return []
        task = self._under_way[what] = asyncio.create_task(work())
        return [task]

    async def _write_watermark(self, number: int) -> None:
        await self._write([(self._partitions[number].watermark(), number)])
        self._watermark_at[number] = self._seconds()

    def _due(self, state: SilenceDetector, now: float) -> list[Silence]:
        """The silences that are to be published now."""
        found = []
        for silence in state.unpublished.values() if state.live else ():
            if silence.not_before is None:
                silence.not_before = now + (0.0 if silence.first_hand else _SECOND_HAND_S)
            if silence.not_before <= now:
                found.append(silence)
        return found

    async def _publish(self, partition: int, silences: Sequence[Silence]) -> None:
        """Publish events, then the rows that say so. Raises Unavailable; the same events follow later."""
        events: list[tuple[Silence, PreparedEvent]] = []
        rows: list[tuple[Row, int]] = []
        for silence in silences:
            silence.not_before = self._seconds() + _PUBLISHED_AGAIN_S
            await self._let_others_work()
            found = self._events(silence)
            if found is not None:
                events += [(silence, event) for event in found]
                ended = silence.ended_at is not None
                rows.append((SilenceRow(silence.monitor, silence.after, silence.missed_at, ended), partition))
        if not rows:
            return
        try:
            await self._publisher.publish([event.record for _, event in events])
            await self._write(rows)
        except Unavailable:
            for silence in silences:
                silence.not_before = self._seconds() + _AGAIN_S
            raise
        for silence, event in events:
            source, name = silence.monitor
            self._metrics.published.labels(source, event.event_type).inc()
            self._log.info(
                "silence_published", source=source, monitor=name, type=event.event_type, incident=event.subject
            )

    def _events(self, silence: Silence) -> list[PreparedEvent] | None:
        """What has to be published about a silence; None while the mapping does not say it."""
        source = self._sources.get(silence.monitor.source)
        found = "the mapping no longer names the source" if source is None else events_of(source, silence)
        if not isinstance(found, str):
            silence.unmapped = False
            return found
        source_name, name = silence.monitor
        silence.not_before = self._seconds() + _UNMAPPED_AGAIN_S
        if not silence.unmapped:
            silence.unmapped = True
            self._metrics.refused.labels(source_name, "invalid").inc()
        left_out = self._damper.admit(source_name, self._seconds())
        if left_out is not None:
            self._log.error("silence_unmapped", source=source_name, monitor=name, reason=found, left_out=left_out)
        return None

    async def _write(self, rows: Sequence[tuple[Row, int]]) -> None:
        """Write rows, each to its partition. Raises Unavailable."""
        encoded = [encode_row(row, partition, self._writer) for row, partition in rows]
        records = [OutgoingRecord(TOPIC, each.key, each.value, [], each.partition) for each in encoded]
        await self._publisher.publish(records)

    def _measure(self) -> None:
        live = all(state.live for state in self._partitions)
        if live and not self._failing and self.problem is not None:
            self._log.info("heartbeats_heard", monitors=sum(state.monitors_of.total() for state in self._partitions))
            self.problem = None
            self._reported.clear()
        self._failed = self._failed and not live
        self._metrics.heartbeats_listening.set(int(live and not self._failing))
        silences = sum(state.silence_count for state in self._partitions)
        known = sum(state.monitors_of.total() for state in self._partitions)
        unmapped = sum(silence.unmapped for state in self._partitions for silence in state.unpublished.values())
        self._metrics.monitors.labels("unmapped").set(unmapped)
        self._metrics.monitors.labels("silent").set(silences)
        self._metrics.monitors.labels("heard").set(known - silences)

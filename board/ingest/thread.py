"""The ingest thread: reads the topics for as long as it is not stopped, through outages of Kafka and the database."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Final, TypeVar

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from board.ingest.apply import AppliedChanges
from board.ingest.checkpoints import (
    CheckpointMoved,
    Place,
    ReadModelRefused,
    TopicPartitionRange,
    note_current,
    read_checkpoints,
    reconcile,
)
from board.ingest.retention import expire
from board.ingest.skipped import SkippedLog
from board.ingest.source import TopicSource
from board.ingest.status import IngestStatus, StatusBoard
from board.ingest.writer import TransactionWriter, Work, transactions
from board.metrics import BoardMetrics
from board.recurrence import Recurrence
from board.store.engine import write_transaction
from streams.errors import SlaError
from streams.kafka.causes import explained_error
from streams.kafka.topic_descriptions import KafkaPythonError
from streams.log_damper import CrashLog
from streams.settings import Settings
from streams.sla.instants import HOUR, SECOND
from streams.time_source import SystemTimeSource, TimeSource

_BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_TAKE_S = 0.25
_HOUSEKEEPING = 30 * SECOND
#: How often topics are looked for, so that a board says within seconds that they or Kafka are away.
_LOOK_EVERY = 5 * SECOND
_RETENTION_EVERY = HOUR

OnApplied = Callable[[AppliedChanges, int], None]

_T = TypeVar("_T")


class Ingest:
    """Applies the topics of a deployment to a migrated database, in a thread of its own.

    `on_applied` is called in that thread after each transaction, with what it changed and the position of the database
    after it, a number that grows. `retention` is in microseconds.
    """

    def __init__(
        self,
        engine: Engine,
        kafka: Settings,
        *,
        retention: int,
        on_applied: OnApplied = lambda *_: None,
        metrics: BoardMetrics | None = None,
        time_source: TimeSource | None = None,
    ) -> None:
        self._engine = engine
        self._kafka = kafka
        self._retention = retention
        self._on_applied = on_applied
        self._time = time_source or SystemTimeSource()
        self._metrics = metrics or BoardMetrics()
        self._skipped = SkippedLog(self._metrics)
        self._writer = TransactionWriter(engine, kafka, self._metrics, self._skipped)
        self._board = StatusBoard()
        self._log = structlog.get_logger("board.ingest")
        self._crashes = CrashLog(self._log, "ingest_crashed")
        self._thread = Thread(target=self._run, name="board-ingest", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._database = ThreadPoolExecutor(1, "board-database")
        self._stop = asyncio.Event()
        self._stopping = False
        self._expiring: Iterator[int] | None = None
        self._retention_looks = Recurrence(self._time, _RETENTION_EVERY)
        self._targets: dict[Place, int] = {}

    @property
    def status(self) -> IngestStatus:
        """How it stands; any thread may ask."""
        return self._board.status

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after the present transaction. The thread dies with the process when that takes longer."""
        self._stopping = True
        with contextlib.suppress(RuntimeError):  # its loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._sessions())
        except BaseException as error:
            self._board.change(failure=f"the ingest thread has ended, restart the board: {error!r}")
            raise
        finally:
            self._database.shutdown(wait=False, cancel_futures=True)

    async def _sessions(self) -> None:
        tries = 0
        while not self._stopping:
            reached = self._board.status.applied
            try:
                await self._session()
            except CheckpointMoved:
                self._log.info("checkpoint_moved", consequence="another process wrote; positions are read again")
                failure = None
            except (ReadModelRefused, SlaError) as error:
                failure = str(error)
            except (KafkaError, KafkaPythonError, OSError) as error:
                failure = explained_error(error, self._kafka.brokers)
            except SQLAlchemyError as error:
                failure = f"the database: {_first_line(error)}"
            except Exception as error:
                self._crashes.caught(error, consequence="it starts again")
                failure = f"internal error: {error!r}"
            else:
                continue
            tries = 0 if self._board.status.applied > reached else tries + 1
            wait_s = _BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)]
            if failure is not None:
                if failure != self._board.status.failure:
                    self._log.warning("ingest_failed", reason=failure, consequence="it is tried again and again")
                self._metrics.up.set(0)
                self._board.change(failure=failure)
            await self._pause(wait_s)

    async def _session(self) -> None:
        async with TopicSource(self._kafka) as source:
            ranges = await source.ranges()
            positions = await self._in_database(lambda: self._reconcile(ranges))
            source.seek(positions)
            ends = {place: each.end for place, each in ranges.items()}
            self._begin(positions, ends, sum(each.end - each.start for each in ranges.values()))
            partitions = Counter(topic for topic, _ in ranges)
            housekeeping, look = Recurrence(self._time, _HOUSEKEEPING), Recurrence(self._time, _LOOK_EVERY)
            while not self._stopping:
                for work in transactions(await source.take(_TAKE_S), positions):
                    changes, count = await self._in_database(lambda work=work: self._writer.write(work))  # type: ignore[misc]
                    positions.update(work.after)
                    self._applied(changes, count, positions, ends | source.ends())
                    self._measure(work)
                    if self._stopping:
                        return
                self._show_end(positions, source.ends())
                if look.due():
                    found = await source.topic_ids()  # raises when Kafka or a topic is away
                    if any(found[topic][0] != count for topic, count in partitions.items()):
                        raise CheckpointMoved  # the next session reads the new partitions, too
                if housekeeping.due():
                    await self._keep_house(source, positions)
                await self._expire()

    def _reconcile(self, ranges: dict[Place, TopicPartitionRange]) -> dict[Place, int]:
        self._writer.forget()
        with write_transaction(self._engine) as connection:
            positions, expired = reconcile(connection, ranges, self._time.now())
        for each in expired:
            self._log.error("records_expired", consequence="Kafka deleted them before they were read", **each._asdict())
        return positions

    def _begin(self, positions: dict[Place, int], ends: dict[Place, int], total: int) -> None:
        left = sum(max(end - positions[place], 0) for place, end in ends.items())
        self._targets = dict(ends)
        status = self._board.change(positions=dict(positions), ends=dict(ends), read=total - left, total=total)
        self._log.info("ingest_started", partitions=len(positions), lag=status.lag)

    def _applied(
        self, changes: AppliedChanges, count: int, positions: dict[Place, int], ends: dict[Place, int]
    ) -> None:
        before = self._board.status
        self._goes_on()
        status = self._board.change(
            positions=dict(positions),
            ends=ends,
            applied=before.applied + count,
            skipped=self._skipped.count,
            applied_at=self._time.now(),
        )
        self._on_applied(changes, status.position)

    def _measure(self, work: Work) -> None:
        """How long the first alert of a transaction took until it shows."""
        if self._board.status.reached_end:
            first = min((record.timestamp for record in work.records if record.topic == "alerts"), default=None)
            if first is not None:
                self._metrics.arrival_to_visible_seconds.observe(max(self._time.now() - first, 0) / SECOND)

    def _goes_on(self) -> None:
        """What failed is over. A session that has only begun does not say so: it may fail in the same way, as with a
        database that can be read and not written."""
        if self._board.status.failure is not None:
            self._board.change(failure=None)
        self._metrics.up.set(1)

    def _show_end(self, positions: dict[Place, int], ends: dict[Place, int]) -> None:
        left = sum(max(end - positions[place], 0) for place, end in self._targets.items())
        before = self._board.status
        if left == 0:
            self._goes_on()
        status = self._board.change(
            ends=before.ends | ends,
            read=before.total - left,
            reached_end=before.reached_end or left == 0,
        )
        lag: Counter[str] = Counter()
        for (topic, partition), end in status.ends.items():
            lag[topic] += max(end - positions[topic, partition], 0)
        for topic, records in lag.items():
            self._metrics.lag.labels(topic).set(records)
        if status.reached_end and not before.reached_end:
            self._log.info("ingest_reached_end", records=status.applied)

    async def _keep_house(self, source: TopicSource, positions: dict[Place, int]) -> None:
        """Notice topics that were created anew, and note what is read to its end."""
        self._skipped.summarise()
        ids = await source.topic_ids()
        ends = source.ends()
        current = [place for place, end in ends.items() if positions[place] >= end]
        await self._in_database(lambda: self._note(ids, current))

    def _note(self, ids: dict[str, tuple[int, str]], current: list[Place]) -> None:
        with write_transaction(self._engine) as connection:
            for (topic, _), known in read_checkpoints(connection).items():
                _, found = ids[topic]
                if known.topic_id and found and known.topic_id != found:
                    raise CheckpointMoved  # the next session says what is wrong
            note_current(connection, current, self._time.now())

    async def _expire(self) -> None:
        """One slice of what is older than the retention, once all topics have been read."""
        if self._expiring is None:
            if not self._board.status.reached_end or not self._retention_looks.due():
                return
            self._expiring = expire(self._engine, self._time.now() - self._retention)
        deleted = await self._in_database(lambda: next(self._expiring, None) if self._expiring else None)
        if deleted is None:
            self._expiring = None

    async def _in_database(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._database, work)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__

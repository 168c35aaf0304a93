"""Writes what was read: one database transaction for rows and checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, StatementError

from board.ingest.apply import AppliedChanges, Applier
from board.ingest.checkpoints import Place, advance
from board.ingest.records import IngestRecord
from board.ingest.skipped import SkippedLog
from board.ingest.source import Piece
from board.metrics import BoardMetrics
from board.store.engine import write_transaction
from streams.schema_registry.schema_source import reading_codec
from streams.settings import Settings
from streams.sla.events import Rejection

#: One transaction, at most.
MAX_RECORDS = 5_000
MAX_BYTES = 8 * 1024 * 1024

#: What a value that can't be stored raises, among other things.
_REFUSED = (StatementError, ValueError, OverflowError)

Skipped = list[tuple[IngestRecord, Rejection]]


@dataclass(slots=True)
class Work:
    """One transaction: records of several partitions, and their next offsets before and after."""

    before: dict[Place, int] = field(default_factory=dict)
    after: dict[Place, int] = field(default_factory=dict)
    records: list[IngestRecord] = field(default_factory=list)
    skipped: Skipped = field(default_factory=list)
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.records) >= MAX_RECORDS or self.size >= MAX_BYTES

    def add(self, record: IngestRecord) -> None:
        self.records.append(record)
        self.size += len(record.value or b"")

    def move(self, place: Place, start: int, end: int) -> None:
        """The offsets of a partition from `start` up to `end` are covered."""
        self.before.setdefault(place, start)
        self.after[place] = end


def transactions(pieces: Iterable[Piece], positions: Mapping[Place, int]) -> Iterator[Work]:
    """Pieces, which begin at `positions`, in transactions of bounded size."""
    work = Work()
    for piece in pieces:
        start = positions[piece.place]
        for unread in piece.unread:
            record = IngestRecord(*piece.place, unread.last, 0, None, None)
            work.skipped.append((record, Rejection(unread.code, unread.message)))
        for record in piece.records:
            work.add(record)
            if work.full:
                work.move(piece.place, start, record.offset + 1)
                start = record.offset + 1
                yield work
                work = Work()
        if piece.end > start:
            work.move(piece.place, start, piece.end)
    if work.after:
        yield work


class TransactionWriter:
    """Applies transactions, one at a time."""

    def __init__(self, engine: Engine, kafka: Settings, metrics: BoardMetrics, skipped: SkippedLog) -> None:
        codec = reading_codec(kafka.schema_registry(), 0.0)
        self._engine = engine
        self._applier = Applier(codec, kafka.topic_prefix, kafka.pseudonym_key.encode())
        self._metrics = metrics
        self._skipped = skipped

    def forget(self) -> None:
        """Read again what is remembered of the database."""
        self._applier.forget()

    def write(self, work: Work) -> tuple[AppliedChanges, int]:
        """Commit one transaction: what changed, and how many records were applied. Raises CheckpointMoved,
        RegistryUnavailable, PseudonymKeyChanged, and SQLAlchemy's errors."""
        begun = monotonic()
        skipped: Skipped = list(work.skipped)
        try:
            try:
                with write_transaction(self._engine) as connection:
                    advance(connection, work.before, work.after)
                    changes = self._applier.apply(connection, work.records, lambda *each: skipped.append(each))
            except _REFUSED as error:
                if not _is_about_data(error):
                    raise
                self._applier.forget()
                skipped = list(work.skipped)
                with write_transaction(self._engine) as connection:
                    advance(connection, work.before, work.after)
                    changes = self._one_by_one(connection, work.records, skipped)
        except BaseException:
            self._applier.forget()
            raise
        self._metrics.transaction_seconds.observe(monotonic() - begun)
        for topic, count in Counter(record.topic for record in work.records).items():
            self._metrics.records.labels(topic).inc(count)
        self._skipped.add(skipped)
        return changes, len(work.records)

    def _one_by_one(self, connection: Connection, records: Iterable[IngestRecord], skipped: Skipped) -> AppliedChanges:
        """For a batch with a record that the database does not store: only that one is skipped."""
        for record in records:
            try:
                with connection.begin_nested():
                    self._applier.apply(connection, [record], lambda *each: skipped.append(each))
            except _REFUSED as error:
                if not _is_about_data(error):
                    raise
                self._applier.forget()
                reason = getattr(error, "orig", None) or error
                skipped.append((record, Rejection("internal", f"the database does not store it: {reason}")))
        return AppliedChanges(resync=True)


def _is_about_data(error: Exception) -> bool:
    """A value that the database or its driver refuses, rather than a database that is away."""
    reason = error.orig if isinstance(error, StatementError) else error
    return isinstance(error, DataError | IntegrityError) or isinstance(reason, ValueError | OverflowError)

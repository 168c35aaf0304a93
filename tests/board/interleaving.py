"""Orders in which the board may read the same records, and transactions that are cut and killed anywhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from random import Random  # noqa: TID251 -- seeded

from replayed import PREFIX
from sqlalchemy import Engine

from board.ingest.apply import Applier
from board.ingest.records import IngestRecord
from board.store.engine import write_transaction
from streams.serde.codec import Codec


def interleaved(records: Sequence[IngestRecord], random: Random) -> list[IngestRecord]:
    """Another order of the same records: that of each partition stays."""
    queues: dict[tuple[str, int], list[IngestRecord]] = defaultdict(list)
    for record in reversed(records):
        queues[record.topic, record.partition].append(record)
    places, found = sorted(queues), []
    while places:
        place = random.choice(places)
        for _ in range(min(random.randrange(1, 80), len(queues[place]))):
            found.append(queues[place].pop())
        if not queues[place]:
            places.remove(place)
    return found


class KilledError(Exception):
    """The process died before it committed."""


def apply_in_pieces(engine: Engine, records: Sequence[IngestRecord], random: Random, key: bytes = b"") -> None:
    """Transactions of random sizes; a third are rolled back and come again, as after a kill."""
    applier = Applier(Codec(), PREFIX, key)
    start = 0
    while start < len(records):
        piece = records[start : start + random.choice((1, 7, 60, 400))]
        try:
            with write_transaction(engine) as connection:
                applier.apply(connection, piece)
                if random.random() < 0.3:
                    raise KilledError
            start += len(piece)
        except KilledError:
            applier = Applier(Codec(), PREFIX, key)

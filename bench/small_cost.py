"""What an event of the small job costs by part in our runtime, driven without a broker: CPU time, as in bench.cost.

python -m bench.small_cost [--events 60000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Mapping
from time import perf_counter

from aiokafka.producer.message_accumulator import BatchBuilder

from bench.cost import PARTITIONS, FetchedRecord
from bench.cost_table import Work, show, timed
from bench.load import incidents
from bench.peers import job
from bench.peers.on_runtime import SmallJobProcessor
from streams.runtime.interfaces import Batch
from streams.runtime.processor import Effects, Record
from streams.runtime.record_queue import RecordQueue
from streams.runtime.settings import RuntimeSettings
from streams.runtime.transaction_builder import OpenTransaction, TransactionBuilder, TransactionLimits
from streams.runtime.worker import GC_THRESHOLDS
from streams.time_source import SystemTimeSource

INPUT = "small.events"


class CostRun:
    """One round: the parts in their order, each over what the one before it left."""

    def __init__(self, events: int) -> None:
        self.now = SystemTimeSource().now() // 1000 * 1000
        load = incidents(events, self.now, PARTITIONS)
        self.inputs = [
            Record(INPUT, partition, offset, self.now, key, value, tuple(headers))
            for offset, (_, partition, key, value, headers) in enumerate(load)
        ]
        self.decoded: list[tuple[str, dict[str, object]]] = []
        self.after: list[job.Incident] = []
        self.effects: list[Effects] = []

    def decode(self) -> Work:
        def work() -> None:
            self.decoded = [job.decode(record.value or b"") for record in self.inputs]

        return work

    def decide(self) -> Work:
        state: dict[bytes | None, job.Incident] = {}

        def work() -> None:
            for record, (kind, event) in zip(self.inputs, self.decoded, strict=True):
                after = state[record.key] = job.decide(state.get(record.key), kind, event)
                self.after.append(after)

        return work

    def state(self) -> Work:
        def work() -> None:
            for after in self.after:
                job.encode_state(after)

        return work

    def output(self) -> Work:
        def work() -> None:
            for (_, event), after in zip(self.decoded, self.after, strict=True):
                job.encode_decision(event, after)

        return work

    def processor(self) -> Work:
        made = [SmallJobProcessor(number, "small.decided") for number in range(PARTITIONS)]
        self.effects = [Effects() for _ in made]

        def work() -> None:
            for record in self.inputs:
                made[record.partition].apply(record, self.effects[record.partition])

        return work

    def task(self) -> Work:
        made = [self._builder(number) for number in range(PARTITIONS)]

        def work() -> None:
            for builder in made:
                while builder.ready():
                    transaction = OpenTransaction()
                    while builder.ready() and not transaction.full:
                        builder.step(transaction)

        return work

    def _builder(self, partition: int) -> TransactionBuilder:
        mine = [record for record in self.inputs if record.partition == partition]
        raw = [
            FetchedRecord(n, self.now // 1000, record.key, record.value, record.headers)
            for n, record in enumerate(mine)
        ]
        queue = RecordQueue((INPUT,), len(raw))
        queue.begin({INPUT: 0})
        queue.offer(Batch(INPUT, partition, 0, len(raw), raw))
        return TransactionBuilder(
            *(
                "small",
                partition,
                SmallJobProcessor(partition, "small.decided"),
                queue,
                TransactionLimits(4_000, 4_000, 3600),
            ),
            time=0,
            failed={},
            failed_subjects={},
            backlog={},
            stopwatch=perf_counter,
        )

    def batches(self) -> Work:
        size = RuntimeSettings("cost", ()).batch_bytes

        def work() -> None:
            for effects in self.effects:
                pairs = [(send.key, send.value) for send in effects.sends]
                for written in (pairs, effects.rows.items()):
                    batch = BatchBuilder(size, 0, is_transactional=1)
                    for key, value in written:
                        while batch.append(timestamp=self.now // 1000, key=key, value=value, headers=[]) is None:
                            batch = BatchBuilder(size, 0, is_transactional=1)

        return work


def measure(events: int) -> dict[str, float]:
    """Microseconds of CPU an event, by part; one round."""
    run = CostRun(events)
    parts = (run.decode, run.decide, run.state, run.output, run.processor, run.task, run.batches)
    return timed({part.__name__: part for part in parts}, len(run.inputs))


def lines(found: Mapping[str, float]) -> dict[str, float]:
    """The parts as a sum: where one includes others, what is left of it."""
    inner = sum(found[name] for name in ("decode", "decide", "state", "output"))
    return {
        "decode the input": found["decode"],
        "decide": found["decide"],
        "encode the state": found["state"],
        "encode the output": found["output"],
        "the rest of the job's processor": found["processor"] - inner,
        "the queue and the order": found["task"] - found["processor"],
        "record batches (aiokafka)": found["batches"],
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    show([measure(options.events) for _ in range(options.rounds)], options.events, lines)


if __name__ == "__main__":
    main()

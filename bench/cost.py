"""What an incident event costs by part: the product's own code, driven without a broker.

    python -m bench.cost [--events 30000] [--rounds 5]

The load of `sla bench` (six events an incident, 1,000 tenants under contract) goes through the processors of all
partitions as in a worker's tasks. Each part is measured alone in processor time, over the output of the part before
it, so it costs less than in a worker, where the parts share the caches. Fetching, the event loop and the protocol of
transactions are not measured.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import NamedTuple

from aiokafka.producer.message_accumulator import BatchBuilder

from agents.changelog.incidents import encode_step, without_texts
from agents.changelog.input_rows import InputRows
from agents.context import Topics, position_of
from agents.incidents import INPUTS, IncidentsProcessor
from agents.ledger import LedgerProcessor
from bench.cost_table import Work, show, timed
from bench.load import contracts, incidents
from streams.internal_topics import COPY, TO_INCIDENTS, wrap
from streams.policy.load import default_policies_dir, load_policies
from streams.runtime.interfaces import Batch
from streams.runtime.processor import Effects, Headers, Processor, Record, Send
from streams.runtime.record_queue import RecordQueue
from streams.runtime.settings import RuntimeSettings
from streams.runtime.transaction_builder import OpenTransaction, TransactionBuilder, TransactionLimits
from streams.runtime.worker import GC_THRESHOLDS
from streams.serde.cloudevents_headers import headers_for
from streams.serde.codec import Codec, Fields
from streams.sla.arrival import TimeLimits
from streams.sla.contracts import Contract
from streams.sla.events import Event, Output, Rejection
from streams.sla.facts import to_event
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Applied, Step
from streams.sla.instants import SECOND
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource

PARTITIONS = 8
TENANTS = 1000
BATCH = 4_000
"""Records in one transaction."""
TOPICS = Topics("sla", PARTITIONS)
INTERNAL = TOPICS.internal("ledger")
TO_INCIDENT_TASKS = TOPICS.internal("incidents")
SOURCE = "/sla/incidents"


class FetchedRecord(NamedTuple):
    """A record as aiokafka hands it over."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass
class CostInput:
    """The input of one round, and what each part leaves for the next."""

    now: int
    policies: Policies
    terms: list[Record]
    inputs: list[Record]
    codec: Codec = field(default_factory=Codec)
    decoded: list[tuple[str, Fields]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    steps: list[tuple[Step, tuple[str, Fields], bytes]] = field(default_factory=list)
    effects: list[Effects] = field(default_factory=list)
    stores: list[IncidentStore] = field(default_factory=list)


def load_of(policies: Policies, events: int) -> CostInput:
    """A load that has happened just now and arrives at once."""
    now = SystemTimeSource().now() // 1000 * 1000
    terms = [
        Record(TOPICS.name("contract-events"), partition, offset, now, key, value, tuple(headers))
        for offset, (_, partition, key, value, headers) in enumerate(contracts(TENANTS, now, PARTITIONS))
    ]
    made = incidents(events, now, PARTITIONS, tenants=TENANTS)
    inputs = [
        Record(TOPICS.name("incident-events"), partition, offset, now, key, value, tuple(headers))
        for offset, (_, partition, key, value, headers) in enumerate(made)
    ]
    return CostInput(now, policies, terms, inputs)


# -- the parts: each prepares, then returns what is timed --------------------------------------------------------------


def decode(load: CostInput) -> Work:
    """Values to fields."""

    def work() -> None:
        for record in load.inputs:
            decoded = load.codec.decode(record.value)
            assert not isinstance(decoded, Rejection)
            load.decoded.append(decoded)

    return work


def check(load: CostInput) -> Work:
    """Fields to checked events with their digests."""

    def work() -> None:
        for kind, fields in load.decoded:
            event = to_event(kind, fields)
            assert not isinstance(event, Rejection)
            load.events.append(event)

    return work


def decide(load: CostInput) -> Work:
    """Events to outputs and steps: fold, difference, what outputs say, their ids, the timer index."""
    stores = load.stores = [IncidentStore(load.policies, TimeLimits()) for _ in range(PARTITIONS)]
    for record in load.terms:
        decoded = load.codec.decode(record.value)
        event = decoded if isinstance(decoded, Rejection) else to_event(*decoded)
        assert not isinstance(event, Rejection)
        for store in stores:
            store.restore_contract(event.subject, Contract.of(event, position_of(record)))

    def work() -> None:
        for event, fields, record in zip(load.events, load.decoded, load.inputs, strict=True):
            decision = stores[record.partition].apply(event, record.arrival, position_of(record))
            assert isinstance(decision, Applied)
            load.outputs += decision.outputs
            if decision.step is not None:
                load.steps.append((decision.step, fields, record.value or b""))

    return work


def headers(load: CostInput) -> Work:
    """Outputs to their CloudEvents headers."""

    def work() -> None:
        for output in load.outputs:
            headers_for(output.type, output.id, SOURCE, output.subject, output.time)

    return work


def encode(load: CostInput) -> Work:
    """Outputs to values and headers."""

    def work() -> None:
        for output in load.outputs:
            load.codec.encode_output(output, SOURCE)

    return work


def rows(load: CostInput) -> Work:
    """Steps to rows of the changelog."""
    input_rows = InputRows(load.codec)

    def work() -> None:
        for step, (kind, fields), value in load.steps:
            stored_value = without_texts(input_rows, kind, fields, value)
            encode_step(input_rows, step, [stored_value for _ in step.facts])

    return work


def states(load: CostInput) -> Work:
    """The present state of each incident once, with value and headers: its events lie in one transaction."""

    def work() -> None:
        for store in load.stores:
            for incident_id in store.cached():
                state = store.present_state(incident_id)
                assert state is not None
                load.codec.encode_output(state, SOURCE)

    return work


def task(load: CostInput) -> Work:
    """The whole incidents agent through the tasks' queues, in transactions of bounded size: all parts above, and what
    makes records to be written of them."""
    made = [builder_of(load, number, processor) for number, processor in enumerate(incident_processors(load))]

    def work() -> None:
        for builder in made:
            while builder.ready():
                transaction = OpenTransaction()
                while builder.ready() and not transaction.full:
                    builder.step(transaction)
                while not builder.finish(transaction):
                    pass
                load.effects.append(transaction.effects)

    return work


def ledger(load: CostInput) -> Work:
    """The ledger agent applies the copies of impacts."""
    made = [
        LedgerProcessor(number, TOPICS, load.policies, TimeLimits(), clock=SystemTimeSource())
        for number in range(PARTITIONS)
    ]
    for record in load.terms:
        made[record.partition].apply(record, Effects())
    return applying(made, for_ledgers(load))


def batches(load: CostInput) -> Work:
    """aiokafka puts outputs, copies and rows of the incidents agent into record batches."""
    size = RuntimeSettings("cost", ()).batch_bytes
    targets: dict[tuple[int, str, int], list[Send]] = {}
    for number, effects in enumerate(load.effects):
        rows = [Send("changelog", 0, key, value, []) for key, value in effects.rows.items()]
        for send in [*effects.sends, *rows]:
            targets.setdefault((number, send.topic, send.partition), []).append(send)

    def work() -> None:
        for sends in targets.values():
            batch = BatchBuilder(size, 0, is_transactional=1)
            for send in sends:
                at = load.now // 1000
                while batch.append(timestamp=at, key=send.key, value=send.value, headers=send.headers) is None:
                    batch = BatchBuilder(size, 0, is_transactional=1)

    return work


PARTS = (decode, check, decide, headers, encode, rows, states, task, ledger, batches)


# -- what they run on --------------------------------------------------------------------------------------------------


def incident_processors(load: CostInput) -> list[IncidentsProcessor]:
    """One per partition, all contract terms known."""
    clock = SystemTimeSource()
    made = [
        IncidentsProcessor(number, TOPICS, load.policies, TimeLimits(), clock=clock, mark_every=10 * SECOND)
        for number in range(PARTITIONS)
    ]
    for record in load.terms:
        for number, processor in enumerate(made):
            copy = wrap(record, TO_INCIDENTS, COPY, TO_INCIDENT_TASKS, number)
            processor.apply(
                Record(TO_INCIDENT_TASKS, number, 0, load.now, copy.key, copy.value, copy.headers), Effects()
            )
    return made


def builder_of(load: CostInput, partition: int, processor: Processor) -> TransactionBuilder:
    """A task's fold that has received its partition of the input, and knows that nothing else has arrived."""
    topics = tuple(TOPICS.name(suffix) for suffix in INPUTS)
    mine = [record for record in load.inputs if record.partition == partition]
    raw = [FetchedRecord(n, each.arrival // 1000, each.key, each.value, each.headers) for n, each in enumerate(mine)]
    queue = RecordQueue(topics, len(raw))
    queue.begin(dict.fromkeys(topics, 0))
    queue.offer(Batch(topics[0], partition, 0, len(raw), raw))
    limits = TransactionLimits(records=BATCH, timers=BATCH, seconds=3600)
    builder = TransactionBuilder(
        *("incidents", partition, processor, queue, limits),
        time=0,
        failed={},
        failed_subjects={},
        backlog={},
        stopwatch=perf_counter,
    )
    builder.known = load.now + SECOND
    return builder


def for_ledgers(load: CostInput) -> list[Record]:
    """What the incidents agent has sent to the ledger partitions."""
    sends = [send for effects in load.effects for send in effects.sends if send.topic == INTERNAL]
    return [Record(INTERNAL, s.partition, n, load.now, s.key, s.value, tuple(s.headers)) for n, s in enumerate(sends)]


def applying(processors: list[IncidentsProcessor] | list[LedgerProcessor], records: list[Record]) -> Work:
    """Each record to the processor of its partition."""

    def work() -> None:
        effects = Effects()
        for record in records:
            processors[record.partition].apply(record, effects)

    return work


def measure(policies: Policies, events: int) -> dict[str, float]:
    """Microseconds of CPU an input event, by part; one round."""
    load = load_of(policies, events)
    return timed({part.__name__: partial(part, load) for part in PARTS}, len(load.inputs))


def lines(found: Mapping[str, float]) -> dict[str, float]:
    """The parts as a sum: where one includes others, what is left of it."""
    parts = ("decode", "check", "decide", "encode", "rows", "states")
    return {
        "decode the input": found["decode"],
        "check it": found["check"],
        "decide: fold, difference, outputs": found["decide"],
        "encode outputs": found["encode"] - found["headers"],
        "headers of outputs": found["headers"],
        "state rows": found["rows"],
        "present states": found["states"],
        "the rest of agent and task": found["task"] - sum(found[part] for part in parts),
        "the ledger agent": found["ledger"],
        "record batches (aiokafka)": found["batches"],
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    show([measure(policies, options.events) for _ in range(options.rounds)], options.events, lines)


if __name__ == "__main__":
    main()

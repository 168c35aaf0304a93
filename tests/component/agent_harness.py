"""Both agents on a few partitions in memory: a deterministic stand-in for Kafka and the tasks.

Inputs lie where murmur2 puts their subject unless a test says otherwise; what a processor sends to an internal topic
reaches the processor of its agent there. Any processor can be rebuilt from its rows at any moment, and effects that
were not committed can be thrown away with the processor that made them, as after a crash.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Any, NamedTuple

from opentelemetry.trace import Tracer

from agents.changelog.early_inputs import LIMIT as EARLY_LIMIT
from agents.context import Topics
from agents.incidents import IncidentsProcessor
from agents.ledger import LedgerProcessor
from cli.events.publish_lines import prepare
from cli.replay.outcome import Outcome, outcome_of
from streams.kafka.partitioner import partition_of
from streams.runtime.processor import Effects, FinishesTransactions, Record, Send, SubjectFailed
from streams.serde.cloudevents_json import format_line, to_json
from streams.serde.codec import Codec, Fields
from streams.serde.confluent_framing import Framing
from streams.serde.input_records import InputRecord
from streams.sla.arrival import TimeLimits
from streams.sla.events import Rejection
from streams.sla.instants import HOUR, MINUTE, parse_rfc3339
from streams.sla.policy import Policies

INCIDENTS, LEDGER = "incidents", "ledger"
AGENTS = (INCIDENTS, LEDGER)
FRESH = 64 * 1024 * 1024
#: Whether processors of a class do: to ask a protocol takes as long as a small transaction.
finishes = cache(lambda kind: issubclass(kind, FinishesTransactions))
PrefixReader = Callable[[bytes], Fields | None]
OUTPUTS = ("incidents", "alerts", "impacts", "credits")


class Stopped:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.instant = 0

    def now(self) -> int:
        return self.instant

    async def wait(self, event: object, until: int | None) -> None:
        raise AssertionError("processors do not wait")


class ReadersOnce(Codec):
    """The codec, with the readers of rows shared: a processor makes some anew, and tests rebuild it thousands of
    times."""

    def prefix_reader(self, event_type: str, names: Sequence[str], version: int | None = None) -> PrefixReader:
        return _prefix_reader(event_type, tuple(names), version)


@cache
def _prefix_reader(event_type: str, names: tuple[str, ...], version: int | None) -> PrefixReader:
    return Codec().prefix_reader(event_type, names, version)


class RejectedRecord(NamedTuple):
    """One record of the rejected topic, taken apart: what it says, and the original."""

    code: str
    message: str
    place: tuple[str, int, int]
    attempts: int
    send: Send

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Those of the original."""
        return self.send.headers[:-7]


@dataclass
class StreamTask:
    """One processor, its rows, the instant it has reached."""

    agent: str
    partition: int
    processor: Any
    rows: dict[bytes, bytes] = field(default_factory=dict)
    time: int = 0


class Cluster:
    """`act_limit` bounds the timers of one transaction; `before_each` may call `rebuild` or `crash_next`."""

    def __init__(
        self,
        policies: Policies,
        time_limits: TimeLimits | None = None,
        *,
        partitions: int = 4,
        act_limit: int = 1_000,
        mark_every: int = HOUR,
        max_cached: int = 4_000,
        codec: Codec | None = None,
        framing: Framing | None = None,
        tracer: Tracer | None = None,
        early_bytes: int = EARLY_LIMIT,
    ) -> None:
        self.topics = Topics("sla", partitions)
        self.clock = Stopped()
        self.sends: list[Send] = []
        self.codec = codec or ReadersOnce()
        self.framing = framing
        self._tracer = tracer
        self._early_bytes = early_bytes
        self.before_each: Callable[[StreamTask], None] = lambda _: None
        self.sets_aside = False
        """Whether subjects whose timers crash are quarantined, as the runtime does; else the crash is the test's."""
        self._policies = policies
        self._time_limits = time_limits or TimeLimits()
        self._act_limit = act_limit
        self._mark_every = mark_every
        self._at_hand = max_cached
        self._offsets: Counter[tuple[str, int]] = Counter()
        self._internal: deque[tuple[str, Record]] = deque()
        self.tasks = {
            (agent, partition): StreamTask(agent, partition, self._made(agent, partition))
            for partition in range(partitions)
            for agent in AGENTS
        }

    def _made(self, agent: str, partition: int) -> Any:
        if agent == INCIDENTS:
            return IncidentsProcessor(
                partition,
                self.topics,
                self._policies,
                self._time_limits,
                clock=self.clock,
                mark_every=self._mark_every,
                max_cached=self._at_hand,
                codec=self.codec,
                framing=self.framing,
                tracer=self._tracer,
            )
        return LedgerProcessor(
            *(partition, self.topics, self._policies, self._time_limits),
            clock=self.clock,
            codec=self.codec,
            framing=self.framing,
            early_bytes=self._early_bytes,
        )

    # -- what happens to processors ------------------------------------------------------------------------------------

    def rebuild(self, task: StreamTask) -> None:
        """Throw a processor away and restore a new one from its committed rows."""
        task.processor = self._made(task.agent, task.partition)
        for key, value in task.rows.items():
            task.processor.restore(key, value)
        task.processor.restored()

    def rebuild_all(self) -> None:
        for task in self.tasks.values():
            self.rebuild(task)

    def crash(self, task: StreamTask, record: Record) -> None:
        """Apply a record in a transaction that is never committed."""
        task.processor.apply(record, Effects())
        self.rebuild(task)

    def _commit(self, task: StreamTask, effects: Effects) -> None:
        if finishes(type(task.processor)):
            while not task.processor.finish(effects, 1):
                pass
        for key, value in effects.rows.items():
            if value is None:
                task.rows.pop(key, None)
            else:
                task.rows[key] = value
        for send in effects.sends:
            assert 0 <= send.partition < self.topics.partitions
            self.sends.append(send)
            for agent in AGENTS:
                if send.topic == self.topics.internal(agent):
                    offset = self._next(send.topic, send.partition)
                    record = Record(send.topic, send.partition, offset, task.time, send.key, send.value, send.headers)
                    self._internal.append((agent, record))

    def _next(self, topic: str, partition: int) -> int:
        self._offsets[topic, partition] += 1
        return self._offsets[topic, partition] - 1

    # -- records and time ----------------------------------------------------------------------------------------------

    def deliver(self, task: StreamTask, record: Record) -> None:
        """Timers due before the record's arrival act, then it is applied."""
        record = record._replace(arrival=max(record.arrival, task.time))
        self.fire(task, record.arrival)
        self.before_each(task)
        task.time = record.arrival
        effects = Effects()
        task.processor.apply(record, effects)
        self._commit(task, effects)

    def fire(self, task: StreamTask, before: int) -> None:
        """Let all timers due before an instant act, a few per transaction; what is due next is then honest."""
        self.before_each(task)
        while (due := task.processor.next_due()) is not None and due < before:
            effects = Effects()
            try:
                fired = task.processor.fire(before, self._act_limit, effects)
            except SubjectFailed as failed:
                if not self.sets_aside:
                    raise
                self.rebuild(task)
                effects = Effects()
                task.processor.quarantine(failed.subject, "crashed", effects, 3)
                self._commit(task, effects)
                continue
            assert 0 < fired <= self._act_limit, f"a timer due at {due} did not act before {before}"
            self._commit(task, effects)
            self.before_each(task)
        assert task.processor.fire(before, self._act_limit, Effects()) == 0
        task.time = max(task.time, before)

    def settle(self) -> None:
        """Deliver all that lies in the internal topics, each to its agent."""
        while self._internal:
            agent, record = self._internal.popleft()
            self.deliver(self.tasks[agent, record.partition], record)

    def pass_time(self, before: int, agents: Iterable[str] = AGENTS) -> None:
        """The wall clock has passed an instant everywhere."""
        self.clock.instant = max(self.clock.instant, before)
        agents = tuple(agents)
        while True:
            for agent in agents:
                for partition in range(self.topics.partitions):
                    self.fire(self.tasks[agent, partition], before)
                self.settle()
            dues = [task.processor.next_due() for (agent, _), task in self.tasks.items() if agent in agents]
            if not any(due is not None and due < before for due in dues):
                return

    def put(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        arrival: int,
        *,
        key: bytes | None = b"k",
        headers: Iterable[tuple[str, Any]] = (),
    ) -> Record:
        """Append a record as it is to an input topic, or an internal one, and have it processed."""
        name = self.topics.name(topic)
        record = Record(name, partition, self._next(name, partition), arrival, key, value, tuple(headers))
        agents = {
            "incident-events": (INCIDENTS,),
            "contract-events": (LEDGER,),
            "incidents-internal": (INCIDENTS,),
            "ledger-internal": (LEDGER,),
        }.get(topic, AGENTS)
        for agent in agents:
            self.deliver(self.tasks[agent, partition], record)
        self.settle()
        return record

    def publish(self, line: dict[str, Any], arrival: int, *, partition: int | None = None) -> Record:
        """Append an event where its subject belongs, or elsewhere."""
        ready = ready_of(line)
        own = partition_of(ready.subject, self.topics.partitions)
        where = own if partition is None else partition
        return self.put(ready.topic, where, ready.value, arrival, key=ready.subject.encode(), headers=ready.headers)

    def own(self, subject: str) -> int:
        return partition_of(subject, self.topics.partitions)

    # -- what came of it -----------------------------------------------------------------------------------------------

    def outputs(self, *suffixes: str) -> list[dict[str, Any]]:
        """Every output for other services, or that of some topics, in the JSON form, in the order it was written."""
        return [json.loads(format_line(to_json(*each))) for each in self._said(suffixes or OUTPUTS)]

    def _said(self, suffixes: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for suffix in suffixes:
            topic = self.topics.name(suffix)
            for send in self.sends:
                if send.topic == topic:
                    decoded = self.codec.decode(send.value, FRESH)
                    assert not isinstance(decoded, Rejection)
                    yield decoded

    def latest(self, suffix: str) -> dict[str, dict[str, Any]]:
        """What a compacted topic holds: the newest value of each key that is not deleted, in the JSON form."""
        values = {(s.partition, s.key): s.value for s in self.sends if s.topic == self.topics.name(suffix)}
        found: dict[str, dict[str, Any]] = {}
        for (_, key), value in values.items():
            if key is not None and value is not None:
                decoded = self.codec.decode(value, FRESH)
                assert not isinstance(decoded, Rejection)
                found[key.decode()] = json.loads(format_line(to_json(*decoded)))
        return found

    def outcome(self) -> Outcome:
        return outcome_of(self.outputs())

    def doubled(self) -> list[str]:
        """Output ids that were written more than once."""
        ids = Counter(str(record["event_id"]) for _, record in self._said(OUTPUTS))
        return [name for name, count in ids.items() if count > 1]

    def rejects(self) -> list[RejectedRecord]:
        found = []
        for send in self.sends:
            if send.topic == self.topics.name("rejected"):
                why = dict(send.headers[-7:])
                place = (
                    why["sla_original_topic"].decode().removeprefix("sla."),
                    int(why["sla_original_partition"]),
                    int(why["sla_original_offset"]),
                )
                code, message = why["sla_error_code"].decode(), why["sla_error_message"].decode()
                found.append(RejectedRecord(code, message, place, int(why["sla_attempts"]), send))
        return found

    def codes(self) -> list[str]:
        return [rejects.code for rejects in self.rejects()]

    def rows(self, agent: str, kind: str) -> dict[bytes, bytes]:
        """The live rows of a kind, of all partitions."""
        found = {}
        for (name, partition), task in self.tasks.items():
            if name == agent:
                for key, value in task.rows.items():
                    if key.split(b"\x1f")[0] == kind.encode():
                        found[key + b"@%d" % partition] = value
        return found


def ready_of(line: dict[str, Any]) -> InputRecord:
    """The record of an event as `sla publish` would write it."""
    name = blake2b(json.dumps(line, sort_keys=True).encode(), digest_size=6).hexdigest()
    ready = prepare(1, json.dumps({"id": name, **line}))
    assert isinstance(ready, InputRecord), ready
    return ready


def play(cluster: Cluster, lines: Iterable[str], *, until: int, loaded_at: int | None = None) -> None:
    """Publish JSON lines as `simulate` reads them (R30), time passing everywhere with each arrival; or, as a load of
    history, a millisecond apart from an instant on."""
    arrival = loaded_at or 0
    for number, text in enumerate(lines, 1):
        ready = prepare(number, text, backfill=loaded_at is not None)
        assert isinstance(ready, InputRecord), ready
        line = json.loads(text)
        if loaded_at is None:
            told = line.get("receivedtime")
            arrival = parse_rfc3339(told) if told else max(arrival, parse_rfc3339(line["time"]))
            cluster.pass_time(arrival)
        else:
            arrival += 1_000
            cluster.clock.instant = arrival
        partition = cluster.own(ready.subject)
        key = ready.subject.encode()
        cluster.put(ready.topic, partition, ready.value, arrival, key=key, headers=ready.headers)
    if loaded_at is not None:
        cluster.pass_time(arrival + 11 * MINUTE)
    cluster.pass_time(until + 1)

"""What both agents do with an input before they decide: decode, check, find its own partition, reject, keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

from agents.reject_log import RejectLog, about
from streams.kafka.partitioner import partition_of
from streams.metrics import AgentCounters
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Effects, Record, Send
from streams.serde.codec import SINGLE_OBJECT, Codec, Fields
from streams.serde.confluent_framing import Framing
from streams.shared_topic import COPY, FORWARDED, unwrap, wrap
from streams.sla.events import Event, Output, Position, Rejection
from streams.sla.facts import to_event

#: Derived records may be larger than inputs: an impact list names every tenant.
DERIVED_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic names of a deployment, and how many partitions each has."""

    prefix: str = "sla"
    partitions: int = 8

    def name(self, suffix: str) -> str:
        return f"{self.prefix}.{suffix}"


#: Row kind of a quarantined subject, in both agents' changelogs.
QUARANTINE = "q"
_QUARANTINE = "state.quarantine"


class Checked(NamedTuple):
    """An input that belongs here: the event, and its record's fields as decoded."""

    event: Event
    fields: Fields


class Ingress:
    """Inputs of one partition of one agent, and the way out for its outputs."""

    def __init__(
        self,
        agent: str,
        partition: int,
        topics: Topics,
        accepts: Callable[[str], bool],
        codec: Codec,
        *,
        elsewhere: str,
        framing: Framing | None = None,
        home: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        self.agent = agent
        self.partition = partition
        self.topics = topics
        self.codec = codec
        self.framing = framing or Framing()
        self.count = AgentCounters(agent)
        self._accepts = accepts
        self._elsewhere = elsewhere
        self._home = home
        self._source = f"/sla/{agent}"
        self._shared = topics.name("shared")
        self._log = RejectLog(agent, partition)

    def check(self, record: Record, effects: Effects, *, forwarded: bool) -> Checked | None:
        """The event to decide on; None when it was rejected, or forwarded to the partition of its subject."""
        decoded = self.codec.decode(record.value)
        if isinstance(decoded, Rejection):
            self.reject(record, decoded, effects)
            return None
        kind, fields = decoded
        if not self._accepts(kind):
            message = f"{kind} is no input of {record.topic}; {self._elsewhere}"
            self.reject(record, Rejection("unknown_type", message), effects)
            return None
        event = to_event(kind, fields)
        if isinstance(event, Rejection):
            self.reject(record, event, effects, known=about(kind, fields["subject"]))
            return None
        home = self._home(event.subject)  # a pseudonym's account is where its tenant's was (R29)
        own = partition_of(event.subject, self.topics.partitions) if home is None else home
        if own == self.partition:
            return Checked(event, fields)
        if forwarded:
            message = (
                f"was forwarded to partition {self.partition}, but {own} is its own: do all workers agree on how many?"
            )
            self.reject(record, Rejection("internal", message, event.id), effects, known=about(kind, event.subject))
            return None
        self.count.forwarded.inc()
        effects.send(wrap(record, self.agent.encode(), FORWARDED, self._shared, own))
        return None

    def decode_copy(self, shared: Record, copy: Record, effects: Effects) -> tuple[str, Fields] | None:
        """Type and fields of a copy; None when it was rejected, as it lies in the shared topic, so that it can be
        retried there."""
        decoded = self.codec.decode(copy.value, DERIVED_LIMIT)
        if isinstance(decoded, Rejection):
            self.reject(shared, decoded, effects)
            return None
        return decoded

    def reject(
        self,
        record: Record,
        rejection: Rejection,
        effects: Effects,
        attempts: int = 1,
        *,
        known: Mapping[str, str] | None = None,
    ) -> None:
        """Put the original into the rejected topic, in the same transaction as its offset (R27). `known` is what the
        log is to name beside it."""
        self.count.rejected(rejection.code)
        self._log.rejected(record, rejection, known or {})
        key = record.key.decode(errors="replace") if record.key is not None else ""
        partition = partition_of(key, self.topics.partitions) if key else self.partition
        topic = self.topics.name("rejected")
        effects.send(rejected(record, rejection.code, rejection.message, topic, partition, attempts))

    def reject_internal(self, record: Record, rejection: Rejection, effects: Effects, attempts: int) -> None:
        """Reject what made the code raise: a forwarded record as its original, anything else as it lies."""
        routed = unwrap(record) if record.topic == self._shared else None
        original = routed.record if routed is not None and routed.forwarded else record
        self.reject(original, rejection, effects, attempts)

    def write_quarantine(
        self, subject: str, last_input: Position | None, message: str, effects: Effects, attempts: int
    ) -> None:
        """Keep that a subject is quarantined, and say so in one reject that names its last input (R27). The input's
        bytes stay where they lie: nothing was wrong with them."""
        row = self.codec.encode(_QUARANTINE, {"subject": subject, "message": message})
        effects.put(row_key(QUARANTINE, subject), row)
        topic, partition, offset = last_input or Position(f"{self.topics.prefix}.{self.agent}", self.partition, -1)
        record = Record(topic, partition, offset, 0, subject.encode(), None, [])
        self.reject(record, Rejection("internal", f"quarantined: {message}"), effects, attempts)

    def release(self, subject: str, effects: Effects) -> None:
        """A new input lifts the quarantine."""
        effects.put(row_key(QUARANTINE, subject), None)

    def publish(self, output: Output, topic: str, effects: Effects) -> Send:
        """Encode an output and send it to its topic, by its subject. What is returned has single-object encoding, to be
        copied to others."""
        self.count.output(output.type)
        value, headers = self.codec.encode_output(output, self._source)
        send = Send(
            self.topics.name(topic),
            partition_of(output.subject, self.topics.partitions),
            output.subject.encode(),
            value,
            headers,
        )
        framed = self.framing(value)
        effects.send(send if framed is value else send._replace(value=framed))
        return send

    def send_event(self, record: Record, effects: Effects) -> None:
        """Write an event that was made here to the topic and partition it names."""
        value = None if record.value is None else self.framing(record.value)
        effects.send(Send(record.topic, record.partition, record.key, value, list(record.headers)))

    def copy_to(self, record: Record, route: bytes, partition: int, effects: Effects) -> None:
        """Bring a record to one partition of the other agent, or of this one."""
        effects.send(wrap(record, route, COPY, self._shared, partition))

    # -- inputs that are state -----------------------------------------------------------------------------------------

    def to_single_object(self, event_type: str, fields: Mapping[str, object], value: bytes) -> bytes:
        """An event in single-object encoding: what is kept or copied has to be readable without a schema registry."""
        return value if value[:2] == SINGLE_OBJECT else self.codec.encode(event_type, fields)

    def encode_input_row(
        self, record: Record, *, headers: bool = False, digest: bytes = b"", event: bytes = b""
    ) -> bytes:
        """The row of an input that is state itself; with its headers where it may yet be rejected, with the digest of
        what arrived where the value is not that any more (R1), with its `event` where it may have another framing."""
        kept = [{"name": name, "value": value} for name, value in record.headers] if headers else []
        fields = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "arrival": record.arrival,
            "key": record.key,
            "value": record.value,
            "headers": kept,
            "digest": digest,
            "event": b"" if event == record.value else event,
        }
        return self.codec.encode("state.kept_input", fields)

    def decode_input_row(self, row: Fields) -> tuple[Record, Event]:
        """The record and the event of such a row."""
        headers = [(str(h["name"]), h["value"]) for h in cast(list[dict[str, bytes]], row["headers"])]
        record = Record(
            cast(str, row["topic"]),
            cast(int, row["partition"]),
            cast(int, row["offset"]),
            cast(int, row["arrival"]),
            cast(bytes | None, row["key"]),
            cast(bytes, row["value"]),
            headers,
        )
        event, digest = self.event_of(cast(bytes, row["event"]) or record.value), cast(bytes, row["digest"])
        return record, event._replace(digest=digest) if digest else event

    def event_of(self, value: bytes | None) -> Event:
        """The event of a value that was accepted before. Raises ValueError when it is none: the state is damaged."""
        decoded = self.codec.decode(value, DERIVED_LIMIT)
        event = decoded if isinstance(decoded, Rejection) else to_event(*decoded)
        if isinstance(event, Rejection):
            raise ValueError(f"the changelog holds an input that can't be read: {event.code}: {event.message}")
        return event

    def row(self, key: bytes, value: bytes) -> tuple[str, Fields]:
        """Kind and fields of a changelog row. Raises ValueError when it can't be read: the state is damaged."""
        decoded = self.codec.decode(value, len(value))
        if isinstance(decoded, Rejection):
            raise ValueError(f"changelog row {key!r} can't be read: {decoded.code}: {decoded.message}")
        return key.split(b"\x1f", 1)[0].decode(), decoded[1]

    def rows(self, values: bytes) -> Iterator[Fields]:
        """The fields of rows that lie one after the other. Raises ValueError when they can't be read."""
        for decoded in self.codec.decode_each(values):
            if isinstance(decoded, Rejection):
                raise ValueError(f"kept rows can't be read: {decoded.code}: {decoded.message}")
            yield decoded[1]


def position_of(record: Record) -> Position:
    return Position(record.topic, record.partition, record.offset)


def row_key(*parts: str) -> bytes:
    """A changelog key; ids have no control characters, so the parts stay apart."""
    return "\x1f".join(parts).encode()

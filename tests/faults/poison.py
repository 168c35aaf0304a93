"""Bad input on purpose (R27, R28) and at random, mixed into good traffic; and input that makes the code crash."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TID251 -- seeded

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streams.runtime.settings import RuntimeSettings
from streams.serde.codec import SINGLE_OBJECT, encode
from streams.sla.instants import DAY, MINUTE, format_rfc3339
from streams.time_source import SystemTimeSource

from .deployment import PARTITIONS, PREFIX, wait_for
from .load import CUSTOMER, SUPPORT, TENANTS, Publisher, Sent, line_of, record_of
from .run import Run

#: Of the load that comes beside the history.
SHARE = 0.2
#: Incidents that fuzzed input is about: P4 on the plan of seconds and answered at their opening, so that nothing comes
#: with time, and an update that lies elsewhere says the same whether it comes before or after the next one (R2).
VICTIMS = 12
INPUT, CONTRACTS = f"{PREFIX}.incident-events", f"{PREFIX}.contract-events"
_HEAVY = 900_000


class Poison:
    """Draws records that are bad, or look so. What becomes of each the oracle knows; `drawn` counts kinds."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._number = 0
        self._opened = self._answered = 0
        self._began = SystemTimeSource().now()
        self._kinds: dict[str, Callable[[int], Sent]] = {
            "undecodable": lambda now: self._raw(self._random.randbytes(self._random.randrange(0, 400))),
            "framing alone": lambda now: self._raw(self._random.choice((b"", b"{}", SINGLE_OBJECT, b"\0\0\0\0\7x"))),
            "unknown fingerprint": lambda now: self._raw(SINGLE_OBJECT + self._random.randbytes(60)),
            "truncated": lambda now: self._changed(now, lambda value: value[: self._random.randrange(len(value))]),
            "left over": lambda now: self._changed(now, lambda value: value + self._random.randbytes(3)),
            "flipped bits": lambda now: self._changed(now, self._flipped),
            "no value": lambda now: (*self._raw(None)[:2], b"k", None, []),
            "no key": lambda now: (*self._update(now)[:2], None, *self._update(now)[3:]),
            "wrong key": lambda now: (*self._update(now)[:2], self._random.randbytes(9), *self._update(now)[3:]),
            "wrong topic": self._wrong_topic,
            "wrong partition": self._wrong_partition,
            "output as input": self._output,
            "odd headers": self._odd_headers,
            "empty id": lambda now: self._with(now, event_id=""),
            "long id": lambda now: self._with(now, event_id="x" * 129),
            "control character": lambda now: self._with(now, event_id="a\x07b"),
            "year 1900": lambda now: self._with(now, occurred_at=-70 * 365 * DAY),
            "year 20000": lambda now: self._with(now, occurred_at=18_000 * 365 * DAY),
            "conflict": self._conflict,
            "future": lambda now: self._update(now + 10 * MINUTE),
            "too_late": lambda now: self._update(now - 36 * DAY),
            "four_eyes": lambda now: self._said("annulled", now, who=SUPPORT, approver=SUPPORT, reason="x"),
            "cycle": lambda now: self._said("merged", now, into=self._victim()),
            "long text": lambda now: self._said("updated", now, who=SUPPORT, visibility="public", text="é" * 2_100),
            "huge text": lambda now: self._said("updated", now, who=SUPPORT, visibility="public", text="x" * _HEAVY),
            "many tenants": self._many_tenants,
            "bad tier": lambda now: self._with(now, kind="opened", tier=9),
            "no tenants": lambda now: self._with(now, kind="opened", tenant_ids=[]),
            "bad month": self._bad_month,
        }
        self._rare = {"huge text", "many tenants"}
        self.drawn: dict[str, int] = {}

    def next(self) -> Sent | None:
        """Something bad now and then."""
        now = SystemTimeSource().now()
        if self._opened < VICTIMS:
            self._opened += 1
            return self._opening(f"victim-{self._opened - 1}", self._began)
        if self._answered < VICTIMS:
            self._answered += 1
            name = f"victim-{self._answered - 1}"
            at = format_rfc3339(self._began)
            return record_of(line_of("incident.responded", f"{name}-1", name, at, {"who": SUPPORT}))
        if self._random.random() >= SHARE:
            return None
        kind = self._random.choice(list(self._kinds))
        if kind in self._rare and self._random.random() < 0.9:
            return None
        self.drawn[kind] = self.drawn.get(kind, 0) + 1
        return self._kinds[kind](now)

    def _victim(self) -> str:
        return f"victim-{self._number % VICTIMS}"

    def _id(self) -> str:
        self._number += 1
        return f"poison-{self._number}"

    def _opening(self, name: str, now: int, **more: object) -> Sent:
        tenant = f"tenant-{self._random.randrange(TENANTS)}"
        data: dict[str, object] = {"scope": "tenants", "tenant_ids": [tenant], "component": "issues"}
        data |= {"impact": "cosmetic", "channel": "monitor", **more}
        return record_of(line_of("incident.opened", f"{name}-0", name, format_rfc3339(now), data))

    def _said(self, what: str, now: int, **data: object) -> Sent:
        name = self._id()
        return record_of(line_of(f"incident.{what}", name, self._victim(), format_rfc3339(now), data))

    def _update(self, now: int) -> Sent:
        return self._said("updated", now, who=SUPPORT, visibility="public")

    def _changed(self, now: int, change: Callable[[bytes], bytes]) -> Sent:
        topic, partition, key, value, headers = self._update(now)
        assert value is not None
        return topic, partition, key, change(value), headers

    def _flipped(self, value: bytes) -> bytes:
        changed = bytearray(value)
        for _ in range(self._random.randint(1, 4)):
            changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _raw(self, value: bytes | None) -> Sent:
        key = self._random.choice((None, b"", b"k", self._random.randbytes(20)))
        return self._random.choice((INPUT, CONTRACTS)), self._random.randrange(PARTITIONS), key, value, []

    def _with(self, now: int, kind: str = "updated", **fields: object) -> Sent:
        """A record that our own encoder would not be asked to write."""
        record: dict[str, object] = {"event_id": self._id(), "source": "/faults", "subject": self._victim()}
        record |= {"occurred_at": now, "backfill": False}
        if kind == "updated":
            record |= {"who": SUPPORT, "visibility": "public"}
        else:
            record |= {"scope": "tenants", "tenant_ids": ["tenant-1"], "component": "issues", "impact": "cosmetic"}
            record |= {"channel": "monitor"}
        partition = self._update(now)[1]
        return INPUT, partition, b"victim", encode(f"incident.{kind}", {**record, **fields}), []

    def _conflict(self, now: int) -> Sent:
        return self._opening(self._victim(), now, summary=self._random.randbytes(4).hex())

    def _wrong_topic(self, now: int) -> Sent:
        return (CONTRACTS, *self._update(now)[1:])

    def _wrong_partition(self, now: int) -> Sent:
        topic, partition, *rest = self._update(now)
        return (topic, (partition + self._random.randrange(1, PARTITIONS)) % PARTITIONS, *rest)  # type: ignore[return-value]

    def _output(self, now: int) -> Sent:
        fields = {"partition": 0, "until": now}
        return INPUT, self._random.randrange(PARTITIONS), b"@mark", encode("state.mark", fields), []

    def _odd_headers(self, now: int) -> Sent:
        """On a good record that may lie elsewhere: names of our own envelopes, empty and repeated ones, no values."""
        topic, partition, key, value, headers = self._random.choice((self._update, self._wrong_partition))(now)
        names = ("", "é", "ce_id", "sla_route", "sla_kind", "sla_origin_topic", "sla_error_code", "x" * 5_000)
        odd = [(self._random.choice(names), self._random.choice((b"", b"\xff", None))) for _ in range(9)]
        return topic, partition, key, value, [*odd, *headers, *odd]  # type: ignore[list-item]

    def _many_tenants(self, now: int) -> Sent:
        return self._opening(self._victim(), now, tenant_ids=[f"tenant-{number}" for number in range(1_001)])

    def _bad_month(self, now: int) -> Sent:
        data = {"tenant_id": "tenant-1", "month": "2026-13", "who": CUSTOMER}
        fields: dict[str, object] = {"event_id": self._id(), "source": "/faults", "subject": "tenant-1"}
        value = encode("credit.claimed", {**fields, "occurred_at": now, "backfill": False, **data})
        return CONTRACTS, self._random.randrange(PARTITIONS), b"tenant-1", value, []


_POISON: dict[int, Poison] = {}


def mixed_in(run: Run) -> Callable[[], Sent | None]:
    """For `execute`: 20 % of the load is bad."""
    _POISON[id(run)] = Poison(run.result.seed)
    return _POISON[id(run)].next


def poisoned(run: Run) -> None:
    """Bad input all along, with decisions that crash, header names that are no text, and a kill -9 in between."""
    for turn in run.times(12, 3):
        crash(run, f"crash-on-{turn}")
        run.pause(0.5, 3.0)
        unreadable_names(run, turn)
        run.pause(0.5, 2.0)
        if turn % 3 == 1:
            run.deployment.alive()[0].kill()
            run.did("kill -9")
            run.deployment.start_worker()
    run.pause(2.0, 4.0)
    for kind, count in sorted(_POISON.pop(id(run)).drawn.items()):
        run.did(kind, count)


def crash(run: Run, name: str) -> None:
    """An incident on which a decision crashes: that input is rejected `internal`, what follows is applied."""
    now, poison = SystemTimeSource().now(), Poison(0)
    lines = [
        line_of("incident.updated", f"{name}-1", name, format_rfc3339(now), {"who": SUPPORT, "visibility": "public"}),
        line_of("incident.responded", f"{name}-2", name, format_rfc3339(now), {"who": SUPPORT}),
    ]
    Publisher(run.deployment.bootstrap).send(iter([poison._opening(name, now), *map(record_of, lines)]))
    run.did("crashing decision")


class Undecodable(str):
    """A header's name that is written as other bytes: not UTF-8."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe" + bytes(map(ord, self))


def unreadable_names(run: Run, turn: int) -> None:
    """Kafka takes any bytes for a header's name: two good records, one elsewhere, and one to be rejected."""
    poison = Poison(0)
    poison._number = 1_000_000 + 100 * turn
    now = SystemTimeSource().now()
    values = [poison._update(now), poison._update(now), poison._wrong_partition(now), poison._raw(b"no record")]
    producer = KafkaProducer(bootstrap_servers=run.deployment.bootstrap, acks="all")
    written = []
    for topic, partition, key, value, headers in values:
        odd = [*headers, (Undecodable("name"), b"1")]
        written.append(producer.send(topic, value, key or None, odd, partition).get(30))
    producer.close()
    run.did("header name that is not UTF-8", len(written))
    groups = {INPUT: "incidents", CONTRACTS: "ledger"}
    for each in written:
        wait_for(lambda each=each: applied(run, groups[each.topic], each) > each.offset, "odd header names are passed")


def applied(run: Run, agent: str, where: TopicPartition) -> int:
    """The agent's committed offset of the partition that something was written to."""
    settings = RuntimeSettings(app_id=PREFIX, brokers=(run.deployment.bootstrap,), prefix=PREFIX)
    consumer = KafkaConsumer(
        bootstrap_servers=run.deployment.bootstrap, group_id=settings.group(agent), enable_auto_commit=False
    )
    try:
        return consumer.committed(TopicPartition(where.topic, where.partition)) or 0
    finally:
        consumer.close()

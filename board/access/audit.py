"""The audit log: who signed in or out, and who did what or was refused it. Events wait in the database until Kafka has
them (audit_sender.py)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import structlog
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from board.access.identity import RequestSender
from board.access.rate_limit import FailureLimit
from board.metrics import BoardMetrics
from board.store.engine import writing
from board.store.own_tables import audit_outbox
from connect.actions.build import NAMESPACE
from connect.actions.person import Person
from streams.sla.limits import MAX_TENANTS
from streams.time_source import TimeSource

AuditType = Literal["audit.signed_in", "audit.sign_in_failed", "audit.signed_out", "audit.denied"]
#: Refusals wait for Kafka up to this many; sign-ins and sign-outs always do.
MOST_WAITING = 100_000
#: Refusals, and actions without effect, of one person within `rate_limit.WINDOW` that are stored; further ones are in
#: the board's log alone.
MOST_DENIALS = 100
#: Ids and tenants that one event lists. Kafka takes a mebibyte.
MOST_LISTED = MAX_TENANTS
#: What fails where people sign in so, as the metric says it.
_FAILURES = {"token": "unknown_token", "proxy": "untrusted_address", "oidc": "provider"}
_TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the audit log. `person_id` is None where nobody is known. `way`: token, session, proxy or oidc.
    `what`: what was asked for, such as a permission or an action. `subject`: the incident, tenant or address that it
    was about. `outcome`: in one word. `reason`: in words; it has no secret."""

    type: AuditType
    person_id: str | None
    roles: tuple[str, ...]
    tenants: tuple[str, ...] | None
    address: str
    way: str
    what: str
    subject: str | None
    outcome: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Acted:
    """An action of a person, as `audit.acted` has it. `attempt` is the same when the same attempt comes again. `sent`:
    whether events are in Kafka, or may be."""

    action: str
    about: str | None
    attempt: str
    outcome: str
    sent: bool
    reason: str | None = None
    event_ids: tuple[str, ...] = ()
    events: int = 0
    concerned: tuple[str, ...] = ()
    proposal_id: str | None = None


class AuditLog:
    """Stores audit events in the board's database. All methods may be called from any thread."""

    def __init__(self, engine: Engine, time_source: TimeSource, metrics: BoardMetrics | None = None) -> None:
        self._metrics = metrics or BoardMetrics()
        for reason in (*_FAILURES.values(), _TOO_MANY):
            self._metrics.sign_in_failures.labels(reason)  # 0 from the start on, so that a first failure is an increase
        self._engine = engine
        self._time = time_source
        self._denials = FailureLimit(time_source, per_address=MOST_DENIALS, key_of=str)

    def write(self, connection: Connection, event: AuditEvent) -> None:
        """Store an event in the caller's transaction: it is in the log if and only if what it tells of is."""
        fields = {name: value for name, value in asdict(event).items() if name != "type"}
        self._write(connection, str(uuid.uuid4()), event.type, fields)

    def signed_in(self, connection: Connection, person: Person, address: str, way: str) -> None:
        """Store that a session began."""
        self.write(connection, audit_event("audit.signed_in", person, address, way, "sign-in", outcome="ok"))

    def signed_out(self, connection: Connection, person: Person, address: str) -> None:
        """Store that a session was ended by its person."""
        self.write(connection, audit_event("audit.signed_out", person, address, "session", "sign-out", outcome="ok"))

    def sign_in_failed(self, address: str, way: Literal["token", "proxy", "oidc"], reason: str) -> None:
        """Store an attempt that named nobody. The caller limits how many there are."""
        self._metrics.sign_in_failures.labels(_FAILURES[way]).inc()
        self._refused(
            audit_event("audit.sign_in_failed", None, address, way, "sign-in", outcome="failed", reason=reason)
        )

    def sign_in_limited(self) -> None:
        """Count an attempt that was not looked at: there were too many before."""
        self._metrics.sign_in_failures.labels(_TOO_MANY).inc()

    def denied(self, sender: RequestSender, what: str, subject: str, reason: str) -> None:
        """Store that a person was refused something. Of one person, only MOST_DENIALS at a time."""
        person, address, way = sender.person, sender.address, sender.way
        log = structlog.get_logger("board")
        log.info("access_denied", person=person.id, address=address, what=what, subject=subject)
        if self._within_limit(person):
            self._refused(
                audit_event(
                    "audit.denied", person, address, way, what, subject=subject, outcome="denied", reason=reason
                )
            )

    def acted(self, sender: RequestSender, acted: Acted) -> None:
        """Store what a person did. It is done, whether that can be stored or not: its events name the person too. The
        same attempt with the same outcome is the same event."""
        person = sender.person
        if not acted.sent and not self._within_limit(person):
            return
        identity = [person.id, acted.action, acted.about, acted.attempt, acted.outcome, acted.reason]
        event_id = str(uuid.uuid5(NAMESPACE, json.dumps(identity)))
        tenants = None if person.tenants is None else sorted(person.tenants)
        who = {"person": person.id, "roles": sorted(person.roles), "tenants": tenants}
        who |= {"address": sender.address, "way": sender.way}
        fields = {name: value for name, value in asdict(acted).items() if name not in {"attempt", "sent"}}
        fields |= {name: fields[name][:MOST_LISTED] for name in ("event_ids", "concerned")}
        try:
            with writing(self._engine).begin() as connection:
                waits = select(audit_outbox.c.id).where(audit_outbox.c.event_id == event_id).limit(1)
                if connection.execute(waits).first() is None and (acted.sent or self._has_room(connection)):
                    self._write(connection, event_id, "audit.acted", who | fields)
        except SQLAlchemyError as error:
            _not_stored("audit.acted", person.id, acted.action, error)

    def _within_limit(self, person: Person) -> bool:
        """Whether one more refusal of a person is stored; it counts."""
        if self._denials.retry_after(person.id) is not None:
            return False
        self._denials.failed(person.id)
        self._denials.succeeded(person.id)  # one person's refusals do not hide those of others
        return True

    def _write(self, connection: Connection, event_id: str, event_type: str, fields: Mapping[str, object]) -> None:
        row = {"event_id": event_id, "type": event_type, "occurred_at": self._time.now()}
        connection.execute(audit_outbox.insert(), {**row, "data": json.dumps(fields, ensure_ascii=False)})

    def _refused(self, event: AuditEvent) -> None:
        """A refusal stands whether it can be stored or not."""
        try:
            with writing(self._engine).begin() as connection:
                if self._has_room(connection):
                    self.write(connection, event)
        except SQLAlchemyError as error:
            _not_stored(event.type, event.person_id, event.what, error)

    @staticmethod
    def _has_room(connection: Connection) -> bool:
        """Whether one more event may wait that changes nothing when it is left out."""
        first, last = connection.execute(select(func.min(audit_outbox.c.id), func.max(audit_outbox.c.id))).one()
        if first is None or last - first < MOST_WAITING:
            return True
        structlog.get_logger("board").warning("audit_event_dropped", waiting=last - first)
        return False


def _not_stored(event_type: str, person: str | None, what: str, error: SQLAlchemyError) -> None:
    reason = str(error).partition("\n")[0]
    log = structlog.get_logger("board")
    log.error("audit_event_not_stored", type=event_type, person=person, what=what, reason=reason)


def audit_event(
    event_type: AuditType,
    person: Person | None,
    address: str,
    way: str,
    what: str,
    *,
    subject: str | None = None,
    outcome: str,
    reason: str | None = None,
) -> AuditEvent:
    """An event about a person, or about somebody unknown."""
    roles = () if person is None else tuple(sorted(person.roles))
    tenants = None if person is None or person.tenants is None else tuple(sorted(person.tenants))
    return AuditEvent(
        event_type, None if person is None else person.id, roles, tenants, address, way, what, subject, outcome, reason
    )

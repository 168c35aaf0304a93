"""The audit log: who signed in or out, and who was refused what. Events wait in the database until Kafka has
them (audit_sender.py)."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import Literal

import structlog
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from board.access.rate_limit import FailureLimit
from board.store.engine import writing
from board.store.own_tables import audit_outbox
from connect.actions.person import Person
from streams.time_source import TimeSource

AuditType = Literal["audit.signed_in", "audit.sign_in_failed", "audit.signed_out", "audit.denied"]
#: Refusals wait for Kafka up to this many; sign-ins and sign-outs always do.
MOST_WAITING = 100_000
#: Refusals of one person within `rate_limit.WINDOW` that are stored; further ones are in the board's log alone.
MOST_DENIALS = 100


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


class AuditLog:
    """Stores audit events in the board's database. All methods may be called from any thread."""

    def __init__(self, engine: Engine, time_source: TimeSource) -> None:
        self._engine = engine
        self._time = time_source
        self._denials = FailureLimit(time_source, per_address=MOST_DENIALS, key_of=str)

    def write(self, connection: Connection, event: AuditEvent) -> None:
        """Store an event in the caller's transaction: it is in the log if and only if what it tells of is."""
        fields = {name: value for name, value in asdict(event).items() if name != "type"}
        row = {"event_id": str(uuid.uuid4()), "type": event.type, "occurred_at": self._time.now()}
        connection.execute(audit_outbox.insert(), {**row, "data": json.dumps(fields, ensure_ascii=False)})

    def signed_in(self, connection: Connection, person: Person, address: str, way: str) -> None:
        """Store that a session began."""
        self.write(connection, audit_event("audit.signed_in", person, address, way, "sign-in", outcome="ok"))

    def signed_out(self, connection: Connection, person: Person, address: str) -> None:
        """Store that a session was ended by its person."""
        self.write(connection, audit_event("audit.signed_out", person, address, "session", "sign-out", outcome="ok"))

    def sign_in_failed(self, address: str, way: str, reason: str) -> None:
        """Store an attempt that named nobody. The caller limits how many there are."""
        self._refused(
            audit_event("audit.sign_in_failed", None, address, way, "sign-in", outcome="failed", reason=reason)
        )

    def denied(self, person: Person, address: str, way: str, what: str, subject: str, reason: str) -> None:
        """Store that a person was refused something. Of one person, only MOST_DENIALS at a time."""
        log = structlog.get_logger("board")
        log.info("access_denied", person=person.id, address=address, what=what, subject=subject)
        if self._denials.retry_after(person.id) is None:
            self._denials.failed(person.id)
            self._denials.succeeded(person.id)  # one person's refusals do not hide those of others
            self._refused(
                audit_event(
                    "audit.denied", person, address, way, what, subject=subject, outcome="denied", reason=reason
                )
            )

    def _refused(self, event: AuditEvent) -> None:
        """A refusal stands whether it can be stored or not."""
        log = structlog.get_logger("board")
        try:
            with writing(self._engine).begin() as connection:
                first, last = connection.execute(select(func.min(audit_outbox.c.id), func.max(audit_outbox.c.id))).one()
                if first is not None and last - first >= MOST_WAITING:
                    log.warning("audit_event_dropped", type=event.type, waiting=last - first)
                    return
                self.write(connection, event)
        except SQLAlchemyError as error:
            _not_stored(event, error)


def _not_stored(event: AuditEvent, error: SQLAlchemyError) -> None:
    reason = str(error).partition("\n")[0]
    structlog.get_logger("board").error(
        "audit_event_not_stored", type=event.type, person=event.person_id, what=event.what, reason=reason
    )


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

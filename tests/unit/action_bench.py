"""What tests of actions share: present facts and a publisher in memory, people, and the state of an incident."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from connect.actions.input_results import InputResults, RejectedInput
from connect.actions.outcome import JsonEvent, State
from connect.actions.person import Person, Role
from connect.actions.publish import Results
from connect.actions.service import ActionService
from connect.client.outgoing import checked_record
from connect.contract_import.current_terms import ContractLog, ContractRecord
from connect.kafka_io.batches import SentRange
from connect.kafka_io.rejected_records import RejectedRecord
from streams.settings import Settings
from streams.sla.arrival import TimeLimits
from streams.sla.events import Position
from streams.sla.instants import parse_rfc3339
from streams.time_source import SystemTimeSource

NOW = parse_rfc3339("2026-06-10T12:00:00Z")
OPENED = "2026-06-10T11:00:00Z"
ADMIN = Person("ada", "Ada", frozenset({Role.ADMIN}))
KIM = Person("kim", "Kim", frozenset({Role.RESPONDER}))
LEE = Person("lee", "Lee", frozenset({Role.RESPONDER}))
BILL = Person("bill", "Bill", frozenset({Role.BILLING}))
VIEWER = Person("vera", "Vera", frozenset({Role.VIEWER}))
ACME = Person("pat", "Pat", frozenset({Role.RESPONDER, Role.BILLING}), frozenset({"acme"}))


def state(incident: str = "inc-1", **changed: object) -> dict[str, Any]:
    """The data of an `incident.state` in the JSON form."""
    return {
        "incident_id": incident,
        "revision": 4,
        "status": "open",
        "severity": "P1",
        "scope": "tenants",
        "tenant_ids": ["acme"],
        "component": "api",
        "impact": "complete_outage",
        "title": {"en": "P1 API: complete outage", "ja": "P1 API: 全面停止"},
        "opened_at": OPENED,
        "started_at": OPENED,
        "clocks": [
            {"metric": "response", "instance": 1, "state": "running", "deadline": "2026-06-10T13:00:00Z", "warn_at": []}
        ],
        **changed,
    }


def contract_log(*events: JsonEvent) -> ContractLog:
    """The log of these events in the JSON form, read a second after each happened."""
    records = [checked_record(event) for event in events]
    return ContractLog(
        [
            ContractRecord(record.value, record.event.time + 1_000_000, Position("contract-events", 0, offset))
            for offset, record in enumerate(records)
        ],
        TimeLimits(),
    )


def terms(tenant: str = "acme") -> JsonEvent:
    data = {
        "tenant_id": tenant,
        "valid_from": "2026-01-01T00:00:00Z",
        "plan": "scalr-emergency",
        "monthly_charge": {"amount_minor": 500_000, "currency": "USD"},
        "emergency_member": True,
    }
    event = {"specversion": "1.0", "id": f"terms-{tenant}", "type": "contract.set", "source": "/billing"}
    return {**event, "subject": tenant, "time": "2026-06-01T00:00:00Z", "data": data}


class MemoryPresent:
    """Present facts that a test sets."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {"inc-1": state()}
        self.earlier: dict[tuple[str, int], State] = {}
        self.statements: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.log = contract_log(terms())
        self.rejects: dict[str, RejectedRecord] = {}

    def incident(self, incident_id: str) -> State | None:
        return self.states.get(incident_id)

    def incident_at(self, incident_id: str, revision: int) -> State | None:
        return self.earlier.get((incident_id, revision))

    def statement(self, tenant_id: str, month: str) -> Mapping[str, Any] | None:
        return self.statements.get((tenant_id, month))

    def contracts(self, subjects: Collection[str]) -> ContractLog:
        return self.log

    def tenants_with_terms(self) -> int:
        return len(self.log.contracts)

    def rejected(self, coordinates: str) -> RejectedRecord | None:
        return self.rejects.get(coordinates)


class MemoryPublisher:
    """Notes events; their results are those that a test sets."""

    def __init__(self) -> None:
        self.events: list[JsonEvent] = []
        self.reject: tuple[str, str] | None = None
        self.unread = False
        self.failure: Exception | None = None
        self.unreadable: Exception | None = None
        self.closed = False

    def send(self, events: Sequence[JsonEvent]) -> list[Position]:
        if self.failure is not None:
            raise self.failure
        first = len(self.events)
        self.events += events
        return [Position("sla.incident-events", 0, first + index) for index, _ in enumerate(events)]

    def results(self) -> AbstractContextManager[Results]:
        return nullcontext(self)

    def wait(self, sent: Sequence[SentRange], timeout_s: float) -> InputResults:
        if self.unreadable is not None:
            raise self.unreadable
        if self.unread:
            return InputResults(0, [], len(sent))
        if self.reject is None:
            return InputResults(len(sent), [], 0)
        code, message = self.reject
        topic, partition, offset, _ = sent[0]
        return InputResults(len(sent) - 1, [RejectedInput(topic, partition, offset, code, message, None)], 0)

    def close(self) -> None:
        self.closed = True


class Bench:
    """A service over both."""

    def __init__(self) -> None:
        self.present = MemoryPresent()
        self.publisher = MemoryPublisher()
        self.service = ActionService(
            Settings(),
            self.present,
            publisher=self.publisher,
            clock=SystemTimeSource(),
        )
        self._numbers = 0

    def perform(self, person: Person, action: str, subject: str = "inc-1", form: Any = None, **more: Any) -> Any:
        """One attempt with an action id of its own, unless one is given."""
        self._numbers += 1
        given = {"action_id": f"attempt-{self._numbers}", "now": NOW, **more}
        return self.service.perform(person, action, subject, form or {}, **given)

    @property
    def sent(self) -> list[Any]:
        return list(self.publisher.events)

"""What actions look up before they decide: incidents, statements, contract facts, rejected records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from connect.actions.outcome import State
from connect.contract_import.current_terms import ContractLog
from connect.kafka_io.contract_topic import log_of
from connect.kafka_io.rejected_records import RejectedRecord, record_named, rejected_in
from streams.settings import Settings


class Present(Protocol):
    """The present facts. The board reads incidents and statements from its database, commands from topics. Every method
    may raise SlaError when it can't read."""

    def incident(self, incident_id: str) -> State | None:
        """The data of the incident's newest `incident.state` in the JSON form."""
        ...

    def incident_at(self, incident_id: str, revision: int) -> State | None:
        """The same as it was at a revision; None where that is not known any more."""
        ...

    def statement(self, tenant_id: str, month: str) -> Mapping[str, Any] | None:
        """The data of the month's `credit.statement` with the highest revision, in the JSON form."""
        ...

    def contracts(self, subjects: Collection[str]) -> ContractLog:
        """The contract facts of these tenants and maintenance windows, each that was acknowledged before the call.
        There may be more."""
        ...

    def tenants_with_terms(self) -> int:
        """How many tenants have contract terms."""
        ...

    def rejected(self, coordinates: str) -> RejectedRecord | None:
        """The latest reject of an original, named as topic/partition/offset with or without the prefix of topics."""
        ...


class TopicPresent:
    """The part of `Present` that topics can answer. Every call reads the whole topic: no key has an index there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def contracts(self, subjects: Collection[str]) -> ContractLog:
        """The facts in the contract topic, whatever they are about. Raises BrokerProblem."""
        return log_of(self._settings)

    def tenants_with_terms(self) -> int:
        """How many tenants have contract terms. Raises BrokerProblem."""
        return len(log_of(self._settings).contracts)

    def rejected(self, coordinates: str) -> RejectedRecord | None:
        """The latest reject of an original. Raises BrokerProblem."""
        return record_named(rejected_in(self._settings), coordinates, self._settings.topic_prefix)

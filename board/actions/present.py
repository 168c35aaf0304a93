"""What actions of the board look up, in the read model. Of topics only ends are asked for, and single records read."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Engine, select

from board.actions.read_position import topic_ends, wait_until_applied
from board.queries.contract_facts import contract_facts, count_tenants
from board.queries.incidents import IncidentRow, get_incident
from board.queries.rejects import latest_reject
from board.queries.tenant_scope import TenantScope
from board.store.tables import statement
from connect.actions.outcome import State
from connect.contract_import.current_terms import ContractLog
from connect.kafka_io.rejected_records import RejectedRecord, rejected_at
from streams.serde.input_records import CONTRACT_EVENTS
from streams.settings import Settings
from streams.sla.events import Position

#: States of incidents that are kept for whoever saw them.
MOST_SEEN = 2_000


class SeenStates:
    """The states of incidents that people were shown, so that they can be told what has changed since. The oldest are
    forgotten. Thread-safe."""

    def __init__(self, most: int = MOST_SEEN) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[str, int], str] = OrderedDict()

    def note(self, row: IncidentRow, scope: TenantScope) -> None:
        """An incident is shown as it is now; what is shown to people who are limited to tenants is not the whole."""
        if scope.tenants is not None:
            return
        key = (row.incident_id, row.revision)
        with self._lock:
            self._found[key] = row.data
            self._found.move_to_end(key)
            if len(self._found) > self._most:
                self._found.popitem(last=False)

    def at(self, incident_id: str, revision: int) -> State | None:
        """An incident as it was shown at a revision; None where it is no longer known."""
        with self._lock:
            text = self._found.get((incident_id, revision))
        return None if text is None else json.loads(text)


class BoardPresent:
    """The present facts as the board knows them (`connect.actions.present.Present`). Besides SlaError its methods raise
    SQLAlchemyError."""

    def __init__(self, settings: Settings, engine: Engine, seen: SeenStates) -> None:
        self._settings = settings
        self._engine = engine
        self._seen = seen

    def contracts(self, subjects: Collection[str]) -> ContractLog:
        """The contract facts of these tenants and maintenance windows, once the read model has those that are in the
        topic now. Raises BrokerProblem, ReadModelBehind."""
        wait_until_applied(self._engine, CONTRACT_EVENTS, topic_ends(self._settings, CONTRACT_EVENTS))
        with self._engine.connect() as connection:
            return contract_facts(connection, subjects, self._settings.time_limits())

    def tenants_with_terms(self) -> int:
        """How many tenants have contract terms."""
        with self._engine.connect() as connection:
            return count_tenants(connection)

    def rejected(self, coordinates: str) -> RejectedRecord | None:
        """The latest reject of an original. The record alone is read from its topic: the read model lacks large ones
        and what is not text. Raises BrokerProblem."""
        topic, _, place = coordinates.removeprefix(f"{self._settings.topic_prefix}.").partition("/")
        partition, _, offset = place.partition("/")
        if not (partition.isdecimal() and offset.isdecimal()):
            return None
        with self._engine.connect() as connection:
            found = latest_reject(connection, Position(topic, int(partition), int(offset)))
        return None if found is None else rejected_at(self._settings, found.partition, found.offset)

    def incident(self, incident_id: str) -> State | None:
        """The data of the incident's newest `incident.state`."""
        with self._engine.connect() as connection:
            row = get_incident(connection, incident_id)
        return None if row is None else {**row.state, "revision": row.revision}

    def incident_at(self, incident_id: str, revision: int) -> State | None:
        """The same as it was shown at a revision."""
        return self._seen.at(incident_id, revision)

    def statement(self, tenant_id: str, month: str) -> Mapping[str, Any] | None:
        """The data of the month's statement with the highest revision."""
        wanted = (
            select(statement.c.data)
            .where(statement.c.tenant_id == tenant_id, statement.c.month == month)
            .order_by(statement.c.revision.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            text = connection.execute(wanted).scalar_one_or_none()
        return None if text is None else json.loads(text)

"""Contract facts of some tenants and maintenance windows, as the workers apply them: what actions decide by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, func, select

from board.queries.contracts import rejected_fact
from board.store.chunks import chunks
from board.store.events import cloud_event
from board.store.tables import contract, entry, erased_tenant
from connect.contract_import.current_terms import ContractLog, ContractRecord
from streams.serde.cloudevents_json import format_line, parse_line
from streams.serde.codec import Fields
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.arrival import TimeLimits
from streams.sla.erasure import Erasures
from streams.sla.events import Position, Rejection


def contract_facts(connection: Connection, subjects: Collection[str], time_limits: TimeLimits) -> ContractLog:
    """The facts about these tenants and maintenance windows that count. What an erased tenant is asked for is found
    under its pseudonym, and has its name in the result."""
    names = _stored_names(connection, subjects, time_limits.pseudonym_key)
    records = [
        ContractRecord(
            format_line(event).encode(), row["arrived_at"], Position(CONTRACT_EVENTS, row["partition"], row["offset"])
        )
        for row in _rows(connection, sorted(names))
        for event in [_named(cloud_event(row), names[row["subject"]])]
    ]
    return ContractLog(records, time_limits, _decoded)


def count_tenants(connection: Connection) -> int:
    """How many tenants have contract terms."""
    return int(connection.execute(select(func.count(contract.c.tenant_id.distinct()))).scalar_one())


def _stored_names(connection: Connection, subjects: Iterable[str], key: bytes) -> dict[str, str]:
    """The subject of rows → the name that was asked for."""
    asked = sorted(set(subjects))
    erasures = Erasures(key)
    pseudonyms = {erasures.pseudonym(each): each for each in asked}
    found = {each: each for each in asked}
    for chunk in chunks(sorted(pseudonyms)):
        query = select(erased_tenant.c.pseudonym).where(erased_tenant.c.pseudonym.in_(chunk))
        for pseudonym in connection.execute(query).scalars():
            found[pseudonym] = pseudonyms[pseudonym]
    return found


def _rows(connection: Connection, subjects: list[str]) -> Iterator[dict[str, Any]]:
    """The rows that were not rejected, in the order of arrival."""
    found: list[dict[str, Any]] = []
    for chunk in chunks(subjects):
        query = select(entry).where(entry.c.topic == CONTRACT_EVENTS, entry.c.subject.in_(chunk), ~rejected_fact(entry))
        found += (dict(row) for row in connection.execute(query).mappings())
    yield from sorted(found, key=lambda row: (row["arrived_at"], row["partition"], row["offset"]))


def _named(event: dict[str, object], name: str) -> dict[str, object]:
    data = event["data"]
    assert isinstance(data, dict)
    tenant = {"tenant_id": name} if "tenant_id" in data else {}
    return event | {"subject": name, "data": data | tenant}


def _decoded(value: bytes | None, _: int) -> tuple[str, Fields] | Rejection:
    return parse_line((value or b"").decode())

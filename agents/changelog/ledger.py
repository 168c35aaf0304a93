"""Changelog rows of the ledger agent: facts, impact lists and months, to Avro and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from agents.changelog.erasures import redacted_input
from agents.changelog.input_rows import InputRows, row_key
from streams.runtime.processor import Effects
from streams.serde.codec import Fields
from streams.sla.credits.account import StatementState
from streams.sla.credits.erase_tenant import ErasedTenant
from streams.sla.credits.month_close import MonthRow
from streams.sla.credits.recheck_queue import Recheck
from streams.sla.credits.retention import EvictedRows
from streams.sla.events import Event, Position
from streams.sla.evidence import evidence_data
from streams.sla.impact import ImpactCopy
from streams.sla.instants import Month

FACT, IMPACTS, MONTH, WATERMARK, RECHECK, BACKFILL_IDLE = "e", "i", "s", "p", "@recheck", "@quiet"
RETENTION = "@retention"
OUT_OF_TURN = "@out_of_turn"
_SETTLED = ("downtime", "eligible", "charge", "credit", "excluded")


def put_fact(rows: InputRows, event: Event, arrival: int, position: Position, effects: Effects) -> None:
    """Write the row of an input: redacted, without texts and persons, at the position of the original."""
    row = rows.encode_input_row(redacted_input(rows, event, arrival, position), digest=event.digest)
    effects.put(row_key(FACT, event.subject, event.source, event.id), row)


def delete_fact(subject: str, source: str, name: str, effects: Effects) -> None:
    """Delete the row of an input that is not stored any more."""
    effects.put(row_key(FACT, subject, source, name), None)


def put_impacts(
    rows: InputRows, impacts: ImpactCopy, arrival: int, effects: Effects, evidence: Mapping[str, object] | None = None
) -> None:
    """Write the row of an incident's impact list. `evidence` are the two fields of its evidence, as they arrived."""
    if evidence is None:
        evidence = evidence_data(impacts.evidence, impacts.summary)
    name, revision, intervals, _, _ = impacts
    fields = (name, revision, arrival, intervals, evidence["evidence"], evidence.get("evidence_summary"))
    effects.put(row_key(IMPACTS, name), rows.codec.encode_values("state.impacts", fields))


def put_watermark(rows: InputRows, partition: int, until: int, effects: Effects) -> None:
    """Write the row of an incident partition's watermark."""
    value = rows.codec.encode("state.mark", {"partition": partition, "until": until})
    effects.put(row_key(WATERMARK, str(partition)), value)


def put_out_of_turn(rows: InputRows, until: int, effects: Effects) -> None:
    """Write the row of the latest arrival of an input that was applied before its turn."""
    effects.put(row_key(OUT_OF_TURN), rows.codec.encode("state.quiet", {"until": until}))


def put_recheck(rows: InputRows, number: int, recheck: Recheck | None, effects: Effects) -> None:
    """Write the row of a queued recheck, or delete it."""
    value = None
    if recheck is not None:
        tenants = None if recheck.tenants is None else list(recheck.tenants)
        value = rows.codec.encode("state.recheck", {**recheck._asdict(), "tenants": tenants})
    effects.put(row_key(RECHECK, str(number)), value)


def recheck_row(row: Fields) -> Recheck:
    """Undo `put_recheck`."""
    tenants = cast(list[str] | None, row["tenants"])
    return Recheck(**{**row, "tenants": None if tenants is None else tuple(tenants)})  # type: ignore[arg-type]


def put_retention(rows: InputRows, until: int, *, pending: bool, effects: Effects) -> None:
    """Write the row that says up to where months are evicted."""
    effects.put(row_key(RETENTION), rows.codec.encode("state.retention", {"until": until, "pending": pending}))


def delete_evicted(evicted: EvictedRows, effects: Effects) -> None:
    """Delete the rows of what is evicted."""
    for tenant, month in evicted.months:
        effects.put(row_key(MONTH, tenant, month), None)
    for subject, source, name in evicted.facts:
        effects.put(row_key(FACT, subject, source, name), None)
    for incident_id in evicted.incidents:
        effects.put(row_key(IMPACTS, incident_id), None)


def put_month(rows: InputRows, row: MonthRow, effects: Effects) -> None:
    """Write the row of a tenant-month."""
    state = row.state
    settled = None if state.settled is None else dict(zip(_SETTLED, state.settled, strict=True))
    fields = {"tenant_id": row.tenant, "month": row.month, **state._asdict(), "settled": settled}
    effects.put(row_key(MONTH, row.tenant, row.month), rows.codec.encode("state.month", fields))


def month_row(row: Fields) -> MonthRow:
    """The tenant-month that `put_month` wrote."""
    fields = dict(row)
    tenant, month = cast(str, fields.pop("tenant_id")), Month(cast(str, fields.pop("month")))
    settled = cast(dict[str, int] | None, fields["settled"])
    if settled is not None:
        fields["settled"] = tuple(settled[name] for name in _SETTLED)
    return MonthRow(tenant, month, StatementState(**fields))  # type: ignore[arg-type]


def put_erased_tenant(rows: InputRows, erased: ErasedTenant, arrival: int, effects: Effects) -> None:
    """Write every row that named an erased tenant under its pseudonym instead (R29)."""
    for event, came, position in erased.facts:
        effects.put(row_key(FACT, erased.tenant, event.source, event.id), None)
        put_fact(rows, event, came, position, effects)
    for month, state in erased.months:
        effects.put(row_key(MONTH, erased.tenant, month), None)
        put_month(rows, MonthRow(erased.pseudonym, month, state), effects)
    for event, came, position in erased.maintenance:
        put_fact(rows, event, came, position, effects)
    for impacts in erased.impacts:
        put_impacts(rows, impacts, arrival, effects)

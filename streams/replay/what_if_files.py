"""What a comparison of two policies found, for programs: JSON and CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator

from streams.csv_text import csv_text
from streams.replay.what_if import StandingBreach
from streams.replay.what_if_result import ComparedTenant, Comparison, CreditSum, MonthChange
from streams.sla.instants import format_rfc3339

#: Columns of the CSV; new ones are appended. `row` says which a line has: tenant, total, month or breach.
CSV_COLUMNS = (
    "row",
    "tenant",
    "month",
    "currency",
    "credit_minor_old",
    "credit_minor_new",
    "breaches_old",
    "breaches_new",
    "breaches_gained",
    "breaches_lost",
    "change",
    "incident_id",
    "severity",
    "metric",
    "instance",
    "deadline",
    "guarantee_met_old",
    "guarantee_met_new",
    "guarantee_missed_old",
    "guarantee_missed_new",
)


def as_json(found: Comparison, old: str, new: str) -> str:
    """Everything that differs, as one JSON object; money in minor units."""
    data = {
        "old": old,
        "new": new,
        "events": found.lines,
        "refused": found.rejected,
        "total": _row(found.total),
        "tenants": [_row(row) for row in found.rows if row.differs],
        "months": [month._asdict() for month in found.months],
        "gained": [_breach(breach) for breach in found.gained],
        "lost": [_breach(breach) for breach in found.lost],
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def _row(row: ComparedTenant) -> dict[str, object]:
    breaches = {"old": row.old, "new": row.new, "gained": row.gained, "lost": row.lost}
    missed = {"old": row.missed_old, "new": row.missed_new}
    credits = [one._asdict() for one in row.credits]
    return {"tenant": row.tenant, "breaches": breaches, "credits": credits, "guarantee_missed": missed}


def _breach(breach: StandingBreach) -> dict[str, object]:
    return {**breach._asdict(), "deadline": format_rfc3339(breach.deadline)}


def as_csv(found: Comparison) -> str:
    """The same as CSV (RFC 4180): tenants by currency, the total, then months and breaches."""
    return csv_text(CSV_COLUMNS, _csv_rows(found))


def _met(month: MonthChange) -> dict[str, bool]:
    return {"old": month.guarantee_met_old, "new": month.guarantee_met_new}


def _csv_rows(found: Comparison) -> Iterator[dict[str, object]]:
    for row in [*(row for row in found.rows if row.differs), found.total]:
        breaches: dict[str, object] = {
            "row": "total" if row is found.total else "tenant",
            "tenant": "" if row is found.total else row.tenant,
            "breaches_old": row.old,
            "breaches_new": row.new,
            "breaches_gained": row.gained,
            "breaches_lost": row.lost,
            "guarantee_missed_old": row.missed_old,
            "guarantee_missed_new": row.missed_new,
        }
        for one in row.credits or [CreditSum("", 0, 0)]:
            money = {"currency": one.currency, "credit_minor_old": one.old, "credit_minor_new": one.new}
            yield breaches | (money if one.currency else {})
    for month in found.months:
        money = {"currency": month.currency, "credit_minor_old": month.old, "credit_minor_new": month.new}
        met = {f"guarantee_met_{side}": str(value).lower() for side, value in _met(month).items()}
        yield {"row": "month", "tenant": month.tenant, "month": month.month, **money, **met}
    for change, all_breaches in (("gained", found.gained), ("lost", found.lost)):
        for breach in all_breaches:
            data = {name: value for name, value in _breach(breach).items() if name != "tenants"}
            yield {"row": "breach", "tenant": " ".join(breach.tenants), "change": change, **data}

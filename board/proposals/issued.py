"""What billing was told to pay for the months that a proposal changes, and what follows from it (R26)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, tuple_

from board.queries.contracts import rejected_fact
from board.store.chunks import chunks
from board.store.tables import credit, entry
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.instants import parse_rfc3339

_AT_ONCE = 200
#: Amounts of a month beside its credit before and after; their sums by currency have the names without `_minor`.
AMOUNTS = ("issued_minor", "to_issue_minor", "to_claim_minor", "not_collected_minor")


def with_issued(connection: Connection, data: Mapping[str, Any], until: int) -> dict[str, Any]:
    """An effect in its JSON form, with what was issued of its months until an instant, in minor units:

    `issued_minor`; `to_issue_minor`, what the ledger issues with the next final or adjusted statement;
    `to_claim_minor`, what it issues only if somebody claims it; `not_collected_minor`, what was issued beyond the new
    credit and is not collected back. `issued` and so on are their sums by currency. An effect that does not list all
    of its months stays as it was computed.
    """
    months = data["months"]
    if len(months) < data["months_changed"]:
        return dict(data)
    issued = _issued(connection, {(each["tenant_id"], each["month"]) for each in months}, until)
    unpaid = {each["tenant_id"] for each in months if (each["tenant_id"], each["month"]) not in issued}
    claimed = _claimed(connection, sorted(unpaid), until)
    found = [_with_amounts(each, issued, claimed, until) for each in months]
    return {**data, "months": found, **_totals(found)}


def _with_amounts(
    month: Mapping[str, Any], issued: Mapping[tuple[str, str], int], claimed: set[tuple[str, str]], until: int
) -> dict[str, Any]:
    key = month["tenant_id"], month["month"]
    paid, due = issued.get(key, 0), month["after"]["credit_minor"]
    more = max(0, due - paid)
    # Only what is entitled is issued; so of a month of which something was, the rest follows by itself.
    entitled = month.get("claim") == "automatic" or paid > 0 or key in claimed
    until_when = month.get("claimable_until")
    claimable = until_when is None or until <= parse_rfc3339(until_when)
    amounts = (paid, more if entitled else 0, more if claimable and not entitled else 0, max(0, paid - due))
    return {**month, **dict(zip(AMOUNTS, amounts, strict=True))}


def _totals(months: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    totals: dict[str, Counter[str]] = {name.removesuffix("_minor"): Counter() for name in AMOUNTS}
    for month in months:
        for name in AMOUNTS:
            totals[name.removesuffix("_minor")][month["currency"]] += month[name]
    return {name: dict(found) for name, found in totals.items()}


def _issued(connection: Connection, keys: set[tuple[str, str]], until: int) -> dict[tuple[str, str], int]:
    """What was issued of each month of which something was."""
    found: dict[tuple[str, str], int] = {}
    for some in chunks(sorted(keys), _AT_ONCE):
        query = (
            select(credit.c.tenant_id, credit.c.month, func.sum(credit.c.amount_minor))
            .where(tuple_(credit.c.tenant_id, credit.c.month).in_(some), credit.c.issued_at <= until)
            .group_by(credit.c.tenant_id, credit.c.month)
        )
        found |= {(tenant, month): int(amount) for tenant, month, amount in connection.execute(query)}
    return found


def _claimed(connection: Connection, tenants: Sequence[str], until: int) -> set[tuple[str, str]]:
    """The months with a claim that was not rejected."""
    found: set[tuple[str, str]] = set()
    for some in chunks(tenants, _AT_ONCE):
        query = select(entry.c.subject, entry.c.data).where(
            entry.c.subject.in_(some),
            entry.c.topic == CONTRACT_EVENTS,
            entry.c.type == "credit.claimed",
            entry.c.occurred_at <= until,
            ~rejected_fact(entry),
        )
        found |= {(tenant, str(json.loads(text).get("month"))) for tenant, text in connection.execute(query)}
    return found

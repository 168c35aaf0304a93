"""Contract terms as people and programs read them: what an import would change, and tables of terms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set

import typer

from cli.support.console import print_rows, safe
from connect.contract_import.diff import ContractChange, ContractDifference, terms_of
from streams.money import formatted
from streams.sla.contracts import Contract
from streams.sla.events import ContractSet
from streams.sla.instants import format_rfc3339


def difference_lines(found: ContractDifference, plans: Set[str]) -> Iterator[str]:
    """The difference for people, tenant by tenant; `plans` are the policies that there are."""
    for change in found.changes:
        yield f"{safe(change.row.tenant)}: {change.kind}, from {format_rfc3339(change.row.terms.valid_from)}"
        for line in _fields(change):
            yield f"  {line}"
        if change.row.terms.plan not in plans:
            known = ", ".join(sorted(plans))
            yield f"  warning: no policy {safe(change.row.terms.plan)} here; there are: {known}"
        for note in change.notes:
            yield f"  warning: {note}"
    yield (
        f"{counted(len(found.changes), 'fact')} to publish, {found.unchanged:,} unchanged, "
        f"{counted(found.not_in_file, 'tenant')} not in the file"
    )


def difference_object(found: ContractDifference, plans: Set[str]) -> dict[str, object]:
    """The difference for programs: the events to publish, each with the id of the fact that it replaces."""
    return {
        "changes": [
            {
                "tenant_id": change.row.tenant,
                "kind": change.kind,
                "replaces": None if change.before is None else change.before.id,
                "event": change.event,
                "plan_known": change.row.terms.plan in plans,
                "warnings": list(change.notes),
            }
            for change in found.changes
        ],
        "unchanged": found.unchanged,
        "tenants_not_in_file": found.not_in_file,
    }


def _fields(change: ContractChange) -> Iterator[str]:

    after = _as_texts(change.row.terms)
    before = _as_texts(terms_of(change.before)) if change.before is not None else {}
    for name, value in after.items():
        if change.before is None:
            if value != "-":
                yield f"{name}: {value}"
        elif before[name] != value:
            yield f"{name}: {before[name]} → {value}"


def _as_texts(terms: ContractSet) -> dict[str, str]:
    """Each field as people read it; valid_from is in the heading."""
    charge = terms.monthly_charge
    return {
        "valid_to": "-" if terms.valid_to is None else format_rfc3339(terms.valid_to),
        "plan": safe(terms.plan),
        "monthly_charge": f"{formatted(*charge)} ({charge.currency})",
        "tier": "-" if terms.tier is None else str(terms.tier),
        "time_zone": terms.time_zone or "-",
        "emergency_member": "yes" if terms.emergency_member else "no",
    }


def print_terms(found: Iterable[tuple[str, Contract]], *, as_json: bool) -> None:
    """Terms by tenant, as a table or as one JSON object a line."""

    names = ("valid_to", "plan", "monthly_charge", "tier", "time_zone", "emergency_member")
    rows = []
    for tenant, contract in found:
        times = {"valid_from": format_rfc3339(contract.valid_from), "time": format_rfc3339(contract.time)}
        words = _as_texts(terms_of(contract))
        if as_json:
            exact = {
                "tenant_id": tenant,
                **times,
                "valid_to": None if contract.valid_to is None else words["valid_to"],
                "plan": contract.plan,
                "monthly_charge": contract.charge._asdict(),
                "tier": contract.tier,
                "time_zone": contract.time_zone,
                "emergency_member": contract.emergency_member,
                "id": contract.id,
                "source": contract.source,
            }
            typer.echo(json.dumps(exact, ensure_ascii=False))
        else:
            rows.append((tenant, times["valid_from"], *(words[name] for name in names), times["time"], contract.id))
    if rows:
        print_rows(("tenant", "valid_from", *names, "said at", "id"), rows)
    elif not as_json:
        typer.echo("there are no contracts")


def counted(number: int, what: str) -> str:
    """A number and what it is of: 1 fact, 2 facts."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"

"""Contract terms as people and programs read them: what an import would change, and tables of terms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set

import typer

from cli.support.console import print_rows, safe
from connect.contract_import.changed_terms import TERM_NAMES, changed_terms, term_texts
from connect.contract_import.diff import ContractDifference, terms_of
from streams.sla.contracts import Contract
from streams.sla.instants import format_rfc3339


def difference_lines(found: ContractDifference, plans: Set[str]) -> Iterator[str]:
    """The difference for people, tenant by tenant; `plans` are the policies that there are."""
    for change in found.changes:
        yield f"{safe(change.row.tenant)}: {change.kind}, from {format_rfc3339(change.row.terms.valid_from)}"
        for name, before, after in changed_terms(change):
            yield f"  {name}: {safe(after)}" if before is None else f"  {name}: {safe(before)} → {safe(after)}"
        if change.row.terms.plan not in plans:
            known = ", ".join(sorted(plans))
            yield f"  warning: no policy {safe(change.row.terms.plan)} here; there are: {known}"
        for note in change.notes:
            yield f"  warning: {note.text}"
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
                "warnings": [note.text for note in change.notes],
            }
            for change in found.changes
        ],
        "unchanged": found.unchanged,
        "tenants_not_in_file": found.not_in_file,
    }


def print_terms(found: Iterable[tuple[str, Contract]], *, as_json: bool) -> None:
    """Terms by tenant, as a table or as one JSON object a line."""
    rows = []
    for tenant, contract in found:
        times = {"valid_from": format_rfc3339(contract.valid_from), "time": format_rfc3339(contract.time)}
        words = term_texts(terms_of(contract))
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
            rows.append(
                (tenant, times["valid_from"], *(words[name] for name in TERM_NAMES), times["time"], contract.id)
            )
    if rows:
        print_rows(("tenant", "valid_from", *TERM_NAMES, "said at", "id"), rows)
    elif not as_json:
        typer.echo("there are no contracts")


def counted(number: int, what: str) -> str:
    """A number and what it is of: 1 fact, 2 facts."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"

"""What a comparison of two policies found: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from cli.support.console import plain_console, safe
from cli.support.csv_text import csv_text
from cli.support.money import formatted
from streams.replay.what_if import StandingBreach
from streams.replay.what_if_result import ComparedTenant, Comparison, CreditSum
from streams.sla.instants import format_rfc3339

#: So many breaches are named in the tables; all of them in the files.
MOST_NAMED = 20
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
)


def print_tables(found: Comparison, old: str, new: str) -> None:
    """Each tenant for whom something differs, the total, and the first breaches gained and lost."""
    console = plain_console()
    rejected = f", {found.rejected:,} of them rejected" if found.rejected else ""
    console.print(f"{safe(old)} → {safe(new)}, over {found.lines:,} events{rejected}", soft_wrap=True)
    differing = [row for row in found.rows if row.differs]
    if not differing:
        console.print("no difference in breaches and credits", soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("tenant")
    for head in ("breaches", "gained", "lost", "credits", "change"):
        table.add_column(head, justify="right")
    for row in [*differing, found.total]:
        table.add_row(*_cells(row), style="bold" if row is found.total else None)
    console.print(table)
    alike = len(found.rows) - len(differing)
    if alike:
        console.print(f"{alike:,} other tenant{'' if alike == 1 else 's'}: no difference", soft_wrap=True)
    if sum(row.old for row in found.rows) > found.total.old or sum(row.new for row in found.rows) > found.total.new:
        console.print("in the total an incident of several tenants counts once", soft_wrap=True)
    for word, breaches in (("gained", found.gained), ("lost", found.lost)):
        _print_breaches(console, word, breaches)


def _cells(row: ComparedTenant) -> tuple[str, ...]:
    money = [one for one in row.credits if one.old or one.new]
    return (
        safe(row.tenant),
        f"{row.old:,} → {row.new:,}" if row.old != row.new else f"{row.old:,}",
        f"+{row.gained:,}" if row.gained else "",
        f"-{row.lost:,}" if row.lost else "",
        "\n".join(_credit(one) for one in money),
        "\n".join(_change(one) for one in money),
    )


def _credit(one: CreditSum) -> str:
    old, new = formatted(one.old, one.currency), formatted(one.new, one.currency)
    return old if old == new else f"{old} → {new}"


def _change(one: CreditSum) -> str:
    change = one.new - one.old
    return "" if change == 0 else ("+" if change > 0 else "") + formatted(change, one.currency)


def _print_breaches(console: Console, word: str, breaches: list[StandingBreach]) -> None:
    if not breaches:
        return
    kinds = Counter((breach.severity, breach.metric) for breach in breaches)
    counts = ", ".join(f"{severity} {metric} {count:,}" for (severity, metric), count in sorted(kinds.items()))
    console.print(f"{word}: {counts}", soft_wrap=True)
    for breach in breaches[:MOST_NAMED]:
        clock = f"{breach.severity} {breach.metric} {breach.instance}"
        who = ", ".join(breach.tenants)
        data = f"  {breach.incident_id}  {clock}, due {format_rfc3339(breach.deadline)} ({who})"
        console.print(safe(data), soft_wrap=True)
    if len(breaches) > MOST_NAMED:
        console.print(f"  and {len(breaches) - MOST_NAMED:,} more (--format json names all)", soft_wrap=True)


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
    return {"tenant": row.tenant, "breaches": breaches, "credits": [one._asdict() for one in row.credits]}


def _breach(breach: StandingBreach) -> dict[str, object]:
    return {**breach._asdict(), "deadline": format_rfc3339(breach.deadline)}


def as_csv(found: Comparison) -> str:
    """The same as CSV (RFC 4180): tenants by currency, the total, then months and breaches."""
    return csv_text(CSV_COLUMNS, _csv_rows(found))


def _csv_rows(found: Comparison) -> Iterator[dict[str, object]]:
    for row in [*(row for row in found.rows if row.differs), found.total]:
        breaches: dict[str, object] = {
            "row": "total" if row is found.total else "tenant",
            "tenant": "" if row is found.total else row.tenant,
            "breaches_old": row.old,
            "breaches_new": row.new,
            "breaches_gained": row.gained,
            "breaches_lost": row.lost,
        }
        for one in row.credits or [CreditSum("", 0, 0)]:
            money = {"currency": one.currency, "credit_minor_old": one.old, "credit_minor_new": one.new}
            yield breaches | (money if one.currency else {})
    for month in found.months:
        money = {"currency": month.currency, "credit_minor_old": month.old, "credit_minor_new": month.new}
        yield {"row": "month", "tenant": month.tenant, "month": month.month, **money}
    for change, all_breaches in (("gained", found.gained), ("lost", found.lost)):
        for breach in all_breaches:
            data = {name: value for name, value in _breach(breach).items() if name != "tenants"}
            yield {"row": "breach", "tenant": " ".join(breach.tenants), "change": change, **data}

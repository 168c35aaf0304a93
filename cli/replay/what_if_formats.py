"""What a comparison of two policies found, as tables for people."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from cli.support.console import plain_console, print_rows, safe
from streams.money import formatted
from streams.replay.what_if import StandingBreach
from streams.replay.what_if_result import ComparedTenant, Comparison, CreditSum, MonthChange
from streams.sla.instants import format_rfc3339

#: So many breaches are named in the tables; all of them in the files.
MOST_NAMED = 20


def print_tables(found: Comparison, old: str, new: str) -> None:
    """Each tenant for whom something differs, the total, and the first breaches gained and lost."""
    console = plain_console()
    rejected = f", {found.rejected:,} of them rejected" if found.rejected else ""
    console.print(f"{safe(old)} → {safe(new)}, over {found.lines:,} events{rejected}", soft_wrap=True)
    differing = [row for row in found.rows if row.differs]
    if not differing:
        console.print("no difference in breaches and credits", soft_wrap=True)
        return
    guarantees = found.total.guarantees > 0
    missed = ("months missed",) if guarantees else ()
    numbers = ("breaches", "gained", "lost", *missed, "credits", "change")
    cells = [_cells(row, guarantees=guarantees) for row in [*differing, found.total]]
    print_rows(("tenant", *numbers), cells, right=numbers, last_bold=True)
    alike = len(found.rows) - len(differing)
    if alike:
        console.print(f"{alike:,} other tenant{'' if alike == 1 else 's'}: no difference", soft_wrap=True)
    if sum(row.old for row in found.rows) > found.total.old or sum(row.new for row in found.rows) > found.total.new:
        console.print("in the total an incident of several tenants counts once", soft_wrap=True)
    _print_guarantees(console, found.months)
    for word, breaches in (("gained", found.gained), ("lost", found.lost)):
        _print_breaches(console, word, breaches)


def _cells(row: ComparedTenant, *, guarantees: bool) -> tuple[str, ...]:
    """With `guarantees` also the months in which the guarantee is missed; those may be others and as many."""
    money = [one for one in row.credits if one.old or one.new]
    return (
        row.tenant,
        f"{row.old:,} → {row.new:,}" if row.old != row.new else f"{row.old:,}",
        f"+{row.gained:,}" if row.gained else "",
        f"-{row.lost:,}" if row.lost else "",
        *(
            [f"{row.missed_old:,} → {row.missed_new:,}" if row.guarantees else f"{row.missed_old:,}"]
            if guarantees
            else []
        ),
        "\n".join(_credit(one) for one in money),
        "\n".join(_change(one) for one in money),
    )


def _credit(one: CreditSum) -> str:
    old, new = formatted(one.old, one.currency), formatted(one.new, one.currency)
    return old if old == new else f"{old} → {new}"


def _change(one: CreditSum) -> str:
    change = one.new - one.old
    return "" if change == 0 else ("+" if change > 0 else "") + formatted(change, one.currency)


def _print_guarantees(console: Console, months: list[MonthChange]) -> None:
    """The months in which one policy misses the guarantee and the other does not."""
    for word, met in (("missed", False), ("met", True)):
        changed = [one for one in months if one.guarantee_met_new is met and one.guarantee_met_old is not met]
        if not changed:
            continue
        console.print(f"guarantee now {word}: {len(changed):,} month{'' if len(changed) == 1 else 's'}", soft_wrap=True)
        for one in changed[:MOST_NAMED]:
            console.print(safe(f"  {one.tenant} {one.month}"), soft_wrap=True)
        if len(changed) > MOST_NAMED:
            console.print(f"  and {len(changed) - MOST_NAMED:,} more (--format json names all)", soft_wrap=True)


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

"""What the demo prints of the history: alerts by kind, the worst lapses, availability and credit per month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import cast

from rich.console import Console
from rich.table import Table

from cli.replay.outcome import Event, Outcome, data_of
from streams.money import formatted
from streams.sla.instants import parse_rfc3339

_SECOND = 1_000_000


def print_history(console: Console, outcome: Outcome, seconds: float, events: int) -> None:
    """The results of the whole history."""
    console.print(f"\n   [bold]What came out[/bold], {events / max(seconds, 0.001):,.0f} input events a second")
    _print_kinds(console, outcome)
    _print_lapses(console, outcome)
    _print_months(console, outcome)


def _print_kinds(console: Console, outcome: Outcome) -> None:
    table = Table(box=None, padding=(0, 2, 0, 3))
    table.add_column("output event")
    table.add_column("count", justify="right")
    for kind, count in sorted(outcome.kinds.items()):
        table.add_row(kind, f"{count:,}")
    console.print(table)


def _print_lapses(console: Console, outcome: Outcome) -> None:
    """The slowest answers by severity, and the longest silences beyond an update deadline; of equals the first id."""
    rows: dict[tuple[str, str], tuple[int, Event, Mapping[str, object]]] = {}
    for event in sorted(outcome.closed.values(), key=lambda event: str(event["subject"])):
        data = data_of(event)
        for clock in cast(list[Mapping[str, object]], data["clocks"]):
            if clock["verdict"] == "cancelled" or clock["metric"] == "resolution":
                continue
            taken = int(float(cast(float, clock["wall_s"])))
            key = (str(clock["metric"]), str(data["severity"]))
            if key not in rows or taken > rows[key][0]:
                rows[key] = (taken, event, clock)
    table = Table(box=None, padding=(0, 2, 0, 3))
    for title in ("worst lapse", "severity", "incident", "taken", "verdict"):
        table.add_column(title, justify="right" if title == "taken" else "left")
    for (metric, severity), (taken, event, clock) in sorted(rows.items()):
        verdict = str(clock["verdict"])
        colour = "red" if verdict == "breached" else "green"
        table.add_row(metric, severity, str(event["subject"]), span(taken), f"[{colour}]{verdict}[/{colour}]")
    console.print(table)
    breaches = sorted(outcome.standing_breaches(), key=lambda event: str(event["time"]))
    console.print(f"   {len(breaches)} {'breach' if len(breaches) == 1 else 'breaches'}:")
    for event in breaches:
        data = data_of(event)
        title = cast(Mapping[str, str], data["title"])["en"]
        console.print(f"   {str(data['deadline'])[:16].replace('T', ' ')}  {event['subject']}  {title}")


def _print_months(console: Console, outcome: Outcome) -> None:
    """Months with downtime, each tenant's availability and credit; quiet months are counted."""
    tenants = sorted({tenant for tenant, _ in outcome.statements})
    by_month: dict[str, dict[str, Event]] = defaultdict(dict)
    quiet = 0
    for (tenant, month), event in outcome.statements.items():
        by_month[month][tenant] = event
    table = Table(box=None, padding=(0, 2, 0, 3))
    table.add_column("month")
    for tenant in tenants:
        table.add_column(tenant, justify="right")
    for month in sorted(by_month):
        statements = by_month[month]
        if all(data_of(event)["downtime_s"] == 0 for event in statements.values()):
            quiet += 1
            continue
        table.add_row(month, *(_cell(statements.get(tenant)) for tenant in tenants))
    console.print(table)
    console.print(f"   and {quiet} quiet months at 100 %.")
    console.print("   [green]green[/green]: the guaranteed 99.9 % were kept; [red]red[/red]: they were missed.")
    console.print("   A credit is due for each full percentage point under 99 %.")


def _cell(event: Event | None) -> str:
    if event is None:
        return "—"
    data = data_of(event)
    percent = f"{float(str(cast(Mapping[str, object], data['availability'])['percent'])):.3f} %"
    credit = cast(Mapping[str, object], data["credit"])
    colour = "green" if data["guarantee_met"] else "red"
    text = f"[{colour}]{percent}[/{colour}]"
    return (
        text
        if credit["amount_minor"] == 0
        else f"{text} → credit {formatted(cast(int, credit['amount_minor']), str(credit['currency']))}"
    )


def span(seconds: int) -> str:
    """Seconds as 3 h 12 min."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def lag_s(event: Event, seen_at: int) -> float:
    """Seconds from the instant an event is true of to the instant a reader saw it; `seen_at` in microseconds."""
    return (seen_at - parse_rfc3339(str(event["time"]))) / _SECOND

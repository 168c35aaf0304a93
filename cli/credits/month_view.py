"""A tenant's month for people: a row of the list, and its arithmetic line by line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from board.arithmetic import arithmetic
from board.pages.tenant_texts import tenant_phrases
from cli.credits.months import MonthStatement
from cli.support.console import safe
from streams.money import formatted
from streams.sla.credits.submitted import duration
from streams.sla.instants import format_rfc3339
from streams.sla.policy import Policy

HEADS = ("TENANT", "MONTH", "STATUS", "AVAILABILITY", "CREDIT", "CLAIMABLE UNTIL")
PLAIN_HEADS = (
    "tenant",
    "month",
    "status",
    "revision",
    "availability_percent",
    "guarantee_met",
    "credit_minor",
    "currency",
    "claimable_until",
)
_INDENT = "    "


def cells(month: MonthStatement) -> Sequence[str]:
    """The cells of a row, in the order of `HEADS`."""
    terms = month.terms
    credit = formatted(terms.credit, terms.currencies[0])
    return terms.tenant, terms.month, terms.status, f"{terms.availability[2]} %", credit, _until(month)


def plain_cells(month: MonthStatement) -> Sequence[str]:
    """The same for programs, in the order of `PLAIN_HEADS`."""
    terms = month.terms
    return (
        terms.tenant,
        terms.month,
        terms.status,
        str(terms.revision),
        terms.availability[2],
        "yes" if terms.guarantee_met else "no",
        str(terms.credit),
        terms.currencies[0],
        _until(month),
    )


def month_lines(month: MonthStatement, policy: Policy | None, now: int, width: int) -> Iterator[str]:
    """The statement in full. Names of lines are wrapped to `width`, unless it is 0; amounts never are."""
    terms, phrases = month.terms, tenant_phrases("en")
    yield f"{safe(terms.tenant)}  {terms.month}  {terms.status}, revision {terms.revision}"
    start, end = format_rfc3339(terms.period.start), format_rfc3339(terms.period.end)
    yield f"{start} to {end} ({safe(terms.period.zone)})"
    name, version, _ = terms.policy
    yield f"policy {safe(name)} version {safe(version)}"
    if terms.flags:
        yield f"flags: {safe(', '.join(terms.flags))}"
    yield ""
    for line in arithmetic(terms, policy):
        title = phrases.lines[line.name]
        if line.spans is not None:
            title = f"{title} ({line.spans:,} spans)"
        yield from textwrap.wrap(title, width - 1) if width > 20 else [title]
        computed = " = ".join(part for part in (line.expression, line.result) if part)
        yield f"{_INDENT}{computed}"
        if line.stated is not None:
            yield f"{_INDENT}the statement says {line.stated}"
    if policy is None:
        yield f"policy {safe(name)} version {safe(version)} is not here, so that the credit can't be derived"
        yield f"{_INDENT}credit {formatted(terms.credit, terms.currencies[0])}"
    yield ""
    for title, spans in (("outages", terms.intervals), ("maintenance that does not count", terms.exclusions)):
        for number, span in enumerate(spans):
            if number == 0:
                yield f"{title}:"
            length = duration(span.end - span.start)
            yield f"{_INDENT}{format_rfc3339(span.start)} to {format_rfc3339(span.end)}, {length}"
    if terms.claimable_until is not None:
        over = "could be claimed until" if terms.claimable_until < now else "claimable until"
        yield f"{over} {_until(month)}"


def _until(month: MonthStatement) -> str:
    until = month.terms.claimable_until
    return "-" if until is None else format_rfc3339(until)

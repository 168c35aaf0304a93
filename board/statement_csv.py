"""A statement as CSV: its terms, its arithmetic, its spans and its evidence, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from board.arithmetic import ArithmeticLine
from board.queries.statements import EvidenceItem
from streams.csv_text import csv_text
from streams.sla.credits.submitted import SubmittedStatement
from streams.sla.instants import SECOND, format_rfc3339

#: Columns; new ones are appended. `row` says which a line has: term, arithmetic, outage, excluded or evidence.
COLUMNS = (
    "row",
    "tenant",
    "month",
    "revision",
    "name",
    "rule",
    "computed_from",
    "value",
    "start",
    "end",
    "seconds",
    "topic",
    "partition",
    "offset",
)


def statement_csv(
    terms: SubmittedStatement, lines: Sequence[ArithmeticLine], evidence: Sequence[EvidenceItem] | None = None
) -> str:
    """The CSV (RFC 4180) of a revision; durations in seconds, money in minor units, instants in UTC. Without `evidence`
    it is for the customer: the digest is left out too."""
    return csv_text(COLUMNS, _rows(terms, lines, evidence))


def _rows(
    terms: SubmittedStatement, lines: Sequence[ArithmeticLine], evidence: Sequence[EvidenceItem] | None
) -> Iterator[dict[str, object]]:
    head: dict[str, object] = {"tenant": terms.tenant, "month": terms.month, "revision": terms.revision}
    values: dict[str, object] = {
        "status": terms.status,
        "as_of": format_rfc3339(terms.time),
        "period_start": format_rfc3339(terms.period.start),
        "period_end": format_rfc3339(terms.period.end),
        "time_zone": terms.period.zone,
        "policy": "{} {}".format(*terms.policy),
        "eligible_s": seconds(terms.eligible),
        "excluded_s": seconds(terms.excluded),
        "downtime_s": seconds(terms.downtime),
        "availability_numerator": terms.availability[0],
        "availability_denominator": terms.availability[1],
        "availability_percent": terms.availability[2],
        "guarantee_met": str(terms.guarantee_met).lower(),
        "credit_percent": terms.credit_percent,
        "currency": terms.currencies[0],
        "monthly_charge_minor": terms.charge,
        "credit_minor": terms.credit,
        "delta_minor": terms.delta,
        "waived_minor": terms.waived,
        "claimable_until": "" if terms.claimable_until is None else format_rfc3339(terms.claimable_until),
        "flags": " ".join(terms.flags),
        **({} if evidence is None else {"digest": terms.digest}),
    }
    for name, value in values.items():
        yield {"row": "term", **head, "name": name, "value": value}
    for line in lines:
        expression = line.expression if line.spans is None else f"{line.spans} spans"
        computed = {"rule": line.rule, "computed_from": expression, "value": line.result}
        yield {"row": "arithmetic", **head, "name": line.name, **computed}
    for kind, spans in (("outage", terms.intervals), ("excluded", terms.exclusions)):
        for start, end in spans:
            bounds = {"start": format_rfc3339(start), "end": format_rfc3339(end), "seconds": seconds(end - start)}
            yield {"row": kind, **head, **bounds}
    for item in evidence or ():
        yield {"row": "evidence", **head, "name": item.kind, "value": item.id, **item.position._asdict()}


def seconds(micros: int) -> int | str:
    """A duration in seconds, exact."""
    whole, rest = divmod(micros, SECOND)
    return whole if not rest else f"{whole}.{rest:06d}".rstrip("0")

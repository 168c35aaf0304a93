"""A statement submitted for verification, and the text form of its terms in findings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Any, NamedTuple, cast

from streams.sla.canonical_json import canonical_json
from streams.sla.credits import formula
from streams.sla.credits.intervals import Interval
from streams.sla.credits.statement import Period
from streams.sla.credits.statement_record import EvidenceSummary, SpansSummary, digested
from streams.sla.instants import SECOND, Month, format_rfc3339

Fields = Mapping[str, object]
#: A finding lists at most this many spans or inputs, and counts the rest.
MAX_LISTED = 3


class TermDifference(NamedTuple):
    """The first term that differs: the submitted and the recomputed value as text. `incidents` are the ids of the
    incidents that differing downtime comes from."""

    term: str
    stated: str
    recomputed: str
    incidents: tuple[str, ...] = ()


def differs(term: str, stated: object, recomputed: object) -> TermDifference | None:
    """The difference of a term, None when there is none."""
    return None if stated == recomputed else TermDifference(term, str(stated), str(recomputed))


@dataclass(frozen=True, slots=True)
class SubmittedStatement:
    """A submitted statement. Durations and instants in microseconds, amounts in minor units; `own_digest` is the digest
    of the submitted JSON. `event_id`, `source` and `subject` are those of its event."""

    event_id: str
    source: str
    subject: str
    time: int
    tenant: str
    month: Month
    status: str
    revision: int
    period: Period
    eligible: int
    downtime: int
    excluded: int
    availability: tuple[int, int, str]
    guarantee_met: bool
    credit_percent: str
    charge: int
    credit: int
    delta: int
    waived: int
    currencies: tuple[str, ...]
    claimable_until: int | None
    intervals: tuple[Interval, ...]
    exclusions: tuple[Interval, ...]
    evidence: frozenset[tuple[str, str]]
    evidence_summary: EvidenceSummary | None
    spans_summary: SpansSummary | None
    flags: tuple[str, ...]
    policy: tuple[str, str, str]
    digest: str
    own_digest: str


def submitted_statement(record: Fields, data: Fields) -> SubmittedStatement:
    """The statement of a `credit.statement` record and of the same event's `data` in JSON form."""

    def amount(name: str) -> int:
        return cast(int, cast(Fields, record[name])["amount_minor"])

    def spans(name: str) -> tuple[Interval, ...]:
        return tuple(Interval(item["start"], item["end"]) for item in cast(list[dict[str, int]], record[name]))

    period, share = cast(dict[str, object], record["period"]), cast(dict[str, object], record["availability"])
    policy = cast(dict[str, str], record["policy"])
    evidence = cast(dict[str, Any] | None, record.get("evidence_summary"))
    summarized = cast(dict[str, Any] | None, record.get("spans_summary"))
    amounts = ("monthly_charge", "credit", "delta", "waived")
    return SubmittedStatement(
        event_id=str(record["event_id"]),
        source=str(record["source"]),
        subject=str(record["subject"]),
        time=cast(int, record["occurred_at"]),
        tenant=str(record["tenant_id"]),
        month=Month(str(record["month"])),
        status=str(record["status"]),
        revision=cast(int, record["revision"]),
        period=Period(cast(int, period["start"]), cast(int, period["end"]), str(period["time_zone"])),
        eligible=cast(int, record["eligible_s"]),
        downtime=cast(int, record["downtime_s"]),
        excluded=cast(int, record["excluded_s"]),
        availability=(cast(int, share["numerator"]), cast(int, share["denominator"]), str(share["percent"])),
        guarantee_met=bool(record["guarantee_met"]),
        credit_percent=str(record["credit_percent"]),
        charge=amount("monthly_charge"),
        credit=amount("credit"),
        delta=amount("delta"),
        waived=amount("waived"),
        currencies=tuple(str(cast(Fields, record[name])["currency"]) for name in amounts),
        claimable_until=cast(int | None, record["claimable_until"]),
        intervals=spans("intervals"),
        exclusions=spans("exclusions"),
        evidence=frozenset((item["kind"], item["id"]) for item in cast(list[dict[str, str]], record["evidence"])),
        evidence_summary=None if evidence is None else EvidenceSummary(**evidence),
        spans_summary=None if summarized is None else SpansSummary(**summarized),
        flags=tuple(cast(list[str], record["flags"])),
        policy=(policy["name"], policy["version"], policy["digest"]),
        digest=str(record["digest"]),
        own_digest=_digest_of_json(data, str(record["digest"])),
    )


class SubmittedCredit(NamedTuple):
    """A submitted `credit.issued`. Instants in microseconds, the amount in minor units."""

    event_id: str
    source: str
    subject: str
    time: int
    tenant: str
    month: Month
    revision: int
    amount: int
    currency: str
    cause: str
    policy: tuple[str, str, str]


def submitted_credit(record: Fields) -> SubmittedCredit:
    """The credit of a `credit.issued` record."""
    amount, policy = cast(Fields, record["amount"]), cast(dict[str, str], record["policy"])
    return SubmittedCredit(
        *(str(record["event_id"]), str(record["source"]), str(record["subject"]), cast(int, record["occurred_at"])),
        *(str(record["tenant_id"]), Month(str(record["month"])), cast(int, record["statement_revision"])),
        *(cast(int, amount["amount_minor"]), str(amount["currency"]), str(record["cause"])),
        (policy["name"], policy["version"], policy["digest"]),
    )


def _digest_of_json(data: Fields, stated: str) -> str:
    """The documented recipe over the JSON as submitted: fields that this release does not know are part of the digest
    too. Statements of earlier releases have their numbers as Python writes them, which differs from RFC 8785 for
    durations under 100 µs and integers above 2^53: a digest of that form is accepted as well."""
    body = digested(data)
    earlier = _sha256(json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
    return earlier if earlier == stated else _sha256(canonical_json(body))


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()


# -- terms as text ---------------------------------------------------------------------------------------------------


def duration(micros: int) -> str:
    """Seconds with up to six decimals: 57,960 s."""
    whole, rest = divmod(micros, SECOND)
    return f"{whole:,}" + (f".{rest:06d}".rstrip("0") if rest else "") + " s"


def instant(micros: int | None) -> str:
    return "none" if micros is None else format_rfc3339(micros)


def span(period: Period) -> str:
    return f"{instant(period.start)} to {instant(period.end)}, {period.zone}"


def share(numerator: int, denominator: int, percent: str) -> str:
    return f"{numerator}/{denominator}, {percent} %"


def fraction(available: Fraction) -> str:
    return share(available.numerator, available.denominator, formula.decimals(available * 100))


def met(guarantee_met: bool) -> str:
    return "met" if guarantee_met else "missed"


def money(amount: int, currency: str) -> str:
    """An amount in minor units, as in statements."""
    return f"{amount:,} {currency} minor units"


def policy_of(reference: tuple[str, str, str]) -> str:
    """Name, version and digest of a policy."""
    return "{} {}, digest {}".format(*reference)


def listed(spans: Sequence[Interval]) -> str:
    """The first spans, and how many more there are."""
    first = "; ".join(f"{instant(one.start)} to {instant(one.end)}" for one in spans[:MAX_LISTED])
    more = len(spans) - MAX_LISTED
    return (first or "nothing") + (f"; {more:,} more" if more > 0 else "")


def named(evidence: Iterable[tuple[str, str]]) -> str:
    """The first inputs, and how many more there are."""
    first = [f"{kind} {name}" for kind, name in sorted(evidence)]
    more = len(first) - MAX_LISTED
    return (", ".join(first[:MAX_LISTED]) or "nothing") + (f", {more:,} more" if more > 0 else "")


def summarized_evidence(summary: EvidenceSummary) -> str:
    """The counts and the digest of summarised evidence."""
    return (
        f"{summary.inputs:,} inputs of {summary.contracts:,} contracts, {summary.maintenance:,} maintenances and "
        f"{summary.incidents:,} incidents, digest {summary.ids_digest}"
    )


def summarized_spans(count: int, digest: str) -> str:
    """The count and the digest of summarised intervals or exclusions."""
    return f"{count:,} spans, digest {digest}"

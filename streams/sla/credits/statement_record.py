"""The record of a `credit.statement`: its terms, its evidence listed or summarised, its digest (R26, R28)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from streams.sla import calendar
from streams.sla.canonical_json import canonical_json, quoted
from streams.sla.credits import formula
from streams.sla.credits.intervals import Interval
from streams.sla.credits.statement import MonthResult
from streams.sla.credits.work_steps import ITEMS_PER_STEP, Steps, digest_steps
from streams.sla.evidence import MAX_POSITIONS, PositionsSummary, ranges_of
from streams.sla.instants import SECOND, format_rfc3339

MAX_SPANS = 10_000
"""A statement lists at most this many intervals, and as many exclusions: less than 400 KiB."""


class EvidenceSummary(NamedTuple):
    """The deciding inputs of a statement where they are too many to be listed: how many contracts, maintenances,
    incidents and inputs. `ids_digest` is the SHA-256 of the canonical JSON of the sorted, distinct (kind, id)."""

    contracts: int
    maintenance: int
    incidents: int
    inputs: int
    ids_digest: str


class SpansSummary(NamedTuple):
    """Intervals and exclusions where they are too many to be listed: how many, and the SHA-256 of the canonical JSON of
    each list."""

    intervals: int
    intervals_digest: str
    exclusions: int
    exclusions_digest: str


def statement_data(
    tenant: str,
    result: MonthResult,
    *,
    status: str,
    revision: int,
    delta: int,
    waived: int,
    claimable_until: int,
    flags: Sequence[str],
) -> Steps[dict[str, object]]:
    """The record of a `credit.statement`, digest included. It is smaller than the limit of derived records, whatever
    the month's inputs are."""

    def money(amount: int) -> dict[str, object]:
        return {"amount_minor": amount, "currency": result.currency}

    period, available = result.period, result.available
    data: dict[str, object] = {
        "policy": result.policy.as_data(),
        "tenant_id": tenant,
        "month": result.month,
        "status": status,
        "revision": revision,
        "period": {"start": period.start, "end": period.end, "time_zone": period.zone},
        "eligible_s": result.eligible,
        "downtime_s": result.downtime,
        "excluded_s": result.excluded,
        "availability": {
            "numerator": available.numerator,
            "denominator": available.denominator,
            "percent": formula.decimals(available * 100),
        },
        "guarantee_met": result.guarantee_met,
        "credit_percent": formula.plain(result.percent),
        "monthly_charge": money(result.charge),
        "credit": money(result.credit),
        "delta": money(delta),
        "waived": money(waived),
        "claimable_until": claimable_until,
        **(yield from _spans_fields(result)),
        **(yield from _evidence_fields(result)),
        "flags": list(flags),
        "calendar_version": calendar.calendar_version(),
        "tzdata_version": calendar.tzdata_version(),
    }
    data["digest"] = yield from digest(data)
    return data


def _is_long(result: MonthResult) -> bool:
    return max(len(result.evidence), len(result.intervals), len(result.exclusions)) > ITEMS_PER_STEP


# -- evidence and spans ----------------------------------------------------------------------------------------------


def summarize_evidence(result: MonthResult) -> Steps[EvidenceSummary]:
    """The summary of all deciding inputs of a month."""
    pairs = result.evidence_ids
    if _is_long(result):
        yield
    kinds = [kind for kind, _ in pairs]
    inputs = len(result.evidence) + sum(summary.inputs for _, summary in result.summarized)
    ids = (f'{{"id":{quoted(name)},"kind":"{kind}"}}' for kind, name in pairs)
    counts = kinds.count("contract"), kinds.count("maintenance"), kinds.count("incident")
    return EvidenceSummary(*counts, inputs, (yield from digest_steps(ids)))


def summarize_spans(result: MonthResult) -> Steps[SpansSummary]:
    """The summary of a month's intervals and exclusions."""
    intervals = yield from _spans_digest(result.intervals)
    exclusions = yield from _spans_digest(result.exclusions)
    return SpansSummary(len(result.intervals), intervals, len(result.exclusions), exclusions)


def _spans_digest(spans: Iterable[Interval]) -> Steps[str]:
    return digest_steps(f'{{"end":"{format_rfc3339(end)}","start":"{format_rfc3339(start)}"}}' for start, end in spans)


def _spans_fields(result: MonthResult) -> Steps[dict[str, object]]:
    if max(len(result.intervals), len(result.exclusions)) > MAX_SPANS:
        summary = yield from summarize_spans(result)
        return {"intervals": [], "exclusions": [], "spans_summary": summary._asdict()}
    intervals = [{"start": start, "end": end} for start, end in result.intervals]
    if _is_long(result):
        yield
    exclusions = [{"start": start, "end": end} for start, end in result.exclusions]
    return {"intervals": intervals, "exclusions": exclusions, "spans_summary": None}


def _evidence_fields(result: MonthResult) -> Steps[dict[str, object]]:
    if len(result.evidence) <= MAX_POSITIONS and not result.summarized:
        return {
            "evidence": [{"kind": kind, "id": name, **position._asdict()} for kind, name, position in result.evidence],
            "evidence_summary": None,
            "evidence_positions": None,
        }
    return {
        "evidence": [],
        "evidence_summary": (yield from summarize_evidence(result))._asdict(),
        "evidence_positions": (yield from _positions_of(result)).as_data(),
    }


def _positions_of(result: MonthResult) -> Steps[PositionsSummary]:
    """The positions of all deciding inputs; of an incident whose own are summarised, its digest in place of them."""
    items: list[tuple[tuple[object, ...], str]] = []
    ranges = ranges_of((), (one for _, summary in result.summarized for one in summary.ranges))
    for first in range(0, len(result.evidence), ITEMS_PER_STEP):
        some = result.evidence[first : first + ITEMS_PER_STEP]
        for entry in some:
            kind, name, (topic, partition, offset) = entry
            place = f'"offset":{offset},"partition":{partition},"topic":{quoted(topic)}'
            items.append((entry, f'{{"id":{quoted(name)},"kind":"{kind}",{place}}}'))
        ranges = ranges_of((position for _, _, position in some), ranges)
        if len(some) == ITEMS_PER_STEP:
            yield
    for name, summary in result.summarized:
        place = f'"inputs":{summary.inputs},"kind":"incident"'
        items.append((("incident", name, ()), f'{{"digest":"{summary.digest}","id":{quoted(name)},{place}}}'))
    if _is_long(result):
        yield
    items.sort()
    if _is_long(result):
        yield
    inputs = len(result.evidence) + sum(summary.inputs for _, summary in result.summarized)
    return PositionsSummary(inputs, (yield from digest_steps(item for _, item in items)), ranges)


# -- digest ----------------------------------------------------------------------------------------------------------

_INSTANTS = frozenset(["start", "end", "claimable_until"])
_SPANS = frozenset(["intervals", "exclusions"])
_DURATIONS = frozenset(["eligible_s", "downtime_s", "excluded_s"])
#: Null where nothing is summarised: then they are no part of the digest, as before there were such fields.
SUMMARIES = frozenset(["evidence_summary", "spans_summary"])


def digest(data: Mapping[str, object]) -> Steps[str]:
    """SHA-256 (hexadecimal) over the RFC 8785 canonical JSON of a statement's data in JSON form."""
    body = digested({key: value if key in _SPANS else _json_form(key, value) for key, value in data.items()})
    fields = []
    for key in sorted(body):
        spans = body[key]
        if key in _SPANS and isinstance(spans, list):
            items = []
            for number, one in enumerate(spans, 1):
                items.append(canonical_json(_json_form(key, one)))
                if number % ITEMS_PER_STEP == 0:
                    yield
            fields.append(f"{quoted(key)}:[{','.join(items)}]")
        else:
            fields.append(f"{quoted(key)}:{canonical_json(body[key])}")
    return sha256(f"{{{','.join(fields)}}}".encode()).hexdigest()


def digested(data: Mapping[str, object]) -> dict[str, object]:
    """What of a statement's data in JSON form is digested: all but `digest` itself and positions. Of `evidence` the
    sorted, distinct (kind, id) pairs remain."""
    body = {
        key: value
        for key, value in data.items()
        if key not in ("digest", "evidence_positions") and not (key in SUMMARIES and value is None)
    }
    evidence = data.get("evidence", [])
    assert isinstance(evidence, list)
    pairs = sorted({(str(item["kind"]), str(item["id"])) for item in evidence})
    body["evidence"] = [{"kind": kind, "id": name} for kind, name in pairs]
    return body


def _json_form(key: str, value: object) -> object:
    if isinstance(value, dict):
        return {name: _json_form(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_json_form(key, item) for item in value]
    if isinstance(value, int) and key in _INSTANTS:
        return format_rfc3339(value)
    if isinstance(value, int) and key in _DURATIONS:
        return value // SECOND if value % SECOND == 0 else value / SECOND
    return value

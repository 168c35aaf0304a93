"""The statement of a month for the customer, in English or Japanese: the figures and their arithmetic, and nothing
internal: no incidents, no evidence, no places in topics, no other tenant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from board.arithmetic import ArithmeticLine, arithmetic
from board.charts.strips import StripSpan, days_of, month_strips
from board.pages.tenant_area import local_text
from board.pages.tenant_texts import TenantPhrases, tenant_phrases
from board.pages.texts import board_phrases
from board.reports.charts import inline
from board.reports.formats import HEAD, seconds
from streams.i18n.catalogues import Language
from streams.money import formatted
from streams.sla.credits.submitted import SubmittedStatement
from streams.sla.instants import format_rfc3339
from streams.sla.policy import Policies


@dataclass(frozen=True, slots=True)
class CustomerStatement:
    """The highest revision of a month, its arithmetic, and what was issued for the month, in minor units."""

    terms: SubmittedStatement
    lines: tuple[ArithmeticLine, ...]
    issued: int


def of_revisions(
    revisions: dict[int, SubmittedStatement], credits: list[tuple[int, int]], policies: Policies
) -> CustomerStatement | None:
    """The highest of the revisions; `credits` are pairs of revision and amount in minor units."""
    if not revisions:
        return None
    terms = revisions[max(revisions)]
    settled = [one for one in revisions.values() if one.status != "provisional" and one.revision < terms.revision]
    before = max(settled, key=lambda one: one.revision, default=None)
    earlier = sum(amount for revision, amount in credits if revision < terms.revision)
    lines = arithmetic(terms, policies.exact(*terms.policy[:2]), before=before, issued=earlier)
    return CustomerStatement(terms, tuple(lines), sum(amount for _, amount in credits))


def _facts(found: CustomerStatement, phrases: TenantPhrases, language: Language) -> Iterator[tuple[str, str]]:
    terms, zone, currency = found.terms, found.terms.period.zone, found.terms.currencies[0]
    word = phrases.guarantee_words["met" if terms.guarantee_met else "missed"]
    period = f"{local_text(terms.period.start, zone)} – {local_text(terms.period.end, zone)}, {zone}"
    yield phrases.facts["period"], period
    yield phrases.heads["availability"], f"{terms.availability[2]} %"
    yield phrases.heads["guarantee"], word
    yield phrases.heads["downtime"], board_phrases(language).duration(terms.downtime)
    yield phrases.heads["charge"], formatted(terms.charge, currency)
    yield phrases.heads["credit"], f"{formatted(terms.credit, currency)} ({terms.credit_percent} %)"
    if found.issued:
        yield phrases.facts["issued"], formatted(found.issued, currency)
    if terms.claimable_until is not None:
        yield phrases.facts["claim"], f"{local_text(terms.claimable_until, zone)}, {zone}"
    yield phrases.facts["policy"], " ".join(terms.policy[:2])
    yield phrases.facts["published"], f"{local_text(terms.time, zone)}, {zone}"


def _heading(terms: SubmittedStatement, phrases: TenantPhrases) -> str:
    status = phrases.statuses.get(terms.status, terms.status)
    month = phrases.month_title.format(tenant=terms.tenant, month=terms.month)
    return f"{month} · {phrases.revision_of.format(status=status, revision=terms.revision)}"


def _computed(line: ArithmeticLine, phrases: TenantPhrases) -> str:
    return line.expression if line.spans is None else phrases.spans_counted.format(count=f"{line.spans:,}")


def _spans(terms: SubmittedStatement) -> list[tuple[str, int, int]]:
    spans = [("outage", *each) for each in terms.intervals] + [("excluded", *each) for each in terms.exclusions]
    return sorted(spans, key=lambda each: each[1:])


def statement_lines(found: CustomerStatement, language: Language) -> list[str]:
    """The statement as lines of plain text."""
    terms, phrases, common = found.terms, tenant_phrases(language), board_phrases(language)
    lines = [phrases.statement_title, _heading(terms, phrases), ""]
    lines += [f"{name}: {value}" for name, value in _facts(found, phrases, language)]
    lines += ["", phrases.arithmetic_title]
    for line in found.lines:
        lines.append(f"- {phrases.lines[line.name]}")
        shown = " = ".join(part for part in (_computed(line, phrases), line.result) if part)
        lines.append(f"    {shown}")
    if spans := _spans(terms):
        lines += ["", f"{phrases.strips_title} ({terms.period.zone})"]
    for kind, start, end in spans:
        bounds = f"{local_text(start, terms.period.zone)} – {local_text(end, terms.period.zone)}"
        lines.append(f"- {phrases.span_kinds[kind]}: {bounds} ({common.duration(end - start)})")
    return lines


def statement_html(found: CustomerStatement, language: Language) -> str:
    """The statement as one page that needs nothing else."""
    terms, phrases, common = found.terms, tenant_phrases(language), board_phrases(language)
    facts = "".join(_row(*pair) for pair in _facts(found, phrases, language))
    lines = "".join(_row(phrases.lines[line.name], _computed(line, phrases), line.result) for line in found.lines)
    zone = terms.period.zone
    spans = "".join(
        _row(phrases.span_kinds[kind], local_text(start, zone), local_text(end, zone), common.duration(end - start))
        for kind, start, end in _spans(terms)
    )
    heads = "".join(f'<th scope="col">{escape(phrases.heads[name])}</th>' for name in ("line", "computed", "result"))
    title = escape(phrases.statement_title)
    parts = [
        HEAD.format(title=f"{title} {escape(terms.tenant)} {escape(terms.month)}", language=language),
        f"<main>\n<h1>{title}</h1>\n<p>{escape(_heading(terms, phrases))}</p>\n",
        f'<div class="wide"><table><tbody>\n{facts}</tbody></table></div>\n',
        f"<h2>{escape(phrases.arithmetic_title)}</h2>\n",
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>\n{lines}</tbody></table></div>\n',
        f"<h2>{escape(phrases.strips_title)}</h2>\n",
        _strips(terms, phrases),
    ]
    if spans:
        caption = escape(phrases.spans_table.format(zone=zone))
        parts.append(f'<div class="wide"><table><caption>{caption}</caption><tbody>\n{spans}</tbody></table></div>\n')
    return "".join([*parts, "</main>\n</body>\n</html>\n"])


def statement_json(found: CustomerStatement) -> str:
    """The statement as one JSON object; durations in seconds, money in minor units, instants in UTC."""
    terms = found.terms
    numerator, denominator, percent = terms.availability
    data = {
        "tenant_id": terms.tenant,
        "month": terms.month,
        "revision": terms.revision,
        "status": terms.status,
        "as_of": format_rfc3339(terms.time),
        "period": {**_span(terms.period.start, terms.period.end), "time_zone": terms.period.zone},
        "policy": dict(zip(("name", "version"), terms.policy[:2], strict=True)),
        "availability": {"numerator": numerator, "denominator": denominator, "percent": percent},
        "guarantee_met": terms.guarantee_met,
        "eligible_s": seconds(terms.eligible),
        "excluded_s": seconds(terms.excluded),
        "downtime_s": seconds(terms.downtime),
        "currency": terms.currencies[0],
        "monthly_charge_minor": terms.charge,
        "credit_percent": terms.credit_percent,
        "credit_minor": terms.credit,
        "issued_minor": found.issued,
        "waived_minor": terms.waived,
        "claimable_until": None if terms.claimable_until is None else format_rfc3339(terms.claimable_until),
        "arithmetic": [
            {
                "name": line.name,
                "rule": line.rule,
                "computed_from": line.expression if line.spans is None else f"{line.spans} spans",
                "result": line.result,
            }
            for line in found.lines
        ],
        "outages": [_span(*each) for each in terms.intervals],
        "exclusions": [_span(*each) for each in terms.exclusions],
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def _span(start: int, end: int) -> dict[str, str]:
    return {"start": format_rfc3339(start), "end": format_rfc3339(end)}


def _row(first: str, *cells: str) -> str:
    return f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(each)}</td>" for each in cells)}</tr>\n'


def _strips(terms: SubmittedStatement, phrases: TenantPhrases) -> str:
    zone = terms.period.zone
    spans = [
        StripSpan(kind, start, end, f"{phrases.span_kinds[kind]}: {local_text(start, zone)} – {local_text(end, zone)}")
        for kind, start, end in _spans(terms)
    ]
    description = phrases.strips_description.format(
        month=terms.month,
        tenant=terms.tenant,
        zone=zone,
        outages=len(terms.intervals),
        excluded=len(terms.exclusions),
        outside=0,
    )
    days = days_of(terms.period.start, terms.period.end, zone)
    return inline(month_strips(days, spans, identity="strips", name=phrases.strips_title, description=description))

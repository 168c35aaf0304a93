"""What changed between two revisions of a statement, term by term."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streams.money import formatted
from streams.sla.credits.submitted import SubmittedStatement, duration, instant, share, span
from streams.sla.instants import format_rfc3339

#: Of intervals or evidence that changed, so many are named.
MOST_NAMED = 5


class TermChange(NamedTuple):
    """A term that differs: the key of its name, and both values as text. `removed` and `added` name what a list lost
    and gained, at most `MOST_NAMED` of each; their numbers are in `before` and `after` then."""

    term: str
    before: str
    after: str
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def changes(before: SubmittedStatement, after: SubmittedStatement) -> list[TermChange]:
    """The terms that differ, in the order of the arithmetic; revision, instant and digest differ always and are left
    out."""
    return list(_changes(before, after))


def _changes(before: SubmittedStatement, after: SubmittedStatement) -> Iterator[TermChange]:
    def money(statement: SubmittedStatement, name: str) -> str:
        return formatted(getattr(statement, name), statement.currencies[0])

    yield from _differing("status", before.status, after.status)
    yield from _differing("period", span(before.period), span(after.period))
    yield from _differing("policy", *("{} {}".format(*one.policy) for one in (before, after)))
    yield from _differing("eligible", duration(before.eligible), duration(after.eligible))
    yield from _differing("excluded", duration(before.excluded), duration(after.excluded))
    yield from _listed("exclusions", *(_spans(one.exclusions) for one in (before, after)))
    yield from _differing("downtime", duration(before.downtime), duration(after.downtime))
    yield from _listed("intervals", *(_spans(one.intervals) for one in (before, after)))
    yield from _differing("availability", share(*before.availability), share(*after.availability))
    yield from _differing("guarantee", *("met" if one.guarantee_met else "missed" for one in (before, after)))
    yield from _differing("percent", f"{before.credit_percent} %", f"{after.credit_percent} %")
    for name in ("charge", "credit", "delta", "waived"):
        yield from _differing(name, money(before, name), money(after, name))
    yield from _differing("claimable", instant(before.claimable_until), instant(after.claimable_until))
    yield from _listed("evidence", *({f"{kind} {name}" for kind, name in one.evidence} for one in (before, after)))
    yield from _differing("flags", ", ".join(before.flags), ", ".join(after.flags))


def _differing(term: str, before: str, after: str) -> Iterator[TermChange]:
    if before != after:
        yield TermChange(term, before, after)


def _listed(term: str, before: set[str], after: set[str]) -> Iterator[TermChange]:
    if before != after:
        removed, added = sorted(before - after), sorted(after - before)
        yield TermChange(
            term, str(len(before)), str(len(after)), tuple(removed[:MOST_NAMED]), tuple(added[:MOST_NAMED])
        )


def _spans(spans: tuple[tuple[int, int], ...]) -> set[str]:
    return {f"{format_rfc3339(start)} – {format_rfc3339(end)}" for start, end in spans}

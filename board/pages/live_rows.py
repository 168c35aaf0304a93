"""The rows of the live page as HTML. A row is rendered once for each state of its incident; what depends on the present
instant is put into its slots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

from markupsafe import Markup, escape

from board.pages.live_texts import LivePhrases
from board.pages.render import environment
from board.pages.texts import BoardPhrases, board_phrases
from board.pages.urgency import Deadline, nearest
from board.queries.incident_state import flags_of
from board.queries.incidents import IncidentRow, Sort
from board.viewer import Viewer
from streams.i18n.catalogues import Language, load

_TENANTS_SHOWN = 2
#: Rendered rows in memory: for a few viewers with different languages and zones.
_MOST_STORED = 2_000
#: Where a value of the present instant belongs. No escaped text contains it.
_SLOT = Markup("<slot/>")


@dataclass(frozen=True, slots=True)
class LiveRow:
    """What the template shows of one row. `key` orders rows as the list does: the deadline, or the negative time of
    change, in microseconds; None comes last."""

    incident: IncidentRow
    heading: str
    detail: str
    tenants: tuple[str, ...]
    tenants_omitted: int
    flags: tuple[str, ...]
    deadline: Deadline | None
    paused: bool
    key: int | None


def row_html(row: IncidentRow, seen_by: Viewer, sort: Sort, now: int) -> Markup:
    """One row at an instant (microseconds UTC)."""
    shown, pieces = _rendered(row, seen_by, sort)
    common, phrases = board_phrases(seen_by.language), live_phrases(seen_by.language)
    values = _present(shown, common, phrases, now)
    texts = (text for both in zip(pieces, (*map(escape, values), ""), strict=True) for text in both)
    return Markup("".join(texts))  # nosec B704


def live_row(row: IncidentRow, language: Language, sort: Sort) -> LiveRow:
    """A row for people. Its title is the summary, where there is one; the severity is shown apart from both."""
    title = (row.title_ja if language == "ja" else row.title_en).removeprefix(f"{row.severity} ")
    return LiveRow(
        incident=row,
        heading=row.summary or title,
        detail=title if row.summary else "",
        tenants=row.tenant_ids[:_TENANTS_SHOWN],
        tenants_omitted=max(len(row.tenant_ids) - _TENANTS_SHOWN, 0),
        flags=flags_of(row.state) if row.status == "open" else (),
        deadline=nearest(row.clocks) if row.status == "open" else None,
        paused=any(clock.state == "paused" for clock in row.clocks),
        key=row.next_deadline if sort == "next_deadline" else -row.changed_at,
    )


@cache
def live_phrases(language: Language) -> LivePhrases:
    """The page's texts in one language."""
    return load(LivePhrases, "board_live", language)


def _present(shown: LiveRow, common: BoardPhrases, phrases: LivePhrases, now: int) -> list[str]:
    """The values of the slots, in the order of the template."""
    due, incident = shown.deadline, shown.incident
    if incident.status == "open":
        since = common.duration(now - incident.opened_at)
    else:
        since = common.relative(incident.changed_at, now)
    if due is None:
        return ["paused" if shown.paused else "none", since]
    urgency = due.urgency(now)
    return [urgency, f"{due.elapsed(now):.1f}", phrases.urgencies[urgency], common.relative(due.at, now), since]


@lru_cache(maxsize=_MOST_STORED)
def _rendered(row: IncidentRow, seen_by: Viewer, sort: Sort) -> tuple[LiveRow, tuple[str, ...]]:
    """A row, and its HTML around the slots. The whole row is the key, so nothing outdated is found."""
    shown, common = live_row(row, seen_by.language, sort), board_phrases(seen_by.language)
    template = environment().get_template("live/row.html")
    html = template.render(
        each=shown, viewer=seen_by, common=common, phrases=live_phrases(seen_by.language), slot=_SLOT
    )
    return shown, tuple(html.split(_SLOT))

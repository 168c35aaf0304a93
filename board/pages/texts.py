"""The texts that every page of the board uses (streams/i18n/board.pot)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from streams.i18n.catalogues import Language, load
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND

#: Texts by key; the annotation lists the keys.
Texts = Mapping[str, str]
PAGES = ("live", "overview", "tenants", "proposals", "maintenance", "policies", "rejected", "audit", "system")
STATUSES = ("open", "resolved", "merged", "annulled", "unknown")
METRICS = ("response", "update", "resolution", "unknown")
ERRORS = ("not_found", "invalid", "unavailable", "internal")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardPhrases:
    """The messages of one language."""

    product: str
    skip_to_content: str
    navigation: str
    pages: Annotated[Texts, PAGES]
    open_proposals: str
    language: str
    zone: str
    shortcuts: str
    shortcut_keys: Annotated[Texts, ("search", "down", "up", "open", "help", "close")]
    close: str
    more: str
    connecting: str
    live: str
    stale: str
    statuses: Annotated[Texts, STATUSES]
    metrics: Annotated[Texts, METRICS]
    days_hours: str
    hours_minutes: str
    minutes_only: str
    seconds_only: str
    in_time: str
    time_ago: str
    utc: str
    nobody: str
    everyone: str
    no_answer: str
    typed_stays: str
    waiting: Annotated[Texts, ("customer", "third_party", "unknown")]
    backfill: str
    notification_kinds: Annotated[Texts, ("page", "pending", "parked", "retry")]
    errors: Annotated[Texts, (*ERRORS, *(f"{error}_hint" for error in ERRORS))]
    to_live: str

    def duration(self, micros: int) -> str:
        """A duration in at most two units: 3 d 4 h, 2 h 05 min, 12 min, 40 s. Negative ones count as zero."""
        micros = max(micros, 0)
        if micros >= 2 * DAY:
            return self.days_hours.format(days=micros // DAY, hours=micros % DAY // HOUR)
        if micros >= HOUR:
            return self.hours_minutes.format(hours=micros // HOUR, minutes=f"{micros % HOUR // MINUTE:02d}")
        if micros >= MINUTE:
            return self.minutes_only.format(minutes=micros // MINUTE)
        return self.seconds_only.format(seconds=micros // SECOND)

    def relative(self, instant: int, now: int) -> str:
        """An instant as people say it: in 12 min, 3 h 05 min ago."""
        if instant >= now:
            return self.in_time.format(time=self.duration(instant - now))
        return self.time_ago.format(time=self.duration(now - instant))


@cache
def board_phrases(language: Language) -> BoardPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(BoardPhrases, "board", language)

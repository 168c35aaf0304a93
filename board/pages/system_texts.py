"""The texts of the system page (streams/i18n/board_system.pot)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from board.pages.texts import Texts
from streams.i18n.catalogues import Language, Plural, load


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemPhrases:
    """The messages of one language."""

    heading: str
    empty: str
    empty_hint: str
    events_applied: str
    reading_heading: str
    current: str
    behind: Plural
    building: str
    failed: str
    failed_hint: str
    timers_heading: str
    timers_fine: str
    timers_late: Plural
    timers_first: str
    timers_backfill: Plural
    partitions_heading: str
    partition_columns: Annotated[Texts, ("topic", "partitions", "next", "lag")]
    versions_heading: str
    versions_empty: str
    version_columns: Annotated[Texts, ("policy", "open", "incidents", "statements", "digest", "here")]
    here: Annotated[Texts, ("deployed", "other content", "not deployed")]
    rejects_heading: str
    rejects_none: str
    notifications_heading: str
    notifications_none: str
    workers_heading: str
    workers_unknown: str
    workers_failed: str
    workers_read: str
    workers_count: Plural
    workers_none: str
    worker_columns: Annotated[
        Texts,
        (
            "partition",
            "reached",
            "unread",
            "ledger_reached",
            "ledger_unread",
            "watermark",
            "awaited",
            "overdue",
            "state",
        ),
    ]
    worker_states: Annotated[Texts, ("fine", "incidents", "ledger", "waited_for")]
    notification_columns: Annotated[Texts, ("destination", "kind", "count", "oldest")]


@cache
def system_phrases(language: Language) -> SystemPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(SystemPhrases, "board_system", language)

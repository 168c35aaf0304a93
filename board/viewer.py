"""Who looks at a page: the language and the time zone, from the address, a cookie or the browser's headers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from fastapi import Request

from streams.i18n.catalogues import LANGUAGES, Language

LANGUAGE_COOKIE = "board_lang"
ZONE_COOKIE = "board_zone"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The language of the texts and the zone of the times."""

    language: Language
    zone: ZoneInfo


def viewer(request: Request) -> Viewer:
    """The viewer of a request. Language: `?lang=`, else the cookie, else Accept-Language, else English. Zone: the
    cookie that the browser's script sets, else UTC. What is not known is ignored."""
    return Viewer(_language(request), _zone(request.cookies.get(ZONE_COOKIE, "UTC")))


def known_language(text: str | None) -> Language | None:
    """The language that a text names, if the board has it."""
    return next((language for language in LANGUAGES if language == text), None)


def _language(request: Request) -> Language:
    chosen = known_language(request.query_params.get("lang")) or known_language(request.cookies.get(LANGUAGE_COOKIE))
    return chosen or _accepted(request.headers.get("accept-language", ""))


def _accepted(header: str) -> Language:
    """The best of `ja,en-US;q=0.9,en;q=0.8`."""
    best: tuple[float, Language] = (0.0, "en")
    for item in header.split(","):
        tag, _, weight = item.partition(";")
        language = known_language(tag.strip().lower().partition("-")[0])
        if language is not None and _quality(weight) > best[0]:
            best = (_quality(weight), language)
    return best[1]


def _quality(weight: str) -> float:
    try:
        return float(weight.strip().removeprefix("q=")) if weight.strip() else 1.0
    except ValueError:
        return 0.0


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name if name in _zones() else "UTC")

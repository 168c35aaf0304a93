"""From a template and values to a response: the Jinja environment, times in the viewer's zone, cookies."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from board.access.identity import Identity, identity_of
from board.pages.access_texts import access_phrases
from board.pages.addresses import raw_path
from board.pages.texts import BoardPhrases, board_phrases
from board.proposals.listing import count_open
from board.static_files import static_files
from board.viewer import LANGUAGE_COOKIE, Viewer, known_language, viewer
from connect.actions.permissions import TABLE, Allowed, Permission, may_read
from connect.actions.person import Role
from streams.sla.instants import to_datetime
from streams.sla.severity import SEVERITIES

_YEAR_S = 365 * 86_400
#: Entries of the navigation, with their addresses.
NAVIGATION = (
    ("live", "/"),
    ("overview", "/overview"),
    ("tenants", "/tenants"),
    ("proposals", "/proposals"),
    ("maintenance", "/maintenance"),
    ("policies", "/policies"),
    ("rejected", "/rejected"),
    ("audit", "/audit"),
    ("system", "/system"),
)
_TEMPLATES = Path(__file__).resolve().parents[1] / "templates"


def page(request: Request, template: str, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """The page of a template under `board/templates`.

    Besides `values` a template has `common` (BoardPhrases), `viewer`, `request`, `identity` (who sends the request;
    None where nobody looked), `access_phrases`, `csrf`: what a form must carry as `csrf_token`, or empty, and
    `position`: the changes after it are not shown yet (None where the database was not read).
    A template that extends `base.html` also needs `active`: the key of its entry in the navigation, or None. The
    response stores the language that `?lang=` chose in a cookie.
    """
    seen_by = viewer(request)
    common = board_phrases(seen_by.language)
    identity = identity_of(request)
    # Pages of proposals are loaded anew by htmx as a whole, with the number in the navigation.
    counts = not is_part(request) or values.get("active") == "proposals"
    values |= {
        "identity": identity,
        "navigation": [each for each in NAVIGATION if _offered(request, each[1])],
        "open_proposals": _open_proposals(request, identity) if status_code < 400 and counts else 0,
        "access_phrases": access_phrases(seen_by.language),
        "csrf": "" if identity is None else identity.csrf or "",
        "position": getattr(request.state, "position", None),
    }
    text = (
        environment()
        .get_template(template)
        .render(request=request, viewer=seen_by, common=common, browser_texts=_browser_texts(common), **values)
    )
    headers = {"Cache-Control": "no-cache", "Vary": "Cookie, Accept-Language, HX-Request"}
    response = HTMLResponse(text, status_code, headers)
    chosen = known_language(request.query_params.get("lang"))
    if chosen is not None:
        response.set_cookie(LANGUAGE_COOKIE, chosen, max_age=_YEAR_S, samesite="lax", httponly=True)
    return response


def is_part(request: Request) -> bool:
    """Whether htmx asks for a part of a page, rather than a browser for the whole."""
    return request.headers.get("hx-request") == "true"


def _offered(request: Request, address: str) -> bool:
    """Whether the navigation leads to an address: not where it would be refused. Who is not signed in is led to what
    viewers may see, and asked to sign in there."""
    identity = identity_of(request)
    if identity is None:
        return True
    found = request.app.state.addresses.find("GET", address)
    permission = found and found.requirement.permission
    if identity.person is None:
        return not permission or Role.VIEWER in TABLE[permission]
    return not permission or isinstance(may_read(identity.person, permission, scoped=found.requirement.scoped), Allowed)


def _open_proposals(request: Request, identity: Identity | None) -> int:
    """How many proposals wait that the person of a request may see."""
    if identity is None or identity.person is None:
        return 0
    if not isinstance(may_read(identity.person, Permission.READ_PROPOSALS, scoped=True), Allowed):
        return 0
    context = request.app.state.context
    with context.engine.connect() as connection:
        return count_open(connection, identity.person, context.time_source.now())


@cache
def environment() -> Environment:
    """The Jinja environment: everything is escaped, an unknown variable is an error."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    made.globals |= {
        "static": static_files().url,
        "rank": rank,
        "with_language": with_language,
    }
    made.filters |= {
        "instant": _instant,
        "exact": _exact,
        "second": _second,
        "day": _day,
        "relative": _relative,
        "duration": _duration,
        "segment": segment,
        "incident_address": incident_address,
        "machine": _machine,
        "hover": _hover,
    }
    return made


def rank(severity: str) -> int:
    """1 for the most severe; a severity that this version does not know comes last."""
    return 1 + (SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES))


def id_in_address(request: Request, prefix: str) -> str:
    """What follows a prefix in the path of a request, decoded once: an id may contain anything."""
    return unquote(raw_path(request).removeprefix(prefix))


def with_language(request: Request, language: str) -> str:
    """The address of this page in a language."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    return f"{raw_path(request)}?{urlencode([*query, ('lang', language)])}"


def _browser_texts(common: BoardPhrases) -> dict[str, str]:
    """What the browser's scripts need to write durations as the server does, and to say that no answer came."""
    durations = ("days_hours", "hours_minutes", "minutes_only", "seconds_only", "in_time", "time_ago")
    texts = {name: getattr(common, name) for name in durations}
    return texts | {"no_answer": common.no_answer, "typed_stays": common.typed_stays}


def segment(text: str) -> str:
    """Any text as one segment of an address: an id may contain slashes, quotes and question marks."""
    return quote(text, safe="")


def incident_address(incident_id: str) -> str:
    """The address of an incident's page. Browsers resolve the segments "." and ".." themselves."""
    return f"/incidents/?id={incident_id}" if incident_id in {".", ".."} else f"/incidents/{segment(incident_id)}"


def local(micros: int, seen_by: Viewer, form: str) -> str:
    """An instant in the viewer's zone; `form` as strftime has it."""
    return to_datetime(micros).astimezone(seen_by.zone).strftime(form)


def _time(context: Context, micros: int | None, form: str) -> str | Markup:
    if micros is None:
        return "–"
    return time_element(micros, local(micros, context["viewer"], form), context["common"])


def time_element(micros: int, shown: str, common: BoardPhrases) -> Markup:
    """An instant as it is `shown`, with UTC for machines and on hover."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(_machine(micros), _in_utc(micros, common), shown)


def _machine(micros: int) -> str:
    """`{{ us | machine }}`: for the attribute `datetime`."""
    return to_datetime(micros).strftime("%Y-%m-%dT%H:%M:%SZ")


def _in_utc(micros: int, common: BoardPhrases) -> str:
    fraction = f".{micros % 1_000_000:06d}" if micros % 1_000_000 else ""
    return common.utc.format(time=to_datetime(micros).strftime("%Y-%m-%d %H:%M:%S") + fraction)


@pass_context
def _hover(context: Context, micros: int) -> str:
    """`{{ us | hover }}`: for the attribute `title` of a time."""
    return _in_utc(micros, context["common"])


@pass_context
def _instant(context: Context, micros: int | None) -> str | Markup:
    """`{{ us | instant }}`: 2026-04-10 17:00 in the viewer's zone, UTC on hover."""
    return _time(context, micros, "%Y-%m-%d %H:%M")


@pass_context
def _exact(context: Context, micros: int | None) -> str | Markup:
    """`{{ us | exact }}`: with seconds, and with the fraction of one where there is one."""
    if micros is None or micros % 1_000_000 == 0:
        return _time(context, micros, "%Y-%m-%d %H:%M:%S")
    return _time(context, micros, f"%Y-%m-%d %H:%M:%S.{micros % 1_000_000:06d}")


@pass_context
def _second(context: Context, micros: int | None) -> str | Markup:
    """`{{ us | second }}`: 2026-04-10 17:00:05 in the viewer's zone; UTC on hover, with the fraction if any."""
    return _time(context, micros, "%Y-%m-%d %H:%M:%S")


@pass_context
def _day(context: Context, micros: int | None) -> str | Markup:
    """`{{ us | day }}`: 2026-04-10 in the viewer's zone."""
    return _time(context, micros, "%Y-%m-%d")


@pass_context
def _relative(context: Context, micros: int | None, now: int) -> str | Markup:
    """`{{ us | relative(now) }}`: in 12 min, 3 h 05 min ago; the exact instant on hover."""
    if micros is None:
        return "–"
    common: BoardPhrases = context["common"]
    return time_element(micros, common.relative(micros, now), common)


@pass_context
def _duration(context: Context, micros: int | None) -> str:
    """`{{ us | duration }}`: 2 h 05 min."""
    return "–" if micros is None else str(context["common"].duration(micros))

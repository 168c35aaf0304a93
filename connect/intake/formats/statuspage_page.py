"""An incident of an Atlassian status page as webhooks and the public JSON show it: a snapshot with all its posts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

from connect.feedback_links import LinkedIncident, title_link
from connect.intake.mapping.rules import Source
from streams.sla.instants import LATEST, format_rfc3339, parse_rfc3339

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_MAX_POSTS = 1_000
_MAX_COMPONENTS = 1_000
#: `impact` of a scheduled maintenance.
MAINTENANCE = "maintenance"


class Post(NamedTuple):
    """One post about an incident. Instants are microseconds; `shown_at` is the time that the page shows, which its
    author may move."""

    id: str
    status: str
    text: str | None
    created_at: int
    shown_at: int


class PageIncident(NamedTuple):
    """A snapshot of an incident. `posts` are in the order in which they were published."""

    id: str
    name: str | None
    status: str
    created_at: int
    updated_at: int
    started_at: int
    posts: tuple[Post, ...]
    view: dict[str, Any]
    """What the paths of a mapping look into."""
    link: str | None
    """The incident that the name or the first post ends in, as `[sla/inc-42]`."""

    @property
    def is_maintenance(self) -> bool:
        """Whether it announces maintenance."""
        return (
            self.view["incident"].get("impact") == MAINTENANCE or self.view["incident"].get("scheduled_for") is not None
        )

    @property
    def components(self) -> list[dict[str, Any]]:
        """The components of the page that it concerns."""
        found: list[dict[str, Any]] = self.view["incident"]["components"]
        return found

    def view_of(self, component: dict[str, Any]) -> dict[str, Any]:
        """The view as if it concerned one component alone."""
        return {**self.view, "incident": {**self.view["incident"], "components": [component]}}


def read_incident(payload: dict[str, Any], source: Source) -> PageIncident:
    """Raises ValueError that names what is missing or wrong."""
    incident = payload.get("incident")
    if not isinstance(incident, dict):
        raise ValueError("incident: expected an object")
    identity, status, name = identity_of(incident, "incident."), incident.get("status"), incident.get("name")
    if not isinstance(status, str):
        raise ValueError("incident.status: is missing")
    created = instant(incident, "created_at", "incident.")
    posts = tuple(sorted(_posts(incident), key=lambda post: (post.created_at, post.id)))
    updated = instant(incident, "updated_at", "incident.") if incident.get("updated_at") else created
    started = instant(incident, "started_at", "incident.") if incident.get("started_at") else created
    return PageIncident(
        identity,
        name if isinstance(name, str) else None,
        status,
        created,
        max(updated, created),
        min(started, created),
        posts,
        view_of(payload, incident),
        _link(source, name, posts),
    )


def view_of(payload: dict[str, Any], incident: dict[str, Any]) -> dict[str, Any]:
    """What the paths of a mapping look into. Raises ValueError."""
    shown = {key: value for key, value in incident.items() if key != "incident_updates"}
    shown["components"] = list(_components(incident))
    page = payload.get("page")
    return {"page": page if isinstance(page, dict) else {}, "incident": shown}


def identity_of(fields: dict[str, Any], where: str) -> str:
    """The id that Statuspage gives an object. Raises ValueError."""
    found = fields.get("id")
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise ValueError(f"{where}id: expected letters, digits, `-` and `_`, at most 64")
    return found


def instant(fields: dict[str, Any], name: str, where: str = "") -> int:
    """The instant of a field in microseconds. Raises ValueError."""
    given = fields.get(name)
    try:
        if not isinstance(given, str):
            raise ValueError("is missing" if given is None else "expected an RFC 3339 date-time")
        micros = parse_rfc3339(given)
        if not 0 <= micros <= LATEST:
            raise ValueError("lies outside the years 1970 to 9999")
    except ValueError as error:
        raise ValueError(f"{where}{name}: {error}") from error
    return micros


def time_of(micros: int) -> str:
    """The `time` of an event."""
    return format_rfc3339(micros)


def _posts(incident: dict[str, Any]) -> Iterator[Post]:
    given = incident.get("incident_updates")
    if not isinstance(given, list):
        raise ValueError("incident.incident_updates: expected a list of posts")
    if len(given) > _MAX_POSTS:
        raise ValueError(f"incident.incident_updates: lists {len(given):,}; at most {_MAX_POSTS:,} are allowed")
    for index, post in enumerate(given):
        where = f"incident.incident_updates[{index}]."
        if not isinstance(post, dict):
            raise ValueError(f"{where[:-1]}: expected an object")
        identity, status, text = identity_of(post, where), post.get("status"), post.get("body")
        if not isinstance(status, str):
            raise ValueError(f"{where}status: is missing")
        created = instant(post, "created_at", where)
        shown = instant(post, "display_at", where) if post.get("display_at") else created
        yield Post(identity, status, text if isinstance(text, str) and text.strip() else None, created, shown)


def _components(incident: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of the incident. Where it does not list them, those that its posts changed, with their latest status."""
    given = incident.get("components")
    if isinstance(given, list) and given:
        if len(given) > _MAX_COMPONENTS or not all(isinstance(each, dict) for each in given):
            raise ValueError(f"incident.components: expected a list of at most {_MAX_COMPONENTS:,} objects")
        yield from given
        return
    found: dict[object, dict[str, Any]] = {}
    posts = incident.get("incident_updates")
    for post in posts if isinstance(posts, list) else ():  # the latest comes first
        affected = post.get("affected_components") if isinstance(post, dict) else None
        for each in affected if isinstance(affected, list) else ():
            if isinstance(each, dict) and isinstance(each.get("name"), str):
                fields = {"id": each.get("code"), "name": each["name"], "status": each.get("new_status")}
                found.setdefault(each["name"], fields)
    yield from found.values()


def _link(source: Source, name: object, posts: tuple[Post, ...]) -> str | None:
    own = title_link(LinkedIncident(source.deployment, ""))[:-1]
    for text in (name, posts[0].text if posts else None):
        _, found, rest = text.rstrip().rpartition(own) if isinstance(text, str) else ("", "", "")
        if found and rest.endswith("]") and "[" not in rest and len(rest) > 1:
            return unquote(rest[:-1])
    return None

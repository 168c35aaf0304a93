"""PagerDuty's webhooks, version 3: what people do with the pages of `sla notify` (developer.pagerduty.com, "Webhooks").

A page is one clock of one incident. Its `incident_key` is the dedup key that the notifier made, which names the
incident. Notes and status updates refer to a page by its title alone; with `feedback: true` the notifier ends titles in
the incident's id.

Only what a person does counts. PagerDuty reports the notifier's own resolving in the same way, with an integration as
the agent: a met response resolves the page of its clock, which must not resolve the incident. Nor must a page that is
merged into another one, which PagerDuty reports as resolved by the person who merged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from connect.feedback_links import LinkedIncident, incident_of_key, incident_of_title
from connect.intake import signatures
from connect.intake.formats import feedback
from connect.intake.formats.feedback import Feedback
from connect.intake.formats.source_format import FEEDBACK_KEYS, AuthenticationError, Credentials, Receipt, SourceFormat
from connect.intake.mapping.rules import Source
from connect.intake.outcome import IgnoredItem, ItemOutcome, RejectedItem
from streams.sla.instants import SECOND

_SIGNATURE = "X-PagerDuty-Signature"
_VERSION = "v1="
#: PagerDuty sends two while a secret is rotated.
_MAX_SIGNATURES = 10
_EVENT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
#: Event → the field of `data` with what a person wrote; None: `data` is the page itself.
_TEXTS = {
    "incident.acknowledged": None,
    "incident.annotated": "content",
    "incident.reopened": None,
    "incident.resolved": None,
    "incident.status_update_published": "message",
}
_USER = "user_reference"
_RESOLVED = "incident.resolved"
_MERGED = "merge_resolve_reason"
#: PagerDuty waits for five seconds, and the answer has to come back as well; it repeats what is answered with 503.
_ANSWER_WITHIN = 4 * SECOND
_REASONS = {
    "foreign": "its incident_key is of no page of deployment {deployment}",
    "digest": "the page is a digest of several incidents: act on each of them",
}


def authenticate(credentials: Credentials) -> None:
    """One of the signatures, with commas between them, has to fit: `v1=` and the hexadecimal HMAC-SHA256 of the body.

    Raises AuthenticationError.
    """
    given = credentials.headers.get(_SIGNATURE, "").split(",")[:_MAX_SIGNATURES]
    candidates = [each.strip().removeprefix(_VERSION) for each in given if each.strip().startswith(_VERSION)]

    def fits(secret: signatures.Secret) -> bool:
        expected, found = secret.sign(credentials.content), False
        for candidate in candidates:
            found |= feedback.same_digest(expected, candidate)
        return found

    if not signatures.any_matches(credentials.secrets, fits):
        raise AuthenticationError(
            f"{_SIGNATURE} is missing or does not fit; set the secret of the webhook subscription"
        )


def translate(payload: object, source: Source, _: Receipt) -> Iterator[ItemOutcome]:
    """The outcome of one event; paths of the mapping look into the whole payload (`event.agent.id`)."""
    event = payload.get("event") if isinstance(payload, dict) else None
    if not isinstance(event, dict) or not isinstance(event.get("event_type"), str):
        yield RejectedItem("", "invalid", "not a PagerDuty webhook of version 3: it has no text `event.event_type`")
        return
    yield _outcome(event, payload, source)


def _outcome(event: dict[str, Any], payload: object, source: Source) -> ItemOutcome:
    kind: str = event["event_type"]
    if kind not in _TEXTS:
        return IgnoredItem("", f"{kind[:80]} changes nothing of an incident")
    if kind not in source.events:
        return feedback.unnamed(kind)
    agent, data, event_id = event.get("agent"), event.get("data"), event.get("id")
    if not isinstance(agent, dict) or agent.get("type") != _USER:
        return IgnoredItem("", "no person did it: event.agent is no user")
    if not isinstance(data, dict):
        return RejectedItem("", "invalid", "event.data: expected an object")
    if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id):
        return RejectedItem("", "invalid", "event.id: expected letters, digits, `-` and `_`, at most 64")
    field = _TEXTS[kind]
    found = _of_page(data, source) if field is None else _of_reference(data, source)
    if isinstance(found, IgnoredItem):
        return found
    if kind == _RESOLVED and (merged := _merged(data, found, source)) is not None:
        return merged
    given = None if field is None else data.get(field)
    text = given if isinstance(given, str) and given else None
    return feedback.outcome(
        Feedback("PagerDuty", kind, found, event_id, event.get("occurred_at"), text), payload, source
    )


def _of_page(page: dict[str, Any], source: Source) -> str | IgnoredItem:
    """The incident that a page is about, or why it is none of ours."""
    key, title = page.get("incident_key"), page.get("title")
    link = incident_of_key(source.deployment, key) if isinstance(key, str) else "foreign"
    if isinstance(link, LinkedIncident):
        return link.incident
    if link == "hashed":
        return _of_title(title, source)
    return IgnoredItem("", _REASONS[link].format(deployment=source.deployment))


def _merged(page: dict[str, Any], incident: str, source: Source) -> IgnoredItem | None:
    """That a page was merged into another one, if it was: its incident goes on. An incident has a page for each of its
    clocks, so the other one may be about the same incident, which its title tells."""
    reason = page.get("resolve_reason")
    if not isinstance(reason, dict) or reason.get("type") != _MERGED:
        return None
    other = reason.get("incident")
    title = other.get("summary") if isinstance(other, dict) else None
    if isinstance(title, str) and incident_of_title(source.deployment, title) == incident:
        return IgnoredItem("", "the page was merged into another one of the same incident")
    text = "the page was merged into another one, which ends no incident: merge the incidents too if they are one"
    return IgnoredItem("", text, "page_merged", incident)


def _of_reference(data: dict[str, Any], source: Source) -> str | IgnoredItem:
    reference = data.get("incident")
    return _of_title(reference.get("summary") if isinstance(reference, dict) else None, source)


def _of_title(title: object, source: Source) -> str | IgnoredItem:
    incident = incident_of_title(source.deployment, title) if isinstance(title, str) else None
    if incident is not None:
        return incident
    expected = f"[{source.deployment}/INCIDENT]"
    reason = f"its title does not end in {expected}; pages have that with `feedback: true` in the routing file"
    return IgnoredItem("", reason, "page_without_incident")


def _looks_like(payload: object) -> bool:
    event = payload.get("event") if isinstance(payload, dict) else None
    return isinstance(event, dict) and "event_type" in event and "occurred_at" in event


def _path_problem(names: tuple[str, ...]) -> str | None:
    return None if len(names) > 1 else "event is not a text; allowed: event and a field, such as event.agent.id"


FORMAT = SourceFormat(
    name="pagerduty",
    authenticate=authenticate,
    looks_like=_looks_like,
    translate=translate,
    keys=FEEDBACK_KEYS,
    required_keys=("events", "who"),
    tool_events=tuple(_TEXTS),
    answer_within=_ANSWER_WITHIN,
    answer_status=202,  # PagerDuty suspends a subscription for 24 hours after three errors
    payload_roots=("event",),
    path_problem=_path_problem,
    signature_header=_SIGNATURE,
)

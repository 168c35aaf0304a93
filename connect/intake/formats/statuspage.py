"""Atlassian Statuspage's webhooks: what support publishes on the status page is the promised update.

Statuspage does not sign, and sends no header of ours. So the address that it is given ends in `?token=…`: the token is
in no log and in nothing that is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from connect.intake import signatures
from connect.intake.formats.source_format import INCIDENT_KEYS, AuthenticationError, Credentials, Receipt, SourceFormat
from connect.intake.formats.statuspage_components import component_outcomes, read_component
from connect.intake.formats.statuspage_incidents import incident_outcomes
from connect.intake.formats.statuspage_maintenance import maintenance_outcomes
from connect.intake.formats.statuspage_page import read_incident, view_of
from connect.intake.mapping.rules import Source, States
from connect.intake.outcome import ItemOutcome, RejectedItem

STATES = States(resolved=frozenset(["resolved", "completed", "postmortem"]))
#: Whoever has this address may end the subscription.
_UNSUBSCRIBE = re.compile(rb'("unsubscribe"\s*:\s*)"(?:[^"\\]|\\.)*"?')
_REMOVED = rb'\1"removed"'


def authenticate(credentials: Credentials) -> None:
    """Raises AuthenticationError unless the address ends in `?token=` and one of the source's tokens, or the header
    `Authorization: Bearer …` has it."""
    if signatures.in_address(credentials.secrets, credentials.address_token):
        return
    if not signatures.bearer(credentials.secrets, credentials.headers.get("Authorization")):
        raise AuthenticationError("the token is missing or unknown; the webhook's address ends in `?token=TOKEN`")


def translate(payload: object, source: Source, _: Receipt) -> Iterator[ItemOutcome]:
    """The outcomes of a webhook about an incident, a maintenance or a component."""
    return page_outcomes(payload, source)


def page_outcomes(payload: object, source: Source, *, history: bool = False) -> Iterator[ItemOutcome]:
    """As `translate`. `history`: a snapshot from the page's public JSON, with what happened until then."""
    if not isinstance(payload, dict) or not ("incident" in payload or "component_update" in payload):
        reason = "not a webhook of Statuspage: it has neither `incident` nor `component_update`"
        yield RejectedItem("", "invalid", reason)
        return
    if "incident" not in payload:
        yield from component_outcomes(payload, source)
        return
    try:
        found = read_incident(payload, source)
    except ValueError as error:
        yield RejectedItem("", "invalid", str(error))
        return
    outcomes = maintenance_outcomes if found.is_maintenance else incident_outcomes
    yield from outcomes(found, source, history=history)


def without_secrets(body: bytes) -> bytes:
    """The body without the address that ends the subscription."""
    return _UNSUBSCRIBE.sub(_REMOVED, body)


def _views(payload: object, source: Source, _: Receipt) -> Iterator[tuple[str, object]]:
    if not isinstance(payload, dict):
        return
    incident = payload.get("incident")
    with suppress(ValueError):
        if isinstance(incident, dict):
            yield "", view_of(payload, incident)
        elif source.component_incidents and (found := read_component(payload)).is_outage:
            yield "", found.view


def _looks_like(payload: object) -> bool:
    return isinstance(payload, dict) and "page" in payload and ("incident" in payload or "component_update" in payload)


def _path_problem(names: tuple[str, ...]) -> str | None:
    if len(names) == 1:
        return f"{names[0]} is not a text; allowed: {names[0]} and a field, such as incident.impact"
    if names[:2] == ("incident", "incident_updates"):
        return "posts come one after another; allowed: fields of the incident, such as incident.impact"
    return None


FORMAT = SourceFormat(
    name="statuspage",
    authenticate=authenticate,
    looks_like=_looks_like,
    translate=translate,
    keys=(*(key for key in INCIDENT_KEYS if key != "replay_window"), "incident", "deployment", "component_incidents"),
    publishes=("incident.*", "maintenance.*"),
    answer_status=202,  # Statuspage repeats what fails for an hour, then it quarantines the subscriber
    without_secrets=without_secrets,
    views=_views,
    payload_roots=("incident", "page"),
    path_problem=_path_problem,
    default_states=STATES,
)

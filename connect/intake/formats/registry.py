"""The formats that a source may have. A new format is a new module beside this one and a line in this table."""

from __future__ import annotations

import json

from connect.intake.formats import (
    alertmanager,
    heartbeat,
    jira,
    json_body,
    json_webhook,
    pagerduty,
    rest,
    slack,
    statuspage,
    zendesk,
)
from connect.intake.formats.source_format import SourceFormat
from connect.intake.mapping.rules import Source

#: Bodies that prove their sender by a signature over them, as those of ticket systems, are small. Anyone may send one.
MAX_SIGNED_BODY = 4 * 1024 * 1024
#: Format name in the mapping file → format.
FORMATS: dict[str, SourceFormat] = {
    each.name: each
    for each in (
        alertmanager.FORMAT,
        zendesk.FORMAT,
        jira.FORMAT,
        pagerduty.FORMAT,
        slack.FORMAT,
        statuspage.FORMAT,
        heartbeat.FORMAT,
        rest.FORMAT,
        json_webhook.FORMAT,  # the last one: any object looks like it
    )
}


def format_of(source: Source) -> SourceFormat:
    """The format of a source that the mapping file has been checked for."""
    return FORMATS[source.format]


def signature_header_of(source: Source) -> str | None:
    """The header that signs a source's bodies. None: the headers alone prove the sender."""
    signed_by = None if source.authentication is None else source.authentication.signature_header
    return signed_by or format_of(source).signature_header


def max_body_of(source: Source, max_body: int) -> int:
    """The largest body in bytes that is read from a source, where `SLA_INTAKE_MAX_BODY` is `max_body`."""
    return max_body if signature_header_of(source) is None else min(max_body, MAX_SIGNED_BODY)


def detect(body: bytes) -> SourceFormat | None:
    """The format of a request's body, or None when it looks like none of them."""
    try:
        payload: object = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    for each in FORMATS.values():
        if each.looks_like(payload if each.parse is json_body.parse else each.parse(body)):
            return each
    return None

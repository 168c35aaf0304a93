"""CloudEvents over HTTP: one event in structured or binary mode, or a batch. It accepts what `sla publish` accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from connect.intake.formats import json_body
from connect.intake.outcome import EventItem, ItemOutcome, RejectedItem
from streams.sla.events import Rejection

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY = "application/json"
MEDIA_TYPES = (STRUCTURED, BATCH, BINARY)
_MAX_EVENTS = 10_000
_PREFIX = "ce-"
#: What HTTP allows in the name of a header, far more than CloudEvents in that of an attribute: a misspelled one
#: (`started_at`) does not vanish, it is refused.
_ATTRIBUTE = re.compile(r"[0-9a-z!#$%&'*+.^_`|~-]*")


def outcomes(media_type: str, headers: Mapping[str, str], content: bytes) -> Iterator[ItemOutcome]:
    """The events of a request; `headers` with names in lower case. Their types and data are checked later."""
    given = json_body.parse(content)
    if isinstance(given, Rejection):
        yield RejectedItem("", given.code, given.message)
    elif media_type == BATCH:
        yield from _batch(given)
    elif media_type == STRUCTURED:
        yield _one("", given)
    else:
        yield _binary(headers, given)


def _batch(given: object) -> Iterator[ItemOutcome]:
    if not isinstance(given, list):
        yield RejectedItem("", "invalid", "a batch is an array of events")
    elif len(given) > _MAX_EVENTS:
        yield RejectedItem("", "oversize", f"a batch of {len(given):,} events; at most {_MAX_EVENTS:,} are allowed")
    else:
        for index, each in enumerate(given):
            yield _one(f"[{index}]", each)


def _one(item: str, given: object) -> ItemOutcome:
    if isinstance(given, dict):
        return EventItem(item, given)
    return RejectedItem(item, "invalid", "expected a CloudEvents object")


def _binary(headers: Mapping[str, str], data: object) -> ItemOutcome:
    """Attributes are in headers, percent-encoded where they are not printable ASCII; the body is the data."""
    event: dict[str, object] = {}
    for name, value in headers.items():
        attribute = name.removeprefix(_PREFIX)
        if name.startswith(_PREFIX) and _ATTRIBUTE.fullmatch(attribute):
            try:
                event[attribute] = unquote(value.strip().strip('"'), errors="strict")
            except UnicodeDecodeError:
                return RejectedItem("", "invalid", f"header {name}: is not percent-encoded UTF-8")
    if not event:
        known = f"{STRUCTURED} or {BATCH}"
        return RejectedItem(
            "", "invalid", f"no event: send {known}, or the attributes as headers {_PREFIX}id, {_PREFIX}type …"
        )
    return EventItem("", {**event, "data": data})

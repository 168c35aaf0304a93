"""Alerts for tests of the notifier: the golden events, changed where a test says so."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from connect.notify.triggers import PageTrigger, page_trigger
from streams.serde.cloudevents_json import from_json
from streams.serde.codec import encode
from streams.sla.events import Rejection

_GOLDEN = Path(__file__).parents[1] / "schemas" / "golden"
NAMES = {
    "warning": "sla.warning",
    "due": "sla.update_due",
    "breached": "sla.breached",
    "met": "sla.met",
    "retracted": "sla.breach_retracted",
    "closed": "incident.closed",
}


@cache  # some tests take thousands
def _golden(name: str) -> str:
    return (_GOLDEN / f"{NAMES[name]}.json").read_text(encoding="utf-8")


def event(name: str, incident: str = "inc-1", id_: str | None = None, **data: Any) -> dict[str, Any]:
    """The JSON form of one; `backfill` is what its name says."""
    found: dict[str, Any] = json.loads(_golden(name))
    found.pop("backfill", None)
    if data.pop("backfill", False):
        found["backfill"] = True
    found["id"] = id_ or f"{name}-{incident}-{data.get('metric', '')}-{data.get('instance', '')}"
    found["subject"] = incident
    found["data"] |= {"incident_id": incident, **data}
    return found


def trigger(name: str, incident: str = "inc-1", id_: str | None = None, **data: Any) -> PageTrigger:
    """A closing comes in a later transaction than alerts."""
    found = page_trigger(event(name, incident, id_, **data), at=int(name == "closed"))
    assert not isinstance(found, str), found
    return found


def value_of(given: dict[str, Any]) -> bytes:
    """The Kafka value of an event."""
    parsed = from_json(given)
    assert not isinstance(parsed, Rejection), parsed
    return encode(*parsed)

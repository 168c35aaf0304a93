"""Recorded requests of each sender, and what the example mapping makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from connect.intake import translate
from connect.intake.formats.rest import ROUTES
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import load_mapping
from connect.intake.translate import Translation
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.serde.cloudevents_json import format_line, to_json
from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.sla.policy import Policies

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "intake"
SOURCES = load_mapping(ROOT / "examples" / "intake.yaml")
PROMETHEUS, ZENDESK, JIRA = SOURCES["prometheus"], SOURCES["zendesk"], SOURCES["jira"]
SERVICES, BILLING = SOURCES["services"], SOURCES["billing"]

Json = dict[str, Any]

OPENED = {
    "specversion": "1.0",
    "id": "e1",
    "type": "incident.opened",
    "source": "/monitors/eu",
    "subject": "inc-1",
    "time": "2026-01-31T09:00:00Z",
    "data": {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "api"},
}


def recorded(name: str) -> Json:
    found: Json = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return found


def decided(source: Source, payload: object) -> Translation:
    return translate.webhook(source, json.dumps(payload).encode())


def published(translation: Translation) -> list[Json]:
    events = []
    for ready in translation.events:
        found = decode(ready.record.value)
        assert not isinstance(found, Rejection)
        events.append(to_json(*found))
    return events


def said(translation: Translation) -> list[tuple[str, str]]:
    """Type and id of each event, without the subject in front of the id."""
    return [(each.event_type, each.event_id.removeprefix(each.subject)) for each in translation.events]


def simulated(lines: list[str]) -> list[str]:
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    return [format_line(each) for each in simulate(lines, policies)]


def route(path: str) -> Any:
    return next(each for each in ROUTES if each.path == path)


def plain(path: str, body: object, path_id: str | None = None, source: Source = SERVICES) -> Translation:
    return translate.plain_json(source, route(path), path_id, json.dumps(body).encode())

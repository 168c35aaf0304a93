"""The example mappings of senders of JSON webhooks, their recorded requests, and what they lead to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from intake_samples import ROOT, published
from story import Line, contract, run

from connect.intake import translate
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import load_mapping
from streams.sla.instants import MINUTE, parse_rfc3339

EXAMPLES = ROOT / "examples" / "intake"
SENDERS = ("grafana", "datadog", "uptime-kuma", "sentry", "opsgenie", "servicenow", "freshdesk", "zammad", "github")
SOURCES: dict[str, Source] = {name: load_mapping(EXAMPLES / f"{name}.yaml")[name] for name in SENDERS}
#: When the first request of a sender arrives, where that matters; the others follow by half an hour.
_FIRST_ARRIVAL = parse_rfc3339("2026-10-12T09:51:04Z")


def requests(sender: str) -> list[Path]:
    return sorted((EXAMPLES / "recorded" / sender).iterdir())


def recorded(sender: str, beginning: str) -> Any:
    """The recorded request whose file name begins so."""
    (found,) = [each for each in requests(sender) if each.name.startswith(beginning)]
    return json.loads(found.read_text(encoding="utf-8"))


def events_of(sender: str) -> list[list[Line]]:
    """What each recorded request becomes; nothing may be rejected."""
    found = []
    for index, each in enumerate(requests(sender)):
        arrival = _FIRST_ARRIVAL + index * 30 * MINUTE
        translation = translate.webhook(SOURCES[sender], each.read_bytes(), arrival)
        assert not translation.rejected, (each, translation.rejected)
        found.append(published(translation))
    return found


def outcome(lines: Iterable[Line]) -> tuple[dict[str, list[list[Any]]], set[tuple[str, str, int, str, str | None]]]:
    """Intervals by impact of each incident as reported last, and the verdicts that stand: met or breached, clock,
    instance, incident, when met."""
    outputs = run(contract("2026-10-01T00:00:00Z", of="acme"), *lines, until="2026-10-20T00:00:00Z")
    assert not [output for output in outputs if output["type"] == "sla.rejected"]
    intervals: dict[str, list[list[Any]]] = {}
    verdicts: dict[tuple[str, str, int, str], str | None] = {}
    for output in outputs:
        data = output["data"]
        match output["type"]:
            case "impact.changed":
                intervals[data["incident_id"]] = [
                    [each["component"], each["impact"], each["start"], each["end"]] for each in data["intervals"]
                ]
            case "sla.met" | "sla.breached":
                kind = output["type"].partition(".")[2]
                verdicts[kind, data["metric"], data["instance"], data["incident_id"]] = data.get("met_at")
            case "sla.breach_retracted":
                verdicts.pop(("breached", data["metric"], data["instance"], data["incident_id"]), None)
    return intervals, {(*key, at) for key, at in verdicts.items()}


def flat(batches: Iterable[Iterable[Line]]) -> Iterator[Line]:
    for each in batches:
        yield from each

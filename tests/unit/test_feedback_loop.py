"""From a page to a person in PagerDuty, to the incident, to the end of its pages, and no further: nothing loops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from intake_samples import OPENED, Json, decided, published, recorded, simulated

from connect.intake.mapping_file import load_mapping
from connect.notify.dry_run import DryRun
from connect.notify.routing.file import load_routing
from connect.notify.triggers import page_trigger

ROOT = Path(__file__).resolve().parents[2]
SOURCE = load_mapping(ROOT / "examples" / "intake" / "feedback.yaml")["pagerduty"]
CONTRACT = {
    "specversion": "1.0",
    "id": "c1",
    "type": "contract.set",
    "source": "/billing",
    "subject": "acme",
    "time": "2026-01-01T00:00:00Z",
    "data": {
        "tenant_id": "acme",
        "valid_from": "2026-01-01T00:00:00Z",
        "plan": "scalr-emergency",
        "monthly_charge": {"amount_minor": 500000, "currency": "USD"},
        "emergency_member": True,
    },
}
OUTAGE = OPENED | {
    "subject": "inc-42",
    "time": "2026-04-10T08:00:00Z",
    "data": {
        "scope": "tenants",
        "tenant_ids": ["acme"],
        "component": "api",
        "impact": "complete_outage",
        "channel": "phone",
        "summary": "every request answers 503",
    },
}


class PagerDutyAccount:
    """Pages by dedup key, as the Events API keeps them, and the webhooks that their changes send."""

    def __init__(self) -> None:
        self.open: dict[str, str] = {}
        self.requests: list[Json] = []

    def enqueue(self, body: Json) -> list[Json]:
        self.requests.append(body)
        key = body["dedup_key"]
        if body["event_action"] == "trigger":
            self.open.setdefault(key, body["payload"]["summary"])
            return []
        title = self.open.pop(key, None)
        return [] if title is None else [self.webhook("resolved-by-notifier", key, title)]

    def webhook(self, name: str, key: str, title: str) -> Json:
        payload = recorded(f"pagerduty-{name}")
        data = payload["event"]["data"]
        if "incident" in data:
            data["incident"]["summary"] = title
        else:
            data |= {"incident_key": key, "title": title}
        return payload

    def acts(self, name: str, key: str) -> Json:
        """What a person does with an open page."""
        title = self.open.pop(key) if name == "resolved" else self.open[key]
        return self.webhook(name, key, title)


class World:
    """The inputs so far; every round replays them, and delivers what is new."""

    def __init__(self, tmp_path: Path) -> None:
        routes = tmp_path / "notify.yaml"
        routes.write_text(
            "version: 1\ndestinations:\n  pager: {kind: pagerduty, routing_key: {env: KEY}, feedback: true}\n"
            "routes: [{to: pager}]\n",
            encoding="utf-8",
        )
        self.inputs: list[Json] = [CONTRACT, OUTAGE]
        self.account = PagerDutyAccount()
        self._dry = DryRun(load_routing(routes))
        self._delivered: set[str] = set()

    def outputs(self, until: str) -> list[Json]:
        later = OPENED | {"id": "last", "subject": "last", "time": until}
        later["data"] = OPENED["data"] | {"impact": "cosmetic"}  # type: ignore[operator]
        lines = [json.dumps(each) for each in sorted([*self.inputs, later], key=lambda each: str(each["time"]))]
        return [found for line in simulated(lines) if (found := json.loads(line))["subject"] == "inc-42"]

    def settle(self, until: str) -> int:
        """Deliver alerts and webhooks until nothing new follows; the number of rounds."""
        for round_ in range(1, 10):
            new = [each for each in self.outputs(until) if each["id"] not in self._delivered]
            if not new:
                return round_
            for event in new:
                self._delivered.add(event["id"])
                trigger = page_trigger(event)
                if isinstance(trigger, str):
                    continue
                for delivery in self._dry.apply(trigger):
                    for webhook in self.account.enqueue(json.loads(delivery.request.body)):
                        self.receive(webhook)
        raise AssertionError("it loops")

    def receive(self, webhook: Json) -> list[Json]:
        found = published(decided(SOURCE, webhook))
        self.inputs += found
        return found

    def actions(self) -> list[tuple[str, str]]:
        return [(each["event_action"], each["dedup_key"]) for each in self.account.requests]


def test_a_page_that_a_person_acknowledges_and_resolves_ends_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle("2026-04-10T09:01:00Z")  # half of two hours have passed
    key = "sla/inc-42/response/1"
    assert world.account.open[key] == "P1 API: response is running out · [sla/inc-42]"

    def event(name: str, at: str) -> list[dict[str, Any]]:
        webhook = world.account.acts(name, key)
        webhook["event"]["occurred_at"] = at
        return world.receive(webhook)

    (note,) = event("note", "2026-04-10T09:01:05Z")
    assert (note["type"], note["subject"]) == ("incident.updated", "inc-42")
    (responded,) = event("acknowledged", "2026-04-10T09:01:10Z")
    assert responded["type"] == "incident.responded"
    world.settle("2026-04-10T09:30:00Z")
    assert ("resolve", key) in world.actions()
    assert "incident.resolved" not in [each["type"] for each in world.inputs]  # the response was met, no more

    world.settle("2026-04-10T10:30:00Z")
    (update,) = world.account.open
    key = update
    assert [each["type"] for each in event("resolved", "2026-04-10T10:30:10Z")] == ["incident.resolved"]
    before = len(world.inputs)
    world.settle("2026-04-10T12:00:00Z")
    assert world.account.open == {}
    assert world.actions()[-1] == ("resolve", update)  # harmless: the person has resolved it
    assert len(world.inputs) == before
    assert [each["type"] for each in world.outputs("2026-04-10T12:00:00Z")].count("incident.closed") == 1

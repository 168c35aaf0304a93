"""A board on which people act: the history's read model, a publisher in memory, people with tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from board_history import NOW
from fastapi import FastAPI
from fastapi.testclient import TestClient
from replayed import ingest
from shipped import shipped_policies
from signed_in import MovingClock, board_settings, browser, token_of
from sqlalchemy import Engine

from board.app import create_app
from board.ingest.records import IngestRecord
from connect.actions.person import Role
from connect.client.outgoing import checked_record
from connect.kafka_io.reader import TopicRecord
from connect.kafka_io.rejected_records import RejectedRecord, numbered
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.serde.codec import decode
from streams.serde.input_records import CONTRACT_EVENTS, InputRecord, input_record_from_json
from streams.settings import Settings
from streams.sla.instants import format_rfc3339
from tests.unit.action_bench import MemoryPublisher, terms


class ActingBoard:
    """The board, its publisher, and clients of people."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.publisher = MemoryPublisher()
        self.settings = board_settings(directory)
        self.app: FastAPI = create_app(
            engine,
            self.settings,
            kafka=Settings(),
            policies=shipped_policies(),
            time_source=MovingClock(NOW),
            publisher=self.publisher,
        )
        self._keys = 0

    def client(self, identity: str, *roles: Role, tenants: set[str] | None = None) -> TestClient:
        """Requests of a person with a token."""
        token = token_of(self.settings, identity, *roles, tenants=tenants)
        headers = {"Authorization": f"Bearer {token}"}
        return TestClient(self.app, base_url="http://127.0.0.1", headers=headers, follow_redirects=False)

    def post(self, client: TestClient, path: str, body: Any = None, key: str | None = None, **headers: str) -> Any:
        """An action through the API; `key` is new unless one is given."""
        self._keys += 1
        given = {"Idempotency-Key": key or f"key-{self._keys}", **headers}
        content = None if body is None else json.dumps(body)
        if body is not None:
            given["Content-Type"] = "application/json"
        return client.post(f"/api/v1{path}", content=content, headers=given)


def signed_in(board: ActingBoard, name: str, *roles: Role, tenants: set[str] | None = None) -> TestClient:
    """The browser of a person who has signed in."""
    client = browser(board.app)
    client.post("/sign-in", data={"token": token_of(board.settings, name, *roles, tenants=tenants)})
    return client


def offered(html: str) -> set[str]:
    """The actions whose forms a page has."""
    return set(re.findall(r'data-action="([a-z-]+)"', html))


def hidden(html: str, action: str) -> dict[str, str]:
    """What the form of an action carries besides its fields."""
    form = html[html.index(f'data-action="{action}"') :].partition("</form>")[0]
    return dict(re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"', form))


def add_facts(engine: Engine) -> None:
    """Terms and a maintenance window of acme and of globex each."""
    facts = [fact for tenant in ("acme", "globex") for fact in (terms(tenant), _window(tenant))]
    for offset, record in enumerate(map(checked_record, facts)):
        ingest(engine, [IngestRecord(CONTRACT_EVENTS, 90, offset, record.event.time, b"", record.value)])


def _window(tenant: str) -> dict[str, Any]:
    window = {
        "maintenance_id": f"of-{tenant}",
        "scope": "tenants",
        "tenant_ids": [tenant],
        "components": ["api"],
        "start": "2026-11-22T12:00:00Z",
        "end": "2026-11-22T13:00:00Z",
        "announced_at": "2026-11-11T12:00:00Z",
    }
    event = {"specversion": "1.0", "id": f"w-{tenant}", "type": "maintenance.scheduled", "source": "/desk"}
    return {**event, "subject": f"of-{tenant}", "time": "2026-11-11T12:00:00Z", "data": window}


def reject_of() -> RejectedRecord:
    """A reject of an `incident.opened` at incident-events/0/3, which the workers failed at."""
    data = {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "monitor"}
    event = {"specversion": "1.0", "id": "o-1", "type": "incident.opened", "source": "/monitor", "subject": "inc-9"}
    ready = input_record_from_json({**event, "time": format_rfc3339(NOW), "data": data})
    assert isinstance(ready, InputRecord)
    original = Record("sla.incident-events", 0, 3, NOW, ready.subject.encode(), ready.value, ready.headers)
    sent = rejected(original, "internal", "why", "sla.rejected", 0)
    record = TopicRecord("sla.rejected", 0, 0, NOW, sent.key, sent.value, list(sent.headers))
    return next(numbered([record], decode))

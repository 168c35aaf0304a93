"""The board's actions against a real broker and worker: from a sign-in to a clock that is met, and the result of an
input."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from acting import hidden
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from board.access.tokens import add_token
from board.app import create_app
from board.ingest.thread import Ingest
from board.settings import read_board_settings
from board.store.engine import open_engine
from board.store.schema import upgrade
from cli.main import app as sla
from connect.actions.person import Person, Role
from streams.settings import read_settings
from streams.sla.instants import DAY, MINUTE, format_rfc3339
from streams.time_source import SystemTimeSource

pytestmark = pytest.mark.kafka

KIM = Person("kim", "Kim", frozenset({Role.RESPONDER}))


@pytest.fixture
def kim(deployment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The browser of a responder at a board that reads the deployment's topics."""
    for name, value in deployment.items():
        monkeypatch.setenv(name, value)
    kafka, clock = read_settings(), SystemTimeSource()
    engine = open_engine(f"sqlite:///{tmp_path}/board.db")
    upgrade(engine)
    settings = read_board_settings(tokens=tmp_path / "tokens.json")
    token = add_token(settings.tokens, KIM, clock.now())
    ingest = Ingest(engine, kafka, retention=400 * DAY)
    app = create_app(engine, settings, kafka=kafka, policies=kafka.load_policies(), ingest=lambda: ingest.status)
    ingest.start()
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
    assert client.post("/sign-in", data={"token": token}).status_code == 303
    yield client
    app.state.context.actions.close(4)
    ingest.stop(4)
    engine.dispose()


def until(client: TestClient, path: str, wanted: Callable[[Any], bool]) -> Any:
    """The answer, once it is as wanted: the read model follows the topics by a moment."""
    deadline = time.monotonic() + 20
    while True:
        answer = client.get(path)
        if answer.status_code == 200 and wanted(answer.json()):
            return answer.json()
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


def test_from_sign_in_to_a_met_clock(kim: TestClient) -> None:
    incident = f"board-{uuid.uuid4().hex[:8]}"
    data = {"scope": "tenants", "tenant_ids": ["initech"], "component": "api", "impact": "complete_outage"}
    event = {"specversion": "1.0", "id": f"open-{incident}", "type": "incident.opened", "source": "/desk"}
    event |= {"subject": incident, "time": format_rfc3339(SystemTimeSource().now() - 5 * MINUTE)}
    line = json.dumps({**event, "data": {**data, "channel": "phone"}})
    assert CliRunner().invoke(sla, ["publish", "-", "--wait"], input=line).exit_code == 0
    api = f"/api/v1/incidents/{incident}"
    opened = until(kim, api, lambda found: bool(found["state"]["clocks"]))
    assert clock(opened)["state"] == "running"

    # The form of the page, as a browser without scripts sends it.
    page = kim.get(f"/incidents/{incident}").text
    sent = hidden(page, "respond")
    answer = kim.post(f"/incidents/{incident}/actions/respond", data=sent)
    assert answer.status_code == 303, answer.text
    responded = until(kim, api, lambda found: found["state"].get("responded_at") is not None)
    assert clock(responded)["state"] == "met"

    # The API, with the revision that was seen; the form's one is out of date by now.
    headers = {"X-CSRF-Token": sent["csrf_token"], "Idempotency-Key": incident}
    moved = kim.post(f"{api}/actions/resolve?revision={opened['state']['revision']}", headers=headers)
    assert moved.status_code == 409
    assert {each["field"] for each in moved.json()["changes"]} >= {"responded_at", "clock.response.1"}
    resolved = kim.post(f"{api}/actions/resolve?revision={responded['state']['revision']}", headers=headers)
    assert resolved.status_code == 200, resolved.text
    assert resolved.json()["outcome"] == "accepted"
    assert resolved.json()["events"][0]["data"]["who"] == {"kind": "support", "id": "kim"}
    place = resolved.json()["positions"][0]
    result = kim.get(f"/api/v1/inputs/{place['topic']}/{place['partition']}/{place['offset']}")
    assert result.json() == {"outcome": "accepted", "code": None, "message": None}
    ahead = kim.get(f"/api/v1/inputs/{place['topic']}/{place['partition']}/{place['offset'] + 1000}")
    assert ahead.json()["outcome"] == "not_read_yet"
    assert until(kim, api, lambda found: found["state"]["status"] == "resolved")

    # The same attempt again, by the same board: one event.
    again = kim.post(f"{api}/actions/resolve?revision={responded['state']['revision']}", headers=headers)
    assert again.json()["positions"] == [place]

    # Each change of a window is compared with the one before it, however soon it follows.
    now = SystemTimeSource().now()
    times = {"start": format_rfc3339(now + 9 * DAY), "end": format_rfc3339(now + 10 * DAY)}
    outcomes = []
    for number, (action, component) in enumerate(
        (("schedule", "api"), ("edit", "ui"), ("edit", "api"), ("edit", "ui"), ("edit", "ui"))
    ):
        answer = kim.post(
            f"/api/v1/maintenance/window-{incident}/actions/{action}-maintenance",
            headers={**headers, "Idempotency-Key": f"{incident}-{number}"},
            json={"scope": "platform", "components": [component], **times},
        )
        outcomes.append(answer.json()["outcome"])
    assert outcomes == ["accepted"] * 4 + ["unchanged"]


def clock(incident: Any) -> Any:
    """The clock of the first response."""
    return next(each for each in incident["state"]["clocks"] if each["metric"] == "response")

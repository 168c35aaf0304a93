"""Proposals from the API through the audit log to the changed statement; what the other person may not do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from board_history import NOW, story
from fastapi.testclient import TestClient
from replayed import ingest, replayed
from signed_in import MovingClock, access_app, board_settings, token_of
from sqlalchemy import Engine, select
from story import policies

from board.access.audit_sender import audit_record
from board.ingest.records import AUDIT, IngestRecord
from board.proposals.effect import EffectRequest, compute_effect
from board.proposals.publishing import ApprovedPublisher
from board.proposals.stored import get_proposal
from board.queries.months import revisions
from board.store.engine import open_engine, writing
from board.store.own_tables import audit_outbox
from board.store.schema import upgrade
from connect.actions.person import Role
from streams.serde.cloudevents_json import format_line
from streams.serde.codec import Codec
from streams.settings import Settings
from streams.sla.instants import DAY, HOUR

LINES = [line for line in story(40) if json.loads(line)["subject"] != "inc-1"]
MARKUP = "<script>alert(1)</script>"


class Deployment:
    """A board whose topics are kept here: what is sent is read back by `turn`."""

    def __init__(self, directory: Path) -> None:
        self.clock = MovingClock(NOW)
        self.engine: Engine = open_engine(f"sqlite:///{directory}/board.db")
        upgrade(self.engine)
        self.lines = list(LINES)
        self._read: set[Any] = set()
        self._ends: Counter[tuple[str, int]] = Counter()
        self._people: dict[str, TestClient] = {}
        self._audit = 0
        self.sent: list[Any] = []
        self.ingest_topics()
        settings = board_settings(directory)
        self.app = access_app(self.engine, settings, self.clock)
        self._settings = settings
        self.publisher = ApprovedPublisher(self.engine, self._send, lambda: True, self.clock)

    def person(self, name: str, role: Role = Role.RESPONDER, tenants: set[str] | None = None) -> TestClient:
        if name not in self._people:
            token = token_of(self._settings, name, role, tenants=tenants)
            headers = {"Authorization": f"Bearer {token}"}
            self._people[name] = TestClient(self.app, base_url="http://127.0.0.1", headers=headers)
        return self._people[name]

    def ingest_topics(self) -> None:
        """Read what the topics have more than before: the history is replayed as a whole, so by content."""
        new = []
        for record in replayed(self.lines, policies(), self.clock.now()):
            what = (record.topic, record.key, record.value)
            if what not in self._read:
                self._read.add(what)
                place = record.topic, record.partition
                new.append(record._replace(offset=self._ends[place]))
                self._ends[place] += 1
        ingest(self.engine, new)

    def turn(self) -> None:
        """The audit log is sent and read, and what is approved is published and read back."""
        self.log()
        if self.publisher.publish_waiting():
            self.ingest_topics()

    def log(self) -> None:
        with self.engine.connect() as connection:
            rows = connection.execute(select(audit_outbox).order_by(audit_outbox.c.id)).all()
        records = []
        for row in rows:
            value = Codec().encode(row.type, audit_record(row))
            records.append(IngestRecord(AUDIT, 0, self._audit, row.occurred_at, b"", value))
            self._audit += 1
        with writing(self.engine).begin() as connection:
            connection.execute(audit_outbox.delete())
        ingest(self.engine, records)

    def compute(self, proposal_id: str) -> dict[str, Any]:
        with self.engine.connect() as connection:
            proposal = get_proposal(connection, proposal_id)
        assert proposal is not None
        limits = Settings().time_limits()
        url = str(self.engine.url)
        compute_effect(lambda *_: None, EffectRequest(url, policies(), limits, proposal, self.clock.now()))
        found = self.person("eva", Role.ADMIN).get(f"/api/v1/proposals/{proposal_id}").json()
        assert found["effect"]["current"]
        result: dict[str, Any] = found["effect"]["result"]
        return result

    def credit(self, tenant: str, month: str) -> tuple[int, int]:
        with self.engine.connect() as connection:
            latest = max((each.terms for each in revisions(connection, tenant, month)), key=lambda each: each.revision)
        return latest.revision, latest.credit

    def _send(self, events: Any) -> None:
        self.sent += events
        self.lines += [format_line(dict(each)) for each in events]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    yield made
    made.engine.dispose()


def revision(client: TestClient, incident: str) -> int:
    found: int = client.get(f"/api/v1/incidents/{incident}").json()["state"]["revision"]
    return found


def propose(client: TestClient, incident: str = "outage", action_id: str = "a1", **given: Any) -> Any:
    body = {"action": "annul", "form": {"reason": "a drill"}, "revision": revision(client, incident)}
    return client.post(f"/api/v1/incidents/{incident}/proposals", json={**body, "action_id": action_id, **given})


def proposed(deployment: Deployment, client: TestClient, **given: Any) -> str:
    answer = propose(client, **given)
    assert answer.status_code == 202, answer.text
    deployment.turn()
    found: str = answer.json()["proposal_id"]
    return found


def decide(client: TestClient, word: str, proposal_id: str, reason: str = "") -> Any:
    return client.post(f"/api/v1/proposals/{proposal_id}/{word}", json={"reason": reason})


def test_a_proposal_that_another_person_approves_changes_the_statement_as_predicted(deployment: Deployment) -> None:
    ann, bob = deployment.person("ann"), deployment.person("bob")
    proposal_id = proposed(deployment, ann)
    effect = deployment.compute(proposal_id)
    month = next(each for each in effect["months"] if each["tenant_id"] == "acme")
    before = deployment.credit("acme", month["month"])
    assert month["final"]
    assert month["before"]["credit_minor"] == before[1]
    assert decide(bob, "approve", proposal_id, "agreed").status_code == 202
    deployment.turn()
    assert len(deployment.sent) == 1
    deployment.clock.move(2 * HOUR)
    deployment.ingest_topics()
    after = deployment.credit("acme", month["month"])
    assert after[0] == before[0] + 1
    assert after[1] == month["after"]["credit_minor"] < before[1]
    assert effect["credit_change"]["USD"] < 0
    found = ann.get(f"/api/v1/proposals/{proposal_id}").json()
    assert found["status"] == "approved"
    assert found["decided"]["person"] == "bob"
    assert found["published"] is not None
    assert found["published"]["code"] is None
    assert ann.get("/api/v1/incidents/outage").json()["state"]["status"] == "annulled"
    deployment.turn()
    assert len(deployment.sent) == 1


@pytest.mark.parametrize("name", ["ann", "ANN", "Ann ", " ann"])
def test_nobody_approves_the_own_proposal(deployment: Deployment, name: str) -> None:
    proposal_id = proposed(deployment, deployment.person("ann"))
    deployment.compute(proposal_id)
    answer = decide(deployment.person(name), "approve", proposal_id)
    assert answer.status_code == 409
    assert "another person" in answer.json()["detail"]
    deployment.turn()
    assert deployment.sent == []


def test_approval_waits_for_the_effect_at_the_present_revision(deployment: Deployment) -> None:
    ann, bob = deployment.person("ann"), deployment.person("bob")
    proposal_id = proposed(deployment, ann, incident="open-p1")
    assert decide(bob, "approve", proposal_id).json()["detail"].startswith("no_effect: ")
    deployment.compute(proposal_id)
    deployment.lines.append(
        format_line(
            {
                "specversion": "1.0",
                "id": "late-answer",
                "type": "incident.responded",
                "source": "/desk",
                "subject": "open-p1",
                "time": "2026-11-20T12:00:00Z",
                "data": {"who": {"kind": "support", "id": "eva"}},
            }
        )
    )
    deployment.ingest_topics()
    answer = decide(bob, "approve", proposal_id)
    assert answer.status_code == 409
    assert "compute the effect again" in answer.json()["detail"]
    deployment.compute(proposal_id)
    assert decide(bob, "approve", proposal_id).status_code == 202


def test_of_two_approvers_the_first_of_the_log_stands_and_one_event_is_sent(deployment: Deployment) -> None:
    proposal_id = proposed(deployment, deployment.person("ann"))
    deployment.compute(proposal_id)
    for name in ("bob", "cho", "bob"):
        assert decide(deployment.person(name), "approve", proposal_id).status_code == 202
    deployment.turn()
    deployment.turn()
    assert [event["data"]["approver"]["id"] for event in deployment.sent] == ["bob"]
    found = deployment.person("cho").get(f"/api/v1/proposals/{proposal_id}").json()
    assert found["decided"]["person"] == "bob"
    assert [(each["decision"]["person"], each["why"]) for each in found["without_effect"]] == [
        ("cho", "decided_before")
    ]
    assert decide(deployment.person("eva"), "decline", proposal_id).status_code == 409


def test_expired_withdrawn_and_declined_proposals_publish_nothing(deployment: Deployment) -> None:
    ann, bob = deployment.person("ann"), deployment.person("bob")
    first, second, third = (proposed(deployment, ann, action_id=f"a{number}") for number in range(3))
    assert decide(bob, "withdraw", first).status_code == 409
    assert decide(ann, "decline", first).status_code == 409
    assert decide(ann, "withdraw", first).status_code == 202
    assert decide(bob, "decline", second, MARKUP).status_code == 202
    deployment.compute(third)
    deployment.clock.move(15 * DAY)
    assert decide(bob, "approve", third).json()["detail"].startswith("expired: ")
    deployment.turn()
    found = {each["proposal_id"]: each["status"] for each in ann.get("/api/v1/proposals").json()["proposals"]}
    assert found == {first: "withdrawn", second: "declined", third: "expired"}
    assert deployment.sent == []


def test_foreign_tenants_and_roles_are_refused(deployment: Deployment) -> None:
    ann = deployment.person("ann")
    shared = proposed(deployment, ann)  # it concerns acme and globex
    deployment.compute(shared)
    limited = deployment.person("kim", tenants={"acme"})
    assert limited.get(f"/api/v1/proposals/{shared}").status_code == 404
    assert limited.get("/api/v1/proposals").json() == {"proposals": []}
    assert decide(limited, "approve", shared).status_code == 404
    assert propose(ann, incident="late-p1").status_code == 202
    assert limited.post("/api/v1/incidents/late-p1/proposals", json=_body()).status_code == 404
    assert limited.post("/api/v1/incidents/open-p1/proposals", json=_body()).status_code == 403
    both = deployment.person("lee", tenants={"acme", "globex"})
    assert decide(both, "approve", shared).status_code == 202
    for role in (Role.VIEWER, Role.BILLING):
        assert decide(deployment.person(f"p-{role}", role), "approve", shared).status_code == 403


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"action": "resolve"}, 422),
        ({"action": MARKUP}, 422),
        ({"form": {}}, 422),
        ({"form": {"reason": "x" * 5000}}, 422),
        ({"form": {"reason": "x", "who": "eve"}}, 422),
        ({"action": "amend", "form": {"reason": "x"}}, 422),
        ({"action": "amend", "form": {"reason": "x", "restored_at": "yesterday"}}, 422),
        ({"action": "apply-policy", "form": {"reason": "x", "policy": "none", "version": "1"}}, 422),
        ({"revision": 1}, 409),
        ({"form": {"reason": MARKUP}}, 202),
    ],
)
def test_what_is_proposed_is_checked(deployment: Deployment, given: dict[str, Any], status: int) -> None:
    answer = propose(deployment.person("ann"), **given)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/")


def test_the_effect_is_computed_in_a_process_of_its_own(deployment: Deployment) -> None:
    ann = deployment.person("ann")
    proposal_id = proposed(deployment, ann)
    answer = ann.post(f"/api/v1/proposals/{proposal_id}/effect")
    assert answer.status_code == 202
    assert answer.json()["computing"] in {"queued", "running"}
    effects = deployment.app.state.context.background.effects
    job = effects.latest(proposal_id)
    assert effects.wait(job.id, 60).status == "done"
    found = ann.get(f"/api/v1/proposals/{proposal_id}").json()
    assert found["computing"] is None
    assert found["effect"]["result"] == deployment.compute(proposal_id)
    effects.close()


def test_a_reason_of_a_decision_has_a_limit(deployment: Deployment) -> None:
    proposal_id = proposed(deployment, deployment.person("ann"))
    assert decide(deployment.person("bob"), "decline", proposal_id, "あ" * 2000).status_code == 422
    assert decide(deployment.person("bob"), "decline", proposal_id, "x" * 300_000).status_code == 413


def test_what_was_sent_twice_to_the_log_is_one_proposal(deployment: Deployment) -> None:
    ann = deployment.person("ann")
    proposal_id = proposed(deployment, ann)
    with deployment.engine.connect() as connection:
        before = get_proposal(connection, proposal_id)
    assert proposed(deployment, ann) == proposal_id
    with deployment.engine.connect() as connection:
        assert get_proposal(connection, proposal_id) == before


def _body() -> dict[str, Any]:
    return {"action": "annul", "form": {"reason": "a drill"}, "revision": 99, "action_id": "b1"}

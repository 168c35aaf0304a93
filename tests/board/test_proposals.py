"""Proposals from the API through the audit log to the changed statement; what the other person may not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from board_history import NOW
from fastapi.testclient import TestClient
from proposing_board import Deployment
from signed_in import browser
from sqlalchemy import insert

from board.ingest.retention import expire
from board.proposals.issued import AMOUNTS, with_issued
from board.proposals.stored import get_proposal
from board.store.engine import writing
from board.store.tables import reject
from connect.actions.person import Role
from streams.serde.cloudevents_json import format_line
from streams.sla.instants import DAY, HOUR, parse_rfc3339
from tests.waiting import TIMEOUT_S

MARKUP = "<script>alert(1)</script>"


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
    # What was issued does not come back, and the statement says so.
    assert month["issued_minor"] == 30_000
    assert month["not_collected_minor"] == 30_000 - after[1] == deployment.statement("acme", month["month"]).waived
    assert (month["to_issue_minor"], month["to_claim_minor"]) == (0, 0)
    assert month["adjust_after_s"] == 3600
    found = ann.get(f"/api/v1/proposals/{proposal_id}").json()
    assert found["status"] == "approved"
    assert found["decided"]["person"] == "bob"
    assert found["published"] is not None
    assert found["published"]["code"] is None
    assert ann.get("/api/v1/incidents/outage").json()["state"]["status"] == "annulled"
    deployment.turn()
    _quarantine_after(deployment, found["published"])
    assert ann.get(f"/api/v1/proposals/{proposal_id}").json()["published"] == found["published"]
    assert len(deployment.sent) == 1


def test_an_effect_says_what_was_issued_what_follows_and_what_is_not_collected_back(deployment: Deployment) -> None:
    def amounts(month: dict[str, Any], after: int, until: int = NOW) -> tuple[int, ...]:
        given = {"currency": "USD", "after": {"credit_minor": after}, "claim": "required", **month}
        data = {"months": [given], "months_changed": 1}
        with deployment.engine.connect() as connection:
            found = with_issued(connection, data, until)
        assert found["issued"] == {"USD": found["months"][0]["issued_minor"]}
        return tuple(found["months"][0][name] for name in AMOUNTS)

    paid = {"tenant_id": "acme", "month": "2026-06"}  # 300 dollars, as claimed on 10 July
    assert amounts(paid, 10_000) == (30_000, 0, 0, 20_000)
    assert amounts(paid, 45_000) == (30_000, 15_000, 0, 0)
    assert amounts(paid, 45_000, until=parse_rfc3339("2026-07-09T00:00:00Z")) == (0, 0, 45_000, 0)
    unpaid = {"tenant_id": "initech", "month": "2026-06", "claimable_until": "2026-09-02T00:00:00Z"}
    assert amounts(unpaid, 10_000) == (0, 0, 0, 0)  # too late to claim
    assert amounts(unpaid, 10_000, until=parse_rfc3339("2026-09-02T00:00:00Z")) == (0, 0, 10_000, 0)
    assert amounts({**unpaid, "claim": "automatic"}, 10_000) == (0, 10_000, 0, 0)
    refused = {"tenant_id": "acme", "month": "2026-03"}  # its claim was rejected
    assert amounts(refused, 10_000) == (0, 0, 10_000, 0)
    not_listed = {"months": [], "months_changed": 300, "issued": {"USD": 7}}
    with deployment.engine.connect() as connection:
        assert with_issued(connection, not_listed, NOW) == not_listed


def test_contracts_older_than_the_retention_count_in_an_effect(deployment: Deployment) -> None:
    proposal_id = proposed(deployment, deployment.person("ann"))
    before = deployment.compute(proposal_id)
    assert {month["tenant_id"] for month in before["months"]} == {"acme", "globex"}
    assert sum(expire(deployment.engine, deployment.clock.now() - 300 * DAY))
    after = deployment.compute(proposal_id)
    assert after["events"] < before["events"]
    assert {**after, "events": 0} == {**before, "events": 0}


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
    assert limited.get("/api/v1/proposals").json() == {"proposals": [], "next_cursor": None}
    assert decide(limited, "approve", shared).status_code == 404
    assert propose(ann, incident="late-p1").status_code == 202
    assert limited.post("/api/v1/incidents/late-p1/proposals", json=_body()).status_code == 404
    assert limited.post("/api/v1/incidents/open-p1/proposals", json=_body()).status_code == 403
    both = deployment.person("lee", tenants={"acme", "globex"})
    assert decide(both, "approve", shared).status_code == 202
    for role in (Role.VIEWER, Role.BILLING):
        assert decide(deployment.person(f"p-{role}", role), "approve", shared).status_code == 403


def test_every_role_and_step_at_own_and_foreign_tenants(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401 or 403 by role, 404 for what is another tenant's, and what the step gives otherwise."""
    monkeypatch.setattr("board.api.proposals.start_effect", lambda *_: None)  # a process for each
    eva = deployment.person("eva", Role.ADMIN)
    proposals = {incident: proposed(deployment, eva, incident=incident) for incident in ("waiting", "late-p1")}
    for each in proposals.values():
        deployment.compute(each)
    people = [(role, tenants) for role in Role for tenants in (None, {"acme"})]
    clients = {
        (role, tenants is not None): deployment.person(f"{role}-{tenants}", role, tenants) for role, tenants in people
    }
    wrong = []
    for (role, limited), client in [((None, False), browser(deployment.app)), *clients.items()]:
        for incident, proposal_id in proposals.items():
            at = f"/api/v1/proposals/{proposal_id}"
            body = {"action": "annul", "form": {"reason": "x"}, "revision": revision(eva, incident), "action_id": "x"}
            answers = {
                "list": (client.get("/api/v1/proposals"), 200),
                "show": (client.get(at), 200),
                "propose": (client.post(f"/api/v1/incidents/{incident}/proposals", json=body), 202),
                "effect": (client.post(f"{at}/effect"), 202),
                "approve": (client.post(f"{at}/approve", json={}), 202),
                "decline": (client.post(f"{at}/decline", json={}), 202),
                "withdraw": (client.post(f"{at}/withdraw", json={}), 409),  # it is another's
            }
            for step, (answer, given) in answers.items():
                if role is None and step not in {"list", "show"}:
                    given = 401
                elif role in {Role.VIEWER, Role.BILLING} and step not in {"list", "show"}:
                    given = 403
                elif limited and incident == "late-p1" and step != "list":
                    given = 404
                if answer.status_code != given:
                    wrong.append((role, limited, step, incident, answer.status_code, given, answer.text[:200]))
    assert wrong == []
    for limited, seen in ((False, {"waiting", "late-p1"}), (True, {"waiting"})):
        listed = clients[Role.RESPONDER, limited].get("/api/v1/proposals").json()["proposals"]
        assert {each["incident_id"] for each in listed} == seen


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
    assert effects.wait(job.id, TIMEOUT_S).status == "done"
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


def test_a_list_goes_on_where_it_was_and_nowhere_else(deployment: Deployment) -> None:
    ann = deployment.person("ann")
    names = {proposed(deployment, ann, incident=each, action_id=each) for each in ("outage", "waiting", "linked")}
    found, cursor = [], ""
    while cursor is not None:
        answer = ann.get("/api/v1/proposals", params={"limit": 1, **({"cursor": cursor} if cursor else {})}).json()
        found += [each["proposal_id"] for each in answer["proposals"]]
        cursor = answer["next_cursor"]
    assert len(found) == 3
    assert set(found) == names
    for wrong in ("x", "W10", "WzAsMCwwXQ"):
        assert ann.get("/api/v1/proposals", params={"cursor": wrong}).status_code == 400
    for wrong in ("x", "~", "2~1~x", "0~-1~x", "0~1~\0", f"0~{'9' * 30}~x", "0~²~x", "9999999999999999999~w", MARKUP):
        for path in ("/proposals?", "/maintenance?", "/maintenance?standing=past&", "/maintenance?standing=none&"):
            answer = ann.get(f"{path}after={quote(wrong)}")
            assert answer.status_code == 200, (path, wrong)
            assert MARKUP not in answer.text


def _quarantine_after(deployment: Deployment, place: dict[str, Any]) -> None:
    """A quarantine that names the proposal's event as the last input of its incident."""
    row = {"partition": 0, "offset": 99, "rejected_at": NOW, "code": "internal", "message": "", "headers": "[]"}
    original = {f"original_{name}": place[name] for name in ("topic", "partition", "offset")}
    with writing(deployment.engine).begin() as connection:
        connection.execute(insert(reject), row | original)


def _body() -> dict[str, Any]:
    return {"action": "annul", "form": {"reason": "a drill"}, "revision": 99, "action_id": "b1"}

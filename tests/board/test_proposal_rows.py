"""Stored proposals: what is left of those of an erased tenant (R29), and when they are deleted."""

from __future__ import annotations

from pathlib import Path

from proposing_board import Deployment
from sqlalchemy import func, select
from story import erased, texts

from board.ingest.retention import expire
from board.proposals.stored import get_proposal
from board.store.own_tables import proposal_effect
from board.store.proposal_tables import proposal
from streams.sla.instants import DAY

SECRET = "secret of acme"


def _proposed(board: Deployment) -> str:
    ann = board.person("ann")
    revision = ann.get("/api/v1/incidents/outage").json()["state"]["revision"]
    body = {"action": "annul", "form": {"reason": SECRET}, "revision": revision, "action_id": "a1"}
    answer = ann.post("/api/v1/incidents/outage/proposals", json=body)
    board.turn()
    found: str = answer.json()["proposal_id"]
    return found


def _content(board: Deployment) -> str:
    with board.engine.connect() as connection:
        rows = [*connection.execute(select(proposal)), *connection.execute(select(proposal_effect))]
    return repr(rows)


def test_an_erased_tenant_is_nowhere_in_its_proposals(tmp_path: Path) -> None:
    board = Deployment(tmp_path)
    name = _proposed(board)
    board.compute(name)
    assert SECRET in _content(board)
    assert "acme" in _content(board)
    board.lines += texts([erased("2026-11-20T11:00:00Z", of="acme")])
    board.ingest_topics()
    assert SECRET not in _content(board)
    assert "acme" not in _content(board)
    board.person("bob").post(f"/api/v1/proposals/{name}/decline", json={"reason": SECRET})
    board.turn()
    with board.engine.connect() as connection:
        found = get_proposal(connection, name)
    assert found is not None
    assert found.decided is not None
    assert found.decided.who.id == "bob"
    assert SECRET not in _content(board)
    board.engine.dispose()


def test_retention_deletes_ended_proposals_with_their_effects(tmp_path: Path) -> None:
    board = Deployment(tmp_path)
    name = _proposed(board)
    board.compute(name)
    with board.engine.connect() as connection:
        found = get_proposal(connection, name)
    assert found is not None
    list(expire(board.engine, found.proposed.expires_at))
    assert name in _content(board)
    list(expire(board.engine, found.proposed.expires_at + DAY))
    with board.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(proposal)).scalar() == 0
        assert connection.execute(select(func.count()).select_from(proposal_effect)).scalar() == 0
    board.engine.dispose()


def test_an_incident_counts_as_changed_with_its_proposals(tmp_path: Path) -> None:
    board = Deployment(tmp_path)
    name = _proposed(board)
    assert board.changed.incidents == {"outage"}
    for _ in range(2):
        board.person("bob").post(f"/api/v1/proposals/{name}/decline", json={"reason": "no"})
    board.turn()
    assert board.changed.incidents == {"outage"}
    board.turn()
    assert board.changed.incidents == set()
    board.engine.dispose()

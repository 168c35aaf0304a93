"""What people do is in the audit log, whatever comes of it: with person, action, subject, events and outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from proposing_board import Deployment
from sqlalchemy import Engine, select

from board.access.audit import MOST_DENIALS, MOST_LISTED, Acted, AuditLog
from board.access.audit_sender import audit_record
from board.access.identity import RequestSender
from board.actions.present import SeenStates
from board.actions.runner import ActionAttempt, ActionRunner
from board.store.own_tables import audit_outbox
from connect.actions.person import Person
from connect.actions.service import ActionService
from connect.client.errors import BrokerUnavailable
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode, encode
from streams.settings import Settings
from streams.sla.events import Rejection
from tests.unit.action_bench import ACME, ADMIN, BILL, KIM, NOW, VIEWER, MemoryPresent, MemoryPublisher
from tests.unit.memory_clock import Stopped

TERMS = "tenant_id,valid_from,plan,amount_minor,currency,emergency_member\n" + "".join(
    f"{tenant},2027-01-01T00:00:00Z,scalr-emergency,7,USD,yes\n" for tenant in ("zeta", "acme")
)


class Room:
    """A runner over facts in memory, and the audit log that it writes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.publisher, self.present = MemoryPublisher(), MemoryPresent()
        clock = Stopped(NOW)
        self.service = ActionService(Settings(), self.present, publisher=self.publisher, clock=clock, read_back_s=0.1)
        self.runner = ActionRunner(self.service, SeenStates(), AuditLog(engine, clock), clock)

    def act(self, person: Person, action: str, subject: str, form: Any = None, key: str = "k1", **given: Any) -> None:
        attempt = ActionAttempt(action, subject, form or {}, key, **given)
        asyncio.run(self.runner.perform(RequestSender(person, "192.0.2.7", "session"), attempt))


def audited(engine: Engine) -> list[dict[str, Any]]:
    """The events that wait, as they are read from Kafka."""
    with engine.connect() as connection:
        rows = connection.execute(select(audit_outbox).order_by(audit_outbox.c.id)).all()
    found = []
    for row in rows:
        decoded = decode(encode(row.type, audit_record(row)))
        assert not isinstance(decoded, Rejection)
        found.append(to_json(*decoded))
    return found


@pytest.fixture
def room(empty_read_model: Engine) -> Room:
    return Room(empty_read_model)


def test_an_action_names_who_did_what_to_what_by_which_event(room: Room) -> None:
    room.act(KIM, "respond", "inc-1")
    (event,) = audited(room.engine)
    assert (event["type"], event["subject"], event["source"]) == ("audit.acted", "kim", "/sla/board")
    assert event["data"] == {
        "person": "kim",
        "roles": ["responder"],
        "address": "192.0.2.7",
        "way": "session",
        "action": "respond",
        "about": "inc-1",
        "outcome": "accepted",
        "event_ids": [room.publisher.events[0]["id"]],
        "events": 1,
        "concerned": [],
    }


def _moves(room: Room) -> None:
    room.present.states["inc-1"] = {**room.present.states["inc-1"], "revision": 9, "severity": "P2"}


def _rejects(room: Room) -> None:
    room.publisher.reject = ("orphan", "secret words of inc-1")


def _unread(room: Room) -> None:
    room.publisher.unread = True


def _fails(room: Room) -> None:
    room.publisher.failure = BrokerUnavailable("kafka:9092 does not answer")


def _nothing(_: Room) -> None:
    pass


@pytest.mark.parametrize(
    ("before", "person", "action", "form", "given", "outcome", "reason", "events"),
    [
        (_rejects, KIM, "respond", {}, {}, "rejected", "orphan", 1),
        (_unread, KIM, "respond", {}, {}, "not_read_yet", None, 1),
        (_fails, KIM, "respond", {}, {}, "unavailable", "not_sent", 0),
        (_moves, KIM, "resolve", {}, {"seen_revision": 4}, "moved", "revision 4 is 9 now", 0),
        (_nothing, KIM, "wait", {"on": "nobody <b>"}, {}, "invalid", "on: choice", 0),
        (_nothing, KIM, "respond", {"secret words": "x"}, {}, "invalid", "unknown_field", 0),
        (_nothing, ACME, "respond", {}, {}, "accepted", None, 1),
    ],
)
def test_every_outcome_is_written_with_codes_and_without_what_was_entered(
    room: Room,
    before: Callable[[Room], None],
    person: Person,
    action: str,
    form: dict[str, str],
    given: dict[str, Any],
    outcome: str,
    reason: str | None,
    events: int,
) -> None:
    before(room)
    room.act(person, action, "inc-1", form, **given)
    (event,) = audited(room.engine)
    data = event["data"]
    assert (data["outcome"], data.get("reason"), data["events"], len(data["event_ids"])) == (
        outcome,
        reason,
        events,
        events,
    )
    assert data.get("tenants") == (["acme"] if person is ACME else None)
    assert "secret words" not in json.dumps(event)


def test_a_refusal_is_an_event_of_its_own_kind(room: Room) -> None:
    room.act(VIEWER, "respond", "inc-1")
    (event,) = audited(room.engine)
    assert (event["type"], event["data"]["about"]) == ("audit.denied", "respond inc-1")


def test_an_import_names_its_tenants_and_an_erasure_its_own(room: Room) -> None:
    room.act(BILL, "import-contracts", "", {"terms": TERMS}, "k1")
    room.act(ADMIN, "erase-tenant", "acme", {"reason": "secret words", "confirm_tenant": "acme"}, "k2")
    imported, erased = (each["data"] for each in audited(room.engine))
    assert (imported.get("about"), imported["concerned"], imported["events"]) == (None, ["acme", "zeta"], 2)
    assert (erased["about"], erased["action"], erased["outcome"]) == ("acme", "erase-tenant", "accepted")


def test_the_same_attempt_is_one_event_and_another_outcome_another(room: Room) -> None:
    room.publisher.unread = True
    room.act(KIM, "respond", "inc-1")
    room.act(KIM, "respond", "inc-1")
    room.publisher.unread = False
    room.act(KIM, "respond", "inc-1")
    room.act(KIM, "respond", "inc-1")
    found = audited(room.engine)
    assert [each["data"]["outcome"] for each in found] == ["not_read_yet", "accepted"]
    assert len({each["id"] for each in found}) == 2
    again = Room(room.engine)  # after a restart, the outbox having been sent
    with room.engine.begin() as connection:
        connection.execute(audit_outbox.delete())
    again.act(KIM, "respond", "inc-1")
    assert [each["id"] for each in audited(room.engine)] == [found[1]["id"]]


def test_what_had_no_effect_is_bounded_and_what_had_is_not(room: Room) -> None:
    for number in range(MOST_DENIALS + 5):
        room.act(KIM, "wait", "inc-1", {"on": "x"}, f"k{number}")
    assert len(audited(room.engine)) == MOST_DENIALS
    room.act(KIM, "respond", "inc-1", key="last")
    assert audited(room.engine)[-1]["data"]["outcome"] == "accepted"


def test_an_event_of_a_large_import_fits_a_record_of_kafka(room: Room) -> None:
    many = 30_000
    ids, tenants = (tuple(f"{word}{number:07}" * 6 for number in range(many)) for word in ("id", "日本"))
    acted = Acted("import-contracts", None, "k1", "accepted", sent=True, event_ids=ids, events=many, concerned=tenants)
    room.runner.audit.acted(RequestSender(BILL, "192.0.2.7", "token"), acted)
    (event,) = audited(room.engine)
    assert event["data"]["events"] == many
    assert len(event["data"]["event_ids"]) == len(event["data"]["concerned"]) == MOST_LISTED
    assert len(json.dumps(event, ensure_ascii=False).encode()) < 1_000_000


def test_an_action_is_done_also_where_the_audit_log_cannot_be_written(room: Room) -> None:
    room.engine.dispose()
    with room.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_outbox RENAME TO gone")
    room.act(KIM, "respond", "inc-1")
    assert len(room.publisher.events) == 1


def test_proposals_and_decisions_that_are_refused_are_there_too(tmp_path: Path) -> None:
    board = Deployment(tmp_path)
    ann, bob, vera = board.person("ann"), board.person("bob"), board.person("pat", tenants={"globex"})
    revision = ann.get("/api/v1/incidents/outage").json()["state"]["revision"]
    body = {"action": "annul", "form": {"reason": "secret words"}, "revision": revision, "action_id": "a1"}
    name = ann.post("/api/v1/incidents/outage/proposals", json=body).json()["proposal_id"]
    stale = {**body, "revision": revision - 1, "action_id": "a2"}
    assert ann.post("/api/v1/incidents/outage/proposals", json=stale).status_code == 409
    board.turn()
    refused = [
        ann.post(f"/api/v1/proposals/{name}/approve", json={"reason": "secret words"}),
        bob.post(f"/api/v1/proposals/{name}/approve", json={"reason": "secret words"}),
        vera.post(f"/api/v1/proposals/{name}/decline", json={"reason": "secret words"}),
    ]
    assert [each.status_code for each in refused] == [409, 409, 404]
    found = [each["data"] for each in audited(board.engine) if each["type"] == "audit.acted"]
    assert [(each["person"], each["action"], each["outcome"], each["reason"]) for each in found] == [
        ("ann", "approve", "refused", "same_person"),
        ("bob", "approve", "refused", "no_effect"),
        ("pat", "decline", "refused", "unknown"),
    ]
    assert {(each["about"], each["proposal_id"]) for each in found} == {("outage", name)}
    assert all("acme" in each["concerned"] for each in found)
    assert "secret words" not in str(found)
    board.engine.dispose()

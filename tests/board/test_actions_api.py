"""Actions through the API: who may, what moved, one event for each attempt, hostile input, Kafka away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from acting import ActingBoard, add_facts, reject_of
from databases import copied
from sqlalchemy import Engine

from board.actions.inputs import InputBody
from board.actions.present import BoardPresent, SeenStates
from board.queries.incidents import get_incident
from board.store.engine import writing
from board.store.tables import entry, incident, reject
from connect.actions.catalogue import ACTIONS
from connect.actions.person import Role
from connect.client.errors import BrokerUnavailable
from connect.kafka_io.batches import SentRange
from streams.settings import Settings

WINDOW = {
    "scope": "tenants",
    "tenant_ids": ["acme"],
    "components": ["api"],
    "start": "2026-12-20T01:00:00Z",
    "end": "2026-12-20T03:00:00Z",
}
TERMS = "tenant_id,valid_from,plan,amount_minor,currency,emergency_member\n" + (
    "{},2027-01-01T00:00:00Z,scalr-emergency,7,USD,yes"
)
OF_ACME, OF_GLOBEX = "waiting", "late-p1"  # open incidents of the history
#: A valid attempt of each action: address and body, at acme and at globex.
ATTEMPTS: dict[str, tuple[str, dict[str, Any]]] = {
    "respond": ("/incidents/{incident}/actions/respond", {}),
    "update": ("/incidents/{incident}/actions/update", {"visibility": "public", "text": "we work on it"}),
    "wait": ("/incidents/{incident}/actions/wait", {"on": "customer"}),
    "end-wait": ("/incidents/{incident}/actions/end-wait", {"on": "customer"}),
    "request-update": ("/incidents/{incident}/actions/request-update", {}),
    "resolve": ("/incidents/{incident}/actions/resolve", {}),
    "reopen": ("/incidents/{ended}/actions/reopen", {"reason": "it is back"}),
    "reclassify": ("/incidents/{incident}/actions/reclassify", {"impact": "cosmetic"}),
    "set-severity": ("/incidents/{incident}/actions/set-severity", {"severity": "P2", "reason": "few users"}),
    "merge": ("/incidents/{incident}/actions/merge", {"into": "{other}"}),
    "link": ("/incidents/{incident}/actions/link", {"ticket_id": "SUP-1"}),
    "schedule-maintenance": ("/maintenance/new/actions/schedule-maintenance", WINDOW),
    "edit-maintenance": ("/maintenance/of-{tenant}/actions/edit-maintenance", {**WINDOW, "components": ["ui"]}),
    "cancel-maintenance": ("/maintenance/of-{tenant}/actions/cancel-maintenance", {}),
    "claim-credit": ("/tenants/{tenant}/months/2026-10/claim", {"although_zero": True}),
    "import-contracts": ("/contracts/import", {"terms": TERMS, "dry_run": True}),
    "retry-rejected": ("/rejects/0/900001/retry", {}),
    "erase-tenant": ("/tenants/{tenant}/erase", {"reason": "asked", "confirm_tenant": "{tenant}"}),
}
#: Roles that may do each kind of action.
MAY = {
    "incident": {Role.RESPONDER, Role.ADMIN},
    "maintenance": {Role.RESPONDER, Role.ADMIN},
    "reject": {Role.RESPONDER, Role.ADMIN},
    "credit": {Role.BILLING, Role.ADMIN},
    "contracts": {Role.BILLING, Role.ADMIN},
    "tenant": {Role.ADMIN},
}


@pytest.fixture(scope="module")
def engine(read_model: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The read model with windows of two tenants and a reject."""
    found = copied(read_model, tmp_path_factory.mktemp("acting"))
    add_facts(found)
    with writing(found).begin() as connection:
        connection.execute(
            reject.insert(),
            {"partition": 0, "offset": 900001, "rejected_at": 1, "code": "internal", "message": "why",
             "original_topic": "incident-events", "original_partition": 0, "original_offset": 3, "headers": "[]"},
        )  # fmt: skip
    yield found
    found.dispose()


@pytest.fixture
def board(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ActingBoard]:
    found = ActingBoard(engine, tmp_path)
    monkeypatch.setattr("board.actions.present.topic_ends", lambda *_: {})
    monkeypatch.setattr(
        "board.actions.present.rejected_at",
        lambda _, partition, offset: reject_of() if (partition, offset) == (0, 900001) else None,
    )

    def send(settings: object, records: Any) -> list[SentRange]:
        found.publisher.events += [{"record": each} for each in records]
        return [SentRange("sla.incident-events", 0, 0, 1)]

    monkeypatch.setattr("connect.actions.service.send", send)
    yield found
    found.app.state.context.actions.close(2)


@cache
def ended_of(engine: Engine, tenant: str) -> str:
    """A resolved incident of one tenant alone."""
    with engine.connect() as connection:
        names = connection.execute(incident.select().with_only_columns(incident.c.incident_id).where(
            incident.c.status == "resolved").order_by(incident.c.incident_id)).scalars()  # fmt: skip
        return next(name for name in names if (row := get_incident(connection, name)) and row.tenant_ids == (tenant,))


def attempt_of(engine: Engine, action: str, tenant: str) -> tuple[str, Any]:
    """The address and body of an attempt that concerns one tenant."""
    path, body = ATTEMPTS[action]
    mine = OF_ACME if tenant == "acme" else OF_GLOBEX
    other = "hostile" if tenant == "acme" else "by-hand"
    values = {"incident": mine, "tenant": tenant, "other": other, "ended": ended_of(engine, tenant)}
    text = json.dumps(body)
    for name, value in values.items():
        path, text = path.replace(f"{{{name}}}", value), text.replace(f"{{{name}}}", value)
    found = json.loads(text)
    if "terms" in found:
        found["terms"] = found["terms"].format(tenant)
    if "tenant_ids" in found:
        found["tenant_ids"] = [tenant]
    return path, found


def test_the_table_has_every_action_of_one_person() -> None:
    assert set(ATTEMPTS) == {name for name, action in ACTIONS.items() if not action.two_persons}


@pytest.mark.parametrize("limited", [False, True], ids=["every tenant", "limited to acme"])
def test_every_role_and_action_at_own_and_foreign_tenants(board: ActingBoard, engine: Engine, limited: bool) -> None:
    wrong = []
    for role in (None, *Role):
        roles = () if role is None else (role,)
        client = board.client(f"p-{role}", *roles, tenants={"acme"} if limited else None)
        for name in ATTEMPTS:
            subject = ACTIONS[name].subject
            # At the only tenant that one may act on, it is as for who may act on all.
            for tenant in ("acme", "globex") if limited else ("globex",):
                path, body = attempt_of(engine, name, tenant)
                before = len(board.publisher.events)
                answer = board.post(client, path, body)
                sent = len(board.publisher.events) - before
                may = role in MAY[subject]
                foreign = limited and (tenant != "acme" or subject == "reject")
                unknown = subject == "incident" or name in {"edit-maintenance", "cancel-maintenance"}
                if not may or (foreign and not unknown):
                    fine = answer.status_code == 403 and not sent
                elif foreign:
                    fine = answer.status_code == 404 and not sent  # incidents and windows of others do not exist
                elif name == "end-wait" and tenant == "globex":
                    fine = answer.status_code == 422 and not sent  # nobody is waited for
                else:
                    fine = answer.status_code == 200 and sent == (name != "import-contracts")
                if not fine:
                    wrong.append((role, name, tenant, answer.status_code, sent, answer.text[:200]))
    assert wrong == []


def test_who_is_not_signed_in_is_asked_to(board: ActingBoard) -> None:
    client = board.client("kim")
    del client.headers["Authorization"]
    answer = board.post(client, "/incidents/waiting/actions/respond")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert board.publisher.events == []


def test_an_accepted_action_names_its_person(board: ActingBoard) -> None:
    kim = board.client("kim", Role.RESPONDER)
    answer = board.post(kim, "/incidents/waiting/actions/respond")
    assert answer.status_code == 200
    (event,) = answer.json()["events"]
    assert event["type"] == "incident.responded"
    assert event["source"] == "/sla/board"
    assert event["data"]["who"] == {"kind": "support", "id": "kim"}
    assert answer.json()["outcome"] == "accepted"
    assert answer.json()["positions"] == [{"topic": "incident-events", "partition": 0, "offset": 0}]


def test_a_double_click_is_one_event(board: ActingBoard) -> None:
    kim = board.client("kim", Role.RESPONDER)
    answers = [board.post(kim, "/incidents/waiting/actions/respond", key="once") for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert len(board.publisher.events) == 1
    other = board.post(kim, "/incidents/waiting/actions/resolve", key="once")
    assert other.status_code == 422
    assert len(board.publisher.events) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/incidents/waiting/actions/resolve", '{"restored_at": "2026-11-20T00:00:00Z", "restored_at": null}'),
        ("/tenants/acme/months/2026-10/claim", '{"although_zero": false, "although_zero": true}'),
        (
            "/incidents/waiting/proposals",
            '{"action": "annul", "incident_id": "waiting", "form": {"reason": "a", "reason": "b"}}',
        ),
    ],
)
def test_a_key_that_a_body_has_twice_is_refused(board: ActingBoard, path: str, body: str) -> None:
    kim = board.client("kim", *Role)
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answer = kim.post(f"/api/v1{path}", content=body, headers=headers)
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert "appears twice" in problem["problem"]
    assert board.publisher.events == []


def test_of_two_people_the_second_is_told_what_changed(board: ActingBoard, engine: Engine) -> None:
    kim, lee = (board.client(name, Role.RESPONDER) for name in ("kim", "lee"))
    shown = kim.get("/api/v1/incidents/open-p1").json()["incident"]
    revision = shown["revision"]
    assert (
        board.post(kim, "/incidents/open-p1/actions/respond", None, **{"If-Match": f'"{revision}"'}).status_code == 200
    )
    second = board.post(lee, f"/incidents/open-p1/actions/wait?revision={revision}", {"on": "customer"})
    assert second.status_code == 409
    problem = second.json()
    assert problem["outcome"] == "moved"
    assert [each["type"] for each in problem["recent"]] == ["incident.responded"]
    assert len(board.publisher.events) == 1
    with writing(engine).begin() as connection:
        row = get_incident(connection, "open-p1")
        assert row is not None
        data = {**row.state, "revision": revision + 1, "severity": "P2"}
        connection.execute(
            incident.update()
            .where(incident.c.incident_id == "open-p1")
            .values(revision=revision + 1, severity="P2", data=json.dumps(data))
        )
    try:
        later = board.post(lee, f"/incidents/open-p1/actions/wait?revision={revision}", {"on": "customer"})
    finally:
        with writing(engine).begin() as connection:
            connection.execute(
                incident.update()
                .where(incident.c.incident_id == "open-p1")
                .values(revision=revision, severity=row.severity, data=row.data)
            )
    assert later.status_code == 409
    assert {"field": "severity", "before": "P1", "after": "P2"} in later.json()["changes"]
    assert later.json()["revision"] == revision + 1


HOSTILE = ("<script>alert(1)</script>", "a\x00b", "\x1b[31m", "'; DROP TABLE incident; --", "x" * 5000, "\ud800")


@pytest.mark.parametrize("value", HOSTILE, ids=["markup", "nul", "escape", "sql", "long", "surrogate"])
@pytest.mark.parametrize("name", [name for name in ATTEMPTS if ACTIONS[name].fields])
def test_hostile_input_in_every_field_is_refused_or_sent_as_it_is(
    board: ActingBoard, engine: Engine, name: str, value: str
) -> None:
    admin = board.client("ada", Role.ADMIN)
    path, body = attempt_of(engine, name, "acme")
    for field in ACTIONS[name].fields:
        if field.name == "month":
            continue
        several = field.kind in {"tenants", "components"}
        answer = board.post(admin, path, {**body, field.name: [value] if several else value})
        assert answer.status_code in {200, 422}, (field.name, answer.status_code, answer.text[:300])
        if answer.status_code == 422:
            assert any(field.name in each["parameter"] for each in answer.json()["problems"]), answer.text[:300]
        if "\x00" in value or "\x1b" in value:
            assert answer.status_code == 422 or field.kind == "text" or name == "import-contracts"


def test_wrong_requests_say_what_is_allowed(board: ActingBoard) -> None:
    kim = board.client("kim", Role.RESPONDER)
    address = "/api/v1/incidents/waiting/actions/respond"
    assert kim.post(address).status_code == 400  # no Idempotency-Key
    unknown = board.post(kim, "/incidents/waiting/actions/wait", {"on": "customer", "who": "ada"})
    assert unknown.status_code == 422
    assert unknown.json()["problems"][0]["parameter"] == "who"
    missing = board.post(kim, "/incidents/waiting/actions/update", {"visibility": "public"})
    assert missing.json()["problems"][0]["parameter"] == "text"
    assert board.post(kim, "/incidents/none/actions/respond").status_code == 404
    differing = board.post(kim, "/incidents/waiting/actions/respond?revision=3", None, **{"If-Match": "4"})
    assert differing.status_code == 400
    assert board.publisher.events == []


def test_a_huge_body_is_refused_while_it_is_read(board: ActingBoard) -> None:
    kim = board.client("kim", Role.RESPONDER)
    answer = board.post(kim, "/incidents/waiting/actions/update", {"visibility": "public", "text": "x" * 300_000})
    assert answer.status_code == 413
    assert board.publisher.events == []


def test_kafka_away_is_503_and_the_same_key_is_sent_again(board: ActingBoard) -> None:
    kim = board.client("kim", Role.RESPONDER)
    board.publisher.failure = BrokerUnavailable("no Kafka broker answers")
    away = board.post(kim, "/incidents/waiting/actions/respond", key="again")
    assert away.status_code == 503
    assert away.headers["retry-after"] == "5"
    assert "nothing was sent" in away.json()["detail"]
    board.publisher.failure = None
    assert board.post(kim, "/incidents/waiting/actions/respond", key="again").status_code == 200
    assert len(board.publisher.events) == 1


def test_without_a_worker_it_is_not_read_yet(board: ActingBoard) -> None:
    kim = board.client("kim", Role.RESPONDER)
    board.publisher.unread = True
    answer = board.post(kim, "/incidents/waiting/actions/respond", key="later")
    assert answer.status_code == 202
    assert answer.json()["outcome"] == "not_read_yet"
    assert answer.headers["location"] == "/api/v1/inputs/incident-events/0/0"
    board.publisher.unread = False
    again = board.post(kim, "/incidents/waiting/actions/respond", key="later")
    assert again.status_code == 200
    first, second = board.publisher.events
    assert first == second


def test_people_limited_to_tenants_ask_for_what_they_sent(
    board: ActingBoard, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "board.actions.other_api.input_body", lambda *_: InputBody(outcome="accepted", code=None, message=None)
    )
    row = {"topic": "incident-events", "partition": 7, "subject": OF_ACME, "type": "incident.responded",
           "event_id": "e", "occurred_at": 1, "arrived_at": 1, "backfill": False}  # fmt: skip
    pat, lee = {"kind": "customer", "id": "pat"}, {"kind": "support", "id": "lee"}
    sent = [(pat, "/sla/board"), (lee, "/sla/board"), (pat, "/desk"), (None, "/sla/board")]
    with writing(engine).begin() as connection:
        for offset, (who, source) in enumerate(sent):
            data = json.dumps({} if who is None else {"who": who})
            connection.execute(entry.insert(), row | {"offset": offset, "source": source, "data": data})
    try:
        clients = (
            board.client("pat", Role.RESPONDER, tenants={"acme"}),
            board.client("lee", Role.VIEWER, tenants={"globex"}),
            board.client("kim", Role.VIEWER),
        )
        paths = [f"/api/v1/inputs/incident-events/7/{offset}" for offset in range(5)]
        assert [[client.get(path).status_code for path in paths] for client in clients] == [
            [200, 404, 404, 404, 404],
            [404] * 5,
            [200] * 5,
        ]
        assert "ask again" in clients[0].get(paths[4]).json()["detail"]
        assert clients[0].get("/api/v1/inputs/incidents/7/0").status_code == 404
    finally:
        with writing(engine).begin() as connection:
            connection.execute(entry.delete().where(entry.c.topic == "incident-events", entry.c.partition == 7))


def test_an_import_does_not_tell_limited_people_how_many_tenants_there_are(board: ActingBoard) -> None:
    bill = board.client("bill", Role.BILLING, tenants={"acme"})
    seen = board.post(bill, "/contracts/import", {"terms": TERMS.format("acme"), "dry_run": True}).json()
    assert seen["not_in_file"] is None


def test_of_several_rejects_of_an_original_the_latest_is_read_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "board.actions.present.rejected_at", lambda _, partition, offset: asked.append((partition, offset))
    )
    row = {"code": "internal", "message": "why", "original_topic": "incident-events", "original_partition": 1,
           "original_offset": 8, "headers": "[]"}  # fmt: skip
    places = [(2, 900, 5), (0, 901, 7), (0, 950, 6)]
    with writing(engine).begin() as connection:
        for partition, offset, at in places:
            connection.execute(reject.insert(), row | {"partition": partition, "offset": offset, "rejected_at": at})
    try:
        present = BoardPresent(Settings(), engine, SeenStates())
        for name in ("incident-events/1/8", "sla.incident-events/1/8", "incident-events/1/9", "1", "a/b/c", "a/1/2/3"):
            present.rejected(name)
        assert asked == [(0, 901), (0, 901)]
    finally:
        with writing(engine).begin() as connection:
            connection.execute(reject.delete().where(reject.c.original_offset == 8, reject.c.original_partition == 1))


def test_what_the_workers_reject_comes_with_their_reason(board: ActingBoard) -> None:
    kim = board.client("kim", Role.RESPONDER)
    board.publisher.reject = ("too_late", "it is 40 days old")
    answer = board.post(kim, "/incidents/waiting/actions/respond")
    assert answer.status_code == 422
    assert answer.json()["code"] == "too_late"
    assert answer.json()["detail"] == "too_late: it is 40 days old"


def test_an_import_publishes_the_difference_that_was_seen(board: ActingBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    bill = board.client("bill", Role.BILLING)
    body = {"terms": TERMS.format("acme")}
    assert board.post(bill, "/contracts/import", body).json()["problems"][0]["parameter"] == "digest"
    seen = board.post(bill, "/contracts/import", {**body, "dry_run": True}).json()
    assert seen["not_in_file"] == 4
    assert [each["kind"] for each in seen["changes"]] == ["new terms"]
    other = board.post(bill, "/contracts/import", {**body, "digest": "0" * 32})
    assert other.status_code == 422
    assert board.publisher.events == []
    applied = board.post(bill, "/contracts/import", {**body, "digest": seen["digest"]})
    assert applied.status_code == 200
    assert [each["type"] for each in board.publisher.events] == ["contract.set"]

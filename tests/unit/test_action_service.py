"""Performing actions: who may, what moved, one event for each attempt, and every outcome."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from action_bench import ACME, ADMIN, BILL, KIM, LEE, NOW, VIEWER, Bench, contract_log, state, terms

from connect.actions.catalogue import ACTIONS
from connect.actions.outcome import (
    Accepted,
    ActionUnavailable,
    Invalid,
    Moved,
    NotReadYet,
    Outcome,
    RejectedByWorker,
    Unchanged,
)
from connect.actions.permissions import Denied
from connect.actions.person import ANONYMOUS, Person
from connect.actions.prepared import Prepared
from connect.actions.sent import SentActions
from connect.actions.texts import preview_update, problem_text
from connect.client.errors import BrokerUnavailable, DeliveryFailed
from connect.kafka_io.connection import BrokerProblem
from connect.kafka_io.reader import TopicRecord
from connect.kafka_io.rejected_records import RejectedRecord, numbered
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.serde.codec import decode
from streams.serde.input_records import InputRecord, input_record_from_json
from streams.sla.instants import SECOND, format_rfc3339
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S

PERSON = {"kind": "support", "id": "kim"}
WINDOW = {
    "scope": "tenants",
    "tenant_ids": ["acme"],
    "components": ["api"],
    "start": "2026-06-20T01:00:00Z",
    "end": "2026-06-20T03:00:00Z",
}
TERMS = (
    "tenant_id,valid_from,plan,amount_minor,currency,emergency_member\n"
    "{},2026-01-01T00:00:00Z,scalr-emergency,{},USD,yes"
)
#: A valid attempt of each action: subject and form.
ATTEMPTS: dict[str, tuple[str, dict[str, Any]]] = {
    "respond": ("inc-1", {}),
    "update": ("inc-1", {"visibility": "public", "text": "we work on it"}),
    "wait": ("inc-1", {"on": "customer"}),
    "end-wait": ("waiting", {"on": "customer"}),
    "request-update": ("inc-1", {}),
    "resolve": ("inc-1", {}),
    "reopen": ("ended", {"reason": "it is back"}),
    "reclassify": ("inc-1", {"impact": "cosmetic"}),
    "set-severity": ("inc-1", {"severity": "P2", "reason": "few users"}),
    "merge": ("inc-1", {"into": "inc-2"}),
    "link": ("inc-1", {"ticket_id": "SUP-1"}),
    "schedule-maintenance": ("new", WINDOW),
    "edit-maintenance": ("db-move", WINDOW | {"components": ["ui"]}),
    "cancel-maintenance": ("db-move", {}),
    "claim-credit": ("acme", {"month": "2026-05"}),
    "import-contracts": ("", {"terms": TERMS.format("acme", 7)}),
    "retry-rejected": ("incident-events/0/3", {}),
    "erase-tenant": ("acme", {"reason": "asked", "confirm_tenant": "acme"}),
    "annul": ("inc-1", {"reason": "a drill"}),
    "amend": ("inc-1", {"counts_as_downtime": "no", "reason": "r"}),
    "apply-policy": ("inc-1", {"policy": "scalr-emergency", "version": "1", "reason": "r"}),
}
_WORK = {name for name, action in ACTIONS.items() if action.subject in {"incident", "maintenance", "reject"}}
MAY = {ADMIN: set(ACTIONS), KIM: _WORK, BILL: {"claim-credit", "import-contracts"}, VIEWER: set(), ANONYMOUS: set()}


def window_event(identity: str = "db-move", **changed: object) -> dict[str, Any]:
    data = {"maintenance_id": identity, **WINDOW, "announced_at": "2026-06-05T00:00:00Z", **changed}
    event = {"specversion": "1.0", "id": f"w-{identity}", "type": "maintenance.scheduled", "source": "/desk"}
    return {**event, "subject": identity, "time": "2026-06-05T00:00:00Z", "data": data}


def opened(incident: str = "inc-9", **changed: object) -> dict[str, Any]:
    data = {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "monitor", **changed}
    event = {"specversion": "1.0", "id": f"o-{incident}", "type": "incident.opened", "source": "/monitor"}
    return {**event, "subject": incident, "time": format_rfc3339(SystemTimeSource().now()), "data": data}


def reject_of(event: Mapping[str, object], code: str = "internal") -> RejectedRecord:
    ready = input_record_from_json(dict(event))
    assert isinstance(ready, InputRecord)
    original = Record("sla.incident-events", 0, 3, NOW, ready.subject.encode(), ready.value, ready.headers)
    sent = rejected(original, code, "why", "sla.rejected", 0)
    record = TopicRecord("sla.rejected", 0, 0, NOW, sent.key, sent.value, list(sent.headers))
    return next(numbered([record], decode))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    found = Bench()
    found.present.states |= {
        "inc-2": state("inc-2"),
        "ended": state("ended", status="resolved", ended_at="2026-06-10T11:30:00Z", restored_at="2026-06-10T11:30:00Z"),
        "waiting": state("waiting", waiting="customer"),
        "foreign": state("foreign", tenant_ids=["globex"]),
        "both": state("both", tenant_ids=["acme", "globex"]),
        "platform": state("platform", scope="platform", tenant_ids=[]),
        "annulled": state("annulled", status="annulled", ended_at="2026-06-10T11:30:00Z"),
    }
    found.present.log = contract_log(terms(), window_event())
    found.present.rejects["incident-events/0/3"] = reject_of(opened())

    def send(settings: object, records: Any) -> Any:
        from connect.kafka_io.batches import SentRange

        found.publisher.events += [{"record": each} for each in records]
        return [SentRange("sla.incident-events", 0, 0, 1)]

    monkeypatch.setattr("connect.actions.service.send", send)
    return found


def codes(outcome: Outcome) -> list[str]:
    match outcome:
        case Invalid(problems):
            return [problem.code for problem in problems]
        case Unchanged(reason):
            return [reason.code]
    return [type(outcome).__name__]


@pytest.mark.parametrize("person", MAY, ids=[person.id for person in MAY])
@pytest.mark.parametrize("name", ACTIONS)
def test_each_role_and_action(bench: Bench, name: str, person: Person) -> None:
    subject, form = ATTEMPTS[name]
    approver = LEE if ACTIONS[name].two_persons else None
    outcome = bench.perform(person, name, subject, form, approver=approver)
    if name not in MAY[person]:
        assert isinstance(outcome, Denied)
        assert outcome.cause == ("role" if person.signed_in else "sign_in")
        assert bench.sent == []
        return
    assert isinstance(outcome, Accepted), outcome
    if name != "retry-rejected":
        (event,) = bench.sent
        assert event["data"]["who"] == {"kind": "support", "id": person.id}
        assert event["data"].get("approver") == ({"kind": "support", "id": "lee"} if approver else None)


@pytest.mark.parametrize(
    ("name", "subject", "form", "cause"),
    [
        ("respond", "both", {}, "tenant"),
        ("respond", "platform", {}, "platform"),
        ("reclassify", "inc-1", {"scope": "platform"}, "platform"),
        ("reclassify", "inc-1", {"scope": "tenants", "tenant_ids": ["acme", "globex"]}, "tenant"),
        ("merge", "inc-1", {"into": "both"}, "tenant"),
        ("merge", "inc-1", {"into": "platform"}, "platform"),
        ("schedule-maintenance", "new", {**WINDOW, "scope": "platform", "tenant_ids": []}, "platform"),
        ("schedule-maintenance", "new", {**WINDOW, "tenant_ids": ["globex"]}, "tenant"),
        ("edit-maintenance", "foreign-window", WINDOW, "tenant"),
        ("cancel-maintenance", "foreign-window", {}, "tenant"),
        ("claim-credit", "globex", {"month": "2026-05"}, "tenant"),
        ("import-contracts", "", {"terms": TERMS.format("globex", 5)}, "tenant"),
        ("retry-rejected", "incident-events/0/3", {}, "platform"),
    ],
)
def test_a_person_of_one_tenant_acts_on_nothing_of_others(
    bench: Bench, name: str, subject: str, form: dict[str, Any], cause: str
) -> None:
    bench.present.log = contract_log(terms(), window_event("foreign-window", tenant_ids=["acme", "globex"]))
    outcome = bench.perform(ACME, name, subject, form)
    assert isinstance(outcome, Denied), outcome
    assert outcome.cause == cause
    assert "globex" not in outcome.reason
    assert bench.sent == []


@pytest.mark.parametrize("subject", ["foreign", "nowhere"])
def test_incidents_of_others_do_not_exist_for_a_person_of_one_tenant(bench: Bench, subject: str) -> None:
    assert codes(bench.perform(ACME, "respond", subject)) == ["incident_unknown"]
    assert codes(bench.perform(ACME, "merge", form={"into": subject})) == ["incident_unknown"]


@pytest.mark.parametrize("name", ["edit-maintenance", "cancel-maintenance"])
def test_windows_of_others_do_not_exist_for_a_person_of_one_tenant(bench: Bench, name: str) -> None:
    cancelled = (
        window_event("gone", tenant_ids=["globex"]),
        {
            **window_event("gone"),
            "id": "c-gone",
            "type": "maintenance.cancelled",
            "time": "2026-06-06T00:00:00Z",
            "data": {"maintenance_id": "gone"},
        },
    )
    bench.present.log = contract_log(terms(), window_event("foreign-window", tenant_ids=["globex"]), *cancelled)
    form = WINDOW if name == "edit-maintenance" else {}
    outcomes = [bench.perform(ACME, name, subject, form) for subject in ("foreign-window", "gone", "nowhere")]
    assert [codes(each) for each in outcomes] == [["maintenance_unknown"]] * 3
    taken = bench.perform(ACME, "schedule-maintenance", "foreign-window", WINDOW)
    assert codes(taken) == ["maintenance_exists"]
    assert bench.sent == []


def test_a_customer_acts_as_a_customer(bench: Bench) -> None:
    assert isinstance(bench.perform(ACME, "request-update"), Accepted)
    assert bench.sent[0]["data"]["who"] == {"kind": "customer", "id": "pat"}


@pytest.mark.parametrize(
    ("name", "subject", "form", "code"),
    [
        ("respond", "ended", {}, "not_open"),
        ("resolve", "ended", {}, "not_open"),
        ("reopen", "inc-1", {}, "not_ended"),
        ("reopen", "annulled", {}, "annulled"),
        ("annul", "annulled", {"reason": "r"}, "annulled"),
        ("end-wait", "inc-1", {"on": "customer"}, "not_waiting"),
        ("resolve", "inc-1", {"restored_at": "2026-06-09T00:00:00Z"}, "restored_early"),
        ("amend", "ended", {"started_at": "2026-06-10T11:59:00Z", "reason": "r"}, "started_late"),
        ("merge", "inc-1", {"into": "inc-1"}, "into_itself"),
        ("merge", "inc-1", {"into": "nowhere"}, "incident_unknown"),
        ("merge", "inc-1", {"into": "child"}, "merge_cycle"),
        ("respond", "x" * 129, {}, "id_long"),
        ("respond", "a\x1b[2J", {}, "control_character"),
        ("resolve", "inc-1", {"restored_at": "2026-06-10T13:00:00Z"}, "check"),
        ("update", "inc-1", {"visibility": "public", "text": "x" * 5120}, "text_long"),
        ("explode", "inc-1", {}, "unknown_action"),
        ("schedule-maintenance", "db-move", WINDOW, "maintenance_exists"),
        ("edit-maintenance", "nowhere", WINDOW, "maintenance_unknown"),
        ("cancel-maintenance", "nowhere", {}, "maintenance_unknown"),
        ("claim-credit", "nobody", {"month": "2026-05"}, "tenant_unknown"),
        ("claim-credit", "*", {"month": "2026-05"}, "wildcard"),
        ("import-contracts", "", {"terms": TERMS.format("acme", "much")}, "line"),
        ("retry-rejected", "incident-events/0/9", {}, "reject_unknown"),
        ("erase-tenant", "acme", {"reason": "r", "confirm_tenant": "Acme"}, "confirm"),
    ],
)
def test_what_makes_no_sense_is_refused(bench: Bench, name: str, subject: str, form: dict[str, Any], code: str) -> None:
    bench.present.states["child"] = state("child", merged_into="middle", status="merged")
    bench.present.states["middle"] = state("middle", merged_into="inc-1", status="merged")
    outcome = bench.perform(ADMIN, name, subject, form, approver=LEE if name in {"annul", "amend"} else None)
    assert codes(outcome) == [code]
    assert isinstance(outcome, Invalid)
    assert problem_text(outcome.problems[0], "ja").isprintable()
    assert bench.sent == []


def test_an_action_for_two_starts_as_a_proposal(bench: Bench) -> None:
    assert codes(bench.perform(KIM, "annul", form={"reason": "r"})) == ["two_persons"]
    proposed = bench.service.prepare(KIM, "annul", "inc-1", {"reason": "r"}, now=NOW)
    assert isinstance(proposed, Prepared)
    assert codes(bench.perform(KIM, "annul", form={"reason": "r"}, approver=KIM)) == ["check"]
    denied = bench.perform(KIM, "annul", form={"reason": "r"}, approver=VIEWER)
    assert isinstance(denied, Denied)
    assert denied.permission == "approve"
    assert bench.sent == []


# -- one event for each attempt ------------------------------------------------------------------------------------


def test_a_double_click_and_a_retry_send_one_event(bench: Bench) -> None:
    first = bench.perform(KIM, "respond", action_id="a-1")
    again = bench.perform(KIM, "respond", action_id="a-1", now=NOW + 60 * SECOND)
    assert first == again
    assert len(bench.sent) == 1
    changed = bench.perform(KIM, "update", form={"visibility": "internal", "text": "other"}, action_id="a-1")
    assert codes(changed) == ["action_id_used"]


def test_what_was_not_acknowledged_is_sent_again_as_it_was(bench: Bench) -> None:
    bench.publisher.failure = DeliveryFailed("timed out", [], retriable=True)
    assert bench.perform(KIM, "respond", action_id="a-1") == ActionUnavailable("timed out", sent=True)
    bench.publisher.failure = None
    outcome = bench.perform(KIM, "respond", action_id="a-1", now=NOW + 60 * SECOND)
    assert isinstance(outcome, Accepted)
    assert bench.sent[0]["time"] == format_rfc3339(NOW)


def test_a_wrong_form_can_be_corrected_under_the_same_attempt(bench: Bench) -> None:
    assert codes(bench.perform(KIM, "wait", form={"on": "godot"}, action_id="a-1")) == ["choice"]
    assert isinstance(bench.perform(KIM, "wait", form={"on": "customer"}, action_id="a-1"), Accepted)


def test_clicks_at_the_same_time_send_one_event(bench: Bench) -> None:
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(bench.perform(KIM, "respond", action_id="a-1")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert len(outcomes) == 8
    assert set(map(type, outcomes)) == {Accepted}
    assert len(bench.sent) == 1


def test_an_attempt_from_before_a_restart_is_not_sent_twice(bench: Bench) -> None:
    bench.publisher.reject = ("conflict", "the id belongs to another event")
    assert codes(bench.perform(KIM, "respond", action_id="a-1")) == ["sent_before"]


# -- revisions -----------------------------------------------------------------------------------------------------


def test_an_incident_that_moved_on_says_what_changed(bench: Bench) -> None:
    bench.present.earlier["inc-1", 3] = state(revision=3, severity="P2", clocks=[])
    outcome = bench.perform(KIM, "respond", seen_revision=3)
    assert isinstance(outcome, Moved)
    assert (outcome.seen, outcome.present) == (3, 4)
    changes = {change.field: (change.before, change.after) for change in outcome.changes or ()}
    assert changes["severity"] == ("P2", "P1")
    assert changes["clock.response.1"] == (None, {"state": "running", "deadline": "2026-06-10T13:00:00Z"})
    assert bench.sent == []
    assert isinstance(bench.perform(KIM, "respond", seen_revision=4), Accepted)


def test_what_does_not_matter_may_change(bench: Bench) -> None:
    bench.present.earlier["inc-1", 3] = state(revision=3, next={"what": "warning"})
    assert isinstance(bench.perform(KIM, "respond", seen_revision=3), Accepted)


def test_without_the_earlier_state_the_present_one_is_shown(bench: Bench) -> None:
    outcome = bench.perform(KIM, "respond", seen_revision=2)
    assert isinstance(outcome, Moved)
    assert outcome.changes is None
    assert outcome.state["severity"] == "P1"


def test_a_reader_that_is_behind_stops_nobody(bench: Bench) -> None:
    assert isinstance(bench.perform(KIM, "respond", seen_revision=5), Accepted)


def test_an_end_seen_too_late_is_told_as_a_change(bench: Bench) -> None:
    bench.present.earlier["ended", 3] = state("ended", revision=3)
    outcome = bench.perform(KIM, "resolve", "ended", seen_revision=3)
    assert isinstance(outcome, Moved)
    assert "status" in {change.field for change in outcome.changes or ()}


def test_two_people_race_on_one_incident(bench: Bench) -> None:
    """Both saw revision 4; the state does not show yet what the first one did."""
    assert isinstance(bench.perform(KIM, "respond", seen_revision=4), Accepted)
    outcome = bench.perform(LEE, "respond", seen_revision=4, now=NOW + SECOND)
    assert isinstance(outcome, Moved)
    assert [event["data"]["who"]["id"] for event in outcome.recent if isinstance(event["data"], dict)] == ["kim"]
    assert len(bench.sent) == 1
    # The first one may go on, and an action without effect stops nobody for ever.
    assert isinstance(bench.perform(KIM, "link", form={"ticket_id": "S-1"}, seen_revision=4), Accepted)
    assert isinstance(bench.perform(LEE, "respond", seen_revision=4, now=NOW + 20 * SECOND), Accepted)


# -- outcomes ------------------------------------------------------------------------------------------------------


def test_outcomes_of_the_workers(bench: Bench) -> None:
    bench.publisher.reject = ("too_late", "time is long ago")
    outcome = bench.perform(KIM, "respond")
    assert isinstance(outcome, RejectedByWorker)
    assert (outcome.code, outcome.message) == ("too_late", "time is long ago")
    bench.publisher.reject, bench.publisher.unread = None, True
    assert isinstance(bench.perform(KIM, "respond"), NotReadYet)
    bench.publisher.unread = False
    assert isinstance(bench.perform(KIM, "respond", read_back=False), NotReadYet)


def test_a_broker_that_is_away_is_unavailable(bench: Bench) -> None:
    bench.publisher.failure = BrokerUnavailable("no broker answers")
    assert bench.perform(KIM, "respond") == ActionUnavailable("no broker answers")
    bench.service.close()
    assert bench.publisher.closed


def test_an_attempt_needs_an_id(bench: Bench) -> None:
    for wrong in ("", "x" * 129, "a\nb"):
        outcome = bench.perform(KIM, "respond", action_id=wrong)
        assert isinstance(outcome, Invalid)
        assert outcome.problems[0].field == "action_id"


# -- contract facts ------------------------------------------------------------------------------------------------


def statement(credit: int, until: str, status: str = "final") -> dict[str, Any]:
    money = {"amount_minor": credit, "currency": "USD"}
    return {"status": status, "revision": 2, "credit": money, "claimable_until": until}


@pytest.mark.parametrize(
    ("found", "form", "code"),
    [
        (statement(5_000, "2026-07-01T00:00:00Z"), {}, None),
        (statement(5_000, "2026-06-10T11:59:59Z"), {}, "claim_late"),
        (statement(0, "2026-07-01T00:00:00Z"), {}, "claim_zero"),
        (statement(0, "2026-07-01T00:00:00Z"), {"although_zero": True}, None),
        (statement(0, "2026-06-01T00:00:00Z"), {"although_zero": True}, "claim_late"),
        (statement(0, "2026-07-01T00:00:00Z", "provisional"), {}, None),
    ],
)
def test_claims_are_checked_by_the_statement(
    bench: Bench, found: dict[str, Any], form: dict[str, Any], code: str | None
) -> None:
    bench.present.statements["acme", "2026-05"] = found
    outcome = bench.perform(BILL, "claim-credit", "acme", {"month": "2026-05", **form})
    assert codes(outcome) == [code or "Accepted"]


def test_what_is_so_already_publishes_nothing(bench: Bench) -> None:
    for name, subject, form, code in (
        ("claim-credit", "acme", {"month": "2026-05"}, "claimed_before"),
        ("edit-maintenance", "db-move", WINDOW, "same_window"),
        ("import-contracts", "", {"terms": TERMS.format("acme", 7)}, "same_terms"),
        ("cancel-maintenance", "db-move", {}, "cancelled_before"),
        ("erase-tenant", "acme", {"reason": "r", "confirm_tenant": "acme"}, "erased_before"),
    ):
        if code != "same_window":
            assert isinstance(bench.perform(ADMIN, name, subject, form), Accepted)
            bench.present.log = contract_log(terms(), window_event(), *bench.sent)
        before = len(bench.sent)
        outcome = bench.perform(ADMIN, name, subject, form)
        assert codes(outcome) == [code]
        assert len(bench.sent) == before


def test_an_import_is_shown_first(bench: Bench) -> None:
    ready = bench.service.prepare(BILL, "import-contracts", "", {"terms": TERMS.format("globex", 5)}, now=NOW)
    assert isinstance(ready, Prepared)
    assert ready.difference is not None
    assert [(change.kind, change.row.tenant) for change in ready.difference.changes] == [("new tenant", "globex")]
    assert bench.sent == []


def test_many_wrong_lines_are_counted(bench: Bench) -> None:
    lines = [TERMS.format("acme", "much"), *("acme,x,y" for _ in range(30))]
    found = codes(bench.perform(BILL, "import-contracts", "", {"terms": "\n".join(lines)}))
    assert found == ["line"] * 20 + ["more_lines"]


# -- rejected input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"data": {**opened()["data"], "component": "ui"}, "id": "new"}, "Accepted"),
        ({"type": "incident.annulled"}, "other_type"),
        ({"data": {"scope": "platform"}}, "check"),
    ],
)
def test_a_correction_stays_what_it_was(bench: Bench, changed: dict[str, Any], code: str) -> None:
    corrected = json.dumps(opened() | changed, indent=2)
    outcome = bench.perform(KIM, "retry-rejected", "incident-events/0/3", {"corrected": corrected})
    assert codes(outcome) == [code], outcome


def test_a_correction_acts_in_nobody_elses_name(bench: Bench) -> None:
    update = opened() | {
        "type": "incident.updated",
        "data": {"who": {"kind": "support", "id": "lee"}, "visibility": "public"},
    }
    bench.present.rejects["incident-events/0/3"] = reject_of(update)
    for who, code in (("ceo", "other_author"), ("kim", "Accepted"), ("lee", "Accepted")):
        data = {"who": {"kind": "support", "id": who}, "visibility": "internal"}
        corrected = json.dumps(update | {"id": f"new-{who}", "data": data})
        outcome = bench.perform(KIM, "retry-rejected", "incident-events/0/3", {"corrected": corrected})
        assert codes(outcome) == [code], outcome


@pytest.mark.parametrize(
    ("event_type", "data", "code"),
    [
        (
            "incident.annulled",
            {"who": {"kind": "support", "id": "kim"}, "approver": {"kind": "support", "id": "lee"}, "reason": "r"},
            "not_correctable",
        ),
        ("tenant.erased", {"tenant_id": "acme", "who": PERSON, "reason": "r"}, "Denied"),
        ("sla.breached", {}, "not_correctable"),
    ],
)
def test_a_correction_needs_the_permission_of_its_type(
    bench: Bench, event_type: str, data: dict[str, Any], code: str
) -> None:
    unreadable = reject_of(opened())
    bench.present.rejects["incident-events/0/3"] = unreadable._replace(decoded=None)
    corrected = json.dumps(opened("acme") | {"type": event_type, "data": data})
    outcome = bench.perform(KIM, "retry-rejected", "incident-events/0/3", {"corrected": corrected})
    assert codes(outcome) == [code]
    assert bench.sent == []


def test_an_update_is_previewed_in_both_languages() -> None:
    found = preview_update(state(), "public", "we work on it")
    assert found["en"].heading == "Public update: P1 API: complete outage"
    assert found["ja"].heading == "公開の更新: P1 API: 全面停止"
    assert {each.text for each in found.values()} == {"we work on it"}


def test_components_are_those_of_the_incidents_policy(bench: Bench) -> None:
    policy = {"name": "scalr-emergency", "version": "1"}
    bench.present.states["inc-1"] = state(policy=policy)
    component = next(
        field for field in bench.service.describe("reclassify", state(policy=policy)) if field.name == "component"
    )
    outcome = bench.perform(KIM, "reclassify", form={"component": "apj"})
    assert isinstance(outcome, Invalid)
    allowed = outcome.problems[0].values["allowed"]
    assert allowed == ", ".join(component.choices)
    assert set(component.choices) == {"ui", "api", "auto_scaling", "backups", "auto_healing", "guest_agent"}
    assert isinstance(bench.perform(KIM, "reclassify", form={"component": "ui"}), Accepted)


def test_who_waits_for_kafka_holds_up_no_other_subject() -> None:
    sent = SentActions()
    names = [f"inc-{number}" for number in range(200)]
    with ExitStack() as held:
        for name in names:
            held.enter_context(sent.alone(name))  # a lock that two of them shared would wait here for ever
        reached = threading.Event()

        def second() -> None:
            with sent.alone(names[0]):
                reached.set()

        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        assert not reached.wait(0.05)
    assert reached.wait(TIMEOUT_S)
    thread.join(TIMEOUT_S)
    assert sent._subjects == {}


def test_what_a_state_shows_by_now_is_not_remembered() -> None:
    """Also where nobody asks for it: authors that name no revision do not."""
    sent = SentActions()
    for second in range(60):
        sent.note("inc-1", 3, "kim", {"id": str(second)}, NOW + second * SECOND)
    assert [each["id"] for each in sent.recent("inc-1", {"revision": 3}, "lee", NOW + 59 * SECOND)] == [
        str(second) for second in range(49, 60)
    ]
    assert len(sent._recent["inc-1"]) == 11
    sent.note("inc-1", 3, "kim", {"id": "later"}, NOW + 90 * SECOND)
    assert len(sent._recent["inc-1"]) == 1


def test_what_is_published_is_not_told_as_if_it_was_not_when_its_result_cannot_be_read(bench: Bench) -> None:
    """Whoever is told "nothing was published" does it again: a public update would be sent twice."""
    bench.publisher.unreadable = BrokerProblem("Kafka is gone")
    outcome = bench.perform(KIM, "respond", "inc-1")
    assert isinstance(outcome, NotReadYet)
    assert (len(outcome.positions), len(bench.sent)) == (1, 1)
    assert outcome.reason == "Kafka is gone"

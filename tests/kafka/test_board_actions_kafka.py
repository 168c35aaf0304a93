"""The board's actions against a real broker and worker: from a sign-in to a clock that is met; what two people decide,
up to the changed statement; two people who act on one incident in the same moment."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from acting import hidden
from billed_at_once import BILLED_AT_ONCE, PATIENT
from board_process import BoardProcess, contract, event, last_month, opened, publish, unique, until
from command_process import ROOT
from kafka import KafkaProducer

from connect.actions.person import Role
from connect.kafka_io.reader import read_topics
from streams.kafka.partitioner import partition_of
from streams.serde.cloudevents_headers import headers_for
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode, encode
from streams.sla.events import Rejection
from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339, parse_rfc3339
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.kafka

clock = SystemTimeSource()


@pytest.fixture(scope="module")
def board(deployment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoardProcess]:
    with BoardProcess(tmp_path_factory.mktemp("board"), deployment) as running:
        yield running


@pytest.fixture(autouse=True)
def _settings(deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in deployment.items():
        monkeypatch.setenv(name, value)


def response_clock(incident: Any) -> Any:
    return next(each for each in incident["state"]["clocks"] if each["metric"] == "response")


def events_of(deployment: Mapping[str, str], incident: str) -> list[dict[str, Any]]:
    """The input events about an incident, in their order."""
    records = read_topics([deployment["SLA_BROKERS"]], [f"{deployment['SLA_TOPIC_PREFIX']}.incident-events"])
    decoded = [found for record in records if not isinstance(found := decode(record.value), Rejection)]
    return [found for each in decoded if (found := to_json(*each))["subject"] == incident]


def test_from_sign_in_to_a_met_clock(board: BoardProcess) -> None:
    kim, incident = board.browser("kim", Role.RESPONDER), unique("board")
    publish(opened(incident, clock.now() - 5 * MINUTE))
    api = f"/api/v1/incidents/{incident}"
    before = until(kim, api, lambda found: bool(found["state"]["clocks"]))
    assert response_clock(before)["state"] == "running"

    # The form of the page, as a browser without scripts sends it.
    page = kim.get(f"/incidents/{incident}").text
    sent = hidden(page, "respond")
    answer = kim.post(f"/incidents/{incident}/actions/respond", data=sent)
    assert answer.status_code == 303, answer.text
    responded = until(kim, api, lambda found: found["state"].get("responded_at") is not None)
    assert response_clock(responded)["state"] == "met"

    # The API, with the revision that was seen; the form's one is out of date by now.
    headers = {"X-CSRF-Token": sent["csrf_token"], "Idempotency-Key": incident}
    moved = kim.post(f"{api}/actions/resolve?revision={before['state']['revision']}", headers=headers)
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

    # All of it is in the audit log, as it came back from Kafka.
    done = [
        ("respond", "accepted", 1),
        ("resolve", "moved", 0),
        ("resolve", "accepted", 1),
        ("schedule-maintenance", "accepted", 1),
        *[("edit-maintenance", "accepted", 1)] * 3,
        ("edit-maintenance", "unchanged", 0),
    ]

    def audited(found: Any) -> list[Any]:
        about = {incident, f"window-{incident}"}
        return [each for each in reversed(found["events"]) if each["about"] in about]

    admin, log = board.browser("ada", Role.ADMIN), "/api/v1/audit?type=audit.acted&person=kim&limit=200"
    found = audited(until(admin, log, lambda found: len(audited(found)) >= len(done)))
    assert [(each["action"], each["outcome"], each["events"]) for each in found] == done
    assert found[2]["event_ids"] == [resolved.json()["events"][0]["id"]]


@dataclass(frozen=True, eq=False)
class Case:
    """A tenant with an outage, and what is proposed about it."""

    tenant: str
    incident: str
    action: str
    form: dict[str, str]


def test_two_people_change_statements_and_clocks_as_the_effect_said(
    board: BoardProcess, deployment: dict[str, str]
) -> None:
    ann, bob = board.person("ann", Role.RESPONDER), board.person("bob", Role.RESPONDER)
    month, began = last_month()
    annul, decline = (Case(unique("acme"), unique("inc"), "annul", {"reason": "a drill"}) for _ in range(2))
    restored = {"restored_at": format_rfc3339(began + DAY), "reason": "the log says so"}
    amend = Case(unique("acme"), unique("inc"), "amend", restored)
    applied = {"policy": "scalr-emergency", "version": "1", "reason": "they have upgraded"}
    apply = Case(unique("acme"), unique("inc"), "apply-policy", applied)
    billed = (annul, decline, amend)
    history = [contract(each.tenant, BILLED_AT_ONCE) for each in billed]
    history += [opened(each.incident, began, each.tenant) for each in billed]
    history += [event("incident.resolved", each.incident, began + 3 * DAY, {}) for each in billed]
    publish("\n".join([*history, contract(apply.tenant, PATIENT)]), "--backfill")
    publish(opened(apply.incident, clock.now() - 3 * HOUR, apply.tenant))

    def stated(case: Case, status: str) -> dict[str, Any]:
        path = f"/api/v1/tenants/{case.tenant}/months"
        found = until(ann, path, lambda body: any(_is(each, month, status) for each in body["months"]))
        return next(each for each in found["months"] if _is(each, month, status))

    before = {each: stated(each, "final") for each in billed}
    assert before[annul]["credit"]["amount_minor"] == before[decline]["credit"]["amount_minor"] >= 80_000
    proposals = {each: propose(ann, each) for each in (*billed, apply)}
    effects = {each: compute(ann, proposals[each]) for each in (annul, amend, apply)}
    assert bob.post(f"/api/v1/proposals/{proposals[decline]}/decline", json={"reason": "it was real"}).is_success
    for case in (annul, amend, apply):
        own = ann.post(f"/api/v1/proposals/{proposals[case]}/approve", json={})
        assert (own.status_code, own.json()["detail"][:11]) == (409, "same_person")
    # A board with a defect, or another program that may write to the log, lets the proposer approve.
    write_approval(deployment, proposals[annul], "ANN")
    own_approval = until(ann, f"/api/v1/proposals/{proposals[annul]}", lambda found: bool(found["without_effect"]))
    assert (own_approval["status"], own_approval["without_effect"][0]["why"]) == ("proposed", "same_person")

    for case in (annul, amend, apply):
        approved = bob.post(f"/api/v1/proposals/{proposals[case]}/approve", json={"reason": "agreed"})
        assert approved.status_code == 202, approved.text
    board.kill()  # the decisions are in its database, in the log, or published already
    board.start()
    for case in (annul, amend):
        (shown,) = [each for each in effects[case]["months"] if each["month"] == month]
        assert (shown["tenant_id"], shown["final"]) == (case.tenant, True)
        assert shown["before"]["credit_minor"] == before[case]["credit"]["amount_minor"]
        after = stated(case, "adjusted")
        assert after["revision"] == before[case]["revision"] + 1
        assert after["credit"]["amount_minor"] == shown["after"]["credit_minor"] < shown["before"]["credit_minor"]
        assert after["downtime_s"] == shown["after"]["downtime_s"] < before[case]["downtime_s"]
        assert after["availability_percent"] == shown["after"]["availability_percent"]
    (breach,) = effects[apply]["breaches_new"]
    assert (breach["metric"], breach["severity"], effects[apply]["months"]) == ("response", "P1", [])
    upgraded = until(ann, f"/api/v1/incidents/{apply.incident}", lambda found: found["state"]["severity"] == "P1")
    assert (response_clock(upgraded)["state"], response_clock(upgraded)["deadline"]) == ("breached", breach["deadline"])
    for case in (annul, amend, apply):
        decided = until(bob, f"/api/v1/proposals/{proposals[case]}", lambda found: found["published"] is not None)
        assert (decided["published"]["code"], decided["decided"]["person"]) == (None, "bob")
        (sent,) = [each for each in events_of(deployment, case.incident) if each["source"] == "/sla/board"]
        assert (sent["data"]["who"]["id"], sent["data"]["approver"]["id"]) == ("ann", "bob")

    declined = ann.get(f"/api/v1/proposals/{proposals[decline]}").json()
    assert (declined["status"], declined["published"]) == ("declined", None)
    assert stated(decline, "final") == before[decline]
    assert len(events_of(deployment, decline.incident)) == 2


def _is(each: Mapping[str, Any], month: str, status: str) -> bool:
    return each["month"] == month and each["status"] == status


def propose(person: httpx.Client, case: Case) -> str:
    """The id of the proposal, once it is in the log."""
    path = f"/api/v1/incidents/{case.incident}"
    revision = until(person, path, lambda found: bool(found["state"]["clocks"]))["state"]["revision"]
    body = {"action": case.action, "form": case.form, "revision": revision, "action_id": case.incident}
    answer = person.post(f"{path}/proposals", json=body)
    assert answer.status_code == 202, answer.text
    identity = str(answer.json()["proposal_id"])
    until(person, f"/api/v1/proposals/{identity}", lambda found: found["status"] == "proposed")
    return identity


def compute(person: httpx.Client, proposal_id: str) -> dict[str, Any]:
    """The effect that the board shows."""
    path = f"/api/v1/proposals/{proposal_id}"
    assert person.post(f"{path}/effect").status_code == 202
    found = until(person, path, lambda found: found["effect"] is not None and found["effect"]["current"])
    result: dict[str, Any] = found["effect"]["result"]
    return result


def write_approval(deployment: Mapping[str, str], proposal_id: str, person: str) -> None:
    """Write `action.approved` to the audit log past the board."""
    now, identity = clock.now(), str(uuid.uuid4())
    record = {"event_id": identity, "source": "/sla/board", "subject": proposal_id, "occurred_at": now}
    record |= {"backfill": False, "traceparent": None, "proposal_id": proposal_id, "person": person}
    record |= {"kind": "support", "address": "127.0.0.1", "way": "token", "reason": None, "revision": 1}
    topic, key = f"{deployment['SLA_TOPIC_PREFIX']}.audit", proposal_id.encode()
    producer = KafkaProducer(bootstrap_servers=deployment["SLA_BROKERS"])
    partition = partition_of(proposal_id, len(producer.partitions_for(topic)))
    headers = headers_for("action.approved", identity, "/sla/board", proposal_id, now)
    value = encode("action.approved", record)
    producer.send(topic, key=key, value=value, headers=headers, partition=partition).get(TIMEOUT_S)
    producer.close()


@pytest.mark.parametrize("action", ["resolve", "respond"])
def test_of_two_people_in_the_same_moment_each_is_told_what_holds(
    board: BoardProcess, deployment: dict[str, str], action: str
) -> None:
    """One at the board, one at the command line, both with the revision that both have seen."""
    kim, incident = board.person("kim", Role.RESPONDER), unique("race")
    publish(opened(incident, clock.now() - 5 * MINUTE))
    path = f"/api/v1/incidents/{incident}"
    seen = until(kim, path, lambda found: bool(found["state"]["clocks"]))["state"]["revision"]
    words = ["update", incident, "--public", "--text", "-", "--yes", "--revision", str(seen), "--who", "support:lee"]
    command = [sys.executable, "-c", "from cli.main import main; main()", "incidents", *words, "--wait", "--json"]
    with (
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as lee,
        ThreadPoolExecutor(1) as pool,
    ):
        # The command waits for its text: both send within the time that it takes to connect to Kafka.
        command_line = pool.submit(lee.communicate, b"We are on it.", TIMEOUT_S)
        at_board = kim.post(f"{path}/actions/{action}?revision={seen}", headers={"Idempotency-Key": incident})
        out, err = command_line.result()
    assert out, err
    told = {"kim": at_board.json().get("outcome"), "lee": json.loads(out)["outcome"]}
    assert set(told.values()) <= {"accepted", "moved"}, (at_board.text, out, err)
    assert "accepted" in told.values()
    assert (at_board.status_code, lee.returncode) == (
        200 if told["kim"] == "accepted" else 409,
        0 if told["lee"] == "accepted" else 1,
    )
    events = sorted(events_of(deployment, incident)[1:], key=lambda each: parse_rfc3339(each["time"]))
    people = [each["data"]["who"]["id"] for each in events]
    assert sorted(people) == sorted(name for name, outcome in told.items() if outcome == "accepted")
    after = until(kim, path, lambda found: response_clock(found)["state"] != "running")
    cancelled = action == "resolve" and people[0] == "kim"
    assert response_clock(after)["state"] == ("cancelled" if cancelled else "met")
    assert (after["state"]["status"] == "resolved") == (action == "resolve" and told["kim"] == "accepted")

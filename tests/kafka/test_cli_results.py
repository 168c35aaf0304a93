"""Commands say what workers made of their input, before or after it is sent; rejected input can be retried (R27)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from kafka import KafkaProducer
from on_kafka import Run, put, tailed
from shared_stack import SharedStack
from typer.testing import CliRunner

from cli.main import app
from connect.kafka_io.progress_reader import ProgressReader
from connect.kafka_io.reader import read_topics
from streams.kafka.partitioner import partition_of
from streams.runtime import dead_letter
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.serde.input_records import InputRecord, input_record_from_json
from streams.settings import read_settings
from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339
from streams.time_source import SystemTimeSource
from streams.worker_progress import WorkerProgress
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

PARTITIONS = 2
CONTRACT = {"plan": "scalr-emergency", "monthly_charge": {"amount_minor": 100_000, "currency": "USD"}}
WINDOW = ("--start", "2099-06-07T01:00:00Z", "--end", "2099-06-07T03:00:00Z", "--platform")


def event(kind: str, subject: str, at: int, data: dict[str, object], **more: object) -> dict[str, object]:
    envelope = {"specversion": "1.0", "id": f"{kind}-{subject}", "type": kind, "source": "/desk", "subject": subject}
    return {**envelope, "time": format_rfc3339(at), **more, "data": data}


def opened(incident: str, at: int, component: str = "api", **more: object) -> dict[str, object]:
    data = {"scope": "platform", "component": component, "impact": "cosmetic", "channel": "monitor"}
    return event("incident.opened", incident, at, data, **more)


def lines(*events: dict[str, object]) -> bytes:
    return "\n".join(map(json.dumps, events)).encode()


@pytest.fixture
def now() -> int:
    return SystemTimeSource().now()


@pytest.fixture
def deployed(
    broker: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    """Runs a command against a deployment with a worker."""
    given = {"SLA_BACKFILL_QUIET": "PT1S"}
    with SharedStack(broker, f"{prefix}sla", tmp_path, environment=given, partitions=PARTITIONS) as stack:
        stack.apply_topics()
        stack.start_worker()
        for name, value in stack.names.items():
            monkeypatch.setenv(name, value)

        def call(*words: object, stdin: bytes | None = None) -> Result:
            result: Result = CliRunner().invoke(app, list(map(str, words)), input=stdin)
            return result

        yield call
        assert stack.stop_worker() == 0


CLAIM_AHEAD = "2099-01 has not begun; the claim waits for its statement"


def test_results_of_input_and_retries(deployed: Callable[..., Result], now: int, tmp_path: Path) -> None:
    done = deployed("publish", "-", "--wait", stdin=lines(opened("inc-1", now), opened("inc-2", now)))
    assert done.exit_code == 0, done.stderr
    assert done.stderr == "2 events published\n2 accepted, 0 rejected\n"

    # Rejected, with code and message, though it was published.
    old = opened("old", now - 40 * DAY)
    done = deployed("publish", "-", "--wait", "--no-check-time", "--json", stdin=lines(opened("inc-3", now), old))
    assert done.exit_code == 1
    reported = json.loads(done.stdout)
    assert (reported["published"], reported["outcome"], reported["accepted"]) == (2, "rejected", 1)
    assert [(each["id"], each["code"]) for each in reported["rejected"]] == [("incident.opened-old", "too_late")]
    assert (reported["invalid_lines"], reported["warnings"]) == ([], [])
    published, counts, reject = done.stderr.splitlines()
    assert (published, counts) == ("2 events published", "1 accepted, 1 rejected")
    assert "(id incident.opened-old): too_late: time " in reject

    # As it was it would be rejected again; as history it is accepted.
    again = deployed("rejected", "retry", "1", "--wait")
    assert again.exit_code == 2
    assert "would be rejected again: too_late" in again.stderr
    assert "--backfill" in again.stderr
    history = deployed("rejected", "retry", "1", "--backfill", "--wait", "--json")
    assert history.exit_code == 0, history.stderr
    assert json.loads(history.stdout)["outcome"] == "accepted"
    assert len(json.loads(history.stdout)["originals"]) == 1
    assert history.stderr.splitlines() == [
        "1 record sent again",
        "1 accepted, 0 rejected",
        "alerts and statements of this history follow when no more of it has arrived for 10 min",
    ]

    # A conflict is corrected under an id of its own.
    other = {**opened("inc-1", now, "ui"), "id": "incident.opened-inc-1"}
    assert deployed("publish", "-", "--wait", stdin=lines(other)).exit_code == 1
    refused = deployed("rejected", "retry", "2")
    assert refused.exit_code == 2
    assert "under a new id" in refused.stderr
    file = tmp_path / "corrected.json"
    file.write_text("\ufeff" + json.dumps({**opened("inc-4", now, "ui"), "id": "another"}, indent=2), encoding="utf-8")
    corrected = deployed("rejected", "retry", "2", "--with", file, "--wait")
    assert corrected.exit_code == 0, corrected.stderr

    # Contract facts: a claim without a statement is accepted; the import reports its results too.
    terms = {"tenant_id": "acme", "valid_from": format_rfc3339(now - 60 * DAY), "emergency_member": True, **CONTRACT}
    imported = deployed("contracts", "import", "-", "--yes", "--wait", stdin=json.dumps(terms).encode())
    assert imported.exit_code == 0, imported.stderr
    assert imported.stderr.splitlines()[-1] == "1 accepted, 0 rejected"
    scheduled = deployed("maintenance", "schedule", "db-move", *WINDOW, "--component", "apj", "--wait", "--json")
    assert scheduled.exit_code == 0, scheduled.stderr
    reported = json.loads(scheduled.stdout)
    assert (reported["outcome"], reported["events"][0]["type"]) == ("accepted", "maintenance.scheduled")
    assert [each["code"] for each in reported["warnings"]] == ["component_misspelled"]
    again = deployed("maintenance", "schedule", "db-move", *WINDOW, "--component", "apj", "--json")
    assert json.loads(again.stdout)["outcome"] == "unchanged"
    done = deployed("claim", "acme", "2099-01", "--json", "--no-wait")
    assert "2099-01 has not begun" in done.stderr
    claimed = json.loads(done.stdout)
    assert (claimed["outcome"], claimed["accepted"]) == ("not_read_yet", None)
    assert claimed["warnings"][0] == {"code": "claim_ahead", "message": CLAIM_AHEAD}
    clocks = [json.loads(each) for each in deployed("incidents", "watch", "--once", "--json").stdout.splitlines()]
    assert {each["incident_id"] for each in clocks} >= {"inc-1", "inc-2"}
    assert scheduled.stderr.splitlines() == [
        "warning: component apj is declared by no policy here; did you mean api?",
        "1 accepted, 0 rejected",
    ]


def test_an_amendment_is_read_back(deployed: Callable[..., Result], now: int) -> None:
    """What it says is right alone, and wrong with what the incident had."""
    people = {"who": {"kind": "support", "id": "kim"}, "approver": {"kind": "support", "id": "lee"}, "reason": "r"}
    at = [now - hours * HOUR for hours in (3, 2, 1)]
    ended = event("incident.resolved", "inc-1", at[1], {"who": people["who"]})
    late = event("incident.amended", "inc-1", at[2], {"started_at": format_rfc3339(at[2]), **people})
    done = deployed("publish", "-", "--wait", stdin=lines(opened("inc-1", at[0]), ended, late))
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith("warning: line 3: inc-1 ends before it begins now: restored_at ")
    done = deployed("publish", "-", "--no-wait", "--json", stdin=lines(late))  # by the state, before it is read again
    assert [each["code"] for each in json.loads(done.stdout)["warnings"]] == ["ends_before_it_begins"]
    right = event("incident.amended", "inc-1", now, {"started_at": format_rfc3339(at[0]), **people}, id="a-2")
    done = deployed("publish", "-", "--wait", stdin=lines(right))
    assert (done.exit_code, done.stderr) == (0, "1 event published\n1 accepted, 0 rejected\n")


def test_partitions_say_how_far_they_are(deployed: Callable[..., Result], now: int) -> None:
    assert deployed("publish", "-", "--wait", stdin=lines(opened("inc-1", now))).exit_code == 0
    # The statement of a month that was over when the contract arrived is due: the ledger asks for watermarks.
    terms = {"tenant_id": "acme", "valid_from": format_rfc3339(now - 60 * DAY), "emergency_member": True, **CONTRACT}
    assert deployed("contracts", "import", "-", "--yes", stdin=json.dumps(terms).encode()).exit_code == 0
    found: dict[str, Any] = {}

    def complete() -> bool:
        done = deployed("partitions", "--json")
        found.update(json.loads(done.stdout))
        read = [(each["partition"], each["unread"], each["waited_for"]) for each in found["partitions"]]
        return (done.exit_code, read) == (0, [(0, 0, False), (1, 0, False)]) and found["statements_until"] is not None

    wait(complete, lambda: found)
    assert found["statements_until"] == min(each["watermark"] for each in found["partitions"])
    assert "statements are possible up to 20" in deployed("partitions").stdout
    where = partition_of("inc-2", PARTITIONS)

    def committed_at(read: WorkerProgress) -> int:
        return next(
            each.committed_at or 0 for each in read.tasks if (each.agent, each.partition) == ("incidents", where)
        )

    with ProgressReader(read_settings(), SystemTimeSource()) as reader:

        def reach(further: Callable[[WorkerProgress], bool]) -> WorkerProgress:
            reads: list[WorkerProgress] = []

            def reached() -> bool:
                reads.append(reader.read())
                everything = reads[-1].workers == 1 and not reads[-1].awaited
                return everything and [each.unread for each in reads[-1].tasks] == [0, 0, 0, 0] and further(reads[-1])

            wait(reached, lambda: reads[-1])
            return reads[-1]

        before = committed_at(
            reach(lambda read: all(each.reached is not None and each.reached >= now for each in read.tasks))
        )
        assert deployed("publish", "-", "--wait", stdin=lines(opened("inc-2", now))).exit_code == 0
        reach(lambda read: committed_at(read) > before)


def test_input_without_a_worker_is_waited_for(run: Run, now: int, monkeypatch: pytest.MonkeyPatch, topics: str) -> None:
    monkeypatch.setenv("SLA_APP_ID", topics)
    assert run("publish", "-", stdin=lines(opened("inc-1", now))).exit_code == 0
    done = run("partitions")
    assert done.exit_code == 1
    waiting = partition_of("inc-1", 5)
    assert f"no statement is possible yet; they wait for partition {waiting}: see its worker's log" in done.stdout
    with ProgressReader(read_settings(), SystemTimeSource()) as reader:
        found = reader.read()
    assert found.workers == 0
    assert {(each.agent, each.partition) for each in found.tasks if each.unread} == {("incidents", waiting)}
    assert {each.reached for each in found.tasks} == {None}


def test_without_a_worker_the_results_are_unknown(
    run: Run, now: int, monkeypatch: pytest.MonkeyPatch, topics: str
) -> None:
    monkeypatch.setattr("cli.support.waiting.TIMEOUT_S", 0.5)
    monkeypatch.setenv("SLA_APP_ID", topics)
    done = run("publish", "-", "--wait", stdin=lines(opened("inc-1", now)))
    assert done.exit_code == 1
    assert done.stderr.splitlines()[1:] == [
        f"0 accepted, 0 rejected, 1 not read within 0.5 s: is a worker of {topics} running?"
    ]


def test_events_that_workers_would_reject_are_not_sent(run: Run, now: int) -> None:
    for at, code in ((now - 40 * DAY, "too_late"), (now + HOUR, "future")):
        done = run("publish", "-", stdin=lines(opened("inc-1", now), opened("inc-2", at), opened("inc-3", now)))
        assert done.exit_code == 2
        assert f"-:2: {code}: time: " in done.stderr
        assert ("with backfill only" in done.stderr) == (code == "too_late")
        assert done.stderr.endswith("1 event published; stopped at line 2, nothing after it was sent\n")
    loaded = run("publish", "-", "--backfill", stdin=lines(opened("inc-2", now - 40 * DAY)))
    assert loaded.exit_code == 0, loaded.stderr
    assert [each["subject"] for each in tailed(run, "incident-events")] == ["inc-1", "inc-1", "inc-2"]


def test_names_that_nothing_declares_are_warned_of(
    run: Run, now: int, monkeypatch: pytest.MonkeyPatch, topics: str
) -> None:
    monkeypatch.setattr("cli.support.waiting.TIMEOUT_S", 0.1)
    monkeypatch.setenv("SLA_APP_ID", topics)
    named = {"scope": "tenants", "tenant_ids": ["acme", "globe"], "component": "apii", "impact": "cosmetic"}
    terms = {"tenant_id": "acme", "valid_from": format_rfc3339(now), "emergency_member": True, **CONTRACT}
    events = [
        event("contract.set", "acme", now, {**terms, "plan": "scalr-emergancy"}),
        event("incident.opened", "inc-1", now, {**named, "channel": "phone"}),
    ]
    unknown = [
        "warning: component apii (line 2) is declared by no policy here; did you mean api?",
        "warning: plan scalr-emergancy (line 1) is no policy here; did you mean scalr-emergency?",
    ]
    done = run("publish", "-", stdin=lines(*events))
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [*unknown, "2 events published"]
    # Tenants are looked up where somebody waits for the results.
    done = run("publish", "-", "--wait", stdin=lines(*events))
    tenant = "warning: tenant globe (line 2) is without a contract"
    assert done.stderr.splitlines()[:4] == [*unknown, tenant, "2 events published"]


def statement(status: str, credit: int, claimable_until: int) -> bytes:
    from streams.serde.codec import decode, encode
    from streams.sla.events import Rejection

    golden = Path(__file__).parents[2] / "schemas" / "golden" / "credit.statement.hex"
    decoded = decode(bytes.fromhex(golden.read_text(encoding="utf-8")))
    assert not isinstance(decoded, Rejection)
    changed = {"tenant_id": "acme", "month": "2026-03", "status": status, "claimable_until": claimable_until}
    money = {"amount_minor": credit, "currency": "USD"}
    return encode("credit.statement", {**decoded[1], **changed, "credit": money})


def test_a_claim_in_vain_is_said_before_it_is_published(run: Run, broker: str, topics: str, now: int) -> None:
    terms = {"tenant_id": "acme", "valid_from": format_rfc3339(now - DAY), "emergency_member": True, **CONTRACT}
    assert run("contracts", "import", "-", "--yes", stdin=json.dumps(terms).encode()).exit_code == 0
    put(broker, f"{topics}.credits", statement("final", 0, now + DAY), "acme")
    declined = run("claim", "acme", "2026-03", stdin=b"n\n")
    assert declined.exit_code == 1
    assert declined.stderr.startswith("the credit of 2026-03 for acme is $0.00 (revision ")
    assert declined.stderr.endswith("nothing was published\n")
    agreed = run("claim", "acme", "2026-03", "--yes")
    assert agreed.exit_code == 0, agreed.stderr
    assert [each["type"] for each in tailed(run, "contract-events")] == ["contract.set", "credit.claimed"]


def test_a_claim_after_its_window_is_refused(run: Run, broker: str, topics: str, now: int) -> None:
    terms = {"tenant_id": "acme", "valid_from": format_rfc3339(now - DAY), "emergency_member": True, **CONTRACT}
    assert run("contracts", "import", "-", "--yes", stdin=json.dumps(terms).encode()).exit_code == 0
    put(broker, f"{topics}.credits", statement("final", 5_000, now - MINUTE), "acme")
    late = run("claim", "acme", "2026-03", "--yes")
    assert late.exit_code == 2
    assert "could be claimed until" in late.stderr
    assert [each["type"] for each in tailed(run, "contract-events")] == ["contract.set"]


def test_a_claim_says_what_it_claims(run: Run, broker: str, topics: str, now: int) -> None:
    terms = {"tenant_id": "acme", "valid_from": format_rfc3339(now - DAY), "emergency_member": True, **CONTRACT}
    assert run("contracts", "import", "-", "--yes", stdin=json.dumps(terms).encode()).exit_code == 0
    put(broker, f"{topics}.credits", statement("final", 5_000, now + DAY), "acme")
    claimed = run("claim", "acme", "2026-03")
    assert claimed.exit_code == 0, claimed.stderr
    assert claimed.stdout.startswith("credit of 2026-03 is claimed for acme: $50.00 (revision ")


def reject_again(broker: str, topics: str, original: Record, code: str, message: str) -> None:
    send = rejected(original, code, message, f"{topics}.rejected", 0)
    producer = KafkaProducer(bootstrap_servers=broker)
    producer.send(send.topic, key=send.key, value=send.value, headers=list(send.headers), partition=0).get(TIMEOUT_S)
    producer.close()


def test_a_retry_keeps_the_record_and_its_history(run: Run, broker: str, topics: str, now: int) -> None:
    ready = input_record_from_json(opened("inc-1", now))
    assert isinstance(ready, InputRecord)
    topic, headers = f"{topics}.incident-events", [*ready.headers, ("note", b"ours")]
    original = Record(topic, 0, 17, now, b"inc-1", ready.value, headers)
    reject_again(broker, topics, original, "internal", "a bug")
    once = run("rejected", "retry", "incident-events/0/17")
    assert once.exit_code == 0, once.stderr
    (sent,) = read_topics([broker], [topic])
    assert (sent.key, sent.value, sent.partition) == (b"inc-1", ready.value, partition_of("inc-1", 5))
    assert [*sent.headers][: len(headers)] == headers
    assert [value for name, value in sent.headers if name == dead_letter.OFFSET] == [b"17"]
    # It is rejected again where it is now: the latest reject is what is retried, the earlier one no more.
    second = Record(topic, sent.partition, sent.offset, now, sent.key, sent.value, list(sent.headers))
    reject_again(broker, topics, second, "internal", "still a bug")
    assert run("rejected", "retry", "--code", "internal").stderr == "1 record sent again\n"
    *_, last = read_topics([broker], [topic])
    assert [value for name, value in last.headers if name == dead_letter.OFFSET] == [b"17", b"%d" % sent.offset]
    assert run("rejected", "retry", "--code", "orphan").stdout == "nothing was rejected as orphan\n"
    # The body of a request is no event, and does not keep those with its code from being sent again.
    reject_again(broker, topics, original._replace(topic="intake/prometheus", value=b"{}"), "internal", "unmapped")
    again = run("rejected", "retry", "--code", "internal")
    assert "1 left out: bodies of requests to the intake" in again.stderr
    assert (again.exit_code, "1 record sent again" in again.stderr) == (0, True)
    refused = run("rejected", "retry", "intake/prometheus/0/17")
    assert (refused.exit_code, "is the body of a request to the intake" in refused.stderr) == (2, True)


def test_a_retry_of_a_quarantine_sends_the_last_input_again(run: Run, broker: str, topics: str, now: int) -> None:
    assert run("publish", "-", stdin=lines(opened("inc-1", now))).exit_code == 0
    (first,) = read_topics([broker], [f"{topics}.incident-events"])
    quarantine = Record(first.topic, first.partition, first.offset, 0, b"inc-1", None, [])
    reject_again(broker, topics, quarantine, "internal", "quarantined: ValueError: odd")
    done = run("rejected", "retry", "1")
    assert done.exit_code == 0, done.stderr
    _, again = read_topics([broker], [first.topic])
    assert (again.key, again.value, again.partition) == (first.key, first.value, first.partition)
    # One that never had an input can't be released this way.
    reject_again(broker, topics, quarantine._replace(topic=f"{topics}.incidents", offset=-1), "internal", "quarantined")
    assert "publish any fact of" in run("rejected", "retry", "2").stderr


def test_a_retry_that_is_wrong_is_named(run: Run, broker: str, topics: str, now: int, tmp_path: Path) -> None:
    original = Record(f"{topics}.incident-events", 0, 3, now, b"inc-1", b"\xff", [])
    reject_again(broker, topics, original, "undecodable", "odd")
    assert "would be rejected again: undecodable" in run("rejected", "retry", "1").stderr
    too_large = rejected(original._replace(offset=4, value=None), "oversize", "it is", f"{topics}.rejected", 0)
    put(broker, too_large.topic, b"", "inc-1", [(dead_letter.SIZE, b"9000000"), *too_large.headers])
    assert "is too large to be sent again (9,000,000 bytes)" in run("rejected", "retry", "2").stderr
    file = tmp_path / "event.json"
    file.write_text(json.dumps({**opened("inc-1", now), "type": "incident.exploded"}), encoding="utf-8")
    assert "would be rejected again: unknown_type" in run("rejected", "retry", "1", "--with", file).stderr
    for words in ((), ("1", "--code", "undecodable"), ("1", "2", "--with", str(file)), ("1", "9")):
        assert run("rejected", "retry", *words).exit_code == 2
    assert list(read_topics([broker], [f"{topics}.incident-events"])) == []

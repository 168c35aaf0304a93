"""The commands against a real broker: publish, tail, export for simulate, rejected, report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from on_kafka import PARTITIONS, Run, put, tailed

from cli.events.publish_lines import publish_lines
from connect.kafka_io.reader import TopicRecord, read_topics
from streams.kafka.partitioner import partition_of
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record
from streams.serde.codec import encode
from streams.sla.instants import parse_rfc3339

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "examples" / "data" / "contracts.jsonl"
HISTORY = ROOT / "examples" / "data" / "code-hosting-2022-2024.jsonl"
NOWHERE = "127.0.0.1:1"


def read(broker: str, *names: str) -> list[TopicRecord]:
    return list(read_topics([broker], names))


def history(count: int) -> list[str]:
    return HISTORY.read_text(encoding="utf-8").splitlines()[:count]


def test_what_is_published_lies_in_its_partition_and_is_tailed_as_it_was(
    run: Run, broker: str, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run("publish", HISTORY)
    assert refused.exit_code == 2
    assert "1: too_late: time: 2022-" in refused.stderr
    assert "0 events published" in refused.stderr
    monkeypatch.setenv("SLA_LATENESS_HORIZON", "P3650D")
    done = run("publish", HISTORY)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.endswith("2,139 events published\n")
    records = read(broker, f"{topics}.incident-events")
    assert len(records) == 2_139
    for record in records:
        assert record.key is not None
        assert record.partition == partition_of(record.key.decode(), PARTITIONS)
    assert len({record.partition for record in records}) == PARTITIONS
    said = {"tenant_ids"}  # an empty list is the default of what the file leaves out
    sent = {event["id"]: event for event in map(json.loads, history(2_139))}
    for event in tailed(run, "incident-events"):
        assert event.pop("receivedtime") > "2026"
        event["data"] = {name: value for name, value in event["data"].items() if name not in said}
        assert event == sent.pop(event["id"])
    assert not sent


def test_a_topic_is_named_with_or_without_prefix_and_several_come_by_arrival(
    run: Run, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLA_LATENESS_HORIZON", "P3650D")
    run("publish", CONTRACTS)
    run("publish", "-", stdin="\n".join(history(3)).encode())
    events = tailed(run, f"{topics}.contract-events", "incident-events")
    assert [event["type"].split(".")[0] for event in events] == ["contract"] * 3 + ["incident"] * 3
    arrivals = [parse_rfc3339(event["receivedtime"]) for event in events]
    assert arrivals == sorted(arrivals)
    shown = run("tail", "incident-events", "--from-beginning", "--until-idle", "0.1").stdout.splitlines()
    assert len(shown) == 3
    assert "incident.opened" in shown[0]
    assert "everyone" in shown[0]


def test_an_export_is_what_simulate_reads(run: Run, tmp_path: Path) -> None:
    run("publish", CONTRACTS, "--backfill")
    run("publish", HISTORY, "--backfill")
    exported = tmp_path / "history.jsonl"
    words = ("incident-events", "contract-events", "--from-beginning", "--until-idle", "0.2")
    exported.write_text(run("tail", "--json", *words).stdout, encoding="utf-8")
    end = ("--policy", "code-hosting", "--until", "2025-06-01T00:00:00Z")
    from_kafka = run("simulate", exported, *end)
    from_files = run("simulate", CONTRACTS, HISTORY, "--backfill", *end)
    assert from_kafka.exit_code == from_files.exit_code == 0
    assert _verdicts(from_kafka.stdout) == _verdicts(from_files.stdout)
    assert '"sla.rejected"' not in from_kafka.stdout


def _verdicts(text: str) -> tuple[set[str], dict[tuple[str, str], object]]:
    events = [json.loads(line) for line in text.splitlines()]
    met = {event["id"] for event in events if event["type"] in {"sla.met", "sla.breached"}}
    statements: dict[tuple[str, str], object] = {}
    for event in events:
        if event["type"] == "credit.statement":
            data = event["data"]
            statements[data["tenant_id"], data["month"]] = data["downtime_s"], data["credit"]
    assert statements
    return met, statements


def test_a_bad_line_ends_it_and_what_was_before_is_acknowledged(
    run: Run, broker: str, topics: str, tmp_path: Path
) -> None:
    first, second, third = history(3)
    bad = json.dumps({**json.loads(second), "type": "incident.exploded"})
    file = tmp_path / "in.jsonl"
    file.write_text("\n".join([first, "", bad, third]), encoding="utf-8")
    done = run("publish", file, "--backfill")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"{file}:3: unknown_type: ")
    assert done.stderr.endswith("1 event published; stopped at line 3, nothing after it was sent\n")
    assert len(read(broker, f"{topics}.incident-events")) == 1
    done = run("publish", file, "--backfill", "--keep-going")
    assert done.exit_code == 2
    assert done.stderr.endswith("2 events published; 1 bad\n")
    assert len(read(broker, f"{topics}.incident-events")) == 3


def test_lines_that_come_slowly_are_sent_as_they_come(broker: str, topics: str) -> None:
    first, second = history(2)
    counts = []

    def slow() -> Any:
        yield first
        yield None
        counts.append(len(_aside(broker, f"{topics}.incident-events")))
        yield second

    assert publish_lines(slow(), [broker], topics).acknowledged == 2
    assert counts == [1]


def _aside(broker: str, topic: str) -> list[str]:
    """What lies in a topic, seen by another process, for this one's event loop is taken."""
    code = "import sys; from connect.kafka_io.reader import read_topics"
    code += "; print(*[each.offset for each in read_topics([sys.argv[1]], [sys.argv[2]])])"
    words = [sys.executable, "-c", code, broker, topic]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_aborted_records_are_not_shown_and_open_ends_are_reached(run: Run, broker: str, topics: str) -> None:
    from streams.serde.cloudevents_json import parse_line

    event_type, record = parse_line(history(1)[0])  # type: ignore[misc]
    value = encode(event_type, record)
    producer = KafkaProducer(bootstrap_servers=broker, transactional_id=f"{topics}-writer")
    producer.init_transactions()
    for commit in (True, False):
        producer.begin_transaction()
        producer.send(f"{topics}.incident-events", key=b"gh-9632825", value=value, partition=0)
        producer.flush()
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.close()
    assert len(tailed(run, "incident-events")) == 1


def test_what_cannot_be_decoded_is_told_with_its_coordinates_and_the_rest_is_shown(
    run: Run, broker: str, topics: str
) -> None:
    put(broker, f"{topics}.incident-events", b"\xff\xfe")
    run("publish", "-", "--backfill", stdin=history(1)[0].encode())
    done = run("tail", "incident-events", "--from-beginning", "--until-idle", "0.2")
    assert done.exit_code == 1
    assert f"{topics}.incident-events, partition 0, offset 0: undecodable: " in done.stderr
    assert len(done.stdout.splitlines()) == 1


def reject(broker: str, topics: str, value: bytes, offset: int, code: str = "undecodable") -> None:
    original = Record(f"{topics}.incident-events", 3, offset, 1_767_225_600_000_000, b"inc-1", value, [("ce_id", b"x")])
    send = rejected(original, code, "it is wrong", f"{topics}.rejected", 0)
    put(broker, send.topic, value, "inc-1", send.headers)


def test_rejected_records_are_listed_and_shown(run: Run, broker: str, topics: str) -> None:
    assert run("rejected", "list").stdout == "nothing was rejected\n"
    reject(broker, topics, b"\xff\x00 not avro", 7)
    reject(broker, topics, b"\xc3\x01", 8, "invalid")
    table = run("rejected", "list")
    assert table.exit_code == 0
    assert f"{topics}.incident-events/3/7" in table.stdout
    told = [json.loads(line) for line in run("rejected", "list", "--json").stdout.splitlines()]
    assert [(each["number"], each["code"], each["offset"], each["arrived"]) for each in told] == [
        (1, "undecodable", 7, "2026-01-01T00:00:00Z"),
        (2, "invalid", 8, "2026-01-01T00:00:00Z"),
    ]
    assert len(run("rejected", "list", "--json", "--code", "invalid").stdout.splitlines()) == 1
    assert len(run("rejected", "list", "--json", "--limit", "1").stdout.splitlines()) == 1
    assert run("rejected", "list", "--code", "orphan").stdout == "nothing was rejected as orphan\n"
    assert run("rejected", "list", "--code", "nonsense").exit_code == 2
    for which in ("1", "incident-events/3/7", f"{topics}.incident-events/3/7"):
        shown = run("rejected", "show", which)
        assert shown.exit_code == 0
        assert "sla_error_message: it is wrong" in shown.stdout
        assert "ff 00 20 6e 6f 74" in shown.stdout
    assert run("rejected", "show", "incident-events/3/9").exit_code == 2
    (first, _) = tailed(run, "rejected")
    assert first["type"] == "sla.rejected"
    assert first["data"]["offset"] == 7


@pytest.mark.parametrize("form", ["table", "json", "csv", "html"])
def test_a_report_reads_the_topics(run: Run, broker: str, topics: str, form: str) -> None:
    golden = (ROOT / "schemas" / "golden" / "credit.statement.hex").read_text(encoding="utf-8")
    put(broker, f"{topics}.credits", bytes.fromhex(golden))
    statement = json.loads((ROOT / "schemas" / "golden" / "credit.statement.json").read_text(encoding="utf-8"))["data"]
    done = run("report", "--format", form)
    assert done.exit_code == 0, done.stderr
    assert statement["tenant_id"] in done.stdout
    assert statement["availability"]["percent"] in done.stdout
    assert statement["tenant_id"] not in run("report", "--format", form, "--month", "1999-01").stdout


@pytest.mark.parametrize("words", [("publish", CONTRACTS), ("tail", "alerts"), ("rejected", "list"), ("report",)])
def test_a_broker_that_does_not_answer_or_lacks_the_topics_is_told_in_one_line(
    run: Run, words: tuple[str, ...]
) -> None:
    for more, message in (
        (("--brokers", NOWHERE), f"no Kafka broker answers at {NOWHERE}"),
        (("--prefix", "absent"), "`sla topics apply` creates the product's topics"),
    ):
        done = run(*words, *more)
        assert done.exit_code == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1

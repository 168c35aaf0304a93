"""`sla what-if` and `sla verify` straight from the topics: the same as from what `sla tail` wrote of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from on_kafka import Run, put

import cli.kafka_io.topic_history

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
DATA = [ROOT / "examples" / "data" / name for name in ("contracts.jsonl", "code-hosting-2022-2024.jsonl")]
CANDIDATE = ("--policy", "scalr-emergency", "--against", "code-hosting", "--until", "2025-06-01T00:00:00Z")
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def exported(run: Run, tmp_path: Path) -> Path:
    """Real history lies in the topics, and this file is what tail makes of it."""
    for name in DATA:
        assert run("publish", name, "--backfill").exit_code == 0
    file = tmp_path / "history.jsonl"
    done = run("tail", "--json", "incident-events", "contract-events", "--from-beginning", "--until-idle", "0.2")
    file.write_text(done.stdout, encoding="utf-8")
    return file


def statements(run: Run, exported: Path) -> Path:
    done = run("simulate", exported, "--policy", "code-hosting", "--until", "2025-06-01T00:00:00Z")
    file = exported.with_name("statements.jsonl")
    lines = [line for line in done.stdout.splitlines(keepends=True) if '"credit.statement"' in line]
    tampered = json.loads(lines[-1])
    tampered["data"]["eligible_s"] -= 3600
    file.write_text("".join([*lines, json.dumps(tampered)]), encoding="utf-8")
    return file


def test_both_come_to_the_same_as_from_the_piped_lines(
    run: Run, exported: Path, broker: str, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.kafka_io.topic_history, "RECORDS_PER_PROCESS", 1_000)  # so that several decode
    piped = run("what-if", exported, *CANDIDATE, "--format", "json")
    straight = run("what-if", "--from-topics", *CANDIDATE, "--format", "json")
    assert (straight.exit_code, straight.stderr) == (0, "")
    assert straight.stdout == piped.stdout
    told = json.loads(straight.stdout)
    assert (told["events"], told["refused"]) == (2_142, 0)
    assert told["gained"] or told["lost"]

    given = ("verify", statements(run, exported), "--policies", ROOT / "policies", "--json")
    piped = run(*given, "--events", exported)
    straight = run(*given, "--from-topics")
    assert (straight.exit_code, straight.stderr) == (1, "")
    assert straight.stdout == piped.stdout
    told = json.loads(straight.stdout)
    assert told["events"]
    assert told["verified"] > 0
    assert told["differ"] > 0

    put(broker, f"{topics}.contract-events", b"\xff\xfe")
    straight = run("what-if", "--from-topics", *CANDIDATE, "--format", "json")
    assert straight.exit_code == 0
    assert straight.stderr.startswith("left out: 1 record that could not be decoded, such as ")
    assert f"{topics}.contract-events, partition 0, offset " in straight.stderr
    told = json.loads(straight.stdout)
    assert (told["events"], told["refused"]) == (2_143, 1)
    assert run(*given, "--from-topics").stdout == piped.stdout


@pytest.mark.parametrize("command", ["what-if", "verify"])
def test_a_broker_that_does_not_answer_or_lacks_the_topics_is_told_in_one_line(
    run: Run, tmp_path: Path, command: str
) -> None:
    golden = json.loads((ROOT / "schemas" / "golden" / "credit.statement.json").read_text(encoding="utf-8"))
    file = tmp_path / "statement.jsonl"
    file.write_text(json.dumps(golden), encoding="utf-8")
    words = ("--policy", "scalr-emergency") if command == "what-if" else (file,)
    for more, message in (
        (("--brokers", NOWHERE), f"no Kafka broker answers at {NOWHERE}"),
        (("--prefix", "absent"), "there are no topics absent.incident-events, absent.contract-events at "),
    ):
        done = run(command, *words, "--from-topics", *more)
        assert done.exit_code == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1

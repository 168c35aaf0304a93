"""Commands do not say that a fact was said before where workers rejected it, for whatever reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.contracts.claim import _amount
from cli.main import app
from connect.client.errors import DeliveryFailed
from connect.client.outgoing import checked_record
from connect.kafka_io import contract_topic, rejected_records
from connect.kafka_io.connection import BrokerProblem
from connect.kafka_io.reader import TopicRecord
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Record

Published = list[dict[str, Any]]
CONTRACTS, REJECTED = "sla.contract-events", "sla.rejected"
TERMS = {
    "specversion": "1.0",
    "id": "t1",
    "type": "contract.set",
    "source": "/billing",
    "subject": "acme",
    "time": "2026-01-01T00:00:00Z",
    "data": {
        "tenant_id": "acme",
        "valid_from": "2026-01-01T00:00:00Z",
        "plan": "scalr-emergency",
        "monthly_charge": {"amount_minor": 500000, "currency": "USD"},
        "emergency_member": True,
    },
}
WINDOW = ("--start", "2030-06-07T01:00:00Z", "--end", "2030-06-07T03:00:00Z", "--component", "api", "--platform")
COMMANDS: list[tuple[str, ...]] = [
    ("claim", "acme", "2026-01"),
    ("maintenance", "schedule", "move", *WINDOW),
    ("contracts", "erase", "acme", "--reason", "r", "--who", "support:kim", "--yes"),
]


class Topics:
    """The contract topic and the rejected one."""

    def __init__(self) -> None:
        self.facts: Published = [TERMS]
        self.rejects: list[tuple[int, str, bool]] = []
        self.away = False

    def read(self, _: object, topics: list[str], *__: object, **___: object) -> Iterator[TopicRecord]:
        if topics == [CONTRACTS]:
            for offset, event in enumerate(self.facts):
                record = checked_record(event)
                yield TopicRecord(
                    CONTRACTS, 0, offset, record.event.time + 1, record.subject.encode(), record.value, record.headers
                )
            return
        assert topics == [REJECTED]
        if self.away:
            raise BrokerProblem("not permitted")
        for offset, code, whole in self.rejects:
            original = Record(CONTRACTS, 0, offset, 1_000, b"acme", b"v" if whole else None, ())
            send = rejected(original, code, "why", REJECTED, 0)
            yield TopicRecord(REJECTED, 0, offset, 1, send.key, send.value, list(send.headers))


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    made = Topics()
    for module in (contract_topic, rejected_records):
        monkeypatch.setattr(module, "read_topics", made.read)

    def publish(_: object, events: Published, __: str) -> list[object]:
        made.facts += events
        return []

    monkeypatch.setattr(contract_topic, "publish", publish)
    monkeypatch.setattr("cli.contracts.claim._amount", lambda *_, **__: "")
    monkeypatch.setenv("SLA_BROKERS", "127.0.0.1:1")
    return made


def run(*words: str) -> tuple[dict[str, Any], str]:
    done = CliRunner().invoke(app, [*words, "--json", "--no-wait"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_what_workers_rejected_is_published_again(topics: Topics, words: tuple[str, ...]) -> None:
    assert run(*words)[0]["outcome"] == "not_read_yet"
    topics.rejects = [(0, "internal", False)]  # a quarantine names the last input, which counts
    assert run(*words)[0]["outcome"] == "unchanged"
    topics.rejects.append((1, "too_late", True))
    again, told = run(*words)
    assert again["outcome"] == "not_read_yet"
    assert "workers rejected it" in told
    assert len(topics.facts) == 3
    assert run(*words)[0]["outcome"] == "unchanged"


def test_a_claim_of_nothing_as_json_asks_no_question(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    row = SimpleNamespace(credit_minor=0, currency="USD", status="final", revision=1, claimable_until=None)
    monkeypatch.setattr("cli.reports.report.read_report", lambda *_: SimpleNamespace(statements=[row]))
    monkeypatch.setattr("cli.contracts.claim._amount", _amount)
    done = CliRunner().invoke(app, [*COMMANDS[0], "--json"])
    assert (done.exit_code, done.stdout, len(topics.facts)) == (2, "", 1)
    assert "--json asks no question; give --yes too" in done.stderr
    assert run(*COMMANDS[0], "--yes")[0]["outcome"] == "not_read_yet"


def test_terms_that_workers_rejected_are_imported_again(topics: Topics, tmp_path: Path) -> None:
    file = tmp_path / "terms.csv"
    head = "tenant_id,valid_from,plan,amount_minor,currency,tier,time_zone,emergency_member"
    file.write_text(f"{head}\nacme,2026-01-01T00:00:00Z,scalr-emergency,500000,USD,,,true\n")
    same = run("contracts", "import", str(file), "--yes")[0]
    assert (same["outcome"], same["changes"], same["unchanged"]) == ("unchanged", [], 1)
    topics.rejects = [(0, "internal", True)]
    again = run("contracts", "import", str(file), "--yes")[0]
    assert (again["outcome"], len(again["changes"]), again["unchanged"]) == ("not_read_yet", 1, 0)


@pytest.mark.parametrize(
    ("stopped", "code"), [(KeyboardInterrupt(), 130), (DeliveryFailed("no answer", [], retriable=True), 2)]
)
def test_facts_that_may_be_published_are_told(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, stopped: BaseException, code: int
) -> None:
    def publish(*_: object) -> None:
        raise stopped

    monkeypatch.setattr(contract_topic, "publish", publish)
    done = CliRunner().invoke(app, [*COMMANDS[0], "--json"])
    assert done.exit_code == code
    told = json.loads(done.stdout)
    assert (told["outcome"], told["stopped"]) == ("not_read_yet", str(stopped) or "interrupted")
    assert [each["type"] for each in told["events"]] == ["credit.claimed"]


def test_what_can_not_be_looked_up_is_told(topics: Topics) -> None:
    run(*COMMANDS[0])
    topics.away = True
    same, told = run(*COMMANDS[0])
    assert same["outcome"] == "unchanged"
    assert "whether workers rejected a fact was not checked: not permitted" in told


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        (("maintenance", "list", "--json"), lambda text: "move" in text),
        (("contracts", "show", "acme"), lambda text: "2026-01 claimed" in text),
    ],
    ids=("maintenance", "claim"),
)
def test_lists_leave_out_what_workers_rejected(
    topics: Topics, words: tuple[str, ...], listed: Callable[[str], bool]
) -> None:
    for command in COMMANDS[:2]:
        run(*command)
    assert listed(CliRunner().invoke(app, words).stdout)
    topics.rejects = [(1, "too_late", True), (2, "oversize", True)]
    assert not listed(CliRunner().invoke(app, words).stdout)

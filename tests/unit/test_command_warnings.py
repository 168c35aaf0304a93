"""`warnings` in `--json` of commands that publish: a program reads no standard error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_doubtful_lines import END, OPENED, START, line
from typer.testing import CliRunner

from cli.events.publish_lines import BadLine, Published, prepare
from cli.main import app
from connect.actions.outcome import ActionWarning
from connect.kafka_io.connection import BrokerProblem
from streams.sla.events import Event

PEOPLE = {"who": {"kind": "support", "id": "kim"}, "approver": {"kind": "support", "id": "lee"}, "reason": "r"}


@pytest.fixture(autouse=True)
def nothing_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    log = SimpleNamespace(claims={}, contracts={"acme": object()}, maintenance={})
    monkeypatch.setattr("connect.kafka_io.contract_topic.log_of", lambda *_: log)
    monkeypatch.setattr("connect.kafka_io.contract_topic.publish", lambda *_: [])


def codes(*words: object) -> list[str]:
    done = CliRunner().invoke(app, [*map(str, words), "--json", "--no-wait"])
    assert done.exit_code == 0, done.output
    warnings = json.loads(done.stdout)["warnings"]
    told = [each.removeprefix("warning: ") for each in done.stderr.splitlines() if each.startswith("warning: ")]
    assert [each["message"] for each in warnings] == told
    return [each["code"] for each in warnings]


def test_a_window_and_a_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    window = ("--start", "2030-06-07T01:00:00Z", "--end", "2031-06-07T03:00:00Z", "--tenant", "acma")
    found = codes("maintenance", "schedule", "move", *window, "--component", "apj")
    assert found == ["component_misspelled", "tenant_misspelled", "window_long"]
    ahead = ActionWarning("claim_ahead", {"month": "2099-01"})
    monkeypatch.setattr("connect.actions.doubtful.claim_warnings", lambda *_, **__: [ahead])
    monkeypatch.setattr("cli.contracts.claim._amount", lambda *_, **__: "")
    assert codes("claim", "acme", "2099-01") == ["claim_ahead"]


def published(lines: Iterable[str], *_: object, on_event: Callable[[int, Event, str], None], **__: object) -> Published:
    for number, text in enumerate(lines, 1):
        record = prepare(number, text)
        assert not isinstance(record, BadLine)
        on_event(number, record.event, text)
    return Published()


def test_lines_that_are_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    lines = [
        line("incident.opened", "inc-1", END, OPENED),
        line("incident.resolved", "inc-1", END, {"restored_at": START}),
        line("incident.amended", "inc-2", END, {"started_at": START, **PEOPLE}),
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr("cli.events.publish_lines.publish_lines", published)
    asked: list[bool] = []

    def in_states(*_: object, applied: bool) -> list[str]:
        asked.append(applied)
        return ["line 3: inc-2 ends before it begins now"]

    monkeypatch.setattr("cli.events.amended_times.AmendedTimes.in_states", in_states)
    assert codes("publish", file) == ["ends_before_it_begins", "ends_before_it_begins"]
    assert asked == [False]

    def away(*_: object, **__: object) -> list[str]:
        raise BrokerProblem("not permitted")

    monkeypatch.setattr("cli.events.amended_times.AmendedTimes.in_states", away)
    assert codes("publish", file) == ["ends_before_it_begins", "not_checked"]  # all is published, so it does not fail


def test_a_corrected_event(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entry: Any = SimpleNamespace(original="sla.incident-events/0/0", rejected=SimpleNamespace(code="invalid"))
    record = SimpleNamespace(backfill=False)
    monkeypatch.setattr("cli.events.rejected._entries", lambda *_: [entry])
    monkeypatch.setattr("cli.events.rejected._chosen", lambda *_: entry)
    monkeypatch.setattr("connect.actions.rejected_retry.retry_record", lambda *_, **__: record)
    monkeypatch.setattr("connect.actions.rejected_retry.send", lambda *_: [])
    corrected = tmp_path / "corrected.json"
    data = {**OPENED, "tenant_ids": ["acma"], "component": "apj", "started_at": START}
    corrected.write_text(line("incident.opened", "inc-1", END, data, startedat=END), encoding="utf-8")
    found = codes("rejected", "retry", "incident-events/0/0", "--with", corrected)
    assert found == ["component_misspelled", "tenant_misspelled", "extension_differs"]

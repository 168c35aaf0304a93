"""A misspelled field in a recorded history is refused by `sla simulate`, `what-if` and `verify` as by `sla publish`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.events.publish_lines import BadLine, prepare
from cli.main import app
from streams.policy.load import default_policies_dir, load_policies
from streams.replay import what_if_run
from streams.replay.simulate import simulate
from streams.sla.policy import Policies

OPENED = {
    "specversion": "1.0",
    "id": "1",
    "type": "incident.opened",
    "source": "/test",
    "subject": "inc-1",
    "time": "2026-01-31T09:00:00Z",
    "data": {
        "scope": "tenants",
        "tenant_ids": ["acme"],
        "component": "api",
        "impact": "complete_outage",
        "channel": "api",
    },
}
CONTRACT = {
    **OPENED,
    "id": "c",
    "type": "contract.set",
    "subject": "acme",
    "time": "2026-01-01T00:00:00Z",
    "data": {
        "tenant_id": "acme",
        "valid_from": "2026-01-01T00:00:00Z",
        "plan": "scalr-emergency",
        "monthly_charge": {"amount_minor": 500000, "currency": "USD"},
        "tier": 2,
        "emergency_member": True,
    },
}
LATER = {**OPENED, "id": "2", "type": "incident.resolved", "time": "2026-03-09T12:00:00Z", "data": {}}
COMMANDS = ("simulate", "what-if", "verify")


def write(path: Path, *events: Mapping[str, object]) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return str(path)


def changed(event: Mapping[str, object], **data: object) -> dict[str, object]:
    return {**event, "data": {**event["data"], **data}}  # type: ignore[dict-item]


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> str:
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    outputs = [*simulate(map(json.dumps, (CONTRACT, OPENED, LATER)), policies)]
    return write(
        tmp_path_factory.mktemp("made") / "statements.jsonl",
        *(each for each in outputs if each["type"] == "credit.statement"),
    )


def words(command: str, statements: str, *files: str) -> list[str]:
    match command:
        case "what-if":
            return [command, *files, "--policy", "scalr-emergency"]
        case "verify":
            return [command, statements, *(word for file in files for word in ("--events", file))]
        case _:
            return [command, *files]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            changed(OPENED, started_att="2026-01-31T08:00:00Z"),
            "data.started_att: incident.opened has no such field; did",
        ),
        ({**OPENED, "timezone": "UTC"}, "timezone: is not an attribute of an event; did you mean time?"),
        (
            changed(CONTRACT, monthly_charge={"amount_minor": 1, "currency": "USD", "amout": 2}),
            "data.monthly_charge.amout",
        ),
    ],
)
def test_a_misspelled_field_ends_the_command_with_its_file_and_line(
    command: str, event: dict[str, object], told: str, statements: str, tmp_path: Path
) -> None:
    first = write(tmp_path / "a.jsonl", CONTRACT, OPENED)
    second = write(tmp_path / "b.jsonl", LATER, event)
    result = CliRunner().invoke(app, words(command, statements, first, second))
    assert result.exit_code == 2, result.output
    assert f"{second}:2: invalid: " in result.stderr
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    refused = prepare(2, json.dumps(event))
    assert isinstance(refused, BadLine)
    assert f"{second}:{refused}" in result.stderr


@pytest.mark.parametrize("command", ["simulate", "what-if"])
def test_standard_input_is_refused_with_its_line(command: str, statements: str) -> None:
    lines = "".join(json.dumps(each) + "\n" for each in (CONTRACT, changed(OPENED, sumary="x")))
    result = CliRunner().invoke(app, words(command, statements, "-"), input=lines)
    assert result.exit_code == 2
    assert "-:2: invalid: data.sumary: " in result.stderr


def test_processes_refuse_it_too(statements: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(what_if_run, "BYTES_PER_PROCESS", 100)
    monkeypatch.setattr(what_if_run, "cores", lambda: 2)
    file = write(tmp_path / "a.jsonl", CONTRACT, OPENED, changed(LATER, restored="2026-01-31T10:00:00Z"))
    result = CliRunner().invoke(app, words("what-if", statements, file))
    assert result.exit_code == 2
    assert f"{file}:3: invalid: data.restored: " in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_lines_of_sla_tail_are_read_with_outputs_among_them(command: str, statements: str, tmp_path: Path) -> None:
    received = [{**each, "receivedtime": each["time"]} for each in (CONTRACT, OPENED, LATER)]
    outputs = [json.loads(line) for line in Path(statements).read_text().splitlines()]
    file = write(tmp_path / "all.jsonl", *received, *({**each, "receivedtime": each["time"]} for each in outputs))
    result = CliRunner().invoke(app, words(command, statements, file))
    assert result.exit_code == 0, result.output
    extended = [{**each, "datacontenttype": "application/json", "shardid": "7"} for each in received]
    extensions = write(tmp_path / "extensions.jsonl", *extended)
    assert CliRunner().invoke(app, words(command, statements, extensions)).exit_code == 0

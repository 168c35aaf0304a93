"""`sla simulate` (R30, R31): the same bytes for the same input, line numbers of what is rejected, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import COMMANDS, app
from streams.policy.load import default_policies_dir

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "examples" / "data" / "contracts.jsonl"
HISTORY = ROOT / "examples" / "data" / "code-hosting-2022-2024.jsonl"
SHIPPED = default_policies_dir() / "scalr-emergency" / "1.yaml"

Run = Callable[..., Result]


def opened(event_id: str = "1", **data: object) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "type": "incident.opened",
        "source": "/test",
        "subject": "inc-1",
        "time": "2026-01-31T09:00:00Z",
        "data": {"scope": "platform", "component": "api", "impact": "complete_outage", "channel": "api", **data},
    }


def lines(*events: object) -> bytes:
    return b"".join(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in events)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "SLA_DEFAULT_POLICY", "SLA_POLICIES"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: object, stdin: bytes | None = None) -> Result:
        result: Result = CliRunner().invoke(app, ["simulate", *map(str, words)], input=stdin)
        return result

    return call


def outputs(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def types(result: Result) -> list[str]:
    return [each["type"] for each in outputs(result)]


def test_the_real_data_gives_the_same_bytes_each_time_from_files_as_from_standard_input(run: Run) -> None:
    first = run(CONTRACTS, HISTORY, "--policy", "code-hosting")
    both = CONTRACTS.read_bytes() + HISTORY.read_bytes()
    again = run("-", "--policy", "code-hosting", stdin=both)
    assert first.stdout_bytes == again.stdout_bytes
    found = types(first)
    assert {"incident.classified", "sla.met", "sla.breached", "credit.statement", "impact.changed"} <= set(found)
    assert "sla.rejected" not in found


def test_until_lets_what_is_due_by_then_act_and_reads_nothing_that_arrives_after(run: Run) -> None:
    later = {**opened("2"), "subject": "inc-2", "time": "2026-02-01T09:00:00Z"}
    stdin = lines(opened(), later)
    before = run("-", "--until", "2026-01-31T10:59:59Z", stdin=stdin)
    at = run("-", "--until", "2026-01-31T11:00:00Z", stdin=stdin)
    assert "sla.breached" not in types(before)
    assert types(at).count("sla.breached") == 1
    assert {each["subject"] for each in outputs(at)} == {"inc-1"}


def test_without_until_the_clock_ends_at_the_last_arrival(run: Run) -> None:
    assert types(run("-", stdin=lines(opened()))) == ["incident.classified", "impact.changed"]
    moved = {**opened("2"), "subject": "inc-2", "time": "2026-01-31T12:00:00Z"}
    assert "sla.breached" in types(run("-", stdin=lines(opened(), moved)))


def test_a_line_arrives_at_its_receivedtime(run: Run) -> None:
    late = {**opened(), "receivedtime": "2026-01-31T12:00:00Z"}
    assert "sla.breached" not in types(run("-", "--until", "2026-01-31T11:30:00Z", stdin=lines(late)))


def test_rejected_lines_are_outputs_with_their_number_over_all_files(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(lines(opened(), b"\n", opened("2", impact="huge")))
    second.write_bytes(lines(b"{\n", b'{"id": "\xff"}\n', {**opened("4"), "type": "incident.exploded"}))
    told = [each["data"] for each in outputs(run(first, second)) if each["type"] == "sla.rejected"]
    assert [(each["line"], each["code"], each.get("id")) for each in told] == [
        (3, "invalid", "2"),
        (4, "undecodable", None),
        (5, "undecodable", None),
        (6, "unknown_type", "4"),
    ]
    assert told[0]["message"].startswith("data.impact: expected one of complete_outage")


def test_backfill_marks_what_follows(run: Run) -> None:
    found = outputs(run("-", "--backfill", stdin=lines(opened())))
    assert found
    assert all(each["backfill"] for each in found)


def test_a_policy_file_is_the_default_and_stands_for_all_versions_of_its_name(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    text = SHIPPED.read_text(encoding="utf-8")
    mine.write_text(text.replace("PT2H", "PT1H").replace('version: "1"', 'version: "new"'), encoding="utf-8")
    found = outputs(run("-", "--policy", mine, stdin=lines(opened())))
    assert found[0]["data"]["policy"]["version"] == "new"
    assert found[0]["data"]["clocks"][0]["deadline"] == "2026-01-31T10:00:00Z"
    assert "sla.breached" in types(run("-", "--policy", mine, "--until", "2026-01-31T10:00:00Z", stdin=lines(opened())))


def test_a_policy_file_leaves_the_other_shipped_plans_as_they_are(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    text = SHIPPED.read_text(encoding="utf-8").replace("policy: scalr-emergency", "policy: mine")
    mine.write_text(text, encoding="utf-8")
    acme = next(line for line in CONTRACTS.read_bytes().splitlines(keepends=True) if b'"acme"' in line)
    event = {**opened(scope="tenants", tenant_ids=["acme"]), "time": "2022-01-02T00:00:00Z"}
    found = outputs(run("-", "--policy", mine, stdin=acme + lines(event)))
    decided = {each["data"]["policy"]["name"] for each in found if each["type"] == "incident.classified"}
    assert decided == {"code-hosting"}


def test_a_name_chooses_among_the_policies_of_a_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    text = SHIPPED.read_text(encoding="utf-8").replace("policy: scalr-emergency", "policy: mine")
    (tmp_path / "mine" / "1.yaml").write_text(text, encoding="utf-8")
    found = outputs(run("-", "--policies", tmp_path, "--policy", "mine", stdin=lines(opened())))
    assert found[0]["data"]["policy"]["name"] == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.jsonl"], "there is no file absent.jsonl"),
        ([str(ROOT)], "is a directory"),
        (["-", "--until", "yesterday"], "--until: 'yesterday' is not an RFC 3339 date-time"),
        (["-", "--until", "2026-01-31T09:00:00"], "--until"),
        (["-", "--until", "1960-01-31T09:00:00Z"], "--until: lies outside the years 1970 to 9999"),
        (["-", "--policy", "nope"], "default policy 'nope' is not among"),
        (["-", "--policy", "nope.yaml"], "nope.yaml can't be read: No such file"),
        (["-", "--policies", "/nowhere"], "there is no such directory of policies"),
        ([], "Missing argument"),
    ],
)
def test_wrong_use_is_told_in_a_line(run: Run, words: list[str], message: str) -> None:
    result = run(*words, stdin=b"")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_mistake_in_a_policy_is_told_with_file_and_key(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SHIPPED.read_text(encoding="utf-8").replace("PT2H", "2h"), encoding="utf-8")
    result = run("-", "--policy", file, stdin=b"")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{file}:")
    assert "severities.P1.response.within" in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there_and_its_help_shows_an_example(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert "Example: " in result.stdout


def test_help_imports_no_command() -> None:
    import subprocess
    import sys

    heavy = {"kafka", "aiokafka", "faust", "jgo", "pydantic", "fastavro"}
    code = "import sys, cli.main; cli.main.app(['--help'], standalone_mode=False)"
    code += f"; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", CONTRACTS),
        ("what-if", CONTRACTS, "--policy", "scalr-emergency"),
        ("policy", "show", "scalr-emergency"),
        ("topics", "kafkatopics"),
        ("topics", "acls"),
        ("settings", "worker"),
    ],
    ids=lambda words: words[0],
)
def test_what_asks_no_broker_needs_none_to_be_named(words: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_BROKERS", "")
    done = CliRunner().invoke(app, [str(each) for each in words])
    assert (done.exit_code, done.stderr) == (0, "")

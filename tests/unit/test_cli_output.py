"""What commands say where their output, or a file they need, can't be used."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.support.console import print_rows

_FULL = Path("/dev/full")


@pytest.mark.skipif(not _FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["--help", "policy show scalr-emergency", "simulate examples/outage.jsonl"])
def test_a_full_disk_is_one_line_and_exit_code_2(command: str) -> None:
    run = [sys.executable, "-c", "from cli.main import main; main()", *command.split()]
    root = Path(__file__).parents[2]
    with _FULL.open("w") as full:
        ended = subprocess.run(run, cwd=root, stdout=full, stderr=subprocess.PIPE, text=True, timeout=600, check=False)
    assert (ended.returncode, ended.stderr) == (2, "can't write: No space left on device\n")


@pytest.mark.parametrize(
    ("command", "option"), [("intake test - --source prometheus", "--mapping"), ("notify test -", "--routes")]
)
@pytest.mark.parametrize(
    ("text", "expected"), [("", "the file is empty; allowed: keys with values"), ("a: [", "this is not YAML: ")]
)
def test_a_mapping_or_routing_file_is_not_called_a_policy(
    command: str, option: str, text: str, expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text, encoding="utf-8")
    ended = CliRunner().invoke(app, [*command.split(), option, str(file)], input="{}")
    assert ended.exit_code == 2
    assert expected in ended.output
    assert "polic" not in ended.output.replace(str(file), "")


HEADS = ("id", "destination", "reason", "count")
LONG = "https://example.com/" + "a" * 70
ROWS = [(LONG, "on-call", "the service said 500 and closed the connection", 3), ("b\x1b[2J", "", "none", 12_000)]


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int | None) -> str:
    """The rows as a terminal of so many columns shows them; None: a pipe."""
    if columns is not None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(columns))
    print_rows(HEADS, ROWS, title="undelivered", right=("count",))
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


def test_a_piped_table_has_one_line_for_each_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line.split() for line in printed(capsys, monkeypatch, None).splitlines() if line.strip()]
    assert lines[0] == ["undelivered"]
    assert (lines[-2][0], lines[-2][-1]) == (LONG, "3")
    assert (lines[-1][0], lines[-1][-1]) == ("b\N{REPLACEMENT CHARACTER}[2J", "12000")
    assert len(lines) == 5  # with the title, the heads and the rule


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_shows_each_row_as_lines_that_can_be_copied(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = printed(capsys, monkeypatch, columns)
    assert f"id:          {LONG}\n" in shown
    assert "count:       12000\n" in shown
    assert "destination: on-call\n" in shown
    assert "…" not in shown


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120])
def test_no_amount_address_instant_or_state_is_cut_or_folded(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    cells = ("acme-corporation", "2026-04", "provisional, revision 12", "99.951000 %", "missed", "3h 12m")
    cells = (*cells, "$1,000.00 (USD) (10 %)", "$1,000.00 (USD)", "kafka-1.example.com:9092", "2026-04-30 23:59 UTC")
    print_rows(tuple("abcdefghij"), [cells])
    shown = capsys.readouterr().out
    assert [cell for cell in cells if cell not in shown] == []


def test_a_terminal_with_room_shows_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = printed(capsys, monkeypatch, 140)
    assert "destination:" not in shown
    assert LONG in shown
    assert max(map(len, shown.splitlines())) <= 140


@pytest.mark.parametrize("command", ["report --format csv --json", "what-if a.jsonl --policy x --format csv --json"])
def test_json_and_another_format_contradict(command: str) -> None:
    ended = CliRunner().invoke(app, command.split())
    assert (ended.exit_code, ended.output) == (2, "--json and --format csv contradict; give one of them\n")


def test_policies_are_checked_and_shown_as_json(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("policy: x\nversion: 1\n", encoding="utf-8")
    good = "policies/scalr-emergency/1.yaml"
    ended = CliRunner().invoke(app, ["policy", "check", "--json", good, str(broken)])
    first, second = map(json.loads, ended.stdout.splitlines())
    assert ended.exit_code == 1
    assert (first["policy"], first["version"], first["problems"]) == ("scalr-emergency", "1", [])
    assert (second["file"], second["policy"]) == (str(broken), None)
    assert {"line", "column", "key", "what"} == set(second["problems"][0])
    shown = json.loads(CliRunner().invoke(app, ["policy", "show", "scalr-emergency", "--json"]).stdout)
    assert shown["digest"] == first["digest"]


def test_a_dry_run_of_the_notifier_prints_json() -> None:
    alerts = CliRunner().invoke(app, ["simulate", "examples/outage.jsonl"]).stdout
    ended = CliRunner().invoke(
        app, ["notify", "test", "-", "--routes", "examples/notify.yaml", "--json"], input=alerts + "no event\n"
    )
    *found, wrong = map(json.loads, ended.stdout.splitlines())
    assert ended.exit_code == 1
    assert "code" in wrong
    assert len(found) == len(alerts.splitlines())
    assert any(request["method"] == "POST" for each in found for request in each["requests"])


@pytest.mark.parametrize(
    "words",
    [
        ("policies/scalr-emergency/1.yaml", "--version", "2"),
        ("scalr-emergency@1", "--version", "1"),
        ("scalr-emergency", "--version", ""),
    ],
)
def test_a_version_that_would_choose_nothing_is_refused(words: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(app, ["policy", "show", *words])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("--version: ")

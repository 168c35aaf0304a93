"""`sla import`: rows shown, wrong ones named, nothing written by halves."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click import unstyle
from typer.testing import CliRunner, Result

from cli.main import app
from connect.history_import import event_store
from tests.standard_modules import altered

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "import"
ZENDESK = (str(DATA / "zendesk.json"), "--mapping", str(ROOT / "examples" / "import" / "zendesk.yaml"))
STATUSPAGE = ("--mapping", str(ROOT / "examples" / "intake" / "statuspage.yaml"))
CONTRACTS = str(ROOT / "examples" / "data" / "contracts.jsonl")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["import", *arguments])


@pytest.fixture
def wrong(tmp_path: Path) -> tuple[str, ...]:
    """An export whose second row is wrong."""
    first, *_ = (DATA / "zendesk.json").read_text(encoding="utf-8").splitlines()
    file = tmp_path / "export.json"
    file.write_text(f"{first}\n{first.replace('4711', '4720').replace('Acme Inc.', 'Umbrella')}\n", encoding="utf-8")
    return (str(file), *ZENDESK[1:])


def test_without_output_rows_are_shown_and_nothing_is_written() -> None:
    shown = run("tickets", *ZENDESK, "--contracts", CONTRACTS)
    assert shown.exit_code == 0, shown.output
    (line,) = [each for each in shown.stdout.splitlines() if "4711" in each]
    assert "api, complete_outage, acme; opened 2026-04-10T08:00:00Z; 4 updates; resolved 2026-04-10T09:50:00Z" in line
    assert "the mapping ignores it: type is 'question'" in shown.stdout
    assert "3 rows, 2 became 7 events; 1 ignored" in shown.stderr
    assert "warning" not in shown.stderr


def test_the_table_fits_80_columns_and_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("tickets", *ZENDESK)
    text = unstyle(shown.stdout)
    assert max(map(len, text.splitlines())) <= 80
    assert "2026-04-10T09:50:00Z" in text


def test_events_are_written_in_the_order_of_their_times_and_the_same_each_time(tmp_path: Path) -> None:
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for file in files:
        done = run("tickets", *ZENDESK, "--output", str(file))
        assert done.exit_code == 0, done.output
        assert "7 events written; `sla publish FILE --backfill` loads them" in done.stderr
    assert files[0].read_bytes() == files[1].read_bytes()
    times = [json.loads(line)["time"] for line in files[0].read_text(encoding="utf-8").splitlines()]
    assert times == sorted(times)
    assert sorted(tmp_path.iterdir()) == files
    simulated = CliRunner().invoke(app, ["simulate", str(files[0])])
    assert simulated.exit_code == 0, simulated.output
    assert "sla.met" in simulated.stdout
    assert "sla.rejected" not in simulated.stdout
    assert run("tickets", *ZENDESK, "--output", "-").stdout == files[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("statement", ["INSERT", "SELECT line"])
def test_no_space_for_temporary_files_is_said_in_one_line(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql.startswith(statement):
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *parameters)

    monkeypatch.setattr(event_store, "sqlite3", altered(sqlite3, connect=FullDisk))
    done = run("tickets", *ZENDESK, "--output", str(tmp_path / "events.jsonl"))
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(
        "the folder for temporary files can't hold the events: database or disk is full; make room there"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_row_is_named_and_nothing_is_written_unless_asked(wrong: tuple[str, ...], tmp_path: Path) -> None:
    output = tmp_path / "events.jsonl"
    output.write_text("before", encoding="utf-8")
    refused = run("tickets", *wrong, "--output", str(output))
    assert refused.exit_code == 1
    assert f"{wrong[0]}:2: ticket 4720: tenants: organization.name is 'Umbrella', which line 31" in refused.stderr
    assert "nothing was written" in refused.stderr
    assert output.read_text(encoding="utf-8") == "before"
    kept = run("tickets", *wrong, "--output", str(output), "--keep-going")
    assert kept.exit_code == 1
    assert len(output.read_text(encoding="utf-8").splitlines()) == 6


def test_times_that_workers_reject_are_wrong_before_anything_is_loaded(tmp_path: Path) -> None:
    """A wrong zone or format shows as a time that is yet to come."""
    ticket = json.loads((DATA / "zendesk.json").read_text(encoding="utf-8").splitlines()[2])
    file = tmp_path / "export.json"
    file.write_text(json.dumps({**ticket, "created_at": "2999-04-10T08:00:00Z"}), encoding="utf-8")
    shown = run("tickets", str(file), *ZENDESK[1:])
    assert shown.exit_code == 1
    assert "export.json:1: future: time: 2999-04-10T08:00:00Z is more than PT5M ahead" in shown.stderr


def test_names_that_nothing_declares_are_reported(tmp_path: Path) -> None:
    contracts = tmp_path / "contracts.csv"
    contracts.write_text(
        "tenant_id,valid_from,plan,amount_minor,currency,emergency_member\n"
        "acme,2026-01-01T00:00:00Z,no-such-plan,100,USD,yes\n",
        encoding="utf-8",
    )
    shown = run("tickets", *ZENDESK, "--contracts", str(contracts))
    assert shown.exit_code == 0
    assert f"tenant tokyo-trading ({ZENDESK[0]}, line 3) is without a contract" in shown.stderr
    assert "plan no-such-plan is no policy here" in shown.stderr
    assert "tenants were not checked" in run("tickets", *ZENDESK).stderr


def test_an_export_without_comments_warns_of_update_clocks() -> None:
    mapping = str(ROOT / "examples" / "import" / "zendesk-csv.yaml")
    shown = run("tickets", str(DATA / "zendesk.csv"), "--mapping", mapping)
    assert "the mapping has no `updates`" in shown.stderr


def test_json_has_one_object_for_each_row(wrong: tuple[str, ...]) -> None:
    shown = run("tickets", *wrong, "--json")
    assert shown.exit_code == 1
    good, bad = map(json.loads, shown.stdout.splitlines())
    assert (good["row"], good["key"], good["outcome"], len(good["events"])) == ("line 1", "4711", "events", 6)
    assert (bad["row"], bad["outcome"], bad["events"]) == ("line 2", "wrong", [])
    assert "Umbrella" in bad["problems"][0]


def test_only_the_first_rows_are_shown() -> None:
    shown = run("tickets", *ZENDESK, "--rows", "1")
    assert "4713" not in shown.stdout
    assert "2 more rows; --rows N shows more of them" in shown.stderr


def saved_page(folder: Path) -> Path:
    recorded = ROOT / "tests" / "data" / "intake" / "statuspage" / "resolved.json"
    incident = json.loads(recorded.read_text(encoding="utf-8"))["incident"]
    page = folder / "incidents.json"
    page.write_text(json.dumps({"page": {"id": "j2mfxwj97wnj"}, "incidents": [incident]}), encoding="utf-8")
    return page


def test_a_status_page_is_imported_by_the_mapping_of_the_intake(tmp_path: Path) -> None:
    page = saved_page(tmp_path)
    shown = run("statuspage", str(page), *STATUSPAGE)
    assert shown.exit_code == 0, shown.output
    assert "api, complete_outage, every tenant; opened 2026-04-10T08:00:00Z; 2 updates; resolved" in shown.stdout
    written = run("statuspage", str(page), str(page), *STATUSPAGE, "--source", "status", "--output", "-")
    assert len(written.stdout.splitlines()) == 4
    assert "1 repeated" in written.stderr


def test_the_commands_of_the_document_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    commands = [line.split()[1:] for line in text.splitlines() if line.startswith(("sla import", "sla simulate"))]
    assert len(commands) == 4
    for name in ("examples", "tests", "policies"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    page = saved_page(tmp_path)
    (tmp_path / "scheduled-maintenances.json").write_bytes(page.read_bytes())
    for command in commands:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("tickets", *ZENDESK, "--dry-run", "--output", "x"), "--dry-run writes nothing"),
        (("tickets", *ZENDESK, "--json", "--output", "-"), "both print to standard output"),
        (("tickets", "no-such-file", *ZENDESK[1:]), "no-such-file can't be read"),
        (("tickets", ZENDESK[0], "--mapping", "no-such-file"), "no-such-file can't be read"),
        (("tickets", ZENDESK[0], *STATUSPAGE), "sources: unknown key"),
        (("tickets", str(DATA / "jira.csv"), *ZENDESK[1:]), "jira.csv: line 1: not JSON: expected '{', got 'S'"),
        (("tickets", *ZENDESK, "--output", "/no/such/folder/x"), "--output: /no/such/folder/x can't be written"),
        (("statuspage", "no-such-file", *STATUSPAGE), "no-such-file can't be read"),
        (("statuspage", ZENDESK[0], *STATUSPAGE), "not JSON"),
        (("statuspage", CONTRACTS, *STATUSPAGE, "--source", "other"), "there is no source 'other'"),
        (("statuspage", CONTRACTS, "--mapping", str(ROOT / "examples" / "intake.yaml")), "there are: none"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments: tuple[str, ...], problem: str) -> None:
    found: Any = run(*arguments)
    assert found.exit_code == 2, found.output
    assert problem in found.stderr
    assert found.stdout == ""


def test_a_file_that_is_no_page_is_named() -> None:
    pages = ROOT / "tests" / "data" / "intake" / "statuspage"
    good, other = str(pages / "resolved.json"), str(pages / "component.json")
    shown = run("statuspage", good, other, *STATUSPAGE)
    assert shown.exit_code == 2
    assert f"{other}: expected `incidents` or `scheduled_maintenances`; the object has component" in shown.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"specversion":"1.0", "type":"contract.set"\n', "contracts:1: not JSON: "),
        ("\n" + '{"specversion":"1.0", "type":"contract.set"\n', "contracts:2: not JSON: "),
        ('{"specversion":"1.0","a":' + "[" * 100_000 + '"contract.set"\n', "contracts:1: not JSON of an event: nested"),
        ('{"specversion":"1.0","type":"contract.set","type":"contract.set"}\n', "contracts:1: not JSON of an event: "),
        ('{"specversion":"1.0","type":"contract.set","data":[]}\n', "contracts: "),
    ],
)
def test_a_file_of_contracts_that_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "contracts"
    file.write_text(text, encoding="utf-8")
    done = run("tickets", *ZENDESK, "--contracts", str(file))
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert problem in done.stderr


@pytest.mark.parametrize("place", ["file", "mapping", "contracts"])
def test_what_is_read_is_not_overwritten(tmp_path: Path, place: str) -> None:
    read = {"file": ZENDESK[0], "mapping": ZENDESK[2], "contracts": CONTRACTS}
    copy = tmp_path / "copy"
    copy.write_bytes(before := Path(read[place]).read_bytes())
    read[place] = str(copy)
    link = tmp_path / "link"
    link.symlink_to(copy)
    words = ("tickets", read["file"], "--mapping", read["mapping"], "--contracts", read["contracts"])
    for output in (copy, link):
        done = run(*words, "--output", str(output))
        assert (done.exit_code, copy.read_bytes()) == (2, before)
        assert "is what is read; give it another name" in done.stderr


def test_a_pipe_is_written_to_and_the_file_of_a_link_replaced(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(target)
    assert run("tickets", *ZENDESK, "--output", str(link)).exit_code == 0
    assert link.is_symlink()
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # what is written fits into the pipe
    try:
        assert run("tickets", *ZENDESK, "--output", str(pipe)).exit_code == 0
        assert os.read(reader, 65_536) == target.read_bytes()
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_row_that_lasts_too_long_is_told(tmp_path: Path) -> None:
    first, *_ = (DATA / "zendesk.json").read_text(encoding="utf-8").splitlines()
    ticket = json.loads(first)
    ticket["created_at"] = "2016-04-10T08:00:00Z"
    file = tmp_path / "export.json"
    file.write_text(f"{json.dumps(ticket)}\n", encoding="utf-8")
    told = run("tickets", str(file), *ZENDESK[1:], "--contracts", CONTRACTS)
    assert told.exit_code == 0, told.output
    assert f"warning: 1 row lasts more than 31 days, the first is {file}, line 1 (3,652 days)" in told.stderr
    assert "31 days" not in run("tickets", *ZENDESK, "--contracts", CONTRACTS).stderr


def test_a_file_whose_name_is_no_text_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff.json")
    file.write_bytes(Path(ZENDESK[0]).read_bytes())
    done = run("tickets", str(file), *ZENDESK[1:], "--json")
    assert done.exit_code == 0, done.output
    assert all("\N{REPLACEMENT CHARACTER}.json" in json.loads(line)["file"] for line in done.stdout.splitlines())

"""`sla verify` accepts statements of earlier releases whose inputs this release refuses, and says so (R5, R20, R28)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from story import Line, contract, maintenance, opened, resolved, run, texts
from typer.testing import CliRunner

from cli.main import app
from streams.replay import history
from streams.sla import arrival
from streams.sla.credits.maintenance import MAX_EVENTS, Maintenance
from streams.sla.events import Rejection
from streams.sla.facts import stored_event

UNTIL = "2026-04-20T00:00:00Z"
TERMS = contract("2026-02-01T00:00:00Z", id="c-1")
OTHER = [opened("20 00:00", of="inc-2", id="o-2"), resolved("20 06:00", of="inc-2", id="z-2")]


def platform_with_tenants() -> list[Line]:
    line = opened("10:00", id="o-1")
    line["data"]["tenant_ids"] = ["acme"]
    return [line, resolved("21:00", id="z-1")]


def control_characters() -> list[Line]:
    line = opened("10:00", id="o-1")
    line["data"]["summary"] = "api\x07down"
    return [line, resolved("21:00", id="z-1")]


def beyond_the_horizon() -> list[Line]:
    return [
        opened("2026-03-31T10:00:00Z", started="2026-01-15T00:00:00Z", id="o-1"),
        resolved("2026-03-31T21:00:00Z", id="z-1"),
    ]


def edited_often() -> list[Line]:
    """Windows that cut the other outage; the last edits are beyond the limit."""
    return [
        maintenance(f"10:{number // 60:02}:{number % 60:02}", "20 00:00", f"20 01:{number // 60:02}:{number % 60:02}")
        | {"id": f"m-{number}"}
        for number in range(MAX_EVENTS + 5)
    ]


KINDS = {
    "invalid": (platform_with_tenants, "scope platform concerns every tenant"),
    "control": (control_characters, "has the control character U+0007"),
    "too_late": (beyond_the_horizon, "is more than 35 days before the event's time"),
    "oversize": (edited_often, f"has {MAX_EVENTS} events"),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lines(kind: str) -> list[Line]:
    return [TERMS, *KINDS[kind][0](), *OTHER]


@pytest.fixture
def statements(lines: list[Line]) -> list[Line]:
    """The statements of a release without the checks."""

    def nothing(*_: Any) -> Rejection | None:
        return None

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(history, "to_event", stored_event)
        patched.setattr(arrival, "check_instants", nothing)
        patched.setattr(Maintenance, "oversize", nothing)
        return [output for output in run(*lines, until=UNTIL) if output["type"] == "credit.statement"]


def verify(tmp_path: Path, statements: list[Line], lines: list[str], *options: str, stdin: bool = False) -> Result:
    given, events = tmp_path / "statements.jsonl", tmp_path / "events.jsonl"
    given.write_text("".join(json.dumps(each) + "\n" for each in statements))
    events.write_text("".join(line + "\n" for line in lines))
    name = "-" if stdin else str(events)
    return CliRunner().invoke(
        app, ["verify", str(given), "--events", name, *options], input=events.read_bytes() if stdin else None
    )


def test_it_is_verified_with_the_inputs_that_were_accepted_then(
    tmp_path: Path, kind: str, lines: list[Line], statements: list[Line]
) -> None:
    today = [output["data"]["digest"] for output in run(*lines, until=UNTIL) if output["type"] == "credit.statement"]
    assert today != [each["data"]["digest"] for each in statements]
    found = verify(tmp_path, statements, texts(lines))
    assert found.exit_code == 0, found.output
    assert "that this release refuses" in found.output
    assert KINDS[kind][1] in found.output
    assert f"{len(statements)} verified, 0 differ" in found.output


def test_the_json_form_lists_them(tmp_path: Path, kind: str, lines: list[Line], statements: list[Line]) -> None:
    found = verify(tmp_path, statements, texts(lines), "--json", stdin=True)
    assert found.exit_code == 0, found.output
    listed = [one for each in json.loads(found.stdout)["statements"] for one in each["refused_inputs"]]
    code = "invalid" if kind == "control" else kind
    assert {one["code"] for one in listed} == {code}
    assert {one["kind"] for one in listed} == {"maintenance" if kind == "oversize" else "incident"}


def test_a_statement_that_is_wrong_all_the_same_still_differs(
    tmp_path: Path, lines: list[Line], statements: list[Line]
) -> None:
    statements[-1]["data"]["downtime_s"] += 1
    found = verify(tmp_path, statements, texts(lines))
    assert found.exit_code == 1
    assert f"{len(statements) - 1} verified, 1 differs" in found.output


def test_a_refused_input_that_no_statement_rests_on_is_not_taken(tmp_path: Path) -> None:
    """It was rejected, and its correction came after it: today's statements verify without it."""
    wrong = opened("10:00", started="2026-01-15T00:00:00Z", id="wrong")
    lines = [TERMS, wrong, opened("10:00", id="o-1"), resolved("21:00", id="z-1")]
    statements = [output for output in run(*lines, until=UNTIL) if output["type"] == "credit.statement"]
    found = verify(tmp_path, statements, texts(lines))
    assert (found.exit_code, "this release refuses" in found.output) == (0, False)


def test_history_that_became_known_after_it_was_loaded_is_verified_too(tmp_path: Path) -> None:
    """An earlier release accepted a `receivedtime` ahead of the arrival."""
    loaded = {"backfill": True, "receivedtime": "2026-03-02T09:00:00Z", "loadedtime": "2026-03-02T07:00:00Z"}
    lines = [
        TERMS,
        opened("2026-03-01T10:00:00Z", id="o-1") | loaded,
        resolved("2026-03-01T21:00:00Z", id="z-1") | loaded,
    ]
    statements = [output for output in run(*lines, until=UNTIL) if output["type"] == "credit.statement"]
    found = verify(tmp_path, statements, texts(lines))
    assert found.exit_code == 0, found.output
    assert "receivedtime 2026-03-02T09:00:00Z is after its arrival 2026-03-02T07:00:00Z" in found.output

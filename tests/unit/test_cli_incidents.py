"""`sla incidents`: rows, tables that fit, the screen of clocks, and what comes of an action as lines and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from action_bench import NOW, state
from rich.cells import cell_len
from rich.console import Console
from story import policies
from typer.testing import CliRunner

from cli.incidents.details import detail_lines
from cli.incidents.filters import FilterNames
from cli.incidents.live import ClockScreen, json_line, plain_line, watch_lines
from cli.incidents.outcome_view import as_object, exit_code, outcome_lines
from cli.incidents.rows import PLAIN_HEADS, IncidentView, Order, Wanted, chosen, countdown, plain_cells
from cli.incidents.table import table_lines
from cli.main import app
from connect.actions.outcome import (
    Accepted,
    ActionUnavailable,
    FieldChange,
    FormProblem,
    Invalid,
    Moved,
    NotReadYet,
    Outcome,
    RejectedByWorker,
    Unchanged,
)
from connect.actions.permissions import Denied, Permission
from connect.client.received import ReceivedEvent
from connect.kafka_io.connection import BrokerProblem
from streams.settings import Settings
from streams.sla.events import Position
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, format_rfc3339
from streams.sla.policy import Policies

LONG = "monitor:eu-west-1:api.example.com:health-check:503"


def clock(left: int, state: str = "running", metric: str = "response", warn: tuple[int, ...] = ()) -> dict[str, Any]:
    """A clock whose deadline is `left` from now, with warnings so long before it."""
    return {
        "metric": metric,
        "instance": 1,
        "state": state,
        "started_at": format_rfc3339(NOW - HOUR),
        "deadline_revision": 0,
        "warn_at": [{"threshold": 0.5, "at": format_rfc3339(NOW + left - before)} for before in warn],
        **({"deadline": format_rfc3339(NOW + left)} if state == "running" else {}),
        **({"paused_since": format_rfc3339(NOW - MINUTE)} if state == "paused" else {}),
    }


def full(incident: str, *clocks: dict[str, Any], **changed: object) -> dict[str, Any]:
    """A state with every field that a command shows."""
    own = {
        "clocks": list(clocks),
        "coverage": "covered",
        "counts_as_downtime": True,
        "rule": "outage",
        "policy": {"name": "scalr-emergency", "version": "1"},
        "channel": "phone",
    }
    return state(incident, **own | changed)


SOON = full("soon", clock(30 * MINUTE, warn=(HOUR, 10 * MINUTE)), tenant_ids=["globex"])
URGENT = full("urgent", clock(5 * MINUTE, warn=(HOUR, 10 * MINUTE)), severity="P2")
LATE = full("late", clock(-2 * MINUTE), scope="platform", tenant_ids=[])
CALM = full(LONG, clock(3 * DAY), clock(0, "breached"), component="ui", summary="Login fails")
PAUSED = full("paused", clock(0, "paused"), waiting="third_party")
IDLE = full("idle", status="resolved", ended_at=format_rfc3339(NOW - HOUR), ticket_id="SUP-77")
ALL = [IDLE, PAUSED, CALM, SOON, LATE, URGENT]


def ids(wanted: Wanted, order: Order = "deadline") -> list[str]:
    return [view.state["incident_id"] for view in chosen(ALL, wanted, order, NOW)]


def test_the_nearest_deadline_comes_first() -> None:
    assert ids(Wanted()) == ["late", "urgent", "soon", LONG, "idle", "paused"]
    assert ids(Wanted(), "severity")[-1] == "urgent"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(statuses=frozenset({"resolved"})), {"idle"}),
        (Wanted(severities=frozenset({"P2"})), {"urgent"}),
        (Wanted(tenants=frozenset({"globex"})), {"soon", "late"}),
        (Wanted(components=frozenset({"ui"})), {LONG}),
        (Wanted(text="LOGIN"), {LONG}),
        (Wanted(text="sup-77"), {"idle"}),
        (Wanted(text="全面"), {state["incident_id"] for state in ALL}),
        (Wanted(text="nothing"), set()),
    ],
)
def test_incidents_are_filtered(wanted: Wanted, found: set[str]) -> None:
    assert set(ids(wanted)) == found


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (0, "0:00:00"),
        (SECOND - 1, "0:00:00"),
        (4 * MINUTE + 59 * SECOND, "0:04:59"),
        (26 * HOUR, "26:00:00"),
        (2 * DAY + HOUR, "2d 01:00:00"),
        (-1, "-0:00:01"),
        (-12 * MINUTE, "-0:12:00"),
    ],
)
def test_the_time_left_is_a_countdown(left: int, text: str) -> None:
    assert countdown(left) == text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_no_line_of_the_table_is_wider_than_the_terminal(width: int) -> None:
    states = [*ALL, full("日本語の識別子", clock(HOUR), title={"en": "長い題名" * 30, "ja": "x"})]
    lines = [line.plain for line in table_lines(chosen(states, Wanted(), "deadline", NOW), width)]
    own_line = [line for line in lines if line == LONG]
    assert all(cell_len(line) <= width for line in lines if line != LONG)
    assert own_line or any(LONG in line for line in lines)
    assert lines[0].startswith("INCIDENT")
    assert ("DEADLINE" in lines[0]) == (width >= 140)
    assert any("0:05:00 !!" in line for line in lines)
    assert any("-0:02:00 !!!" in line for line in lines)


def test_colours_follow_the_thresholds_and_are_not_all_there_is() -> None:
    lines = table_lines(chosen(ALL, Wanted(), "deadline", NOW), 80)
    styles = {str(span.style) for line in lines for span in line.spans}
    assert {"bold white on red", "bold red", "yellow", "green", "dim"} <= styles
    console = Console(width=80, force_terminal=True, no_color=True)
    with console.capture() as captured:
        for line in lines:
            console.print(line)
    assert "\x1b[31m" not in captured.get()
    assert "!!!" in captured.get()


def test_plain_lines_have_every_column_and_nothing_that_steers_a_terminal() -> None:
    row = dict(zip(PLAIN_HEADS, plain_cells(IncidentView(URGENT, NOW)), strict=True))
    assert (row["left_s"], row["urgency"], row["clock"]) == ("300", "urgent", "response 1")
    idle = dict(zip(PLAIN_HEADS, plain_cells(IncidentView(IDLE, NOW)), strict=True))
    assert (idle["deadline"], idle["left_s"], idle["waiting"]) == ("-", "-", "-")
    assert dict(zip(PLAIN_HEADS, plain_cells(IncidentView(LATE, NOW)), strict=True))["tenants"] == "*"


def test_details_tell_each_clock() -> None:
    changed = {"summary": "calls\x1b[2J fail", "next": {"what": "warning", "metric": "response", "instance": 1}}
    changed["next"]["at"] = format_rfc3339(NOW + MINUTE)  # type: ignore[index]
    lines = [line.plain for line in detail_lines(IncidentView(URGENT | changed, NOW))]
    assert "clocks      response 1: 0:05:00 left !!, until 2026-06-10T12:05:00Z" in lines
    assert "next        warning of response 1 at 2026-06-10T12:01:00Z, in 0:01:00" in lines
    assert "summary     calls\N{REPLACEMENT CHARACTER}[2J fail" in lines
    paused = [line.plain for line in detail_lines(IncidentView(PAUSED, NOW))]
    assert "clocks      response 1: paused since 2026-06-10T11:59:00Z" in paused
    assert "status      waits for third party" in paused


class FixedTime:
    def __init__(self, now: int = NOW) -> None:
        self.at = now

    def now(self) -> int:
        return self.at

    async def wait(self, event: object, until: int | None) -> None:
        raise NotImplementedError


def received(*states: dict[str, Any]) -> dict[str, ReceivedEvent]:
    return {
        each["incident_id"]: ReceivedEvent({"subject": each["incident_id"], "data": each}, Position("t", 0, 0))
        for each in states
    }


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("height", [4, 6, 24])
def test_the_screen_of_clocks_fits(width: int, height: int) -> None:
    open_ = Wanted(statuses=frozenset({"open"}))
    screen = ClockScreen(received(*ALL), open_, FixedTime())
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(screen, height=height)
    lines = captured.get().rstrip("\n").split("\n")
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
    assert lines[0].startswith("5 open, 1 late, 2 near · 2026-06-10T12:00:00Z")
    if height == 24:
        assert lines[-1] == "Ctrl-C ends"
    else:
        assert "more · Ctrl-C ends" in lines[-1]


def test_the_clocks_count_down_and_an_empty_screen_says_so() -> None:
    clock, open_ = FixedTime(), Wanted(statuses=frozenset({"open"}))
    screen = ClockScreen(received(URGENT), open_, clock)
    before = screen.lines(80, 24)[2].plain
    clock.at += SECOND
    after = screen.lines(80, 24)[2].plain
    assert ("0:05:00" in before, "0:04:59" in after) == (True, True)
    assert "no incident is open" in [line.plain for line in ClockScreen({}, open_, clock).lines(80, 24)]


def test_clocks_that_count_down_without_kafka_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    screen = ClockScreen(received(URGENT), Wanted(), FixedTime())
    assert screen.lines(80, 24)[-1].plain == "Ctrl-C ends"
    screen.away = True
    assert screen.lines(80, 24)[-1].plain == "Kafka does not answer: this may be old · Ctrl-C ends"
    answers = [None, *[BrokerProblem("no answer")] * 2, None]

    def pause(_: float) -> BrokerProblem | None:
        if not answers:
            raise KeyboardInterrupt
        return answers.pop(0)

    with pytest.raises(KeyboardInterrupt):
        watch_lines(received(URGENT), {}, FixedTime(), lambda _: None, plain_line, pause)
    assert capsys.readouterr().err.splitlines() == ["waiting for Kafka: no answer", "Kafka answers again"]


@pytest.mark.parametrize("line", [plain_line, json_line])
def test_without_a_terminal_changes_are_lines(
    line: Callable[[IncidentView], str],
) -> None:
    states = received(URGENT)
    printed: dict[str, int] = {}
    lines: list[str] = []
    looks = 0

    def pause(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            states.update(received(URGENT | {"revision": 5, "status": "resolved"}))
        if looks == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch_lines(states, printed, FixedTime(), lines.append, line, pause)
    if line is json_line:
        assert [(each["revision"], each["status"]) for each in map(json.loads, lines)] == [(4, "open"), (5, "resolved")]
    else:
        assert [each.split("\t")[:3] for each in lines] == [["urgent", "P2", "open"], ["urgent", "P2", "resolved"]]
    assert printed == {"urgent": 5}


# -- outcomes --------------------------------------------------------------------------------------------------------

AT = (Position("sla.incident-events", 0, 7),)
CHANGES = (
    FieldChange("severity", "P2", "P1"),
    FieldChange("clock.response.1", None, {"state": "met", "deadline": None}),
)
OUTCOMES: list[tuple[Outcome, int, str]] = [
    (Accepted(AT, ({"id": "1"},)), 0, "done: accepted"),
    (Unchanged(FormProblem("", "same_window", {"maintenance": "m"})), 0, "m is scheduled so already"),
    (NotReadYet(AT, ()), 0, "done: published, not read within 30 s: is a worker of sla running?"),
    (
        NotReadYet(AT, (), (), "Kafka is gone"),
        0,
        "done: published; what workers made of it can't be read: Kafka is gone",
    ),
    (RejectedByWorker("orphan", "no opening", AT), 1, "done: rejected: orphan: no opening"),
    (Moved(3, 4, CHANGES, (), state()), 1, "  severity: P2 → P1"),
    (Moved(3, 4, None, (), state()), 1, "  status: open"),
    (Invalid((FormProblem("tenant_ids", "tenants_missing"),)), 2, "--tenant: scope tenants needs at least one tenant"),
    (Invalid((FormProblem("", "not_ended"),)), 2, "inc-1: the incident is open"),
    (Denied("role", Permission.APPROVE, (), "approve needs a role"), 2, "approve needs a role; nothing was published"),
    (ActionUnavailable("no broker answers"), 2, "no broker answers; nothing was published"),
    (ActionUnavailable("it may or may not be there", sent=True), 2, "it may or may not be there"),
]


@pytest.mark.parametrize(("outcome", "code", "line"), OUTCOMES)
def test_each_outcome_has_a_line_an_exit_code_and_a_json_form(outcome: Outcome, code: int, line: str) -> None:
    assert exit_code(outcome, required=False) == code
    found = list(outcome_lines(outcome, "done", "inc-1", "sla", 30.0))
    assert any(each.startswith(line) for each in found), found
    assert all(each.isprintable() for each in found)
    assert json.loads(json.dumps(as_object(outcome)))["outcome"]


def test_waiting_that_was_asked_for_ends_with_a_result_or_code_1() -> None:
    assert exit_code(NotReadYet(AT, ()), required=True) == 1


# -- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("respond inc-1", "who acts? Write --who support:kim, or set SLA_WHO=support:kim\n"),
        ("respond inc-1 --who kim", "--who: kim is not allowed; allowed: KIND:ID, such as support:kim, KIND of "),
        ("respond inc-1 --who boss:kim", "--who: boss:kim is not allowed; "),
        ("respond inc-1 --who support:", "--who: support: is not allowed; "),
        (f"respond inc-1 --who support:{'x' * 129}", "--who: the id must have at most 128 characters"),
        ("update inc-1 --text hello --who support:kim", "who received it? Write --public or --internal\n"),
        ("list --severity P9", "--severity: P9 is not allowed; allowed: P1, P2, P3, P4\n"),
        ("list --status closed", "--status: closed is not allowed; allowed: open, resolved, merged, annulled, all\n"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(words: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLA_WHO", raising=False)
    ended = CliRunner().invoke(app, ["incidents", *words.split(" ")])
    assert ended.exit_code == 2
    assert ended.stderr.startswith(message), ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_author_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_WHO", "nobody")
    ended = CliRunner().invoke(app, ["incidents", "respond", "inc-1"])
    assert "--who: nobody is not allowed" in ended.stderr


def test_columns_of_a_mapping_are_those_of_the_heads() -> None:
    view: Mapping[str, Any] = URGENT
    assert len(plain_cells(IncidentView(view, NOW))) == len(PLAIN_HEADS)


class Known:
    """The policies of this machine."""

    def load_policies(self) -> Policies:
        return policies()


@pytest.mark.parametrize(
    ("components", "tenants", "told"),
    [
        (["api", "ui", "backups"], ["acme", "globex"], []),
        (["bakups"], [], [
            "no incident has the component bakups, and no policy here declares it; did you mean backups?"]),
        (["api"], ["globx", "nobody"], [
            "no incident names the tenant globx; did you mean globex?", "no incident names the tenant nobody"]),
    ],
)  # fmt: skip
def test_names_of_filters_that_nothing_has_are_told(
    components: list[str], tenants: list[str], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = FilterNames(components, tenants)
    keep = names.noting(lambda _: False)
    for each in received(*ALL).values():
        assert not keep(each)
    names.warn(cast("Settings", Known()))
    notes = names.notes()
    assert notes == [f"warning: {each}" for each in told]
    assert capsys.readouterr().err.splitlines() == notes
    shown = [line.plain for line in ClockScreen({}, Wanted(), FixedTime(), names.notes).lines(120, 24)]
    assert shown[1:-1] == [*notes, "no incident is open"]
    assert len(ClockScreen(received(*ALL), Wanted(), FixedTime(), names.notes).lines(80, 6)) <= 6


def test_a_note_ends_with_the_first_incident_that_has_the_name() -> None:
    names = FilterNames(["bakups"], ["nobody"])
    keep = names.noting(lambda _: True)
    names.warn(cast("Settings", Known()))
    screen = ClockScreen({}, Wanted(), FixedTime(), names.notes)
    assert [line.plain[:11] for line in screen.lines(120, 24)].count("warning: no") == 2
    (arrived,) = received(full("inc-9", component="bakups", tenant_ids=["nobody"])).values()
    assert keep(arrived)
    assert [line.plain[:11] for line in screen.lines(120, 24)].count("warning: no") == 0


def test_a_component_may_be_near_one_that_no_policy_declares() -> None:
    names = FilterNames(["gatway"], [])
    (arrived,) = received(full("inc-9", component="gateway")).values()
    names.noting(lambda _: True)(arrived)
    names.warn(cast("Settings", Known()))
    assert names.notes()[0].endswith("; did you mean gateway?")

"""One incident in full, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from board.pages.urgency import deadline_of
from board.queries.incident_state import ClockRow, clocks_of, next_of
from cli.incidents.rows import SYMBOLS, IncidentView, countdown
from cli.incidents.table import SEVERITY_STYLES, STYLES
from cli.support.console import safe
from streams.sla.instants import format_rfc3339

_WIDTH = 12
_CLOCK_STYLES = {"met": "green", "breached": "bold red", "paused": "dim", "cancelled": "dim"}
#: The fields of a state that are a line each, and the name of the line.
_LINES = (
    ("summary", "summary"),
    ("component", "component"),
    ("impact", "impact"),
    ("tier", "tier"),
    ("channel", "channel"),
    ("ticket_id", "ticket"),
    ("phone_call_id", "phone call"),
    ("opened_at", "opened"),
    ("started_at", "fault began"),
    ("restored_at", "restored"),
    ("responded_at", "responded"),
    ("updated_at", "updated"),
)


def detail_lines(view: IncidentView) -> Iterator[Text]:
    """The lines of one incident."""
    state = view.state
    head = Text()
    head.append(safe(state["incident_id"]), "bold")
    head.append(f"  {safe(state['title']['en'])}", SEVERITY_STYLES.get(state["severity"], ""))
    yield head
    if state["title"]["ja"] != state["title"]["en"]:
        yield Text(f"{'':<{_WIDTH}}{safe(state['title']['ja'])}")
    yield _line("status", _status(view))
    yield _line("severity", _severity(state))
    yield _line("tenants", view.tenants)
    for name, head_text in _LINES:
        if state.get(name) is not None:
            yield _line(head_text, str(state[name]))
    if state.get("flags"):
        yield _line("flags", ", ".join(state["flags"]))
    yield _line("policy", f"{state['policy']['name']} version {state['policy']['version']}")
    yield _line("revision", str(state["revision"]))
    for number, clock in enumerate(clocks_of(state)):
        yield _clock("clocks" if number == 0 else "", clock, view.now)
    if state.get("clocks_omitted"):
        yield _line("", f"and {state['clocks_omitted']:,} that ended before")
    if (following := next_of(state)) is not None:
        left = countdown(following.at - view.now)
        when = f"in {left}" if following.at > view.now else "due now"
        what = f"{following.what} of {following.metric} {following.instance}"
        yield _line("next", f"{what} at {format_rfc3339(following.at)}, {when}")


def _status(view: IncidentView) -> str:
    state = view.state
    since = f" since {state['ended_at']}" if state.get("ended_at") else ""
    into = f" into {state['merged_into']}" if state.get("merged_into") else ""
    return f"{view.status}{into}{since}"


def _severity(state: Mapping[str, Any]) -> str:
    by = "set by hand" if state.get("severity_by_hand") else f"rule {state['rule']}"
    covered = "" if state["coverage"] == "covered" else ", not covered"
    return f"{state['severity']}, {by}{covered}" + ("" if state["counts_as_downtime"] else ", no downtime")


def _clock(name: str, clock: ClockRow, now: int) -> Text:
    line = _line(name, f"{clock.metric} {clock.instance}{' (requested)' if clock.requested else ''}: ")
    deadline = deadline_of(clock)
    if deadline is not None:
        urgency = deadline.urgency(now)
        left = deadline.at - now
        shown = f"{countdown(left)} left" if left >= 0 else f"{countdown(-left)} over"
        line.append(f"{shown} {SYMBOLS[urgency]}".rstrip(), STYLES[urgency])
        line.append(f", until {format_rfc3339(deadline.at)}")
    elif clock.state == "paused" and clock.paused_since is not None:
        line.append(f"paused since {format_rfc3339(clock.paused_since)}", "dim")
    else:
        at = "" if clock.ended_at is None else f" at {format_rfc3339(clock.ended_at)}"
        line.append(f"{clock.state}{at}", _CLOCK_STYLES.get(clock.state, ""))
    return line


def _line(name: str, text: str) -> Text:
    line = Text()
    line.append(f"{name:<{_WIDTH}}", "dim")
    line.append(safe(text))
    return line

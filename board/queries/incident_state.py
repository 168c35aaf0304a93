"""The parts of `incident.state` that pages and API show: its clocks, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.sla.instants import parse_rfc3339


@dataclass(frozen=True, slots=True)
class ClockRow:
    """One clock. Instants are microseconds UTC; `warn_at` are pairs of threshold (0 to 1) and instant, in order.

    `state` is running, paused, met, breached or cancelled; `deadline` is None while it is paused.
    """

    metric: str
    instance: int
    state: str
    requested: bool
    started_at: int
    deadline: int | None
    deadline_revision: int
    warn_at: tuple[tuple[float, int], ...]
    remind_at: int | None
    paused_since: int | None
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class NextStep:
    """What happens next if nobody acts: `what` is deadline, warning or reminder; `at` is microseconds UTC."""

    what: str
    metric: str
    instance: int
    at: int


def clocks_of(state: Mapping[str, Any]) -> tuple[ClockRow, ...]:
    """The clocks of the JSON form of a state, by start."""
    return tuple(
        ClockRow(
            metric=each["metric"],
            instance=each["instance"],
            state=each["state"],
            requested=each.get("requested", False),
            started_at=parse_rfc3339(each["started_at"]),
            deadline=_instant(each, "deadline"),
            deadline_revision=each["deadline_revision"],
            warn_at=tuple((one["threshold"], parse_rfc3339(one["at"])) for one in each.get("warn_at", ())),
            remind_at=_instant(each, "remind_at"),
            paused_since=_instant(each, "paused_since"),
            ended_at=_instant(each, "ended_at"),
        )
        for each in state.get("clocks", ())
    )


def next_of(state: Mapping[str, Any]) -> NextStep | None:
    """What happens next; None when nothing does."""
    found = state.get("next")
    return None if found is None else NextStep(found["what"], found["metric"], found["instance"], _at(found))


def flags_of(state: Mapping[str, Any]) -> tuple[str, ...]:
    """What people should know of an incident: unknown_component, no_contract and others."""
    return tuple(str(flag) for flag in state.get("flags", ()))


def _at(found: Mapping[str, Any]) -> int:
    return parse_rfc3339(found["at"])


def _instant(clock: Mapping[str, Any], name: str) -> int | None:
    text = clock.get(name)
    return None if text is None else parse_rfc3339(text)

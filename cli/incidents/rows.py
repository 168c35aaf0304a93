"""Incidents as rows: which ones, in which order, and what each column says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from board.pages.urgency import Deadline, Urgency, nearest
from board.queries.incident_state import clocks_of
from streams.sla.instants import SECOND, format_rfc3339, parse_rfc3339

Order = Literal["deadline", "opened", "severity"]
#: In what a mark and a colour say how near a deadline is.
SYMBOLS: dict[Urgency, str] = {"late": "!!!", "urgent": "!!", "soon": "!", "paused": "", "calm": "", "none": ""}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which incidents: empty sets and None want all. One of the platform concerns every tenant. `text` is looked for in
    id, titles, summary, ticket and call."""

    statuses: frozenset[str] = frozenset()
    severities: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    components: frozenset[str] = frozenset()
    text: str | None = None

    def __contains__(self, state: object) -> bool:
        assert isinstance(state, Mapping)
        return (
            (not self.statuses or state["status"] in self.statuses)
            and (not self.severities or state["severity"] in self.severities)
            and (not self.components or state["component"] in self.components)
            and (not self.tenants or state["scope"] == "platform" or not self.tenants.isdisjoint(state["tenant_ids"]))
            and (self.text is None or self.text.casefold() in _searched(state))
        )


@dataclass(frozen=True)
class IncidentView:
    """One incident: `state` is the data of its `incident.state` in the JSON form, `now` the instant of the view."""

    state: Mapping[str, Any]
    now: int

    @cached_property
    def deadline(self) -> Deadline | None:
        """The earliest deadline of a running clock."""
        return nearest(clocks_of(self.state))

    @property
    def urgency(self) -> Urgency:
        """How near that is."""
        if self.deadline is not None:
            return self.deadline.urgency(self.now)
        return "paused" if any(clock["state"] == "paused" for clock in self.state.get("clocks", ())) else "none"

    @property
    def clock(self) -> str:
        """The clock of that deadline, such as `update 3`."""
        return "-" if self.deadline is None else f"{self.deadline.metric} {self.deadline.instance}"

    @property
    def left(self) -> str:
        """The time left until then."""
        if self.deadline is None:
            return "paused" if self.urgency == "paused" else "-"
        return countdown(self.deadline.at - self.now)

    @property
    def status(self) -> str:
        """The status, whom an open incident waits for, and how many clocks are breached."""
        waiting = self.state.get("waiting")
        status = str(self.state["status"]) if waiting is None else f"waits for {waiting}".replace("_", " ")
        breached = sum(clock["state"] == "breached" for clock in self.state.get("clocks", ()))
        return f"{status}, {breached} breached" if breached else status

    @property
    def tenants(self) -> str:
        """Whom it concerns."""
        return "every tenant" if self.state["scope"] == "platform" else ", ".join(self.state["tenant_ids"])


def chosen(states: Iterable[Mapping[str, Any]], wanted: Wanted, order: Order, now: int) -> list[IncidentView]:
    """The wanted incidents in order: by the nearest deadline, those without one last; by opening, the latest first; by
    severity, then deadline."""
    found = [IncidentView(state, now) for state in states if state in wanted]

    def due(view: IncidentView) -> tuple[float, int, str]:
        at = float("inf") if view.deadline is None else view.deadline.at
        return at, -parse_rfc3339(view.state["opened_at"]), view.state["incident_id"]

    match order:
        case "deadline":
            found.sort(key=due)
        case "opened":
            found.sort(key=lambda view: due(view)[1:])
        case "severity":
            found.sort(key=lambda view: (view.state["severity"], *due(view)))
    return found


def countdown(micros: int) -> str:
    """A time left: 0:04:59, 26:00:00, 3d 04:00:00; -0:12:00 once it is over. Whole seconds, never more than is left."""
    sign, seconds = ("-", -(micros // SECOND)) if micros < 0 else ("", micros // SECOND)
    days, rest = divmod(seconds, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    if days >= 2:
        return f"{sign}{days}d {hours:02}:{minutes:02}:{rest % 60:02}"
    return f"{sign}{days * 24 + hours}:{minutes:02}:{rest % 60:02}"


#: The columns of plain lines, separated by tabs.
PLAIN_HEADS = (
    "incident",
    "severity",
    "status",
    "waiting",
    "clock",
    "deadline",
    "left_s",
    "urgency",
    "component",
    "impact",
    "tenants",
    "revision",
    "opened_at",
    "title",
)


def plain_cells(view: IncidentView) -> Sequence[str]:
    """One incident for programs, in the order of `PLAIN_HEADS`; `-` where there is nothing."""
    state, deadline = view.state, view.deadline
    return (
        state["incident_id"],
        state["severity"],
        state["status"],
        state.get("waiting") or "-",
        view.clock,
        "-" if deadline is None else format_rfc3339(deadline.at),
        "-" if deadline is None else str((deadline.at - view.now) // SECOND),
        view.urgency,
        state["component"],
        state["impact"],
        "*" if state["scope"] == "platform" else ",".join(state["tenant_ids"]),
        str(state["revision"]),
        state["opened_at"],
        state["title"]["en"],
    )


def _searched(state: Mapping[str, Any]) -> str:
    parts = (state["incident_id"], *state["title"].values(), state.get("summary"), state.get("ticket_id"))
    return "\n".join(str(part) for part in (*parts, state.get("phone_call_id")) if part is not None).casefold()

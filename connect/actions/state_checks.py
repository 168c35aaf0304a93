"""What an incident's present state says of an action: whether it would have an effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from connect.actions.catalogue import Action
from connect.actions.form import ReadForm, shown
from connect.actions.outcome import FormProblem, State
from streams.sla.instants import parse_rfc3339

_MOST_STEPS = 1_000


def state_problems(
    action: Action, subject: str, form: ReadForm, state: State, incident: Callable[[str], State | None]
) -> Iterator[FormProblem]:
    """Why the action makes no sense now. `incident` looks up other incidents."""
    status = str(state["status"])
    since = {"status": status, "since": str(state.get("ended_at", "-"))}
    match action.when:
        case "open" if status != "open":
            yield FormProblem("", "not_open", since)
        case "ended" if status == "open":
            yield FormProblem("", "not_ended")
        case "ended" | "not_annulled" if status == "annulled":
            yield FormProblem("", "annulled", since)
    match action.name:
        case "end-wait" if (on := form.text("on")) is not None and state.get("waiting") is None:
            yield FormProblem("on", "not_waiting", {"on": on})
        case "resolve" | "amend":
            yield from _span_problems(form, state)
        case "merge" if (into := form.text("into")) is not None:
            yield from _merge_problems(subject, into, incident)


def _span_problems(form: ReadForm, state: State) -> Iterator[FormProblem]:
    """What ends before it began is no downtime at all, which takes two people to say (incident.annulled, R17)."""
    restored, started = form.text("restored_at"), form.text("started_at") or state.get("started_at")
    if restored and started and parse_rfc3339(restored) < parse_rfc3339(str(started)):
        yield FormProblem("restored_at", "restored_early", {"started": str(started)})
    later, ended = form.text("started_at"), state.get("restored_at")
    # What an incident that is open again says of an end is of an earlier outage.
    alone = later is not None and not restored and state["status"] != "open"
    if alone and ended and parse_rfc3339(str(later)) > parse_rfc3339(str(ended)):
        yield FormProblem("started_at", "started_late", {"restored": str(ended)})


def _merge_problems(subject: str, into: str, incident: Callable[[str], State | None]) -> Iterator[FormProblem]:
    if into == subject:
        yield FormProblem("into", "into_itself")
        return
    target = incident(into)
    if target is None:
        yield FormProblem("into", "incident_unknown", {"incident": shown(into)})
        return
    step: str | None = into
    for _ in range(_MOST_STEPS):  # where it was merged itself
        following = None if target is None else target.get("merged_into")
        if following == subject:
            yield FormProblem("into", "merge_cycle", {"incident": shown(step)})
        if following is None or following in {subject, step}:
            return
        step, target = str(following), incident(str(following))

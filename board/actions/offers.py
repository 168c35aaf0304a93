"""Which actions a person is offered at an incident: those that it may do and that make sense in the present state."""

from __future__ import annotations

from collections.abc import Iterator

from connect.actions.build import concerned_tenants
from connect.actions.catalogue import ACTIONS, Action
from connect.actions.form import ReadForm
from connect.actions.outcome import State
from connect.actions.permissions import PLATFORM, Allowed, allowed
from connect.actions.person import Person
from connect.actions.state_checks import state_problems

_NOTHING = ReadForm({}, ())


def incident_offers(person: Person | None, incident_id: str, state: State) -> tuple[Action, ...]:
    """The actions that one person alone can do now, in the order of the catalogue."""
    return tuple(each for each in _offers(person, incident_id, state) if not each.two_persons)


def proposal_offers(person: Person | None, incident_id: str, state: State) -> tuple[Action, ...]:
    """The actions that the person can propose to another one now."""
    return tuple(each for each in _offers(person, incident_id, state) if each.two_persons)


def _offers(person: Person | None, incident_id: str, state: State) -> Iterator[Action]:
    if person is None:
        return
    concerned = concerned_tenants(state)
    for action in ACTIONS.values():
        if (
            action.subject == "incident"
            and isinstance(allowed(person, action.permission, PLATFORM if concerned is None else concerned), Allowed)
            and not any(state_problems(action, incident_id, _NOTHING, state, lambda _: None))
            and _has_use(action.name, state)
        ):
            yield action


def _has_use(action_name: str, state: State) -> bool:
    match action_name:
        case "respond":
            return state.get("responded_at") is None
        case "end-wait":
            return state.get("waiting") is not None
    return True

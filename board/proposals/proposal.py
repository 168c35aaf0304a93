"""A proposal as the audit log tells it (pure): events are folded in the order of their partition.

```
proposed ──► approved | declined | withdrawn        the first decision that is valid stands
   └───────► expired, when its time has passed      (follows from the clock; no event says it)
```
Whatever follows a standing decision has no effect and is kept, so that its author can be told. An event that is
delivered twice changes nothing the second time.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from connect.actions.build import NAMESPACE, build
from connect.actions.catalogue import ACTIONS
from connect.actions.form import ReadForm
from connect.actions.outcome import JsonEvent
from connect.actions.permissions import PLATFORM, Concerned
from streams.sla import limits
from streams.sla.events import Who

Decision = Literal["approved", "declined", "withdrawn"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
Status = Literal["proposed", "approved", "declined", "withdrawn", "expired"]
#: Why a decision has no effect: another one stands, its time has passed, its author is the proposer (approve, decline),
#: or is not (withdraw).
Ignored = Literal["decided_before", "expired", "same_person", "not_proposer"]

SOURCE = "/sla/board"


class Proposed(NamedTuple):
    """`action.proposed`. Instants in microseconds. `tenants` are those that the incident named; None: the platform.
    `revision` is the incident's that the proposer saw; `form` the values of the action's form."""

    proposal_id: str
    at: int
    action: str
    incident_id: str
    tenants: tuple[str, ...] | None
    revision: int
    form: Mapping[str, str | list[str]]
    who: Who
    expires_at: int


class Decided(NamedTuple):
    """`action.approved`, `action.declined` or `action.withdrawn`. `event_id` identifies it. `revision` is that of the
    incident for which the approver saw the effect."""

    proposal_id: str
    at: int
    decision: Decision
    event_id: str
    who: Who
    reason: str
    revision: int | None = None


ProposalEvent = Proposed | Decided


class WithoutEffect(NamedTuple):
    """A decision that came too late, or from the wrong person."""

    decided: Decided
    why: Ignored


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal, and what was decided."""

    proposed: Proposed
    decided: Decided | None = None
    without_effect: tuple[WithoutEffect, ...] = ()

    def status(self, now: int) -> Status:
        """How it stands at an instant."""
        if self.decided is not None:
            return self.decided.decision
        return "expired" if now > self.proposed.expires_at else "proposed"

    @property
    def concerned(self) -> Concerned:
        """Whom it concerned when it was made."""
        return PLATFORM if self.proposed.tenants is None else frozenset(self.proposed.tenants)


def same_person(one: Who, other: Who) -> bool:
    """Whether two ids may be one person's."""
    return limits.same_person(one.id, other.id)


def ignored(proposal: Proposal, decided: Decided) -> Ignored | None:
    """Why a decision has no effect; None when it stands."""
    own = same_person(decided.who, proposal.proposed.who)
    if proposal.decided is not None:
        return "decided_before"
    if decided.at > proposal.proposed.expires_at:
        return "expired"
    if decided.decision == "withdrawn":
        return None if own else "not_proposer"
    return "same_person" if own else None


def fold(present: Proposal | None, event: ProposalEvent) -> Proposal | None:
    """The proposal after one more event of its partition. A decision about an unknown proposal is nothing."""
    if isinstance(event, Proposed):
        return present or Proposal(event)
    if present is None:
        return None
    known = [present.decided, *(each.decided for each in present.without_effect)]
    if any(each is not None and each.event_id == event.event_id for each in known):
        return present
    if (why := ignored(present, event)) is not None:
        return replace(present, without_effect=(*present.without_effect, WithoutEffect(event, why)))
    return replace(present, decided=event)


def input_event(proposal: Proposal) -> JsonEvent | None:
    """The event that an approved proposal publishes: always the same, whoever publishes it and how often. None when it
    is not approved."""
    decided, proposed = proposal.decided, proposal.proposed
    if decided is None or decided.decision != "approved":
        return None
    return build(
        ACTIONS[proposed.action],
        proposed.incident_id,
        ReadForm(proposed.form, ()),
        proposed.who,
        source=SOURCE,
        identity=input_event_id(proposed.proposal_id),
        now=decided.at,
        approver=decided.who,
    )


def input_event_id(proposal_id: str) -> str:
    """The id of the event that a proposal publishes."""
    return str(uuid.uuid5(NAMESPACE, f"proposal {proposal_id}"))

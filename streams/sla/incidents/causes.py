"""What leads to an output, and what follows from the type of it (R12, R20)."""

from __future__ import annotations

from typing import NamedTuple

RETRACTION_CAUSES = {
    "incident.annulled": "annulled",
    "incident.merged": "merged",
    "incident.resolved": "resolved",
    "incident.amended": "amended",
}

#: What may change the policy or the flags of an incident but not its severity: it is published as classified anew then.
REBASED = frozenset(["contract.set", "incident.policy_applied"])


class Cause(NamedTuple):
    """What led to a step, as far as outputs name it. A Fact has these attributes too."""

    type: str
    time: int
    source: str
    id: str


#: Facts that can end an incident or change its impacts when they are the last in order of meaning.
DESCRIBED = frozenset(
    ["incident.resolved", "incident.reopened", "incident.reclassified", "incident.merged", "incident.amended"]
)

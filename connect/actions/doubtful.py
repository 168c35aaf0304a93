"""What an action does that its author rarely means: it is accepted all the same, and told. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connect.actions.form import shown
from connect.actions.outcome import ActionWarning
from streams.sla.contracts import ContractHistory
from streams.sla.events import Event, MaintenanceScheduled
from streams.sla.instants import DAY, LATEST, Month, format_rfc3339, month_bounds
from streams.sla.policy import Policies, Policy

#: No work takes longer; a wrong year does, and takes all downtime in it away.
_LONGEST_WINDOW = 31 * DAY


def claim_warnings(
    tenant: str, month: str, history: ContractHistory, policies: Policies, now: int, *, lateness: int, stated: bool
) -> Iterator[ActionWarning]:
    """Of a claim: whether its month can have a credit (R24, R26). `stated` where there is a statement of it; what that
    says of a claim is `claims.statement_problem`."""
    start, end = month_bounds(Month(month), history.zone)
    spans = history.spans(start, end)
    if not stated:
        if start > now:
            yield ActionWarning("claim_ahead", {"month": month})
        if not spans:
            yield ActionWarning("claim_no_contract", {"month": month, "tenant": shown(tenant)})
        elif end < history.first.time - lateness:
            known_at = format_rfc3339(history.first.time)
            yield ActionWarning("claim_before", {"month": month, "tenant": shown(tenant), "known": known_at})
            return
    if not spans:
        return
    last = spans[-1]
    policy = _policy(policies, last.contract.plan, last.end - 1)
    if policy.credit.claim == "automatic":
        yield ActionWarning("claim_automatic", {"month": month, "policy": policy.name})
    elif not stated:
        until = min(end + policy.statements.grace + policy.credit.claim_within, LATEST)
        if now > until:
            yield ActionWarning("claim_over", {"month": month, "until": format_rfc3339(until)})


def window_warnings(
    plan: MaintenanceScheduled,
    standing: Event | None,
    histories: Mapping[str, ContractHistory],
    policies: Policies | None,
    now: int,
) -> Iterator[ActionWarning]:
    """Of a maintenance window: whether its times can be meant (R23). `standing` is the fact that it replaces,
    `histories` has the contracts of its tenants."""
    if plan.announced_at > plan.start:
        changed = standing is not None and isinstance(standing.payload, MaintenanceScheduled)
        yield ActionWarning("window_change_late" if changed else "window_late")
    else:
        if plan.end <= now:
            yield ActionWarning("window_over", {"end": format_rfc3339(plan.end)})
        if policies is not None:
            yield from _short(plan, histories, policies)
    if plan.end - plan.start > _LONGEST_WINDOW:
        yield ActionWarning("window_long", {"days": f"{(plan.end - plan.start) // DAY:,}"})


def _short(
    plan: MaintenanceScheduled, histories: Mapping[str, ContractHistory], policies: Policies
) -> Iterator[ActionWarning]:
    """By which policies of those concerned the window is announced too late."""
    plans = set(policies.by_name)
    if plan.scope != "platform":
        found = [histories[tenant].at(plan.start) for tenant in plan.tenant_ids if tenant in histories]
        plans = {contract.plan for contract in found if contract is not None}
    ruling = {policy.name: policy for policy in (_policy(policies, name, plan.start) for name in plans)}
    for _, policy in sorted(ruling.items()):
        if plan.announced_at + policy.maintenance_notice > plan.start:
            by = format_rfc3339(max(plan.start - policy.maintenance_notice, 0))
            yield ActionWarning("window_short", {"policy": policy.name, "by": by})


def _policy(policies: Policies, plan: str, instant: int) -> Policy:
    return policies.at(plan if policies.knows(plan) else None, instant)

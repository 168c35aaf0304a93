"""The table of actions: what each is about, its event, its fields, the permission it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from connect.actions.permissions import Permission
from connect.client.incidents import Awaited, Impact
from streams.sla.events import Scope
from streams.sla.severity import SEVERITIES

Subject = Literal["incident", "maintenance", "tenant", "credit", "contracts", "reject"]
Kind = Literal[
    "text",
    "id",
    "choice",
    "instant",
    "month",
    "flag",
    "tenant_id",
    "tenants",
    "component",
    "components",
    "incident_id",
    "policy",
    "document",
]
#: In which states of its incident an action makes sense: others would have no effect.
When = Literal["any", "open", "ended", "not_annulled"]

#: What returns the severity to the rules, as a choice beside the severities.
BY_RULES = "rules"
#: Kinds whose value is a list.
LISTS: frozenset[Kind] = frozenset(["tenants", "components"])


class ActionField(NamedTuple):
    """One field of a form. `choices` are the fixed ones; components and policies are those of the deployment."""

    name: str
    kind: Kind
    required: bool = False
    choices: tuple[str, ...] = ()


class Action(NamedTuple):
    """What a person can do. `one_of` are fields of which at least one must be given; `two_persons` says that it starts
    as a proposal which another person approves (R17)."""

    name: str
    subject: Subject
    event_type: str | None
    permission: Permission
    fields: tuple[ActionField, ...] = ()
    when: When = "any"
    one_of: tuple[str, ...] = ()
    two_persons: bool = False

    def field(self, name: str) -> ActionField | None:
        """The field of that name."""
        return next((each for each in self.fields if each.name == name), None)


_WORK, _PLAN = Permission.WORK_ON_INCIDENTS, Permission.PLAN_MAINTENANCE
_REASON = ActionField("reason", "text", required=True)
_SCOPE = ActionField("scope", "choice", choices=get_args(Scope))
_TENANTS = ActionField("tenant_ids", "tenants")
_AWAITED = ActionField("on", "choice", required=True, choices=get_args(Awaited))
_WINDOW = (
    _SCOPE._replace(required=True),
    _TENANTS,
    ActionField("components", "components", required=True),
    ActionField("start", "instant", required=True),
    ActionField("end", "instant", required=True),
    ActionField("announced_at", "instant"),
)
_CLASS = ("component", "impact", "tier", "scope", "tenant_ids")
_AMENDED = ("started_at", "restored_at", "counts_as_downtime")

_ALL = (
    Action("respond", "incident", "incident.responded", _WORK, when="open"),
    Action(
        "update",
        "incident",
        "incident.updated",
        _WORK,
        (
            ActionField("visibility", "choice", required=True, choices=("public", "internal")),
            ActionField("text", "text", required=True),
        ),
    ),
    Action("wait", "incident", "incident.waiting", _WORK, (_AWAITED,), "open"),
    Action("end-wait", "incident", "incident.waiting_ended", _WORK, (_AWAITED,), "open"),
    Action("request-update", "incident", "incident.update_requested", _WORK, when="open"),
    Action("resolve", "incident", "incident.resolved", _WORK, (ActionField("restored_at", "instant"),), "open"),
    Action(
        "reopen",
        "incident",
        "incident.reopened",
        _WORK,
        (ActionField("reason", "text"), ActionField("started_at", "instant")),
        "ended",
    ),
    Action(
        "reclassify",
        "incident",
        "incident.reclassified",
        _WORK,
        (
            ActionField("component", "component"),
            ActionField("impact", "choice", choices=get_args(Impact)),
            ActionField("tier", "choice", choices=("1", "2", "3")),
            _SCOPE,
            _TENANTS,
        ),
        "open",
        _CLASS,
    ),
    Action(
        "set-severity",
        "incident",
        "incident.severity_set",
        _WORK,
        (ActionField("severity", "choice", required=True, choices=(*SEVERITIES, BY_RULES)), _REASON),
        "open",
    ),
    Action("merge", "incident", "incident.merged", _WORK, (ActionField("into", "incident_id", required=True),), "open"),
    Action(
        "link",
        "incident",
        "incident.linked",
        _WORK,
        (ActionField("ticket_id", "id"), ActionField("phone_call_id", "id")),
        one_of=("ticket_id", "phone_call_id"),
    ),
    Action("schedule-maintenance", "maintenance", "maintenance.scheduled", _PLAN, _WINDOW),
    Action("edit-maintenance", "maintenance", "maintenance.scheduled", _PLAN, _WINDOW),
    Action("cancel-maintenance", "maintenance", "maintenance.cancelled", _PLAN),
    Action(
        "claim-credit",
        "credit",
        "credit.claimed",
        Permission.CLAIM_CREDIT,
        (ActionField("month", "month", required=True), ActionField("although_zero", "flag")),
    ),
    Action(
        "import-contracts",
        "contracts",
        "contract.set",
        Permission.IMPORT_CONTRACTS,
        (ActionField("terms", "document", required=True),),
    ),
    Action(
        "retry-rejected",
        "reject",
        None,
        Permission.RETRY_REJECTED,
        (ActionField("corrected", "document"), ActionField("backfill", "flag")),
    ),
    Action(
        "erase-tenant",
        "tenant",
        "tenant.erased",
        Permission.ERASE_TENANT,
        (_REASON, ActionField("confirm_tenant", "tenant_id", required=True)),
    ),
    Action("annul", "incident", "incident.annulled", Permission.PROPOSE, (_REASON,), "not_annulled", two_persons=True),
    Action(
        "amend",
        "incident",
        "incident.amended",
        Permission.PROPOSE,
        (
            ActionField("started_at", "instant"),
            ActionField("restored_at", "instant"),
            ActionField("counts_as_downtime", "choice", choices=("yes", "no")),
            _REASON,
        ),
        "not_annulled",
        _AMENDED,
        two_persons=True,
    ),
    Action(
        "apply-policy",
        "incident",
        "incident.policy_applied",
        Permission.PROPOSE,
        (ActionField("policy", "policy", required=True), ActionField("version", "id", required=True), _REASON),
        "open",
        two_persons=True,
    ),
)
#: Every action by its name, which board, API and command line share.
ACTIONS: Mapping[str, Action] = {action.name: action for action in _ALL}
ACTION_NAMES = tuple(ACTIONS)
FIELD_NAMES = tuple(dict.fromkeys(field.name for action in _ALL for field in action.fields))
#: Those that have a text of their own; severities are their own names.
CHOICES = tuple(
    dict.fromkeys(
        choice for action in _ALL for field in action.fields for choice in field.choices if choice not in SEVERITIES
    )
)

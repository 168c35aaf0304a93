"""An action that passed every check and is ready to be sent, and how each kind of action becomes one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from connect.actions import windows
from connect.actions.build import as_json, build, concerned_tenants, event_problem, with_fields
from connect.actions.catalogue import ACTIONS, Action
from connect.actions.claims import ClaimedStatement, claim_id, earlier_claim, statement_problem
from connect.actions.doubtful import claim_warnings, window_warnings
from connect.actions.form import ReadForm, shown
from connect.actions.outcome import ActionWarning, FormProblem, Invalid, JsonEvent, State, Unchanged
from connect.actions.permissions import PLATFORM, Concerned, Denied, Permission, allowed
from connect.actions.person import Person
from connect.actions.present import Present
from connect.actions.references import References
from connect.actions.rejected_retry import NotRetriable, RetryRecord, retry_record
from connect.actions.state_checks import state_problems
from connect.client.outgoing import checked_record
from connect.contract_import.current_terms import ContractLog
from connect.contract_import.diff import ContractDifference, difference
from connect.contract_import.file import read_rows
from connect.kafka_io.rejected_records import RejectedRecord
from streams.errors import SlaError
from streams.serde.cloudevents_json import json_of, to_json
from streams.settings import Settings
from streams.sla.events import Event, MaintenanceScheduled, Rejection, Who
from streams.sla.policy import Policies
from streams.time_source import TimeSource

_MOST_BAD_LINES = 20
#: Event type → what whoever corrects a rejected one must be allowed.
_PERMISSION_OF = {action.event_type: action.permission for action in ACTIONS.values() if not action.two_persons} | {
    "incident.opened": Permission.WORK_ON_INCIDENTS
}


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for: `now` in microseconds, `identity` the id of the event that follows."""

    action: Action
    person: Person
    subject: str
    form: ReadForm
    who: Who
    approver: Who | None
    source: str
    identity: str
    now: int
    policies: Policies

    def event(self) -> dict[str, object]:
        """The event that follows from it."""
        return build(
            self.action,
            self.subject,
            self.form,
            self.who,
            source=self.source,
            identity=self.identity,
            now=self.now,
            approver=self.approver,
        )

    def denied(self, concerned: Concerned) -> Denied | None:
        """Why the person may not do this to what concerns these tenants."""
        found = allowed(self.person, self.action.permission, concerned)
        return found if isinstance(found, Denied) else None


class Prepared(NamedTuple):
    """Checked and allowed: `events` are to be published, or `records` to be sent again. `state` is the incident's;
    `difference` what an import of contracts changes. `concerned` are the tenants that it concerns. `warnings` are what
    is accepted and rarely meant."""

    action: Action
    events: tuple[JsonEvent, ...]
    concerned: Concerned
    records: tuple[RetryRecord, ...] = ()
    state: State | None = None
    difference: ContractDifference | None = None
    warnings: tuple[ActionWarning, ...] = ()


Refused = Denied | Invalid | Unchanged


def invalid(*problems: FormProblem) -> Invalid:
    """A wrong form."""
    return Invalid(problems)


def visible(person: Person, state: State) -> bool:
    """Whether an incident concerns a tenant of the person: others do not exist for the person."""
    concerned = concerned_tenants(state)
    return person.tenants is None or concerned is None or not person.tenants.isdisjoint(concerned)


def incident_action(
    request: Request, state: State, incident_of: Callable[[str], State | None], settings: Settings
) -> Prepared | Refused:
    """An action at an incident whose state is known; `incident_of` finds others that the action names. Its problems may
    come with those of the form."""

    def incident(incident_id: str) -> State | None:
        found = incident_of(incident_id)
        return found if found is not None and visible(request.person, found) else None

    concerned = _concerned(request, state, incident)
    if (denied := request.denied(concerned)) is not None:
        return denied
    if request.form.problems:
        return Invalid(request.form.problems)
    problems = tuple(state_problems(request.action, request.subject, request.form, state, incident))
    if problems:
        return Invalid(problems)
    return _checked(request, request.event(), concerned, settings, state)


def with_tenants_checked(ready: Prepared, request: Request, present: Present) -> Prepared:
    """The action with a warning for each tenant that it names and that has no contract. What can't be read keeps
    nobody from working on an incident."""
    named = request.form.listed("tenant_ids")
    if not named:
        return ready
    try:
        known = present.contracts(named).contracts
    except SlaError as error:
        found = [ActionWarning("tenants_unchecked", {"reason": str(error)})]
    else:
        found = [*_unknown_names(request, ready.events, known)]
    return ready._replace(warnings=(*ready.warnings, *found))


def _unknown_names(
    request: Request, events: Iterable[Mapping[str, object]], with_contract: Collection[str]
) -> Iterator[ActionWarning]:
    """A warning for each name in events that nothing declares. Tenants with names like it are not told: the person may
    not know of them."""
    references = References()
    for event in events:
        references.add(checked_record(event).event)
    yield from references.of_policies(request.policies)
    yield from references.of_currencies()
    yield from references.of_tenants(with_contract)


def _concerned(request: Request, state: State, incident: Callable[[str], State | None]) -> Concerned:
    """Whom an action at an incident concerns: the tenants that it names, before and after."""
    found: set[str] = set()
    into = request.form.text("into")
    others = [] if into is None else [other for other in (incident(into),) if other is not None]
    for each in (state, *others):
        tenants = concerned_tenants(each)
        if tenants is None:
            return PLATFORM
        found |= tenants
    if request.form.text("scope") == "platform":
        return PLATFORM
    return found | set(request.form.listed("tenant_ids"))


def maintenance_action(request: Request, log: ContractLog, settings: Settings) -> Prepared | Refused:
    """Schedules, changes or cancels a window."""
    standing = log.maintenance.get(request.subject)
    hidden = standing is not None and not _window_visible(request.person, standing)
    if request.action.name != "schedule-maintenance" and (standing is None or hidden):
        return invalid(FormProblem("", "maintenance_unknown", {"maintenance": shown(request.subject)}))
    concerned = _window_concerned(request.form, None if hidden else standing)
    if (denied := request.denied(concerned)) is not None:
        return denied
    if request.form.problems:
        return Invalid(request.form.problems)
    planned = standing is not None and isinstance(standing.payload, MaintenanceScheduled)
    if request.action.name == "schedule-maintenance" and planned:
        return invalid(FormProblem("", "maintenance_exists", {"maintenance": shown(request.subject)}))
    event = request.event()
    if (problem := event_problem(event, request.now, settings.time_limits())) is not None:
        return invalid(problem)
    if request.action.name == "cancel-maintenance":
        assert standing is not None
        cancelled = windows.cancelling(event, standing)
        if cancelled is None:
            return Unchanged(FormProblem("", "cancelled_before", {"maintenance": shown(request.subject)}))
        return Prepared(request.action, (cancelled,), concerned)
    found = windows.scheduling(event, standing, announced_now=request.form.text("announced_at") is None)
    if found is None:
        return Unchanged(FormProblem("", "same_window", {"maintenance": shown(request.subject)}))
    fact, plan = found
    warnings = [*window_warnings(plan, standing, log.contracts, request.policies, request.now)]
    warnings += _unknown_names(request, [fact], log.contracts)
    return Prepared(request.action, (fact,), concerned, warnings=tuple(warnings))


def _window_visible(person: Person, standing: Event) -> bool:
    """Whether a window concerns a tenant of the person. A cancelled one names none."""
    plan = standing.payload
    if person.tenants is None:
        return True
    if not isinstance(plan, MaintenanceScheduled):
        return False
    return plan.scope == "platform" or not person.tenants.isdisjoint(plan.tenant_ids)


def _window_concerned(form: ReadForm, standing: Event | None) -> Concerned:
    found = set(form.listed("tenant_ids"))
    plan = standing.payload if standing is not None else None
    if form.text("scope") == "platform" or (isinstance(plan, MaintenanceScheduled) and plan.scope == "platform"):
        return PLATFORM
    return found | set(plan.tenant_ids) if isinstance(plan, MaintenanceScheduled) else found


def claim(request: Request, present: Present, settings: Settings) -> Prepared | Refused:
    """Claims the credit of a month."""
    tenant = request.subject
    if (denied := request.denied({tenant})) is not None:
        return denied
    if request.form.problems:
        return Invalid(request.form.problems)
    month = request.form.text("month")
    assert month is not None
    log = present.contracts([tenant])
    found = earlier_claim(log, tenant, month)
    if found is not None:
        return invalid(found) if isinstance(found, FormProblem) else found
    data = present.statement(tenant, month)
    problem = statement_problem(None if data is None else ClaimedStatement.of(data), tenant, month, request.now)
    if problem is not None and not (problem.code == "claim_zero" and request.form.text("although_zero")):
        return invalid(problem)
    ready = _checked(request, {**request.event(), "id": claim_id(tenant, month)}, {tenant}, settings)
    if isinstance(ready, Invalid):
        return ready
    history, lateness = log.contracts[tenant], settings.time_limits().lateness
    warnings = claim_warnings(
        tenant, month, history, request.policies, request.now, lateness=lateness, stated=data is not None
    )
    return ready._replace(warnings=tuple(warnings))


def erasure(request: Request, present: Present, settings: Settings) -> Prepared | Refused:
    """Erases a tenant's names and texts; the tenant's id has to be given again."""
    tenant = request.subject
    if (denied := request.denied({tenant})) is not None:
        return denied
    if request.form.problems:
        return Invalid(request.form.problems)
    if request.form.text("confirm_tenant") != tenant:
        return invalid(FormProblem("confirm_tenant", "confirm", {"tenant": shown(tenant)}))
    log = present.contracts([tenant])
    if tenant in log.erased:
        return Unchanged(FormProblem("", "erased_before", {"tenant": shown(tenant)}))
    ready = _checked(request, request.event(), {tenant}, settings)
    if isinstance(ready, Invalid) or tenant in log.contracts:
        return ready
    return ready._replace(warnings=(ActionWarning("tenant_unknown", {"name": shown(tenant)}),))


def contract_import(request: Request, present: Present) -> Prepared | Refused:
    """Publishes what a file of terms changes."""
    if request.form.problems:
        denied = request.denied(PLATFORM)
        return Invalid(request.form.problems) if denied is None or denied.cause != "role" else denied
    rows, bad = read_rows((request.form.text("terms") or "").split("\n"))
    concerned = {row.tenant for row in rows}
    if (denied := request.denied(concerned or PLATFORM)) is not None:
        return denied
    if bad:
        listed = bad[:_MOST_BAD_LINES]
        lines = [FormProblem("terms", "line", {"line": str(each.line)}, each.cause) for each in listed]
        more = len(bad) - len(listed)
        return Invalid((*lines, *([FormProblem("terms", "more_lines", {"count": f"{more:,}"})] if more else ())))
    known, tenants = present.contracts(concerned), present.tenants_with_terms()
    found = difference(rows, known, request.source, request.now, tenants=tenants)
    if not found.changes:
        return Unchanged(FormProblem("", "same_terms", {"count": f"{found.unchanged:,}"}))
    who = {"who": as_json(request.who)}
    events = tuple(with_fields(change.event, who) for change in found.changes)
    of_each_name = {(each.row.terms.plan, each.row.terms.monthly_charge.currency): each.event for each in found.changes}
    warnings = tuple(_unknown_names(request, of_each_name.values(), ()))
    return Prepared(request.action, events, concerned, difference=found, warnings=warnings)


def retry(request: Request, present: Present, settings: Settings, clock: TimeSource) -> Prepared | Refused:
    """Sends a rejected record again, as it was or corrected."""
    if (denied := request.denied(PLATFORM)) is not None:
        return denied
    if request.form.problems:
        return Invalid(request.form.problems)
    entry = present.rejected(request.subject)
    if entry is None:
        return invalid(FormProblem("", "reject_unknown", {"reject": shown(request.subject)}))
    corrected = request.form.text("corrected")
    if corrected is not None and (refused := _correction(request, entry, corrected)) is not None:
        return refused
    backfill = request.form.text("backfill") is not None
    try:
        record = retry_record(entry, settings, clock, corrected=corrected, backfill=backfill)
    except NotRetriable as error:
        return invalid(FormProblem("corrected" if corrected else "", "check", {"message": str(error)}))
    return Prepared(request.action, (), PLATFORM, (record,))


def _correction(request: Request, entry: RejectedRecord, corrected: str) -> Denied | Invalid | None:
    """Why a person may not replace a rejected event by this one: it would act in another's name, without the second
    person that its type needs, or with a permission that the person does not have."""
    event = json_of(corrected)
    if isinstance(event, Rejection) or not isinstance(event, dict):
        return None  # the checks of the retry name it
    event_type = event.get("type")
    original = None if entry.decoded is None else to_json(*entry.decoded)
    if original is not None and event_type != original["type"]:
        return invalid(FormProblem("corrected", "other_type", {"type": str(original["type"])}))
    permission = _PERMISSION_OF.get(event_type) if isinstance(event_type, str) else None
    if permission is None:
        return invalid(FormProblem("corrected", "not_correctable", {"type": shown(event_type)}))
    found = allowed(request.person, permission, PLATFORM)
    if isinstance(found, Denied):
        return found
    data, before = event.get("data"), original["data"] if original is not None else {}
    who = data.get("who") if isinstance(data, dict) else None
    if who is not None and who not in (as_json(request.who), before.get("who") if isinstance(before, dict) else None):
        return invalid(FormProblem("corrected", "other_author", {"id": shown(request.who.id)}))
    return None


def _checked(
    request: Request, event: JsonEvent, concerned: Concerned, settings: Settings, state: State | None = None
) -> Prepared | Invalid:
    problem = event_problem(event, request.now, settings.time_limits())
    return invalid(problem) if problem is not None else Prepared(request.action, (event,), concerned, state=state)

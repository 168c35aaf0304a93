"""Performs actions: checks the person, the form and the incident's state, publishes, and reads back the result."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from connect.actions import prepared as kinds
from connect.actions.build import event_id
from connect.actions.catalogue import ACTIONS, Action
from connect.actions.form import Choices, FormField, FormValues, describe, id_problem, read_form, shown
from connect.actions.input_results import AGENT_OF
from connect.actions.outcome import (
    Accepted,
    ActionUnavailable,
    FormProblem,
    Moved,
    NotReadYet,
    Outcome,
    RejectedByWorker,
    State,
    Unchanged,
)
from connect.actions.permissions import PLATFORM, Denied, Permission, allowed
from connect.actions.person import Person
from connect.actions.prepared import Prepared, Refused, Request, invalid
from connect.actions.present import Present
from connect.actions.publish import ActionPublisher, EventPublisher, ranges_of
from connect.actions.rejected_retry import send
from connect.actions.revision import moved
from connect.actions.sent import SentAction, SentActions
from connect.client.errors import DeliveryFailed, InvalidEvent
from connect.kafka_io.batches import PublishingStopped, SentRange
from streams.errors import SlaError
from streams.settings import Settings
from streams.sla.events import Position, Who
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource, TimeSource

BOARD_SOURCE, CLI_SOURCE = "/sla/board", "/sla/cli"
#: How long the workers may take to read an event before the outcome is `NotReadYet`.
READ_BACK_S = 10.0


class ActionService:
    """What people can do, for one deployment. Thread-safe, long-lived; `close` it at the end.

    `present` gives the present facts; `source` names the board or the command line in events. Methods block: on Kafka,
    and for at most `read_back_s` on the workers.
    """

    def __init__(
        self,
        settings: Settings,
        present: Present,
        *,
        source: str = BOARD_SOURCE,
        policies: Policies | None = None,
        clock: TimeSource | None = None,
        publisher: EventPublisher | None = None,
        read_back_s: float = READ_BACK_S,
    ) -> None:
        """Raises PolicyError, SettingsError where no `policies` are given and those of the settings can't be read."""
        self._settings = settings
        self._present = present
        self._source = source
        self._policies = settings.load_policies() if policies is None else policies
        self._choices = Choices.of(self._policies)
        self._clock = clock or SystemTimeSource()
        self._publisher = publisher or ActionPublisher(settings, source, self._clock)
        self._sent = SentActions()
        self._read_back_s = read_back_s

    def close(self) -> None:
        """Close the connection to Kafka."""
        self._publisher.close()

    def describe(self, action_name: str, state: State | None = None) -> tuple[FormField, ...]:
        """The fields of an action's form, of an incident in this `state`: its policy names the components that may be
        chosen. Raises KeyError for an unknown action."""
        return describe(ACTIONS[action_name], self._choices if state is None else self._choices.at(state))

    def prepare(
        self,
        person: Person,
        action_name: str,
        subject: str,
        form: FormValues,
        *,
        now: int,
        seen_revision: int | None = None,
        action_id: str = "preview",
        approver: Person | None = None,
        who: Who | None = None,
    ) -> Prepared | Moved | Refused:
        """Every check, and the events that would be published: for previews and proposals. An action for two people may
        be prepared without `approver`; its events are then none. Raises SlaError when something can't be read."""
        action = ACTIONS.get(action_name)
        if action is None:
            return invalid(
                FormProblem("", "unknown_action", {"action": shown(action_name), "allowed": ", ".join(ACTIONS)})
            )
        if (refused := _may(person, action)) is not None:
            return refused
        if (problem := _subject_problem(action, subject)) is not None:
            return invalid(problem)
        state = self._present.incident(subject) if action.subject == "incident" else None
        request = Request(
            action,
            person,
            subject,
            read_form(action, form, self._choices if state is None else self._choices.at(state)),
            who or person.who,
            _second(person, approver) if action.two_persons else None,
            self._source,
            event_id(person.id, action.name, subject, action_id),
            now,
            self._policies,
        )
        match action.subject:
            case "incident":
                return self._at_incident(request, state, seen_revision, approver)
            case "maintenance":
                log = self._present.contracts([subject, *request.form.listed("tenant_ids")])
                return kinds.maintenance_action(request, log, self._settings)
            case "credit":
                return kinds.claim(request, self._present, self._settings)
            case "tenant":
                return kinds.erasure(request, self._present, self._settings)
            case "contracts":
                return kinds.contract_import(request, self._present)
            case "reject":
                return kinds.retry(request, self._present, self._settings, self._clock)

    def perform(
        self,
        person: Person,
        action_name: str,
        subject: str,
        form: FormValues,
        *,
        action_id: str,
        now: int,
        seen_revision: int | None = None,
        approver: Person | None = None,
        who: Who | None = None,
        read_back: bool = True,
        confirm: Callable[[Prepared], Refused | None] = lambda _: None,
    ) -> Outcome:
        """Do it. `action_id` names this attempt, such as a number in the form: the same one again sends the same event,
        which counts once. `subject` is an incident, a maintenance window, a tenant, or topic/partition/offset of a
        rejected original; of contracts it is empty. `seen_revision` is the incident's revision that the person saw.
        `approver` is the second person where the action takes two; `who` another author than the person (command
        line). Without `read_back` the outcome is NotReadYet once Kafka has acknowledged. `confirm` may refuse what is
        about to be sent."""
        if (problem := id_problem("action_id", action_id)) is not None:
            return invalid(problem)
        action = ACTIONS.get(action_name)
        if action is not None and action.two_persons and approver is None:
            return _may(person, action) or invalid(FormProblem("", "two_persons", {"action": action.name}))
        signature = (action_name, subject, repr(sorted(form.items())), seen_revision)

        def prepare() -> Prepared | Moved | Refused:
            ready = self.prepare(
                person,
                action_name,
                subject,
                form,
                now=now,
                seen_revision=seen_revision,
                action_id=action_id,
                approver=approver,
                who=who,
            )
            return (confirm(ready) or ready) if isinstance(ready, Prepared) else ready

        with self._sent.action(person.id, action_id) as attempt:
            if attempt.signature not in {None, signature}:
                return invalid(FormProblem("", "action_id_used"))
            if attempt.outcome is not None:
                return attempt.outcome
            try:
                outcome = self._attempt(attempt, prepare, person, subject, now, read_back=read_back)
            except InvalidEvent as error:
                return invalid(FormProblem(error.field or "", "check", {"message": str(error)}))
            except DeliveryFailed as error:
                outcome = ActionUnavailable(str(error), sent=error.retriable)
            except PublishingStopped as error:
                outcome = ActionUnavailable(str(error), sent=True)
            except (SlaError, TimeoutError) as error:
                outcome = self._after_failure(attempt, error)
            if attempt.prepared is not None:
                attempt.signature = signature
                if isinstance(outcome, Accepted | RejectedByWorker | Unchanged):
                    attempt.outcome = outcome
            return outcome

    def _attempt(
        self,
        attempt: SentAction,
        prepare: Callable[[], Prepared | Moved | Refused],
        person: Person,
        subject: str,
        now: int,
        *,
        read_back: bool,
    ) -> Outcome:
        """Send what the action prepared now, or at an earlier attempt, and read back the result."""
        with ExitStack() as opened:
            with self._sent.alone(subject):
                ready = attempt.prepared or prepare()
                if not isinstance(ready, Prepared):
                    return ready
                results = opened.enter_context(self._publisher.results()) if read_back else None
                attempt.prepared = ready
                sent = self._send(ready)
                if ready.state is not None:
                    for event in ready.events:
                        self._sent.note(subject, int(ready.state["revision"]), person.id, event, now)
            positions = tuple(Position(each.topic, each.partition, each.start) for each in sent)
            attempt.positions = positions
            if results is None:
                return NotReadYet(positions, ready.events, ready.warnings)
            found = results.wait([each for each in sent if self._is_input(each)], self._read_back_s)
        if found.unread:
            return NotReadYet(positions, ready.events, ready.warnings)
        if not found.rejected:
            return Accepted(positions, ready.events, ready.warnings)
        first = found.rejected[0]
        if first.code == "conflict" and len(sent) == 1 and not ready.records:
            # The id names this attempt, so an earlier one was sent, by a process that was restarted since.
            return Unchanged(FormProblem("", "sent_before"))
        return RejectedByWorker(first.code, first.message, positions, found.accepted, ready.events)

    def _after_failure(self, attempt: SentAction, error: Exception) -> Outcome:
        """Kafka went away. What it had acknowledged before is published, though its result is not known."""
        ready = attempt.prepared
        if ready is None or not attempt.positions:
            return ActionUnavailable(str(error))
        return NotReadYet(attempt.positions, ready.events, ready.warnings, str(error) or type(error).__name__)

    def _send(self, ready: Prepared) -> list[SentRange]:
        if ready.records:
            return send(self._settings, ready.records)
        return ranges_of(self._publisher.send(ready.events))

    def _is_input(self, sent: SentRange) -> bool:
        """Whether its result can be read: copies within the product have none."""
        return sent.topic.removeprefix(f"{self._settings.topic_prefix}.") in AGENT_OF

    def _at_incident(
        self, request: Request, state: State | None, seen_revision: int | None, approver: Person | None
    ) -> Prepared | Moved | Refused:
        if state is None or not kinds.visible(request.person, state):
            return invalid(FormProblem("", "incident_unknown", {"incident": shown(request.subject)}))
        found = kinds.incident_action(request, state, self._present.incident, self._settings)
        if isinstance(found, Denied):
            return found
        if isinstance(found, Prepared) and approver is not None:
            approves = allowed(approver, Permission.APPROVE, found.concerned)
            if isinstance(approves, Denied):
                return approves
        if seen_revision is not None:
            recent = self._sent.recent(request.subject, state, request.person.id, request.now)
            earlier = self._present.incident_at(request.subject, seen_revision)
            if (change := moved(seen_revision, state, earlier, recent)) is not None:
                return change
        if isinstance(found, Prepared) and request.action.two_persons and approver is None:
            return found._replace(events=())
        return kinds.with_tenants_checked(found, request, self._present) if isinstance(found, Prepared) else found


def _second(person: Person, approver: Person | None) -> Who:
    """The second person of an event; while nobody has approved, somebody other than the first, for the checks."""
    return Who("support", "second" if person.id == "first" else "first") if approver is None else approver.who


def _may(person: Person, action: Action) -> Denied | None:
    """Why no role of the person allows the action, whatever it concerns."""
    found = allowed(person, action.permission, PLATFORM if person.tenants is None else person.tenants)
    return found if isinstance(found, Denied) else None


def _subject_problem(action: Action, subject: str) -> FormProblem | None:
    if action.subject == "contracts":
        return None
    field = "tenant_id" if action.subject in {"tenant", "credit"} else ""
    problem = None if action.subject == "reject" else id_problem(field, subject)
    return None if problem is None else problem._replace(field="")

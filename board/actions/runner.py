"""Performs actions for requests: in threads of its own, within a bound; each is in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from board.access.audit import AuditLog
from board.access.identity import RequestSender
from board.actions.audited import SENT, acted_of
from board.actions.present import SeenStates
from board.actions.thread_pool import BoundedPool, PoolBusy
from board.bounded_close import close_within
from connect.actions.form import FormValues
from connect.actions.outcome import ActionUnavailable, Moved, Outcome, RejectedByWorker
from connect.actions.permissions import Denied
from connect.actions.person import Person
from connect.actions.prepared import Prepared, Refused
from connect.actions.service import ActionService
from streams.errors import SlaError
from streams.time_source import TimeSource

#: A request is answered within this, whatever Kafka does.
ANSWER_S: Final = 10.0
#: How long the workers may take to read an event before the outcome is `NotReadYet`.
READ_BACK_S: Final = 5.0
_THREADS = 8
_WAITING = 64

ResultT = TypeVar("ResultT")
Confirm = Callable[[Prepared], Refused | None]

#: Fields of an incident's state that may name what does not concern the person.
_OF_OTHERS: Final = frozenset({"tenant_ids", "scope", "merged_into"})


@dataclass(frozen=True, slots=True)
class ActionAttempt:
    """What somebody asks for. `action_id` names the attempt: the same one again sends the same event. `seen_revision`
    is the incident's revision that the person saw. `confirm` may refuse what would be sent."""

    action: str
    subject: str
    form: FormValues
    action_id: str = "preview"
    seen_revision: int | None = None
    confirm: Confirm = lambda _: None


class ActionRunner:
    """The actions of one board. `seen` keeps what people were shown, `audit` what they did."""

    def __init__(
        self,
        service: ActionService,
        seen: SeenStates,
        audit: AuditLog,
        time_source: TimeSource,
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.service = service
        self.seen = seen
        self.audit = audit
        self._time = time_source
        self._answer_s = answer_s
        self._pool = BoundedPool("action", threads=_THREADS, waiting=_WAITING)

    async def perform(self, sender: RequestSender, attempt: ActionAttempt) -> Outcome:
        """Do it, and read back what the workers made of it. After ANSWER_S the outcome is `ActionUnavailable`, and the
        attempt goes on: who sends it again gets its outcome. Raises SQLAlchemyError."""
        return await self._answer(lambda: self._perform(sender, attempt))

    async def prepare(
        self, sender: RequestSender, attempt: ActionAttempt
    ) -> Prepared | Moved | Refused | ActionUnavailable:
        """Every check, and what would be sent. Raises SQLAlchemyError."""
        return await self._answer(lambda: self._prepare(sender, attempt))

    def close(self, within_s: float) -> None:
        """End within a time, whether Kafka answers or not."""
        self._pool.close(within_s / 2)
        close_within(self.service.close, within_s / 2, "action-close")

    def _perform(self, sender: RequestSender, attempt: ActionAttempt) -> Outcome:
        outcome = self.service.perform(
            sender.person,
            attempt.action,
            attempt.subject,
            attempt.form,
            action_id=attempt.action_id,
            now=self._time.now(),
            seen_revision=attempt.seen_revision,
            confirm=attempt.confirm,
        )
        self._note(sender, attempt, outcome)
        return narrowed(outcome, sender.person) if isinstance(outcome, Moved) else outcome

    def _prepare(self, sender: RequestSender, attempt: ActionAttempt) -> Prepared | Moved | Refused | ActionUnavailable:
        try:
            found = self.service.prepare(
                sender.person,
                attempt.action,
                attempt.subject,
                attempt.form,
                now=self._time.now(),
                seen_revision=attempt.seen_revision,
            )
        except (SlaError, TimeoutError) as error:
            return ActionUnavailable(str(error))
        if isinstance(found, Denied):
            self._note(sender, attempt, found)
        return narrowed(found, sender.person) if isinstance(found, Moved) else found

    def _note(self, sender: RequestSender, attempt: ActionAttempt, outcome: Outcome) -> None:
        if isinstance(outcome, Denied):
            subject = f"{attempt.action} {attempt.subject}".rstrip()
            self.audit.denied(sender, outcome.permission, subject, outcome.reason)
            return
        acted = acted_of(attempt.action, attempt.subject, attempt.action_id, outcome)
        self.audit.acted(sender, acted)
        if (word := SENT.get(type(outcome))) is not None:
            code = outcome.code if isinstance(outcome, RejectedByWorker) else None
            structlog.get_logger("board").info(
                "action_performed",
                person=sender.person.id,
                address=sender.address,
                way=sender.way,
                action=attempt.action,
                subject=attempt.subject,
                outcome=word,
                code=code,
            )

    async def _answer(self, work: Callable[[], ResultT]) -> ResultT | ActionUnavailable:
        try:
            future: Future[ResultT] = self._pool.submit(work)
        except PoolBusy as error:
            return ActionUnavailable(str(error))
        try:
            async with asyncio.timeout(self._answer_s):
                return await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError:
            if future.done():
                return future.result()
            return ActionUnavailable(f"Kafka has not answered within {self._answer_s:g} s", sent=True)


def narrowed(outcome: Moved, person: Person) -> Moved:
    """What a person may know of what changed: those limited to tenants learn neither other tenants nor texts."""
    if person.tenants is None:
        return outcome
    changes = outcome.changes
    if changes is not None:
        changes = tuple(each for each in changes if each.field not in _OF_OTHERS)
    recent = tuple({name: each[name] for name in ("type", "time", "subject")} for each in outcome.recent)
    return outcome._replace(changes=changes, recent=recent)

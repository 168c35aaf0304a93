"""Proposals: the list, and one with its effect and what another person decides about it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from board.access.four_eyes import token_denied
from board.access.identity import CurrentPerson, identity_of, sender_of
from board.access.requirement import requires
from board.actions.limits import limited
from board.background.jobs import TooManyJobs
from board.dependencies import BoardContext, Context, ReadConnection, Scope
from board.pages.access_texts import access_phrases
from board.pages.errors import error_page
from board.pages.proposal_texts import proposal_phrases
from board.pages.proposal_values import effect_view, proposed_values
from board.pages.render import page
from board.pages.tenant_area import local_text
from board.proposals.decisions import DecisionAttempt, Written
from board.proposals.listing import ProposalKey, count_open, list_proposals
from board.proposals.obstacles import ProposalRefused, decision_obstacle
from board.proposals.proposal import Decision, Proposal, same_person
from board.proposals.view import ProposalView, proposing, start_effect, view_of, visible_proposal
from board.queries.statements import incident_links
from board.viewer import viewer
from connect.actions.outcome import Invalid
from connect.actions.permissions import Denied, Permission, allowed
from connect.actions.person import Person
from connect.actions.texts import labels_of, problem_text
from streams.money import formatted
from streams.sla.credits.submitted import duration
from streams.sla.instants import MINUTE

router = APIRouter(include_in_schema=False)

_READ = [requires(Permission.READ_PROPOSALS, scoped=True)]
_APPROVE = [requires(Permission.APPROVE, scoped=True)]
_LARGEST_FORM = 64 * 1024
_PAGE_ROWS = 100
_DECISIONS: dict[str, Decision] = {"approve": "approved", "decline": "declined", "withdraw": "withdrawn"}
#: The page asks so long what became of an event. Later it has to be loaded again.
_ASKS_FOR = 10 * MINUTE
_ProposalId = Annotated[str, Path(max_length=256)]


@dataclass(frozen=True, slots=True)
class NotDecided:
    """A decision that was not sent: why, and the reason that was given with it."""

    message: str
    reason: str


@router.get("/proposals", dependencies=_READ)
def proposal_list(
    request: Request,
    context: Context,
    connection: ReadConnection,
    person: CurrentPerson,
    scope: Scope,
    after: str = "",
) -> Response:
    """Those that can be decided first, then the latest; `after` continues the list."""
    now = context.time_source.now()
    language = viewer(request).language
    found = list_proposals(connection, person, now, after=_key(after), limit=_PAGE_ROWS)
    incidents = incident_links(connection, sorted({each.proposed.incident_id for each in found.proposals}), scope)
    titles = {each.incident_id: each.title_ja if language == "ja" else each.title_en for each in incidents}
    return page(
        request,
        "proposals/list.html",
        active="proposals",
        phrases=proposal_phrases(language),
        title_of=lambda name: labels_of(name, language).title,
        proposals=[(each, each.status(now)) for each in found.proposals],
        titles={name: title for name, title in titles.items() if title},
        next_page=None if found.after is None else "~".join(map(str, found.after)),
        waiting=count_open(connection, person, now),
    )


@router.get("/proposals/{proposal_id}", dependencies=_READ)
def proposal(
    request: Request,
    context: Context,
    connection: ReadConnection,
    person: CurrentPerson,
    proposal_id: _ProposalId,
    sent: str = "",
) -> Response:
    """One proposal. `sent` is what the viewer has just sent: the page asks until it has been read back."""
    found = visible_proposal(connection, person, proposal_id)
    if found is None:
        return _absent(request, proposal_id, sent)
    view, busy = view_of(context, connection, found), False
    if _lacks_effect(view) and _denied(request, context, person, Permission.PROPOSE, found) is None:
        busy = not _start(context, found)
        view = view_of(context, connection, found)
    return _page(request, context, connection, person, view, busy=busy, sent=sent)


@router.post("/proposals/{proposal_id}/effect", dependencies=[requires(Permission.PROPOSE, scoped=True)])
def effect(
    request: Request, context: Context, connection: ReadConnection, person: CurrentPerson, proposal_id: _ProposalId
) -> Response:
    """Compute the effect again, by the incident's present revision."""
    found = visible_proposal(connection, person, proposal_id)
    if found is None:
        return _absent(request, proposal_id)
    if not _start(context, found):
        view = view_of(context, connection, found)
        return _page(request, context, connection, person, view, busy=True, status_code=503)
    return RedirectResponse(f"/proposals/{proposal_id}", HTTPStatus.SEE_OTHER)


@router.post("/proposals/{proposal_id}/{word}", dependencies=_APPROVE)
async def decide(request: Request, context: Context, proposal_id: _ProposalId, word: str) -> Response:
    """`approve`, `decline` or `withdraw`: write the decision to the audit log, whose order decides."""
    if word not in _DECISIONS:
        return error_page(request, HTTPStatus.NOT_FOUND)
    async with limited(request, _LARGEST_FORM).form(max_files=0, max_fields=10) as form:
        reason, seen = str(form.get("reason", "")), str(form.get("effect_revision", ""))
    number = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 19 else 0
    attempt = DecisionAttempt(proposal_id, _DECISIONS[word], reason.strip(), number)
    return await run_in_threadpool(_decide, request, context, attempt)


def _decide(request: Request, context: BoardContext, attempt: DecisionAttempt) -> Response:
    sender, proposal_id = sender_of(request), attempt.proposal_id
    person = sender.person
    outcome = proposing(context).decide(sender, attempt, now=context.time_source.now())
    if isinstance(outcome, Written):
        return RedirectResponse(f"/proposals/{proposal_id}?sent={attempt.decision}", HTTPStatus.SEE_OTHER)
    language = viewer(request).language
    phrases = proposal_phrases(language)
    with context.engine.connect() as connection:
        found = visible_proposal(connection, person, proposal_id)
        if found is None:
            return _absent(request, proposal_id)
        match outcome:
            case Denied():
                why = access_phrases(language).denied_hint(outcome, person)
                status, message = HTTPStatus.FORBIDDEN, phrases.refusals["denied"].format(reason=why)
            case Invalid(problems):
                texts = "; ".join(problem_text(each, language) for each in problems)
                status, message = HTTPStatus.UNPROCESSABLE_ENTITY, phrases.refusals["invalid"].format(problem=texts)
            case ProposalRefused(code, _):
                status, message = HTTPStatus.CONFLICT, phrases.refusals[code]
        view = view_of(context, connection, found)
        entered = NotDecided(message, attempt.reason)
        return _page(request, context, connection, person, view, entered=entered, status_code=status)


# -- the page --------------------------------------------------------------------------------------------------------


def _page(
    request: Request,
    context: BoardContext,
    connection: Connection,
    person: Person,
    view: ProposalView,
    *,
    busy: bool = False,
    sent: str = "",
    entered: NotDecided | None = None,
    status_code: int = HTTPStatus.OK,
) -> Response:
    language, now = viewer(request).language, context.time_source.now()
    phrases, found = proposal_phrases(language), view.proposal
    denied = _denied(request, context, person, Permission.APPROVE, found)
    waits = sent in _DECISIONS.values() and view.status == "proposed"
    running = view.job is not None and not view.job.ended
    event_pending = view.event in {"waits", "sent"} and found.decided is not None and now - found.decided.at < _ASKS_FOR
    return page(
        request,
        "proposals/page.html",
        status_code=status_code,
        active="proposals",
        phrases=phrases,
        labels=labels_of(found.proposed.action, language),
        view=view,
        proposal=found,
        values=proposed_values(found, language),
        effect=None if view.effect is None else effect_view(view.effect.data, viewer(request)),
        offers=() if denied is not None else _offers(context, connection, person, view, now),
        hint=_hint(request, person, view, denied),
        may_compute=view.status == "proposed" and _denied(request, context, person, Permission.PROPOSE, found) is None,
        busy=busy,
        waits=waits,
        asks=busy or waits or running or event_pending,
        again=f"/proposals/{found.proposed.proposal_id}" + (f"?sent={sent}" if waits else ""),
        entered=entered,
        money=formatted,
        exactly=duration,
        local=local_text,
    )


def _offers(
    context: BoardContext, connection: Connection, person: Person, view: ProposalView, now: int
) -> tuple[str, ...]:
    """What the person can decide now."""
    if view.status != "proposed":
        return ()
    return tuple(
        word
        for word, decision in _DECISIONS.items()
        if decision_obstacle(connection, person, view.proposal, decision, view.state, now) is None
    )


def _hint(request: Request, person: Person, view: ProposalView, denied: Denied | None) -> str | None:
    """Why nothing, or less than everything, is offered."""
    language = viewer(request).language
    phrases = proposal_phrases(language)
    if view.status != "proposed":
        return None
    if denied is not None and denied.cause == "token":
        return access_phrases(language).denied_hint(denied, person)
    if denied is not None:
        return phrases.status_hint["read_only"]
    if same_person(person.who, view.proposal.proposed.who):
        return phrases.status_hint["own"]
    return None if view.effect_is_current else phrases.status_hint["decline_only"]


def _denied(
    request: Request, context: BoardContext, person: Person, permission: Permission, found: Proposal
) -> Denied | None:
    """Why a request of the person that needs the permission would be refused."""
    decision = allowed(person, permission, found.concerned)
    if isinstance(decision, Denied):
        return decision
    identity = identity_of(request)
    return None if identity is None else token_denied(identity, context.settings, permission)


def _key(after: str) -> ProposalKey | None:
    """Where a list goes on; None for a text that no page has as its link."""
    match after.split("~", 2):
        case [("0" | "1") as ended, at, name] if at.isdecimal() and len(at) <= 18 and "\0" not in name:
            return ProposalKey(int(ended), int(at), name)
    return None


def _lacks_effect(view: ProposalView) -> bool:
    """Whether one has to be computed without being asked for: the first one, once."""
    return view.status == "proposed" and view.effect is None and view.job is None and view.state is not None


def _start(context: BoardContext, found: Proposal) -> bool:
    """Start to compute the effect; whether there was room."""
    try:
        start_effect(context, found)
    except TooManyJobs:
        return False
    return True


def _absent(request: Request, proposal_id: str, sent: str = "") -> Response:
    """There is none, or the log has not been read back yet."""
    phrases = proposal_phrases(viewer(request).language)
    values: dict[str, Any] = {"active": "proposals", "phrases": phrases, "proposal_id": proposal_id}
    if sent == "proposed":
        return page(request, "proposals/not_recorded.html", **values)
    title = phrases.absent.format(id=proposal_id)
    return error_page(request, HTTPStatus.NOT_FOUND, title=title, hint=phrases.absent_hint)

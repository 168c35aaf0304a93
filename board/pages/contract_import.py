"""The import of contract terms: a file or pasted text, what it changes by tenant, and its publication."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import groupby

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from board.access.csrf import LARGEST_FORM
from board.access.identity import sender_of
from board.access.requirement import requires
from board.actions.form_views import Entered, new_action_id, read_form
from board.actions.import_difference import digest_of, must_be
from board.actions.runner import ActionAttempt
from board.dependencies import BoardContext, Context, Scope
from board.pages.action_sections import STATUS, FormMessage, outcome_message, perform_form
from board.pages.contract_import_texts import ImportPhrases, import_phrases
from board.pages.render import page
from board.queries.tenant_scope import TenantScope
from board.viewer import viewer
from connect.actions.catalogue import ACTIONS
from connect.actions.outcome import Accepted, ActionUnavailable, Invalid, NotReadYet, Outcome
from connect.actions.permissions import Permission
from connect.actions.prepared import Prepared
from connect.actions.texts import labels_of, problem_text
from connect.contract_import.changed_terms import ChangedTerm, changed_terms
from connect.contract_import.diff import ContractChange, ContractDifference

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.IMPORT_CONTRACTS, scoped=True)])

ADDRESS = "/contracts/import"
_ACTION = ACTIONS["import-contracts"]
#: Tenants whose changes are shown; the others are counted.
_MOST_TENANTS = 200
#: Lines whose changes are shown, of all these tenants together; the others are counted.
_MOST_LINES = 1_000


@dataclass(frozen=True, slots=True)
class LineChange:
    """What one line of the file changes. `notes` are warnings in the language of the viewer."""

    line: int
    kind: str
    valid_from: int
    terms: Sequence[ChangedTerm]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TenantChanges:
    """What the file changes of one tenant."""

    tenant: str
    changes: tuple[LineChange, ...]


@dataclass(frozen=True, slots=True)
class DifferenceView:
    """What an import changes: the first tenants, the number of the others and of lines of the first ones that are not
    shown, and whole numbers; `unchanged` counts lines.
    `same_tenants` are the first of those of which nothing changes. `not_in_file` is None for people who are limited to
    tenants."""

    digest: str
    tenants: tuple[TenantChanges, ...]
    more_tenants: int
    more_lines: int
    added: int
    changed: int
    unchanged: int
    same_tenants: tuple[str, ...]
    not_in_file: int | None


@dataclass(frozen=True, slots=True)
class ImportView:
    """The page: the text, what is wrong with it, what it changes, and what came of its publication."""

    text: str = ""
    action_id: str = ""
    problems: tuple[str, ...] = ()
    difference: DifferenceView | None = None
    message: FormMessage | None = None
    published: tuple[str, ...] = ()


@router.get(ADDRESS)
def import_form(request: Request) -> HTMLResponse:
    """The empty form."""
    return _page(request, ImportView())


@router.post(ADDRESS)
async def import_contracts(request: Request, context: Context, scope: Scope) -> Response:
    """Show what the terms change; with the `digest` of what was shown, publish it. A file takes precedence."""
    phrases = import_phrases(viewer(request).language)
    entered = await read_form(request, _ACTION, most_bytes=LARGEST_FORM, other=("digest",), upload="file")
    if entered.upload is not None:
        text, problem = _decoded(entered.upload, phrases)
        if problem is not None:
            return _page(request, ImportView(problems=(problem,)), HTTPStatus.UNPROCESSABLE_ENTITY)
        entered = replace(entered, raw={"terms": text}, values={"terms": text} if text else {})
    if not str(entered.values.get("terms", "")).strip():
        return _page(request, ImportView(problems=(phrases.nothing_given,)), HTTPStatus.UNPROCESSABLE_ENTITY)
    digest = entered.other["digest"]
    if digest and entered.upload is None and not entered.asks_preview:
        outcome = await perform_form(request, context, _ACTION, "", entered, confirm=must_be(digest))
        if not _another_difference(outcome):
            return await run_in_threadpool(_outcome_page, request, entered, outcome)
        return await _difference_page(request, context, scope, entered, phrases.other_difference)
    return await _difference_page(request, context, scope, entered)


async def _difference_page(
    request: Request, context: BoardContext, scope: TenantScope, entered: Entered, warning: str = ""
) -> Response:
    found = await context.actions.prepare(sender_of(request), ActionAttempt(_ACTION.name, "", entered.values))
    return await run_in_threadpool(_prepared_page, request, context, scope, entered, found, warning)


def _prepared_page(
    request: Request,
    context: BoardContext,
    scope: TenantScope,
    entered: Entered,
    found: Prepared | Outcome,
    warning: str,
) -> Response:
    if not isinstance(found, Prepared):
        return _outcome_page(request, entered, found)
    assert found.difference is not None
    difference = _difference_view(request, context, scope, found.difference)
    status = HTTPStatus.CONFLICT if warning else HTTPStatus.OK
    message = FormMessage(warning, "warning") if warning else None
    return _page(request, ImportView(entered.raw["terms"], new_action_id(), (), difference, message), status)


def _outcome_page(request: Request, entered: Entered, outcome: Outcome) -> Response:
    """What came of it; the form again, unless it has done its work."""
    status = STATUS.get(type(outcome), HTTPStatus.OK)
    message = outcome_message(request, _ACTION, outcome)
    if isinstance(outcome, Accepted):
        tenants = sorted({str(each["subject"]) for each in outcome.events})[:_MOST_TENANTS]
        return _page(request, ImportView(message=message, published=tuple(tenants)), status)
    problems: tuple[str, ...] = ()
    if isinstance(outcome, Invalid):
        problems = tuple(problem_text(each, viewer(request).language) for each in outcome.problems)
    same = isinstance(outcome, NotReadYet | ActionUnavailable)  # the events may be there: only the same id is safe
    action_id = entered.action_id if same else new_action_id()
    return _page(request, ImportView(entered.raw["terms"], action_id, problems, message=message), status)


def _another_difference(outcome: Outcome) -> bool:
    return isinstance(outcome, Invalid) and any(each.code == "other_difference" for each in outcome.problems)


def _decoded(raw: bytes, phrases: ImportPhrases) -> tuple[str, str | None]:
    """The text of a file, or what is wrong with its encoding."""
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return "", phrases.not_utf8.format(line=f"{line:,}")


def _difference_view(
    request: Request, context: BoardContext, scope: TenantScope, found: ContractDifference
) -> DifferenceView:
    phrases = import_phrases(viewer(request).language)
    plans = context.policies.by_name.keys()
    by_tenant = [(name, list(changes)) for name, changes in groupby(found.changes, key=lambda each: each.row.tenant)]
    new = {name for name, changes in by_tenant if any(each.kind == "new tenant" for each in changes)}
    shown, left, more_lines = list[TenantChanges](), _MOST_LINES, 0
    for name, changes in by_tenant[:_MOST_TENANTS]:
        lines = tuple(_line_change(each, plans, phrases) for each in changes[:left])
        shown.append(TenantChanges(name, lines))
        left -= len(lines)
        more_lines += len(changes) - len(lines)
    return DifferenceView(
        digest_of(found),
        tuple(shown),
        max(0, len(by_tenant) - _MOST_TENANTS),
        more_lines,
        len(new),
        len(by_tenant) - len(new),
        found.unchanged,
        found.same_tenants[:_MOST_TENANTS],
        found.not_in_file if scope.tenants is None else None,
    )


def _line_change(change: ContractChange, plans: Set[str], phrases: ImportPhrases) -> LineChange:
    notes = [phrases.notes[note.code].format(value=note.value) for note in change.notes]
    plan = change.row.terms.plan
    if plan not in plans:
        notes.append(phrases.unknown_plan.format(plan=plan, known=", ".join(sorted(plans))))
    kind = change.kind.replace(" ", "_")
    return LineChange(change.row.line, kind, change.row.terms.valid_from, changed_terms(change), tuple(notes))


def _page(request: Request, view: ImportView, status: int = HTTPStatus.OK) -> HTMLResponse:
    language = viewer(request).language
    return page(
        request,
        "contracts/import.html",
        status_code=status,
        active="tenants",
        phrases=import_phrases(language),
        labels=labels_of(_ACTION.name, language),
        address=ADDRESS,
        view=view,
    )

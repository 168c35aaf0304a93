"""What-if in the browser: a candidate policy over history, in the background."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from board.access.requirement import requires
from board.background.jobs import TooManyJobs
from board.background.what_if import WhatIfRequest, run_what_if
from board.dependencies import BoardContext, Context
from board.pages.addresses import path_segments
from board.pages.errors import error_page
from board.pages.policy import deployed, policy_area, policy_phrases_of, versions_of
from connect.actions.permissions import Permission
from streams.config_files.problems import PolicyError, Problem
from streams.policy.diff import policy_changes
from streams.policy.lint import warnings_of
from streams.policy.load import default_policies_dir, document_of, policy_of
from streams.replay.what_if import PLATFORM
from streams.replay.what_if_result import replacing
from streams.sla.policy import Policy

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.READ_WHAT_IF)])

#: A policy file has some kilobytes.
LARGEST_CANDIDATE = 64 * 1024
_LARGEST_BODY = 4 * LARGEST_CANDIDATE
_FILE = "candidate.yaml"
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was submitted: the text, and the name of the policy to compare with (empty: of the same name)."""

    text: str
    against: str


@dataclass(frozen=True, slots=True)
class WhatIfAbout:
    """What a run compares: labels, the differences of the policies and warnings about the candidate as texts."""

    old: str
    new: str
    changes: tuple[str, ...]
    warnings: tuple[tuple[str, str], ...]


@router.get("/what-if")
def what_if_form(request: Request, context: Context) -> Response:
    """The form, with the file of `?base=NAME@VERSION` (default: the latest version of the default policy) to edit."""
    wanted = request.query_params.get("base", "")
    base = context.policies.exact(*wanted.partition("@")[::2]) or context.policies.by_name[context.policies.default][-1]
    return _form(request, context, Candidate(_file_of(context, base), ""))


@router.post("/what-if")
async def start_what_if(request: Request, context: Context) -> Response:
    """Check a candidate and run it in the background; the form again when something is wrong with it."""
    size = request.headers.get("content-length", "")
    if not size.isdigit():
        return error_page(request, HTTPStatus.LENGTH_REQUIRED)
    if int(size) > _LARGEST_BODY:
        return _too_large(request, context)
    async with request.form(max_files=1, max_fields=4, max_part_size=_LARGEST_BODY) as form:
        candidate, raw = await _submitted(form)
    if len(raw) > LARGEST_CANDIDATE:
        return _too_large(request, context)
    return await run_in_threadpool(_start, request, context, candidate, raw)


@router.get("/what-if/{rest:path}")
def what_if_run(request: Request, context: Context) -> Response:
    """`/what-if/ID`: how a run stands, or what it found; `/what-if/ID/differences.csv`."""
    match path_segments(request)[1:]:
        case [job_id]:
            job = context.background.what_ifs.get(job_id)
            if job is not None:
                return policy_area(request, "what_if_run.html", job=job, found=job.result, platform=PLATFORM)
        case [job_id, "differences.csv"]:
            job = context.background.what_ifs.get(job_id)
            if job is not None and job.result is not None and job.result.csv is not None:
                headers = {"Content-Disposition": 'attachment; filename="what-if.csv"'}
                return Response(job.result.csv, media_type="text/csv; charset=utf-8", headers=headers)
    phrases = policy_phrases_of(request)
    return error_page(request, 404, title=phrases.unknown_run, hint=phrases.unknown_run_hint)


@router.post("/what-if/{job_id}/cancel")
def cancel_what_if(request: Request, context: Context, job_id: str) -> Response:
    """Cancel a run."""
    if context.background.what_ifs.cancel(job_id) is None:
        return error_page(request, 404)
    return RedirectResponse(f"/what-if/{job_id}", status_code=303)


# -- candidates ------------------------------------------------------------------------------------------------------


async def _submitted(form: FormData) -> tuple[Candidate, bytes]:
    """A file takes precedence over the text."""
    text, file, against = form.get("candidate", ""), form.get("file"), form.get("against", "")
    raw = await file.read(LARGEST_CANDIDATE + 1) if isinstance(file, UploadFile) else b""
    if not raw and isinstance(text, str):
        raw = text.replace("\r\n", "\n").encode("utf-8", "replace")
    name = against[:_LONGEST_NAME] if isinstance(against, str) else ""
    return Candidate(raw.decode("utf-8", "replace"), name), raw


def _start(request: Request, context: BoardContext, candidate: Candidate, raw: bytes) -> Response:
    phrases = policy_phrases_of(request)
    if not raw.strip():
        return _form(request, context, candidate, message=phrases.nothing_given)
    try:
        document = document_of(raw, _FILE)
    except PolicyError as error:
        return _form(request, context, candidate, problems=tuple(error.problems))
    new = policy_of(document)
    policies = context.policies
    name = candidate.against or (new.name if policies.knows(new.name) else policies.default)
    old = list(versions_of(policies, name))
    if not old:
        return _form(request, context, candidate, message=phrases.unknown_against.format(policy=name))
    names, every = {name, new.name}, deployed(policies)
    about = WhatIfAbout(
        old=_label(old),
        new=f"{new.name} {new.version} ({_FILE})",
        changes=tuple(change.text for change in policy_changes(policies.at(name, context.time_source.now()), new)),
        warnings=tuple(warnings_of(document)),
    )
    work = WhatIfRequest(
        context.engine.url.render_as_string(hide_password=False),
        replacing(every, old, names),
        replacing(every, [new], names),
        context.kafka.time_limits(),
    )
    jobs = context.background.what_ifs
    try:
        job = jobs.submit(f"{name} {new.digest}", about, run_what_if, work)
    except TooManyJobs:
        return _form(request, context, candidate, message=phrases.busy.format(count=jobs.waiting))
    return RedirectResponse(f"/what-if/{job.id}", status_code=303)


def _label(versions: list[Policy]) -> str:
    """One version, or all that follow each other."""
    return f"{versions[0].name} {', '.join(one.version for one in versions)}"


def _form(
    request: Request,
    context: BoardContext,
    candidate: Candidate,
    *,
    problems: tuple[Problem, ...] = (),
    message: str | None = None,
) -> Response:
    """The form. Problems are shown under the lines that they are about."""
    by_line: dict[int, list[Problem]] = {}
    lines = candidate.text.split("\n")
    for problem in problems:
        by_line.setdefault(min(problem.place.line, len(lines)), []).append(problem)
    return policy_area(
        request,
        "what_if.html",
        status_code=HTTPStatus.UNPROCESSABLE_ENTITY if problems or message else HTTPStatus.OK,
        candidate=candidate,
        lines=lines,
        by_line=by_line,
        problems=problems,
        message=message,
        names=sorted(context.policies.by_name),
        jobs=context.background.what_ifs.all(),
        kilobytes=LARGEST_CANDIDATE // 1024,
    )


def _too_large(request: Request, context: BoardContext) -> Response:
    phrases = policy_phrases_of(request)
    message = phrases.too_large.format(kilobytes=LARGEST_CANDIDATE // 1024)
    return _form(request, context, Candidate("", ""), message=message)


def _file_of(context: BoardContext, policy: Policy) -> str:
    """The text of a deployed version; empty when its file can't be read any more."""
    path = (context.kafka.policies or default_policies_dir()) / policy.name / f"{policy.version}.yaml"
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""

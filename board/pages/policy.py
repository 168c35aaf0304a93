"""Policies: those deployed and in use, one as customers read it, two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from board.access.requirement import requires
from board.dependencies import BoardContext, Context, ReadConnection
from board.pages.addresses import path_segments
from board.pages.errors import error_page
from board.pages.policy_texts import PolicyPagePhrases, policy_page_phrases
from board.pages.render import page
from board.pages.tenant_area import local_text
from board.queries.system import SAME, versions_in_use
from board.viewer import viewer
from connect.actions.permissions import Permission
from streams.money import formatted
from streams.policy.diff import policy_changes
from streams.policy.render import Table, policy_text
from streams.sla.policy import Policies, Policy

router = APIRouter(include_in_schema=False, dependencies=[requires(Permission.READ_POLICIES)])


@dataclass(frozen=True, slots=True)
class PairedRow:
    """A row of two versions of a table; None where one lacks it. `differing` are the numbers of differing cells."""

    old: tuple[str, ...] | None
    new: tuple[str, ...] | None
    differing: frozenset[int]


def paired(old: Table, new: Table, *, key: int = 0) -> list[PairedRow]:
    """The rows of both tables by the cell that names them, those of the new one first in order."""
    before = {row[key]: row for row in old.rows}
    after = {row[key]: row for row in new.rows}
    rows = []
    for name in [*after, *(name for name in before if name not in after)]:
        left, right = before.get(name), after.get(name)
        cells = range(len(new.headers))
        differing = {cell for cell in cells if left is None or right is None or left[cell] != right[cell]}
        rows.append(PairedRow(left, right, frozenset(differing)))
    return rows


def deployed(policies: Policies) -> list[Policy]:
    """Every version of every policy, by name and start."""
    return [one for _, versions in sorted(policies.by_name.items()) for one in versions]


def label(policy: Policy) -> str:
    """How forms and addresses name a version."""
    return f"{policy.name}@{policy.version}"


@router.get("/policies")
def policy_list(request: Request, connection: ReadConnection, context: Context) -> Response:
    """The versions that are deployed or in use; with `?old=NAME@VERSION&new=…` two of them side by side."""
    named = request.query_params.get("old"), request.query_params.get("new")
    if all(named):
        return _comparison(request, context, *(str(name) for name in named))
    used = {(one.policy, one.version): one for one in versions_in_use(connection, context.policies)}
    ours = {(one.name, one.version): one for one in deployed(context.policies)}
    return policy_area(
        request,
        "policies.html",
        versions=[(key, ours.get(key), used.get(key)) for key in [*ours, *(key for key in used if key not in ours)]],
        default=context.policies.default,
        missing=any(one.deployed != SAME for one in used.values()),
        labels=[label(one) for one in ours.values()],
    )


@router.get("/policies/{rest:path}")
def policy_address(request: Request, context: Context) -> Response:
    """`/policies/NAME/VERSION`: a version as customers read it."""
    match path_segments(request)[1:]:
        case [name, version]:
            found = context.policies.exact(name, version)
            if found is None:
                return _unknown(request, f"{name} {version}")
            text = policy_text(found, viewer(request).language)
            return policy_area(request, "policy.html", policy=found, text=text, label=label(found))
    return error_page(request, 404)


def _comparison(request: Request, context: BoardContext, old_name: str, new_name: str) -> Response:
    sides: list[Policy] = []
    for name in (old_name, new_name):
        found = context.policies.exact(*name.partition("@")[::2])
        if found is None:
            return _unknown(request, name)
        sides.append(found)
    old, new = sides
    texts = [policy_text(one, viewer(request).language) for one in sides]
    return policy_area(
        request,
        "policy_comparison.html",
        old=old,
        new=new,
        texts=texts,
        tables=[
            (texts[1].severities, paired(texts[0].severities, texts[1].severities)),
            (texts[1].components, paired(texts[0].components, texts[1].components, key=1)),
        ],
        changes=policy_changes(old, new),
        label=label(new),
    )


def _unknown(request: Request, name: str) -> HTMLResponse:
    phrases = policy_phrases_of(request)
    title = phrases.unknown_policy.format(policy=name[:200])
    return error_page(request, 404, title=title, hint=phrases.unknown_policy_hint)


def policy_phrases_of(request: Request) -> PolicyPagePhrases:
    """The texts of these pages in the viewer's language."""
    return policy_page_phrases(viewer(request).language)


def policy_area(request: Request, template: str, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A page about policies."""
    phrases = policy_phrases_of(request)
    return page(
        request,
        template,
        status_code=status_code,
        active="policies",
        phrases=phrases,
        money=formatted,
        local=local_text,
        **values,
    )


def versions_of(policies: Policies, name: str) -> Sequence[Policy]:
    """The deployed versions of a policy; empty when there is none."""
    return policies.by_name.get(name, ())

"""GET /api/v1/policies: the policies that are deployed with the board."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from board.access.requirement import requires
from board.api.problems import ApiError, described, not_found
from board.api.route import ApiRoute, json_response
from board.api.types import Id, InstantText, TitleBody, instant_text
from board.dependencies import Context
from connect.actions.permissions import Permission
from streams.config_files.problems import PolicyError
from streams.policy.digest import digest_of
from streams.policy.load import default_policies_dir, filled_in, read_document
from streams.sla.policy import Policy

router = APIRouter(route_class=ApiRoute, tags=["policies"], dependencies=[requires(Permission.READ_POLICIES)])


class PolicyBody(BaseModel):
    """A policy version."""

    name: str
    version: str
    title: TitleBody
    effective_from: InstantText | None = Field(description="Null: from the beginning.")
    digest: str = Field(description="SHA-256 of its canonical JSON.")
    default: bool = Field(description="Whether this policy decides for platform-wide incidents and unknown plans.")


class PolicyListBody(BaseModel):
    """The policies, by name and start."""

    policies: list[PolicyBody]


class PolicyDetailBody(BaseModel):
    """A policy version with its content."""

    policy: PolicyBody
    document: dict[str, Any] = Field(description="The policy file as JSON, every default filled in.")


@router.get("/policies", response_model=PolicyListBody, responses=described(400), summary="List policies")
def policies(context: Context) -> Response:
    """Every version of every policy that is deployed with the board."""
    found = [each for _, versions in sorted(context.policies.by_name.items()) for each in versions]
    return json_response(PolicyListBody(policies=[policy_body(each, context.policies.default) for each in found]))


@router.get(
    "/policies/{name}/{version}",
    response_model=PolicyDetailBody,
    responses=described(400, 404, 503),
    summary="Show a policy version",
)
def policy(context: Context, name: Annotated[Id, Path()], version: Annotated[Id, Path()]) -> Response:
    """A policy version with its content."""
    found = context.policies.exact(name, version)
    if found is None:
        raise not_found(f"there is no policy {name!r} in version {version!r}")
    root = context.kafka.policies or default_policies_dir()
    try:
        document = read_document(root / found.name / f"{found.version}.yaml")
    except (PolicyError, OSError) as error:
        raise ApiError(503, f"the policy file can't be read any more: {error}") from error
    if digest_of(document) != found.digest:
        raise ApiError(503, "the policy file has changed since the board started: restart the board")
    return json_response(
        PolicyDetailBody(policy=policy_body(found, context.policies.default), document=filled_in(document))
    )


def policy_body(policy: Policy, default: str) -> PolicyBody:
    """A policy version as the API shows it."""
    return PolicyBody(
        name=policy.name,
        version=policy.version,
        title=TitleBody(en=policy.title.en, ja=policy.title.ja),
        effective_from=instant_text(policy.effective_from),
        digest=policy.digest,
        default=policy.name == default,
    )

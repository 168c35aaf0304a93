"""The bodies of the API of proposals."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from board.api.types import Id, InstantText
from board.proposals.proposal import Decided, Decision, Ignored, Status
from board.proposals.view import ProposalView
from streams.sla.instants import format_rfc3339


class ProposeBody(BaseModel):
    """What is proposed. `form` has the fields of the action, such as `reason`."""

    model_config = ConfigDict(extra="forbid")

    action: str = Field(description="annul, amend or apply-policy.", max_length=64)
    form: dict[str, str | bool | None] = Field(description="The action's fields; instants are RFC 3339.", max_length=16)
    revision: int = Field(ge=0, lt=2**53, description="The revision of the incident that the author saw.")
    action_id: Id = Field(description="Names this attempt: the same one again is the same proposal.")


class DecideBody(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", description="At most 4 KiB of UTF-8.")
    effect_revision: int | None = Field(
        None,
        ge=0,
        lt=2**53,
        description="approve: the `revision` of the effect that the author saw; 409 if it was computed again since.",
    )


class WrittenBody(BaseModel):
    """The event waits for the audit log. GET the proposal to see what stands."""

    proposal_id: str
    event_id: str


class DecidedBody(BaseModel):
    """A decision."""

    decision: Decision
    person: str | None
    at: InstantText
    reason: str
    revision: int | None = Field(description="approved: the incident's revision for which the effect was seen.")


class WithoutEffectBody(BaseModel):
    """A decision that came too late, or from the wrong person."""

    decision: DecidedBody
    why: Ignored


class EffectBody(BaseModel):
    """What the proposal would change, if it had been approved when it was computed."""

    revision: int = Field(description="The incident's revision that it was computed for.")
    current: bool = Field(description="Whether this is the incident's revision now; else it must be computed again.")
    computed_at: InstantText
    result: dict[str, Any]


class PublishedBody(BaseModel):
    """The event that an approval published."""

    topic: str
    partition: int
    offset: int
    code: str | None = Field(description="Why the workers rejected it; null where no reject is known.")
    message: str | None


class ProposalBody(BaseModel):
    """A proposal."""

    proposal_id: str
    action: str
    incident_id: str
    tenants: list[str] | None = Field(description="Whom the incident concerned; null: everybody.")
    form: dict[str, Any]
    proposer: str | None
    proposed_at: InstantText
    expires_at: InstantText
    revision: int
    status: Status
    decided: DecidedBody | None
    without_effect: list[WithoutEffectBody]
    effect: EffectBody | None
    computing: Literal["queued", "running", "failed"] | None
    failure: str | None = Field(description="Why the effect could not be computed.")
    published: PublishedBody | None


class ProposalListBody(BaseModel):
    """A page of proposals."""

    proposals: list[ProposalBody]
    next_cursor: str | None


def proposal_body(view: ProposalView) -> ProposalBody:
    """A proposal as the API shows it."""
    found, job, place = view.proposal, view.job, view.published
    proposed = found.proposed
    return ProposalBody(
        proposal_id=proposed.proposal_id,
        action=proposed.action,
        incident_id=proposed.incident_id,
        tenants=None if proposed.tenants is None else list(proposed.tenants),
        form=dict(proposed.form),
        proposer=proposed.who.id,
        proposed_at=format_rfc3339(proposed.at),
        expires_at=format_rfc3339(proposed.expires_at),
        revision=proposed.revision,
        status=view.status,
        decided=None if found.decided is None else _decided(found.decided),
        without_effect=[WithoutEffectBody(decision=_decided(each), why=why) for each, why in found.without_effect],
        effect=None
        if view.effect is None
        else EffectBody(
            revision=view.effect.revision,
            current=view.effect_is_current,
            computed_at=format_rfc3339(view.effect.computed_at),
            result=dict(view.effect.data),
        ),
        computing=job.status if job is not None and job.status in {"queued", "running", "failed"} else None,
        failure=None if job is None else job.error,
        published=None
        if place is None
        else PublishedBody(**place.position._asdict(), code=place.code, message=place.message),
    )


def _decided(decided: Decided) -> DecidedBody:
    return DecidedBody(
        decision=decided.decision,
        person=decided.who.id,
        at=format_rfc3339(decided.at),
        reason=decided.reason,
        revision=decided.revision,
    )

"""The difference that an import of contracts makes: as JSON, and named by a digest so that what was seen is applied."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from pydantic import BaseModel, Field

from board.actions.runner import Confirm
from connect.actions.outcome import FormProblem, Invalid
from connect.actions.prepared import Prepared, Refused
from connect.contract_import.diff import ContractDifference


class ContractChangeBody(BaseModel):
    """Terms that an import sets."""

    line: int = Field(description="Of the file, from 1.")
    tenant_id: str
    kind: str = Field(description="new tenant, new terms or corrected.")
    terms: dict[str, Any]
    notes: list[str] = Field(description="Warnings.")


def change_bodies(difference: ContractDifference) -> list[ContractChangeBody]:
    """The changes as the API shows them."""
    return [
        ContractChangeBody(
            line=each.row.line,
            tenant_id=each.row.tenant,
            kind=each.kind,
            terms=dict(each.row.data),
            notes=[note.text for note in each.notes],
        )
        for each in difference.changes
    ]


def digest_of(difference: ContractDifference) -> str:
    """Names a difference: the ids of its facts follow from the terms and from the facts that they replace."""
    ids = "\n".join(sorted(str(each.event["id"]) for each in difference.changes))
    return blake2b(ids.encode(), digest_size=16).hexdigest()


def must_be(digest: str) -> Confirm:
    """Refuses another difference than the one that was seen."""

    def confirm(ready: Prepared) -> Refused | None:
        if ready.difference is not None and digest_of(ready.difference) == digest:
            return None
        return Invalid((FormProblem("digest", "other_difference"),))

    return confirm

"""Contract terms as texts, and which of them an import changes."""

from __future__ import annotations

from typing import NamedTuple

from connect.contract_import.diff import ContractChange, terms_of
from streams.money import formatted
from streams.sla.events import ContractSet
from streams.sla.instants import format_rfc3339

#: The fields of `term_texts`, in order.
TERM_NAMES = ("valid_to", "plan", "monthly_charge", "tier", "time_zone", "emergency_member")
#: What stands for a term that is not set.
NONE = "-"


class ChangedTerm(NamedTuple):
    """A term before and after; `before` is None where there were no terms."""

    name: str
    before: str | None
    after: str


def term_texts(terms: ContractSet) -> dict[str, str]:
    """Each of TERM_NAMES as people read it; what is not set is NONE. `valid_from` names the terms and is left out."""
    charge = terms.monthly_charge
    texts = (
        NONE if terms.valid_to is None else format_rfc3339(terms.valid_to),
        terms.plan,
        f"{formatted(*charge)} ({charge.currency})",
        NONE if terms.tier is None else str(terms.tier),
        terms.time_zone or NONE,
        "yes" if terms.emergency_member else "no",
    )
    return dict(zip(TERM_NAMES, texts, strict=True))


def changed_terms(change: ContractChange) -> list[ChangedTerm]:
    """What a change sets, without terms that stay as they are; of new terms without those that are not set."""
    after = term_texts(change.row.terms)
    if change.before is None:
        return [ChangedTerm(name, None, value) for name, value in after.items() if value != NONE]
    before = term_texts(terms_of(change.before))
    return [ChangedTerm(name, before[name], value) for name, value in after.items() if value != before[name]]

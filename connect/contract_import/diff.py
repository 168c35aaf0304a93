"""The difference between a file of contract terms and the topic, as facts to publish (R24)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from connect.client.outgoing import checked_record
from connect.contract_import.current_terms import ContractLog
from connect.contract_import.file import ContractRow
from streams.money import is_currency
from streams.sla.contracts import Contract, ContractHistory
from streams.sla.events import ContractSet, Position
from streams.sla.instants import format_rfc3339

#: The namespace of ids that follow from content: UUIDv5 of the DNS namespace and "contracts.sla-clocks".
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "contracts.sla-clocks")
_NOWHERE = Position("", 0, 0)

Kind = Literal["new tenant", "new terms", "corrected"]
NoteCode = Literal["zone_stays", "currency_stays", "currency_unknown", "erased"]
_NOTES: Mapping[NoteCode, str] = {
    "zone_stays": "the time zone stays {value}, that of the tenant's first contract",
    "currency_stays": "the currency stays {value}, that of the tenant's first contract",
    "currency_unknown": "no currency {value} is known; the tenant's first contract decides its currency for good",
    "erased": "this tenant was erased: its terms count under its pseudonym; a customer who returns needs a new id",
}


class ContractNote(NamedTuple):
    """A warning: what of new terms has no effect, or is probably misspelled. `value` is what stays, or that; or
    empty."""

    code: NoteCode
    value: str = ""

    @property
    def text(self) -> str:
        """In English."""
        return _NOTES[self.code].format(value=self.value)


class ContractChange(NamedTuple):
    """One fact to publish. `before` are the terms that it replaces: for a correction those of the same `valid_from`,
    for new terms those in force at that instant; None where there are none. `notes` are warnings."""

    row: ContractRow
    kind: Kind
    before: Contract | None
    event: Mapping[str, object]
    notes: tuple[ContractNote, ...]


class ContractDifference(NamedTuple):
    """Facts to publish, the number of rows that are known already, and of tenants that the file does not name.
    `same_tenants` are those of the file of which nothing changes, in order."""

    changes: list[ContractChange]
    unchanged: int
    not_in_file: int
    same_tenants: tuple[str, ...] = ()


def difference(
    rows: Sequence[ContractRow], known: ContractLog, source: str, now: int, *, tenants: int | None = None
) -> ContractDifference:
    """The facts to publish so that the rows are in force. Nothing is removed: terms that the file does not name remain.

    An id follows from the terms, their source and the fact they correct, so the same import again is no second fact,
    and a correction that is later undone is a third one. `now` (microseconds) is when the facts happen; those of one
    tenant happen one after another, for zone and currency are those of the earliest. Where `known` has the tenants of
    the rows alone, `tenants` is how many there are.
    """
    changes: list[ContractChange] = []
    unchanged = 0
    ordered = sorted(rows, key=lambda row: (row.tenant, row.terms.valid_from))
    for tenant, asked in groupby(ordered, key=lambda row: row.tenant):
        history = ContractHistory()
        for contract in known.contracts.get(tenant, ()):
            history.add(contract)
        # Of one `valid_from` the last in the order of precedence counts, which is the order of a history.
        counting = {contract.valid_from: contract for contract in history}
        at = now
        for row in asked:
            standing = counting.get(row.terms.valid_from)
            if standing is not None and terms_of(standing) == row.terms:
                unchanged += 1
                continue
            # A correction must be later than the fact it corrects, also when that came from a clock that is ahead.
            at = at if standing is None else max(at, standing.time + 1)
            change = _change(row, history, standing, source, at, erased=tenant in known.erased)
            counting[row.terms.valid_from] = contract = Contract.of(checked_record(change.event).event, _NOWHERE)
            history.add(contract)
            changes.append(change)
            at += 1
    in_file = known.contracts.keys() & {row.tenant for row in rows}
    not_in_file = (len(known.contracts) if tenants is None else tenants) - len(in_file)
    changed = {change.row.tenant for change in changes}
    same = dict.fromkeys(row.tenant for row in ordered if row.tenant not in changed)
    return ContractDifference(changes, unchanged, not_in_file, tuple(same))


def terms_of(contract: Contract) -> ContractSet:
    """The terms of a contract fact."""
    return ContractSet(
        contract.valid_from,
        contract.valid_to,
        contract.plan,
        contract.charge,
        contract.tier,
        contract.time_zone,
        contract.emergency_member,
    )


def fact_id(*parts: object) -> str:
    """UUIDv5 of a fact's content."""
    return str(uuid.uuid5(NAMESPACE, json.dumps(parts)))


def _change(
    row: ContractRow, history: ContractHistory, standing: Contract | None, source: str, at: int, *, erased: bool
) -> ContractChange:
    kind: Kind = "corrected" if standing is not None else "new terms" if len(history) else "new tenant"
    event = {
        "specversion": "1.0",
        "id": fact_id("contract.set", source, row.tenant, row.terms, standing and standing.id),
        "type": "contract.set",
        "source": source,
        "subject": row.tenant,
        "time": format_rfc3339(at),
        "data": row.data,
    }
    before = standing or history.at(row.terms.valid_from)
    return ContractChange(row, kind, before, event, tuple(_notes(row, history, erased=erased)))


def _notes(row: ContractRow, history: ContractHistory, *, erased: bool) -> Iterator[ContractNote]:
    """R24: zone and currency are those of the tenant's earliest fact, so a mistake there stays. R29: an erased tenant
    stays erased."""
    if len(history):
        zone, charge = row.terms.time_zone, row.terms.monthly_charge
        if zone is not None and zone != history.zone:
            yield ContractNote("zone_stays", history.zone)
        if charge.currency != history.currency:
            yield ContractNote("currency_stays", history.currency)
    elif not is_currency(row.terms.monthly_charge.currency):
        yield ContractNote("currency_unknown", row.terms.monthly_charge.currency)
    if erased:
        yield ContractNote("erased")

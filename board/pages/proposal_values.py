"""The values of a proposal and of its effect as its page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from board.pages.state_changes import shown_changes
from board.proposals.proposal import Proposal
from board.viewer import Viewer
from connect.actions.catalogue import ACTIONS
from connect.actions.outcome import FieldChange
from connect.actions.texts import labels_of
from streams.i18n.catalogues import Language
from streams.sla.instants import SECOND, parse_rfc3339

#: Pairs of currency and minor units, without zeros.
_Amounts = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ShownValue:
    """A value with its label: an instant in microseconds, or a text."""

    label: str
    text: str
    instant: int | None


@dataclass(frozen=True, slots=True)
class ShownBreach:
    """A breach; the deadline in microseconds."""

    metric: str
    instance: int
    severity: str
    deadline: int


@dataclass(frozen=True, slots=True)
class ShownTerms:
    """A month as it is or would be: downtime in microseconds, the credit in minor units."""

    downtime: int
    availability: str
    guarantee_met: bool
    credit: int


@dataclass(frozen=True, slots=True)
class ShownMonth:
    """A tenant's month before and after. In minor units: what is `issued` so far, what is issued or can be claimed
    `more`, and what was issued and is not collected back."""

    tenant: str
    month: str
    currency: str
    final: bool
    before: ShownTerms
    after: ShownTerms
    issued: int
    more: int
    not_collected: int


@dataclass(frozen=True, slots=True)
class EffectView:
    """What a proposal changes. `rejection` is why the workers would reject it: code and message; `changes` are fields
    of the incident with their values. `credits` are differences in minor units by currency; `payments` say what was
    issued for the months and what follows, by the names of `board.proposals.issued`, and are empty where that is not
    known or nothing. `adjusted_after` has the microseconds after which the statements of final months follow."""

    rejection: tuple[str, str] | None
    events: int
    gone: tuple[ShownBreach, ...]
    new: tuple[ShownBreach, ...]
    gone_in_total: int
    new_in_total: int
    changes: tuple[tuple[str, str, str], ...]
    months: tuple[ShownMonth, ...]
    more_months: int
    credits: _Amounts
    payments: tuple[tuple[str, _Amounts], ...]
    adjusted_after: tuple[int, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.gone or self.new or self.changes or self.months)


def proposed_values(proposal: Proposal, language: Language) -> list[ShownValue]:
    """The fields of the form that were filled."""
    proposed = proposal.proposed
    labels = labels_of(proposed.action, language)
    return list(_values(proposed.form, proposed.action, labels.fields, labels.choices))


def effect_view(data: Mapping[str, Any], seen_by: Viewer) -> EffectView:
    """A stored effect in the language and the zone of the viewer."""
    rejection, breaches = data["rejection"], data["breaches"]
    return EffectView(
        rejection=None if rejection is None else (rejection["code"], rejection["message"]),
        events=data["events"],
        gone=tuple(map(_breach, data["breaches_gone"])),
        new=tuple(map(_breach, data["breaches_new"])),
        gone_in_total=breaches["gone"],
        new_in_total=breaches["new"],
        changes=shown_changes(
            (FieldChange(each["field"], each["before"], each["after"]) for each in data["changes"]), seen_by
        ),
        months=tuple(map(_month, data["months"])),
        more_months=data["months_changed"] - len(data["months"]),
        credits=_amounts(data["credit_change"]),
        payments=tuple(_payments(data)),
        adjusted_after=tuple(
            sorted({round(each.get("adjust_after_s", 0) * SECOND) for each in data["months"] if each["final"]} - {0})
        ),
    )


def _payments(data: Mapping[str, Any]) -> Iterator[tuple[str, _Amounts]]:
    totals = {name: _amounts(data.get(name, {})) for name in ("issued", "to_issue", "to_claim", "not_collected")}
    if any(totals.values()):
        yield from ((name, amounts) for name, amounts in totals.items() if amounts or name != "to_claim")


def _amounts(totals: Mapping[str, int]) -> _Amounts:
    return tuple(sorted((name, amount) for name, amount in totals.items() if amount))


def _values(
    form: Mapping[str, str | list[str]], action: str, labels: Mapping[str, str], choices: Mapping[str, str]
) -> Iterator[ShownValue]:
    for field in ACTIONS[action].fields:
        value = form.get(field.name)
        if value is None or field.name not in labels:
            continue
        text = ", ".join(value) if isinstance(value, list) else value
        instant = parse_rfc3339(text) if field.kind == "instant" else None
        yield ShownValue(labels[field.name], choices.get(text, text) if field.choices else text, instant)


def _breach(data: Mapping[str, Any]) -> ShownBreach:
    return ShownBreach(data["metric"], data["instance"], data["severity"], parse_rfc3339(data["deadline"]))


def _month(data: Mapping[str, Any]) -> ShownMonth:
    def terms(side: Mapping[str, Any]) -> ShownTerms:
        return ShownTerms(
            round(side["downtime_s"] * SECOND),
            side["availability_percent"],
            side["guarantee_met"],
            side["credit_minor"],
        )

    return ShownMonth(
        data["tenant_id"],
        data["month"],
        data["currency"],
        data["final"],
        terms(data["before"]),
        terms(data["after"]),
        data.get("issued_minor", 0),
        data.get("to_issue_minor", 0) + data.get("to_claim_minor", 0),
        data.get("not_collected_minor", 0),
    )

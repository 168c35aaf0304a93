"""The times in any JSON body, as the rules of a mapping find them."""

from __future__ import annotations

from typing import NamedTuple

from connect.intake.mapping.body_rules import TimeRule
from connect.intake.mapping.matching import quoted
from connect.intake.mapping.paths import lookup
from connect.written_times import ReadTime


class NoTime(NamedTuple):
    """The body has no time at a path; `reason` says whether it is absent, or what it says instead."""

    reason: str


def time_at(rule: TimeRule, view: object, received_at: int | None) -> ReadTime | NoTime:
    """The time that a rule finds. Raises ValueError saying what is wrong with the one that the body has."""
    if rule.path is None:
        if received_at is None:
            raise ValueError("the time of receipt is not known here")
        return ReadTime(received_at)
    texts = lookup(view, rule.path)
    if not texts:
        return NoTime(f"{rule.path} is absent")
    try:
        found = rule.reader.read(texts[0])
    except ValueError as error:
        raise ValueError(f"{rule.path} is {quoted(texts[0])}, which is {error}") from None
    if found is None:
        return NoTime(f"{rule.path} is {quoted(texts[0])}, which means no time")
    return found._replace(note=f"{rule.path}: {found.note}") if found.note else found

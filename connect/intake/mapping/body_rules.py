"""Where things are in any JSON body, by the rules of a mapping file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connect.intake.mapping.mapping_rule import MappingRule, paths_of
from connect.intake.mapping.paths import FieldPath
from connect.written_times import TimeReader

#: What a message may mean for its incident, as the key `state` names it; several are separated by `, `.
OPENED, UPDATED, RESOLVED, REOPENED, RECLASSIFIED = "opened", "updated", "resolved", "reopened", "reclassified"
IGNORED, WAITING_ENDED = "ignored", "waiting_ended"
WAITING = {"waiting_customer": "customer", "waiting_third_party": "third_party"}
FACTS = (OPENED, "responded", UPDATED, "update_requested", *WAITING, WAITING_ENDED, RESOLVED, REOPENED, RECLASSIFIED)
CHANNELS = ("monitor", "phone", "ticket", "api")
AUTHORS = ("support", "customer", "monitor", "system")
VISIBILITIES = ("public", "internal")


@dataclass(frozen=True, slots=True)
class TimeRule:
    """Where a time is, and what reads it. `path` None: the time of receipt."""

    line: int
    path: FieldPath | None
    reader: TimeReader


@dataclass(frozen=True, slots=True)
class BodyRules:
    """The rules of the key `body` of a source of format json."""

    incident: tuple[MappingRule, ...]
    """Parts of the incident's id; each has to give one value."""
    state: tuple[MappingRule, ...]
    """What a message means: values of FACTS, or IGNORED."""
    items: FieldPath | None = None
    left_out: FieldPath | None = None
    message: FieldPath | None = None
    time: tuple[TimeRule, ...] = ()
    opened_at: tuple[TimeRule, ...] = ()
    resolved_at: tuple[TimeRule, ...] = ()
    ticket: FieldPath | None = None
    channel: str = CHANNELS[0]
    author: tuple[MappingRule, ...] = ()
    who: tuple[MappingRule, ...] = ()
    text: tuple[MappingRule, ...] = ()
    visibility: tuple[MappingRule, ...] = ()

    def of_receipt(self) -> bool:
        """Whether a time is that of receipt, so retries are not identical."""
        return any(each.path is None for each in (*self.time, *self.opened_at, *self.resolved_at))

    def is_one_incident_for_ever(self) -> bool:
        """Whether an outage has no id and no beginning of its own, so that all of them are one incident, which each
        message of a beginning opens or reopens."""
        return not self.opened_at and any({OPENED, REOPENED} <= set(facts_of(each)) for each in self._states())

    def paths(self) -> Iterator[FieldPath]:
        """Every path that is read."""
        times = (*self.time, *self.opened_at, *self.resolved_at)
        for path in (self.items, self.left_out, self.message, self.ticket, *(each.path for each in times)):
            if path is not None:
                yield path
        for rules in (self.incident, *self.lists().values()):
            yield from paths_of(rules)

    def lists(self) -> Mapping[str, tuple[MappingRule, ...]]:
        """The lists of rules by key, of which the first that gives a value counts."""
        return {
            "state": self.state,
            "author": self.author,
            "who": self.who,
            "text": self.text,
            "visibility": self.visibility,
        }

    def facts(self) -> Iterator[str]:
        """Every fact that a state may mean."""
        for given in self._states():
            yield from facts_of(given)

    def _states(self) -> Iterator[str]:
        for rule in self.state:
            yield from (rule.values or {}).values() if rule.value is None else [rule.value]


def facts_of(state: str) -> tuple[str, ...]:
    """The facts of a state: `opened, resolved`."""
    return tuple(state.split(", "))

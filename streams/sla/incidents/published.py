"""What has been published of an incident, as the entries that its changelog keeps (R3: outputs are the difference)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from streams.sla.incidents.classification import Classification
from streams.sla.incidents.clocks import RESOLUTION, RESPONSE, UPDATE, ClockKey

METRICS = (RESPONSE, UPDATE, RESOLUTION)
_METRIC_NUMBER = {name: number for number, name in enumerate(METRICS)}


class Kind(IntEnum):
    CLASSIFIED = 0
    BREACHED = 1
    RETRACTED = 2
    MET = 3
    NOTICED = 4
    CLOSED = 5
    IMPACTS = 6
    LINK = 7


class Entry(NamedTuple):
    """One thing that was said. `metric`, `instance` and `deadline` name a clock; `at` and `text` depend on the kind:
    the instant it was met, how many warnings were given (or 1 for a reminder), a digest, a classification."""

    kind: int
    metric: int = 0
    instance: int = 0
    deadline: int = 0
    at: int = 0
    text: str = ""

    @classmethod
    def of_clock(cls, kind: Kind, key: ClockKey, at: int = 0) -> Entry:
        return cls(kind, _METRIC_NUMBER[key.metric], key.instance, key.deadline, at)

    @property
    def key(self) -> ClockKey:
        return ClockKey(METRICS[self.metric], self.instance, self.deadline)


class PublishedState:
    """The sum of the entries so far."""

    __slots__ = (
        "breaches",
        "classified",
        "closed",
        "impacts",
        "impacts_revision",
        "judged",
        "link",
        "link_revision",
        "mets",
        "notices",
    )

    def __init__(self) -> None:
        self.classified = ""
        self.breaches: dict[ClockKey, None] = {}
        self.mets: dict[tuple[str, int], tuple[int, int]] = {}
        self.judged: set[tuple[str, int]] = set()
        self.notices: dict[ClockKey, int] = {}
        self.closed = ""
        self.impacts = ""
        self.impacts_revision = 0
        self.link = ""
        self.link_revision = 0

    def add(self, entry: Entry) -> None:
        """Take one entry in, when it is said or when it is restored."""
        match entry.kind:
            case Kind.BREACHED:
                self.breaches[entry.key] = None
                self.judged.add(entry.key[:2])
            case Kind.RETRACTED:
                self.breaches.pop(entry.key, None)
            case Kind.MET:
                self.mets[entry.key[:2]] = (entry.deadline, entry.at)
                self.judged.add(entry.key[:2])
            case Kind.NOTICED:
                self._notice(entry.key, entry.at)
            case Kind.CLASSIFIED:
                self.classified = entry.text
            case Kind.CLOSED:
                self.closed = entry.text
            case Kind.IMPACTS:
                self.impacts = entry.text
                self.impacts_revision = entry.at
            case Kind.LINK:
                self.link = entry.text
                self.link_revision = entry.at

    def entries(self) -> list[Entry]:
        """The fewest entries that add up to this."""
        given = [Entry.of_clock(Kind.BREACHED, key) for key in self.breaches]
        given += [
            Entry(Kind.MET, _METRIC_NUMBER[metric], instance, deadline, at)
            for (metric, instance), (deadline, at) in self.mets.items()
        ]
        for metric, instance in sorted(self.judged - {key[:2] for key in self.breaches} - self.mets.keys()):
            # A verdict that was taken back: of which deadline is of no account any more.
            undone = ClockKey(metric, instance, 0)
            given += [Entry.of_clock(Kind.BREACHED, undone), Entry.of_clock(Kind.RETRACTED, undone)]
        given += [Entry.of_clock(Kind.NOTICED, key, count) for key, count in self.notices.items()]
        given += [
            Entry(Kind.CLASSIFIED, text=self.classified),
            Entry(Kind.CLOSED, text=self.closed),
            Entry(Kind.IMPACTS, at=self.impacts_revision, text=self.impacts),
            Entry(Kind.LINK, at=self.link_revision, text=self.link),
        ]
        return given

    def _notice(self, key: ClockKey, count: int) -> None:
        for old in [k for k in self.notices if k.metric == key.metric and k.instance < key.instance]:
            del self.notices[old]
        self.notices[key] = count


def classified_entry(decided: Classification, basis: str) -> Entry:
    """`basis` names the policy and the flags: they come out anew when a late contract fact changes them."""
    text = f"{decided.severity}|{int(decided.covered)}|{int(decided.counts_as_downtime)}|{basis}"
    return Entry(Kind.CLASSIFIED, text=text)

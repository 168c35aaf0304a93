"""What has been published of an incident, as the entries of its changelog (R3: outputs are the difference)."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from streams.sla.incidents.clocks import ClockKey


class ClassificationEntry(NamedTuple):
    """`incident.classified` was published. `basis` names the policy and the flags: they are published anew when a late
    contract fact changes them (R20)."""

    severity: str
    covered: bool
    counts_as_downtime: bool
    basis: str

    def same_verdict(self, other: ClassificationEntry) -> bool:
        """Whether both have the same result, whatever its basis."""
        return self[:3] == other[:3]


class BreachEntry(NamedTuple):
    """`sla.breached` was published of a clock."""

    key: ClockKey


class RetractionEntry(NamedTuple):
    """`sla.breach_retracted` was published of a clock."""

    key: ClockKey


class MetEntry(NamedTuple):
    """`sla.met` was published of a clock; `at` is the instant it was met."""

    key: ClockKey
    at: int


class NoticeEntry(NamedTuple):
    """Warnings or a reminder were published of a clock: the first `number` thresholds, or 1 for a reminder."""

    key: ClockKey
    number: int


class ClosingEntry(NamedTuple):
    """`incident.closed` was published, of the ending with this digest; None once that ending no longer stands."""

    digest: str | None


class ImpactsEntry(NamedTuple):
    """`impact.changed` was published, of the impact list with this digest."""

    revision: int
    digest: str


class LinkEntry(NamedTuple):
    """`incident.link_changed` was published: merged into this incident, or into none (R16)."""

    revision: int
    into: str | None


PublishedEntry = (
    ClassificationEntry
    | BreachEntry
    | RetractionEntry
    | MetEntry
    | NoticeEntry
    | ClosingEntry
    | ImpactsEntry
    | LinkEntry
)


class PublishedState:
    """The state after the entries so far."""

    __slots__ = ("breaches", "classification", "closing", "impacts", "judged", "link", "mets", "notices")

    def __init__(self) -> None:
        self.classification: ClassificationEntry | None = None
        self.breaches: dict[ClockKey, None] = {}
        """Breaches that stand."""
        self.mets: dict[tuple[str, int], tuple[int, int]] = {}
        """(metric, instance) → (deadline, instant it was met)."""
        self.judged: set[tuple[str, int]] = set()
        """(metric, instance) of every clock that a verdict was published of, standing or not."""
        self.notices: dict[ClockKey, int] = {}
        self.closing = ClosingEntry(None)
        self.impacts = ImpactsEntry(0, "")
        self.link = LinkEntry(0, None)

    def add(self, entry: PublishedEntry) -> None:
        """Take in one entry, when it is published or when it is restored."""
        match entry:
            case MetEntry():
                self.mets[entry.key[:2]] = (entry.key.deadline, entry.at)
                self.judged.add(entry.key[:2])
            case ImpactsEntry():
                self.impacts = entry
            case ClassificationEntry():
                self.classification = entry
            case NoticeEntry():
                self._add_notice(entry.key, entry.number)
            case BreachEntry():
                self.breaches[entry.key] = None
                self.judged.add(entry.key[:2])
            case RetractionEntry():
                self.breaches.pop(entry.key, None)
            case ClosingEntry():
                self.closing = entry
            case LinkEntry():
                self.link = entry
            case _:
                assert_never(entry)

    def entries(self) -> list[PublishedEntry]:
        """The fewest entries that lead to this state."""
        found: list[PublishedEntry] = [BreachEntry(key) for key in self.breaches]
        found += [
            MetEntry(ClockKey(metric, instance, deadline), at)
            for (metric, instance), (deadline, at) in self.mets.items()
        ]
        for metric, instance in sorted(self.judged - {key[:2] for key in self.breaches} - self.mets.keys()):
            # A retracted verdict, whose deadline no longer matters.
            retracted = ClockKey(metric, instance, 0)
            found += [BreachEntry(retracted), RetractionEntry(retracted)]
        found += [NoticeEntry(key, number) for key, number in self.notices.items()]
        if self.classification is not None:
            found.append(self.classification)
        found += [self.closing, self.impacts, self.link]
        return found

    def _add_notice(self, key: ClockKey, number: int) -> None:
        for old in [k for k in self.notices if k.metric == key.metric and k.instance < key.instance]:
            del self.notices[old]
        self.notices[key] = number

"""What follows from the rows of one partition: which monitors are silent, and what has to be published. Pure.

Time is that of the rows, which the broker's clock stamps. So every intake that reads a partition comes to the same
decisions with the same instants, whatever its own clock shows and however late it reads.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from connect.intake.heartbeats.rows import BeatRow, ForgottenRow, Gap, MonitorId, Row, SilenceRow, WatermarkRow
from connect.intake.mapping.monitors import MonitorRule
from streams.sla.instants import SECOND

#: Intakes write a row at least every two seconds; longer spans without any row are absences.
SHORTEST_GAP = 6 * SECOND
_MAX_GAPS = 100
_MAX_FORGOTTEN = 64


@dataclass(slots=True)
class Silence:
    """A silence of which something has to be published: its opening, unless it `was_opened`, then its end, if it has
    ended. Instants are in microseconds since 1970; `after` is the heartbeat before the silence."""

    monitor: MonitorId
    after: int
    missed_at: int
    ended_at: int | None = None
    was_opened: bool = False
    first_hand: bool = False
    """Whether this process wrote the row that showed it: it publishes at once, the others only if it does not."""
    not_before: float | None = None
    """When to publish it next, by the clock of the publishing loop; None: that has not seen it yet."""
    unmapped: bool = False
    """Whether the mapping in force makes no incident of it."""


@dataclass(slots=True)
class _Monitor:
    last: int
    silence: Silence | None = None
    ended_after: int = -1
    """The heartbeat before the newest silence that has ended."""


class SilenceDetector:
    """The state after the rows that were applied. `rule_of` gives the rule of a monitor; None: it is not watched.

    Where compaction has removed rows, there are spans without rows, and silences, that never were. So what was found
    before such a place is dropped, and silences are found from the next watermark on: it contains the true absences.
    The broker compacts nothing in its open segment. So whoever reads the topic again, after a crash at any moment,
    finds the same silences again, also those that have ended meanwhile.
    """

    def __init__(self, rule_of: Callable[[MonitorId], MonitorRule | None], shortest_gap: int = SHORTEST_GAP) -> None:
        self.time = 0
        """Timestamp of the newest row."""
        self.gaps: list[Gap] = []
        self.unpublished: dict[tuple[MonitorId, int], Silence] = {}
        """What has to be published, by monitor and `after`."""
        self.monitors_of: Counter[str] = Counter()
        """Monitors that were heard and not deleted, by source."""
        self.silence_count = 0
        """Monitors whose incident has not ended."""
        self.live = False
        """Whether all rows that there were at the start have been applied."""
        self._next_offset = 0
        self._complete = False
        """Whether no row since the last watermark is missing."""
        self._rule_of = rule_of
        self._shortest_gap = shortest_gap
        self._monitors: dict[MonitorId, _Monitor] = {}
        self._due: list[tuple[int, MonitorId]] = []
        """A heap of the earliest instants at which monitors can be silent, at most one of each name. Those of deleted
        monitors are removed before they are more than the others."""
        self._queued: set[MonitorId] = set()
        """The names in it."""
        self._rules_changed = False
        """Whether it has to be made anew."""

    def __contains__(self, monitor: MonitorId) -> bool:
        return monitor in self._monitors

    def silences(self) -> Sequence[Silence]:
        """The silences that have not ended."""
        return [each.silence for each in self._monitors.values() if each.silence is not None]

    def apply(self, row: Row | None, at: int, offset: int, *, own: bool = False) -> Iterator[None]:
        """The next row with its timestamp and offset; None: one without a meaning. `own`: this process wrote it. In
        small steps, as thousands of monitors may be silent at once: other rows follow after the last."""
        if self._rules_changed:
            yield from self._make_queue()
        if offset != self._next_offset:
            self._compacted()
        self._next_offset = offset + 1
        before, self.time = self.time, max(at, self.time)
        if before and self.time - before > self._shortest_gap:
            self._add_gap(Gap(before, self.time))
        if isinstance(row, WatermarkRow) and not self._complete:
            later = [Gap(max(gap.start, row.through), gap.end) for gap in self.gaps if gap.end > row.through]
            self.gaps = [*row.gaps, *(gap for gap in later if gap.end - gap.start > self._shortest_gap)]
            self._complete = True
            yield from self._make_queue()
        if self._complete:
            yield from self._find_silences(own=own)
        if isinstance(row, BeatRow):
            self._beat(row.monitor, own=own)
        elif isinstance(row, ForgottenRow):
            self._forget(row.monitor)
        elif isinstance(row, SilenceRow):
            self._published(row)

    def caught_up(self) -> None:
        """All rows that there were at the start have been applied: what is found is to be published."""
        self.live = True
        if not self._complete:  # a new topic: nobody has written a watermark yet
            self._complete = self._rules_changed = True

    def watch_again(self) -> None:
        """The rules have changed: what follows from that is found with the next row."""
        self._rules_changed = self._complete

    def _make_queue(self) -> Iterator[None]:
        """Queue every monitor that is watched as if it were due: what it is due at is found with the silences."""
        self._rules_changed, due = False, []
        for name, monitor in self._monitors.items():
            if monitor.silence is None and self._rule_of(name) is not None:
                due.append((monitor.last, name))
            yield
        self._queue_all(due)

    def _compacted(self) -> None:
        """Rows are missing before the next one."""
        if not self._complete:
            return
        self._complete = False
        self.unpublished = {key: silence for key, silence in self.unpublished.items() if silence.was_opened}
        for monitor in self._monitors.values():
            if monitor.silence is not None and not monitor.silence.was_opened:
                monitor.silence = None
                self.silence_count -= 1

    def watermark(self) -> WatermarkRow:
        """What a watermark says now."""
        return WatermarkRow(self.time, tuple(self.gaps))

    def _beat(self, name: MonitorId, *, own: bool) -> None:
        monitor = self._monitors.get(name)
        if monitor is None:
            monitor = self._monitors[name] = _Monitor(self.time)
            self.monitors_of[name.source] += 1
        monitor.last = self.time
        self._end_silence(name, monitor, own=own)
        if self._complete and name not in self._queued and (rule := self._rule_of(name)) is not None:
            self._queue(self.time + rule.every + rule.grace, name)

    def _forget(self, name: MonitorId) -> None:
        monitor = self._monitors.pop(name, None)
        if monitor is not None:
            self.monitors_of[name.source] -= 1
            self._end_silence(name, monitor, own=False)
            if len(self._due) > 2 * len(self._monitors) + _MAX_FORGOTTEN:
                self._queue_all(each for each in self._due if each[1] in self._monitors)

    def _end_silence(self, name: MonitorId, monitor: _Monitor, *, own: bool) -> None:
        silence = monitor.silence
        if silence is not None:
            monitor.silence, monitor.ended_after = None, silence.after
            self.silence_count -= 1
            silence.ended_at, silence.first_hand, silence.not_before = self.time, own, None
            self.unpublished[name, silence.after] = silence

    def _published(self, row: SilenceRow) -> None:
        name, key = row.monitor, (row.monitor, row.after)
        monitor = self._monitors.get(name)
        if monitor is None and (row.ended or key in self.unpublished):  # forgotten meanwhile
            if row.ended:
                self.unpublished.pop(key, None)
            else:
                self.unpublished[key].was_opened = True
            return
        if monitor is None:
            monitor = self._monitors[name] = _Monitor(row.after)
            self.monitors_of[name.source] += 1
        if row.ended:
            self.unpublished.pop(key, None)
            monitor.ended_after = max(monitor.ended_after, row.after)
            if monitor.silence is not None and monitor.silence.after <= row.after:
                monitor.silence = None
                self.silence_count -= 1
            return
        silence = self.unpublished.get(key)
        if silence is not None:
            silence.was_opened = True
            if silence.ended_at is None:
                del self.unpublished[key]
        elif row.after > monitor.ended_after and (monitor.silence is None or monitor.silence.after < row.after):
            self._adopt(row, monitor)

    def _adopt(self, row: SilenceRow, monitor: _Monitor) -> None:
        """A silence that another process published, and that this one has not found."""
        if monitor.silence is not None:
            self.silence_count -= 1
        silence = Silence(row.monitor, row.after, row.missed_at, was_opened=True)
        if monitor.last > row.after:
            silence.ended_at, monitor.silence, monitor.ended_after = monitor.last, None, row.after
            self.unpublished[row.monitor, row.after] = silence
        else:
            monitor.silence = silence
            self.silence_count += 1

    def _find_silences(self, *, own: bool) -> Iterator[None]:
        while self._due and self._due[0][0] < self.time:
            yield
            _, name = heapq.heappop(self._due)
            self._queued.discard(name)
            monitor, rule = self._monitors.get(name), self._rule_of(name)
            if monitor is None or rule is None or monitor.silence is not None:
                continue
            missed_at = silence_begins(monitor.last, rule, self.gaps)
            if missed_at >= self.time:
                self._queue(missed_at, name)
                continue
            silence = Silence(name, monitor.last, missed_at, first_hand=own)
            monitor.silence = self.unpublished[name, silence.after] = silence
            self.silence_count += 1

    def _queue(self, due: int, name: MonitorId) -> None:
        heapq.heappush(self._due, (due, name))
        self._queued.add(name)

    def _queue_all(self, due: Iterable[tuple[int, MonitorId]]) -> None:
        self._due = list(due)
        heapq.heapify(self._due)
        self._queued = {name for _, name in self._due}

    def _add_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)
        if len(self.gaps) > _MAX_GAPS:  # the span between the two oldest counts as an absence too
            first, second = self.gaps[:2]
            self.gaps[:2] = [Gap(first.start, second.end)]


def silence_begins(last: int, rule: MonitorRule, gaps: Sequence[Gap]) -> int:
    """The instant from which a monitor that was last heard at `last` is silent.

    That is `every` and `grace` later. A span in which nobody listened does not count. Once such spans add up to more
    than `grace`, a heartbeat may have been lost in them, so the monitor has the whole time again from their end.
    """
    start, away = last, 0
    for gap in gaps:
        if gap.end <= start:
            continue
        if gap.start > start + rule.every + rule.grace + away:
            break
        away += gap.end - max(gap.start, start)
        if away > rule.grace:
            start, away = gap.end, 0
    return start + rule.every + rule.grace + away

"""Half-open intervals of time: union, intersection, difference, measure (R21–R23)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import merge
from itertools import islice
from typing import NamedTuple

from streams.sla.credits.work_steps import Steps

_UNITED_PER_STEP = 5_000
"""Intervals that `union_steps` sorts or unites in one step: a few milliseconds."""


class Interval(NamedTuple):
    """[start, end) in microseconds."""

    start: int
    end: int


Intervals = Sequence[Interval]
"""Disjoint, not touching, ascending: what `union` returns and the other operations take."""


def union(intervals: Iterable[tuple[int, int]]) -> list[Interval]:
    """The disjoint intervals that cover the same instants; no second is counted twice (R22)."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1].end:
            if end > merged[-1].end:
                merged[-1] = Interval(merged[-1].start, end)
        else:
            merged.append(Interval(start, end))
    return merged


def union_steps(intervals: Sequence[tuple[int, int]]) -> Steps[list[Interval]]:
    """`union` in steps."""
    runs = []
    for first in range(0, len(intervals), _UNITED_PER_STEP):
        runs.append(sorted(intervals[first : first + _UNITED_PER_STEP]))
        yield
    merged: list[Interval] = []
    ascending = merge(*runs)
    while some := list(islice(ascending, _UNITED_PER_STEP)):
        last = merged[-1:]
        del merged[-1:]
        merged += union([*last, *some])
        yield
    return merged


def intersect(left: Intervals, right: Intervals) -> list[Interval]:
    found = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i].start, right[j].start), min(left[i].end, right[j].end)
        if start < end:
            found.append(Interval(start, end))
        if left[i].end <= right[j].end:
            i += 1
        else:
            j += 1
    return found


def subtract(left: Intervals, right: Intervals) -> list[Interval]:
    """The instants of `left` that are not in `right`."""
    found = []
    j = 0
    for start, end in left:
        while j < len(right) and right[j].end <= start:
            j += 1
        k = j
        while k < len(right) and right[k].start < end:
            if start < right[k].start:
                found.append(Interval(start, right[k].start))
            start = right[k].end
            k += 1
        if start < end:
            found.append(Interval(start, end))
    return found


def measure(intervals: Intervals) -> int:
    """Microseconds covered."""
    return sum(end - start for start, end in intervals)

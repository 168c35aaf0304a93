"""From what the broker said while a contender ran to its speed: pure arithmetic."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_LEAST_STEPS = 10
_LEAST_S = 1.0


class Sample(NamedTuple):
    """One look at the broker: seconds on a steady clock, offsets committed by the group, last stable offsets."""

    at: float
    committed: int
    stable: tuple[int, ...]
    """Of each partition of the output; empty where there is none."""


class Throughput(NamedTuple):
    """What a run gives."""

    rate: float
    """Events a second."""
    drift: float
    """The speed of the second half beside the first: far from 1, the run was too short to have settled."""


class RunFailed(Exception):  # noqa: N818 -- it names what happened
    """A run gave no figure; its text says why."""


def visible(samples: Iterable[Sample], offsets: Sequence[Sequence[int]]) -> list[tuple[float, int]]:
    """How many outputs a read_committed reader could see at each sample; `offsets`: of every output, by partition.

    The last stable offset alone would not do: markers of transactions take offsets too.
    """
    return [
        (
            sample.at,
            sum(bisect_left(found, stable) for found, stable in zip(offsets, sample.stable, strict=True)),
        )
        for sample in samples
    ]


def throughput(points: Sequence[tuple[float, int]], events: int, warm: float) -> Throughput:
    """The speed between the share `warm` of all events and the same share before the end. All must have come.

    Both ends lie at commits that were seen and in the midst of the work: at the first commit more is under way than at
    the last, which would flatter whoever commits seldom. Raises RunFailed when something is missing, and when the run
    was too short for a figure: with a handful of commits they may all come at once after the work has been done.
    """
    if not points or points[-1][1] < events:
        raise RunFailed(f"only {points[-1][1] if points else 0:,} of {events:,} events became visible")
    start, middle, end = (
        next(point for point in points if point[1] >= share * events) for share in (warm, 0.5, 1.0 - warm)
    )
    steps = len({count for _, count in points if start[1] < count <= end[1]})
    if steps < _LEAST_STEPS or end[0] - start[0] < _LEAST_S or not start[1] < middle[1] < end[1]:
        raise RunFailed(
            f"{events:,} events are too few: the clock ran for {end[0] - start[0]:.1f} s and saw {steps} steps"
        )
    return Throughput(_rate(start, end), _rate(middle, end) / _rate(start, middle))


def _rate(start: tuple[float, int], end: tuple[float, int]) -> float:
    return (end[1] - start[1]) / (end[0] - start[0])

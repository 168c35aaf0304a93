"""R22, R23: unions, intersections and differences of intervals, against a grid of single instants."""

from __future__ import annotations

from itertools import pairwise
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from streams.sla.credits import intervals
from streams.sla.credits.intervals import Interval, intersect, measure, subtract, union, union_steps
from streams.sla.credits.work_steps import finish

GRID = range(48)
SPANS = st.lists(st.tuples(st.sampled_from(GRID), st.sampled_from(GRID)), max_size=12)


def grid(spans: list[Interval] | list[tuple[int, int]]) -> set[int]:
    return {instant for start, end in spans for instant in range(start, end)}


def is_normal(spans: list[Interval]) -> bool:
    """Ascending, not empty, not touching."""
    return all(s.start < s.end for s in spans) and all(a.end < b.start for a, b in pairwise(spans))


@given(SPANS, SPANS)
def test_interval_algebra(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    left, right = union(first), union(second)
    assert grid(left) == grid(first)
    assert is_normal(left)
    assert measure(left) == len(grid(first))
    for found, expected in (
        (intersect(left, right), grid(left) & grid(right)),
        (subtract(left, right), grid(left) - grid(right)),
        (union([*left, *right]), grid(left) | grid(right)),
    ):
        assert grid(found) == expected
        assert measure(found) == len(expected)
    assert is_normal(union(first + second))


@given(SPANS, st.integers(1, 5))
def test_a_union_in_steps_is_the_union(spans: list[tuple[int, int]], each: int) -> None:
    with patch.object(intervals, "_UNITED_PER_STEP", each):
        assert finish(union_steps(spans)) == union(spans)

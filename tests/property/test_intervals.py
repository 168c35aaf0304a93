"""R22, R23: unions, intersections and differences of intervals, against a grid of single instants."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streams.sla.credits.intervals import Interval, intersect, measure, subtract, union

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

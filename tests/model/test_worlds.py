"""The strategy draws every corner that the rules have: each feature in about one of twenty histories or more."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from features import FEATURES, RARE, features
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from plans import plans
from slow import expected
from slow_time import MICROS
from worlds import BASES, World, arrivals, by_meaning, worlds

COUNTING = settings(
    max_examples=10, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def test_every_feature_is_drawn_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same histories in every run; a feature that became rare is named, with its share. Hypothesis would also draw
    numbers that it finds in the product's code: other histories after each change of it, and in each directory."""
    monkeypatch.setattr(providers, "_get_local_constants", Constants)
    found: Counter[str] = Counter()

    def count(world: World, data: st.DataObject) -> None:
        policies = plans(world.base)
        arrived = data.draw(arrivals(by_meaning(world.lines)))
        told = expected(world.lines, policies, world.until // MICROS)
        found.update(["histories", *features(world, arrived, policies, told)])

    for day, turn in product(BASES, range(2)):
        seed(f"{day} {turn}")(COUNTING(given(worlds(day), st.data())(count)))()
    shares = {name: found[name] / found["histories"] for name in FEATURES}
    assert {name: round(share, 3) for name, share in shares.items() if share < RARE} == {}

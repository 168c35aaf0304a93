"""Short fault scenarios of hostile input, apart from test_faults.py so that two processes share them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import line_of
from tests.faults.scenarios import SCENARIOS

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]


@pytest.mark.parametrize(
    "name", ["compressed", "two-deployments", "deployments-at-once", "topic-recreated", "alien-records"]
)
def test_what_somebody_may_do_to_the_topics(name: str, tmp_path: Path) -> None:
    result = SCENARIOS[name](name, 1, tmp_path, True)
    print(line_of(result))
    assert result.problems == []
    assert result.faults

"""A short version of `make chaos`: a few faults of a kind on a real broker, judged by the whole oracle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import line_of
from tests.faults.scenarios import SCENARIOS

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]


@pytest.mark.parametrize("name", ["kill-at-random"])
def test_a_few_faults_of_a_kind(name: str, tmp_path: Path) -> None:
    result = SCENARIOS[name](name, 1, tmp_path, True)
    print(line_of(result))
    assert result.problems == []
    assert result.faults
    assert result.counts["inputs"] > 2_000

"""Short fault scenarios of hostile input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import line_of
from tests.faults.hostile import Step, alien_records, compressed, hostile, topic_recreated, two_deployments

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([compressed], id="compressed"),
        pytest.param([two_deployments, alien_records, topic_recreated], id="one after another"),
    ],
)
def test_what_somebody_may_do_to_the_topics(steps: list[Step], tmp_path: Path) -> None:
    result = hostile(*steps)("hostile", 1, tmp_path, True)
    print(line_of(result))
    assert result.problems == []
    assert len(result.faults) >= len(steps)

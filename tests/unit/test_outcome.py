"""What a reader of outputs makes of them: a breach that is said, taken back and said again is the same one (R3)."""

from __future__ import annotations

import pytest

from cli.replay.outcome import outcome_of

BREACHED = {
    "id": "b",
    "type": "sla.breached",
    "subject": "inc-1",
    "data": {"metric": "update", "instance": 2, "deadline": "2026-03-02T10:00:00Z"},
}
RETRACTED = {"id": "r", "type": "sla.breach_retracted", "subject": "inc-1", "data": {"breach_id": "b"}}


@pytest.mark.parametrize("turns", range(1, 5))
@pytest.mark.parametrize("last", [BREACHED, RETRACTED])
def test_the_last_word_on_a_breach_counts(turns: int, last: dict[str, object]) -> None:
    said = [BREACHED, RETRACTED] * turns
    standing = outcome_of(said + ([BREACHED] if last is BREACHED else [])).standing_breaches()
    assert standing == ([BREACHED] if last is BREACHED else [])


def test_a_repeated_word_changes_nothing() -> None:
    assert outcome_of([BREACHED, BREACHED]).standing_breaches() == [BREACHED]
    assert outcome_of([BREACHED, RETRACTED, RETRACTED]).standing_breaches() == []
    assert outcome_of([BREACHED, BREACHED]).kinds["sla.breached"] == 1

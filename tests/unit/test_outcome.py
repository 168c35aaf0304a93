"""What a reader of outputs makes of them: a breach that is said, taken back and said again is the same one (R3)."""

from __future__ import annotations

import pytest

from cli.replay.outcome import Outcome, outcome_of

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


def met(minute: int) -> dict[str, object]:
    data = {"metric": "response", "instance": 1, "deadline": "2026-03-02T10:00:00Z", "met_at": f"09:{minute}"}
    return {"id": f"m{minute}", "type": "sla.met", "subject": "inc-1", "data": data}


def closed(verdict: str) -> dict[str, object]:
    clocks = [{"metric": "response", "instance": 1, "verdict": verdict}]
    return {"id": verdict, "type": "incident.closed", "subject": "inc-1", "data": {"clocks": clocks}}


def classified(flags: list[str]) -> dict[str, object]:
    return {"id": "-".join(flags), "type": "incident.classified", "subject": "inc-1", "data": {"flags": flags}}


def test_a_classification_that_late_evidence_brings_back_counts_again() -> None:
    """Found by a drawn history: the limit of update windows is reached, taken back and reached again."""
    outcome, limit = Outcome(), ["update_limit"]
    story = [classified([]), classified(limit), classified(limit), classified([]), classified(limit)]
    assert [outcome.add(each) for each in story] == [True, True, False, True, True]
    assert outcome.classified == {"inc-1": classified(limit)}


def test_a_verdict_that_late_evidence_brings_back_counts_again() -> None:
    outcome = Outcome()
    story = [met(10), met(10), met(20), met(10), met(10), closed("met"), closed("breached"), closed("met")]
    assert [outcome.add(each) for each in story] == [True, False, True, True, False, True, True, True]
    assert list(outcome.mets.values()) == [met(10)]
    assert outcome.closed == {"inc-1": closed("met")}
    assert outcome.kinds == {"sla.met": 2, "incident.closed": 2}

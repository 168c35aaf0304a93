"""Whatever is simulated is verified: every statement agrees with the events it was made from (R26, R30, R32)."""

from __future__ import annotations

from dataclasses import replace

from histories import LAGS, PATIENT, arriving, stories
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Line, contract, policies, texts

from streams.replay.simulate import simulate
from streams.replay.verify import ReplayedMonths, check_with_events
from streams.serde.cloudevents_json import from_json
from streams.sla.credits.submitted import SubmittedCredit, SubmittedStatement, submitted_credit, submitted_statement
from streams.sla.credits.verify import check_alone, check_id
from streams.sla.credits.verify_issued import check_credit
from streams.sla.credits.verify_revision import Months
from streams.sla.erasure import Erasures
from streams.sla.events import Rejection
from streams.sla.instants import HOUR, parse_rfc3339

END = parse_rfc3339("2026-06-20T00:00:00Z")
LIMITS = replace(PATIENT, backfill_quiet=HOUR)


def stated(lines: list[str]) -> tuple[list[SubmittedStatement], list[SubmittedCredit]]:
    found, credits = [], []
    for output in simulate(lines, policies(), until=END, time_limits=LIMITS):
        if output["type"] == "credit.statement":
            parsed = from_json(output)
            assert not isinstance(parsed, Rejection)
            found.append(submitted_statement(parsed[1], output["data"]))  # type: ignore[arg-type]
        elif output["type"] == "credit.issued":
            parsed = from_json(output)
            assert not isinstance(parsed, Rejection)
            credits.append(submitted_credit(parsed[1]))
    return found, credits


@settings(max_examples=settings.default.max_examples * 2 // 5)
@given(stories(), st.data())
def test_every_statement_that_is_simulated_is_verified(lines: list[Line], data: st.DataObject) -> None:
    if data.draw(st.booleans()):  # the earliest fact of a tenant arrives as history, and adds months before the others
        earliest = contract("2025-11-01T00:00:00Z", zone=data.draw(st.sampled_from([None, "Asia/Tokyo"])), id="early")
        at = data.draw(st.sampled_from(["2026-03-02T11:00:00Z", "2026-03-20T00:00:00Z", "2026-04-20T00:00:00Z"]))
        lines = [*lines, {**earliest, "backfill": True, "receivedtime": at}]
    lags = data.draw(st.lists(LAGS, min_size=len(lines), max_size=len(lines)))
    loaded = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=4))
    marked = [line | ({"backfill": True} if index in loaded else {}) for index, line in enumerate(lines)]
    early = [line for line in marked if "receivedtime" in line]
    arrived = arriving([line for line in marked if "receivedtime" not in line], lags[: len(marked) - len(early)])
    history = texts(sorted([*arrived, *early], key=lambda line: parse_rfc3339(str(line["receivedtime"]))))
    given_statements, credits = stated(history)
    log = ReplayedMonths(policies(), LIMITS)
    found = check_with_events(given_statements, history, log)
    assert {index: difference for index, difference in found.items() if difference is not None} == {}
    months = Months(given_statements, Erasures(LIMITS.pseudonym_key))
    alone = {index: check_alone(one, policies(), months.of(one)) for index, one in enumerate(given_statements)}
    assert {index: difference for index, difference in alone.items() if difference is not None} == {}
    assert [check_id(one) for one in given_statements if check_id(one) is not None] == []
    for one in credits:
        assert check_credit(one, months.of(one), policies(), log.expected_credits(months.of(one))) is None, one

"""Evidence that grows by one input at a time: what was made of the inputs before is not made again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from itertools import groupby
from typing import Any, cast

import pytest
from agent_harness import Cluster
from hypothesis import given
from hypothesis import strategies as st
from story import amended, contract, opened, policies

from agents.changelog.input_rows import DERIVED_LIMIT
from streams.serde.codec import decode, encode
from streams.sla.events import Position, Rejection
from streams.sla.evidence import EvidenceLog, evidence_data, positions_of
from streams.sla.impact import impact_copy
from streams.sla.instants import parse_rfc3339

TOPICS = st.sampled_from(["sla.incident-events", "sla.shared"])
positions = st.builds(Position, TOPICS, st.integers(0, 1), st.integers())
"""Of any partition, in any order, the same one twice."""


def plain(given: list[Position], most: int) -> dict[str, Any]:
    """The fields of evidence as the contract describes them."""
    records = [position._asdict() for position in given]
    if len(given) <= most:
        return {"evidence": records, "evidence_summary": None}
    ordered = sorted(given)
    text = json.dumps([each._asdict() for each in ordered], separators=(",", ":"), sort_keys=True)
    ranges = []
    for (topic, partition), group in groupby(ordered, key=lambda each: each[:2]):
        offsets = [each.offset for each in group]
        place = {"topic": topic, "partition": partition}
        ranges.append({**place, "first_offset": offsets[0], "last_offset": offsets[-1], "inputs": len(offsets)})
    summary = {"inputs": len(given), "digest": sha256(text.encode()).hexdigest(), "ranges": ranges}
    return {"evidence": [], "evidence_summary": summary}


@given(st.lists(st.lists(positions, max_size=30), max_size=6))
def test_a_log_says_after_each_addition_what_all_positions_say(parts: list[list[Position]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.sla.evidence.MAX_POSITIONS", 50)
        log, so_far, said = EvidenceLog([]), list[Position](), list[tuple[dict[str, Any], dict[str, Any]]]()
        for part in parts:
            for position in part:
                log.append(position)
            so_far += part
            said.append((log.as_data(), plain(so_far, 50)))
        assert all(found == expected for found, expected in said)
        assert evidence_data(so_far) == plain(so_far, 50)


def row(name: str, listed: list[dict[str, object]]) -> bytes:
    fields = {"incident_id": name, "incident_revision": 1, "arrival": 0, "intervals": [], "evidence": listed}
    return encode("state.impacts", {**fields, "evidence_summary": None})


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 200), st.booleans()), min_size=1, max_size=20))
def test_lists_are_written_and_read_whatever_came_before(steps: list[tuple[int, int, bool]]) -> None:
    """Longer and shorter lists of two incidents, some of which differ in the middle: as if each were the only one."""
    for incident, length, differs in steps:
        every = [Position("sla.incident-events", incident, number) for number in range(length)]
        if differs and length > 100:
            every[100] = every[100]._replace(offset=1_000_000)
        log = EvidenceLog([])
        for position in every:
            log.append(position)
            log.as_data()
        value = row("inc", cast(list[dict[str, object]], log.as_data()["evidence"]))
        assert value == row("inc", [position._asdict() for position in every])
        found = decode(value)
        assert not isinstance(found, Rejection)
        listed = cast(list[dict[str, object]], found[1]["evidence"])
        assert listed == [position._asdict() for position in every]
        assert positions_of(listed) == tuple(every)
        assert row("inc", listed) == value


def calls(work: Callable[[], object]) -> int:
    """How many functions a piece of work calls: what it costs, on any machine."""
    count = 0

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_the_cost_of_one_more_input_does_not_grow_with_the_evidence() -> None:
    """Both agents, on an incident whose amendments change its impacts each time: at 100 inputs, near the limit of what
    is listed, and far beyond it."""
    cluster = Cluster(policies())
    cluster.publish(contract("2026-02-20T00:00:00Z"), parse_rfc3339("2026-02-20T00:00:00Z"))
    cluster.publish(opened("2026-03-10T00:00:00Z"), parse_rfc3339("2026-03-10T00:00:00Z"))
    cluster.pass_time(parse_rfc3339("2026-03-10T02:00:00Z"))
    done = 0

    def amend(until: int) -> None:
        nonlocal done
        while done < until:
            at = f"2026-03-10T{2 + done // 3600:02}:{done // 60 % 60:02}:{done % 60:02}Z"
            cluster.publish(amended(at, counts=done % 2 == 0), parse_rfc3339(at))
            done += 1

    found = {}
    for evidence in (100, 900, 1_100, 1_500):
        amend(evidence)
        found[evidence] = calls(lambda: amend(done + 10))
    assert found[900] < 1.2 * found[100], found
    assert max(found[1_100], found[1_500]) < 1.2 * found[100], found
    assert cluster.codes() == []
    rows = [decode(value, DERIVED_LIMIT) for value in cluster.rows("ledger", "i").values()]
    lists = [impact_copy(one[1]) for one in rows if not isinstance(one, Rejection)]
    assert [one.summary.inputs for one in lists if one.summary is not None] == [1_511] * 4

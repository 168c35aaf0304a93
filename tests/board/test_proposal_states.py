"""Proposals by the log alone: first decision stands, two people always, one event in effect through crashes."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.proposals.proposal import Decided, Proposal, ProposalEvent, Proposed, fold, input_event, same_person
from connect.client.outgoing import checked_record
from streams.sla.arrival import TimeLimits
from streams.sla.events import Who
from streams.sla.instants import DAY, MINUTE, parse_rfc3339

NOW = parse_rfc3339("2026-11-20T12:00:00Z")
ANN, BOB, CHO = (Who("support", name) for name in ("ann", "bob", "cho"))
PROPOSED = Proposed("p1", NOW, "annul", "inc-1", ("acme",), 3, {"reason": "a drill"}, ANN, NOW + 14 * DAY)


def decided(decision: str, who: Who, at: int = NOW + MINUTE, event_id: str = "d1") -> Decided:
    return Decided("p1", at, decision, event_id, who, "", 3)  # type: ignore[arg-type]


def folded(*events: ProposalEvent) -> Proposal:
    found: Proposal | None = None
    for event in events:
        found = fold(found, event)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["ann", "ANN", "Ann ", " ann", "\uff41\uff4e\uff4e", "ann\u3000"])
@pytest.mark.parametrize("invisible", ["", "\u200b", "\u2060", "\ufeff", "\u00ad", "\u034f", "\ufe0f", "\u3164"])
def test_nobody_approves_the_own_proposal_under_another_spelling(name: str, invisible: str) -> None:
    name = f"{name[:2]}{invisible}{name[2:]}{invisible}"
    assert same_person(ANN, Who("support", name))
    found = folded(PROPOSED, decided("approved", Who("customer", name)))
    assert found.status(NOW) == "proposed"
    assert [each.why for each in found.without_effect] == ["same_person"]
    assert input_event(found) is None


def test_the_first_decision_of_the_log_stands_and_the_second_person_is_told() -> None:
    found = folded(PROPOSED, decided("declined", BOB), decided("approved", CHO, event_id="d2"))
    assert found.status(NOW + DAY) == "declined"
    assert [(each.decided.who, each.why) for each in found.without_effect] == [(CHO, "decided_before")]


def test_what_is_expired_is_not_approved_and_only_the_proposer_withdraws() -> None:
    late = folded(PROPOSED, decided("approved", BOB, NOW + 15 * DAY))
    assert late.status(NOW + 15 * DAY) == "expired"
    assert late.without_effect[0].why == "expired"
    assert folded(PROPOSED, decided("withdrawn", BOB)).without_effect[0].why == "not_proposer"
    assert folded(PROPOSED, decided("withdrawn", ANN)).status(NOW) == "withdrawn"


def test_a_decision_about_nothing_is_nothing() -> None:
    assert fold(None, decided("approved", BOB)) is None


def test_the_event_names_both_people_and_is_valid() -> None:
    event = input_event(folded(PROPOSED, decided("approved", BOB)))
    assert event is not None
    assert event["time"] == "2026-11-20T12:01:00Z"
    assert event["data"] == {
        "reason": "a drill",
        "who": {"kind": "support", "id": "ann"},
        "approver": {"kind": "support", "id": "bob"},
    }
    checked_record(event, NOW + MINUTE, TimeLimits())


# -- two boards that crash between any two steps -----------------------------------------------------------------------


@dataclass
class Kafka:
    """Topics that keep what was acknowledged; a crash after it may send it again."""

    audit: list[ProposalEvent] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)


@dataclass
class Board:
    """One database each: outbox, how far the log is read, proposals, what was seen in the input topic."""

    outbox: list[ProposalEvent] = field(default_factory=list)
    read: int = 0
    read_inputs: int = 0
    proposals: dict[str, Proposal] = field(default_factory=dict)
    published: set[str] = field(default_factory=set)

    def ingest(self, kafka: Kafka) -> None:
        for event in kafka.audit[self.read :]:
            found = fold(self.proposals.get(event.proposal_id), event)
            if found is not None:
                self.proposals[event.proposal_id] = found
        self.read = len(kafka.audit)
        self.published |= {json.loads(text)["id"] for text in kafka.inputs[self.read_inputs :]}
        self.read_inputs = len(kafka.inputs)

    def send(self, kafka: Kafka, *, crashes: bool) -> None:
        if self.outbox:
            kafka.audit.append(self.outbox[0])
            if not crashes:  # else the row is still there after the restart
                del self.outbox[0]

    def publish(self, kafka: Kafka) -> None:
        for proposal in self.proposals.values():
            event = input_event(proposal)
            if event is not None and event["id"] not in self.published:
                kafka.inputs.append(json.dumps(event, sort_keys=True))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["decide", "send", "send and crash", "ingest", "publish"]),
        st.sampled_from(["approved", "declined", "withdrawn"]),
        st.sampled_from([ANN, BOB, CHO, Who("support", "ANN "), Who("support", "bob")]),
        st.sampled_from([0, MINUTE, 13 * DAY, 20 * DAY]),
    ),
    max_size=25,
)


@settings(max_examples=settings.default.max_examples * 3)
@given(STEPS)
def test_crashes_between_any_two_steps_publish_the_standing_approval_once(
    steps: list[tuple[int, str, str, Who, int]],
) -> None:
    kafka, boards = Kafka(), (Board(), Board())
    boards[0].outbox.append(PROPOSED)
    for number, (index, step, decision, who, delay) in enumerate(steps):
        board = boards[index]
        match step:
            case "decide":
                board.outbox.append(decided(decision, who, NOW + delay, f"d{number}"))
            case "publish":
                board.publish(kafka)
            case "ingest":
                board.ingest(kafka)
            case _:
                board.send(kafka, crashes=step == "send and crash")
    for board in boards:
        while board.outbox:
            board.send(kafka, crashes=False)
    for board in (*boards, *boards):
        board.ingest(kafka)
        board.publish(kafka)
    assert boards[0].proposals == boards[1].proposals
    by_id = defaultdict(set)
    for text in kafka.inputs:
        by_id[json.loads(text)["id"]].add(text)
    assert all(len(versions) == 1 for versions in by_id.values())  # repeats are the same event: it counts once (R1)
    found = boards[0].proposals["p1"]
    approved = found.decided is not None and found.decided.decision == "approved"
    assert len(by_id) == approved
    for text in kafka.inputs:
        data = json.loads(text)["data"]
        assert data["who"]["id"].strip().casefold() != data["approver"]["id"].strip().casefold()

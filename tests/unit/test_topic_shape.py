"""Whether the topics of a process can be used: what is missing, of another shape, or would lose records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from streams.kafka.topic_descriptions import TopicDescription
from streams.kafka.topic_shape import TopicShape


def _found(**changes: TopicDescription | None) -> dict[str, TopicDescription]:
    usual = {"alerts": TopicDescription(8, b"", "delete"), "notifications": TopicDescription(8, b"", "compact")}
    return {f"eu.{name}": each for name, each in (usual | changes).items() if each is not None}


class _Descriptions:
    def __init__(self, answers: list[dict[str, TopicDescription] | Exception]) -> None:
        self.answers = answers
        self.denied: frozenset[str] = frozenset()
        self.closed = False

    async def describe(self, _names: object, _cleanup_of: object) -> dict[str, TopicDescription]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


def _shape(*answers: dict[str, TopicDescription] | Exception) -> Any:
    shape: Any = TopicShape(["k:1"], {}, "eu", events=["alerts"], states=["notifications"])
    shape._descriptions = _Descriptions(list(answers))
    return shape


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"alerts": TopicDescription(8, b"")}, None),  # this user may not see the policy
        (
            {"alerts": None},
            "there is no topic eu.alerts: create the topics with `sla topics apply`, or correct SLA_TOPIC",
        ),
        ({"alerts": None, "notifications": None}, "there is no topic eu.alerts and 1 more"),
        ({"notifications": TopicDescription(4, b"", "compact")}, "eu.alerts has 8 partitions, eu.notifications has 4"),
        ({"alerts": TopicDescription(8, b"", "compact")}, "eu.alerts has cleanup.policy compact, which loses events"),
        (
            {"notifications": TopicDescription(8, b"", "delete")},
            "eu.notifications has cleanup.policy delete, which los",
        ),
        (
            {"notifications": TopicDescription(8, b"", "compact,delete")},
            "it must be compact: `sla topics apply` sets it",
        ),
    ],
)
def test_what_is_wrong_with_topics_is_said(changes: dict[str, TopicDescription | None], reason: str | None) -> None:
    shape = _shape(_found(**changes))
    asyncio.run(shape.look())
    assert shape.problem is None if reason is None else reason in str(shape.problem)


def test_a_topic_that_was_made_anew_is_told_and_a_look_that_finds_all_as_before() -> None:
    told: list[object] = []
    first, other = (_found(alerts=TopicDescription(8, each)) for each in (b"1", b"2"))
    shape: Any = TopicShape(
        ["k:1"], {}, "eu", events=["alerts"], states=["notifications"],
        made_anew=lambda *each: told.append(each), unchanged=lambda: told.append("same"),
    )  # fmt: skip
    shape._descriptions = _Descriptions([first, first, _found(alerts=None), KafkaConnectionError("away"), other, other])
    for _ in range(6):
        asyncio.run(shape.look())
    assert told == ["same", "same", ("eu.alerts", b"2"), "same"]


def test_kafka_that_went_away_is_a_problem_until_it_answers_again() -> None:
    shape = _shape(_found(), KafkaConnectionError("111 ECONNREFUSED"), _found())
    problems = []
    for _ in range(3):
        asyncio.run(shape.look())
        problems.append(shape.problem)
        assert shape.answered is (shape.problem is None)
    assert problems[::2] == [None, None]
    assert str(problems[1]).startswith("no Kafka broker answers at k:1")


def test_topics_of_states_that_are_expected_later_are_looked_at_from_then_on() -> None:
    shape: Any = TopicShape(["k:1"], {}, "eu", events=["alerts"])
    wrong = _found(notifications=TopicDescription(8, b"", "delete"))
    shape._descriptions = descriptions = _Descriptions([_found(notifications=None), wrong])
    problems = []
    for _ in range(2):
        asyncio.run(shape.look())
        problems.append(shape.problem)
        shape.expect_states(["notifications"])
    assert problems[0] is None
    assert "eu.notifications has cleanup.policy delete" in str(problems[1])

    async def expected_meanwhile(*_: object) -> dict[str, TopicDescription]:
        shape.expect_states(["notifications"])
        return _found(notifications=None)

    shape.expect_states([])
    shape.problem, descriptions.describe = None, expected_meanwhile  # type: ignore[method-assign]
    asyncio.run(shape.look())
    assert shape.problem is None, "what was not asked for is not missing"


def test_it_looks_again_and_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.kafka.topic_shape._EVERY_S", 0.0)
    shape = _shape(_found(alerts=None), _found())
    descriptions = shape._descriptions

    async def scenario() -> None:
        running = asyncio.create_task(shape.run())
        while descriptions.answers:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
    assert shape.problem is None
    assert descriptions.closed


def test_a_defect_is_a_problem_until_a_look_succeeds() -> None:
    shape = _shape(KeyError("topics"), _found())
    asyncio.run(shape.look())
    assert shape.problem == "internal error: KeyError('topics')"
    asyncio.run(shape.look())
    assert shape.problem is None


def test_topics_that_this_user_may_not_see_are_not_called_missing() -> None:
    shape = _shape(_found(alerts=None))
    shape._descriptions.denied = frozenset({"eu.alerts", "eu.other"})
    asyncio.run(shape.look())
    assert shape.problem.startswith("this user may not see the topic eu.alerts: an administrator of Kafka has to allow")


@pytest.mark.parametrize("leaders", [True, False])
def test_a_partition_that_nobody_leads_at_two_looks_is_a_problem_where_that_is_asked_for(leaders: bool) -> None:
    led, leaderless = _found(), _found(alerts=TopicDescription(8, b"", "delete", leaderless=(2, 5)))
    shape = _shape(leaderless, led, leaderless, leaderless, led)
    shape._leaders = leaders

    async def scenario() -> list[str | None]:
        problems = []
        for _ in range(5):
            await shape.look()
            problems.append(shape.problem)
        return problems

    *others, found, after = asyncio.run(scenario())
    assert (others, after) == ([None] * 3, None)
    assert (found is not None) == leaders
    assert not leaders or found.startswith("no broker leads eu.alerts-2 and 1 more, so nobody can read or write there")


def test_a_topic_with_another_id_was_made_anew() -> None:
    anew = list[tuple[str, bytes]]()
    shape = _shape(
        _found(),  # a broker that tells no ids
        _found(alerts=TopicDescription(8, b"1", "delete")),
        _found(alerts=None),
        _found(alerts=TopicDescription(8, b"2", "delete")),
        _found(alerts=TopicDescription(8, b"2", "delete")),
    )
    shape._made_anew = lambda *given: anew.append(given)

    async def scenario() -> None:
        while shape._descriptions.answers:
            await shape.look()

    asyncio.run(scenario())
    assert anew == [("eu.alerts", b"2")]

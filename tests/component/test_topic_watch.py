"""A worker without its topics is not ready and says why, and starts soon after they are there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from unittest.mock import AsyncMock

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from streams.kafka.topic_descriptions import TopicDescription, TopicDescriptions
from streams.metrics import REGISTRY
from streams.runtime import purge, task_manager
from streams.runtime.agent_spec import AgentSpec
from streams.runtime.errors import TaskInterrupted, WorkerRefused
from streams.runtime.inputs_elsewhere import InputsElsewhere
from streams.runtime.settings import RuntimeSettings
from streams.runtime.task_manager import TaskManager
from streams.runtime.topic_watch import TopicWatch
from streams.sla.instants import MINUTE
from tests.unit.memory_clock import Stopped
from tests.waiting import TIMEOUT_S

SETTINGS = RuntimeSettings("sla", ("127.0.0.1:1",), prefix="eu", partitions=4)
ID = b"i" * 16


class Topics:
    """The topics that the broker has; None: it does not answer."""

    def __init__(self, found: dict[str, TopicDescription] | None) -> None:
        self.found = found
        self.denied: frozenset[str] = frozenset()

    async def topics(self, names: Iterable[str], _cleanup_of: Iterable[str] = ()) -> dict[str, TopicDescription]:
        if self.found is None:
            raise TaskInterrupted("topics: NoBrokersAvailable")
        return {name: self.found[name] for name in names if name in self.found}


def all_topics(partitions: int = 4) -> dict[str, TopicDescription]:
    return {name: TopicDescription(partitions, ID) for name in ("eu.in", "eu.out", "eu.diary-changelog")}


def watch(topics: Topics) -> TopicWatch:
    def none(_: int) -> None:
        raise AssertionError

    spec = AgentSpec("diary", ("eu.in",), none, writes=("eu.out",))  # type: ignore[arg-type]
    return TopicWatch(SETTINGS, [spec], topics)  # type: ignore[arg-type]


def test_it_is_not_ready_before_the_first_answer_nor_without_one() -> None:
    topics = Topics(None)
    watched = watch(topics)
    assert watched.problem is not None
    assert not asyncio.run(watched.look())
    assert watched.problem == {"reason": "topics: NoBrokersAvailable"}


def test_missing_topics_are_named_with_the_prefix_and_what_to_do() -> None:
    topics = Topics({"sla.in": TopicDescription(4, ID)})
    watched = watch(topics)
    with capture_logs() as logs:
        assert not asyncio.run(watched.look())
        assert not asyncio.run(watched.look())
    assert watched.problem is not None
    assert watched.problem["missing"] == ["eu.diary-changelog", "eu.in", "eu.out"]
    reason = str(watched.problem["reason"])
    assert "eu.diary-changelog and 2 more" in reason
    assert "sla topics apply" in reason
    assert "SLA_TOPIC_PREFIX, which is eu" in reason
    assert [each["event"] for each in logs] == ["topics_missing"], "once, not every second"


def test_topics_that_this_user_may_not_see_are_not_called_missing() -> None:
    topics = Topics({"eu.out": TopicDescription(4, ID)})
    topics.denied = frozenset({"eu.in", "eu.diary-changelog", "eu.legacy"})
    watched = watch(topics)
    with capture_logs() as logs:
        assert not asyncio.run(watched.look())
    assert watched.problem is not None
    assert "this user may not see the topic eu.diary-changelog and 1 more" in str(watched.problem["reason"])
    assert "sla topics acls" in str(watched.problem["reason"])
    assert [each["event"] for each in logs] == ["topics_denied"]
    topics.found = all_topics()
    assert asyncio.run(watched.look()), "a topic of versions before is not needed"


def test_topics_that_are_created_later_are_found_and_ones_that_go_are_missed() -> None:
    topics = Topics({})
    watched = watch(topics)
    assert not asyncio.run(watched.look())
    topics.found = all_topics()
    assert asyncio.run(watched.look())
    assert (watched.problem, watched.ids) == (None, {"eu.in": ID, "eu.diary-changelog": ID})
    topics.found.pop("eu.out")
    assert not asyncio.run(watched.look())
    assert watched.problem is not None


def test_an_outage_later_is_a_reason_of_its_own_and_forgets_no_topic() -> None:
    topics = Topics(all_topics())
    watched = watch(topics)
    assert asyncio.run(watched.look())
    topics.found = None
    assert not asyncio.run(watched.look())
    assert (watched.problem, watched.ids) == (
        {"reason": "topics: NoBrokersAvailable"},
        {"eu.in": ID, "eu.diary-changelog": ID},
    )
    topics.found = all_topics()
    assert asyncio.run(watched.look())
    assert watched.problem is None


def test_partitions_without_a_leader_are_named_with_what_to_do_once_they_last() -> None:
    """Tasks know only that Kafka does not answer in time, and one without timers does not ask."""
    found = all_topics()
    topics = Topics(found)
    manager = TaskManager(SETTINGS, [])
    manager._topics = watch(topics)
    manager.assigned = True
    found["eu.in"] = TopicDescription(4, ID, leaderless=(3,))
    found["eu.out"] = TopicDescription(4, ID, leaderless=(0, 2))
    with capture_logs() as logs:
        assert asyncio.run(manager._topics.look())
        assert manager.unready() == [], "a change of leaders is no reason"
        assert asyncio.run(manager._topics.look())
        assert asyncio.run(manager._topics.look())
        (problem,) = manager.unready()
        assert problem["without_leader"] == ["eu.in-3", "eu.out-0", "eu.out-2"]
        assert "no broker leads eu.in-3 and 2 more" in str(problem["reason"])
        assert "start the brokers that have the replicas" in str(problem["reason"])
        assert REGISTRY.get_sample_value("sla_partitions_without_leader") == 3
        topics.found = all_topics()
        assert asyncio.run(manager._topics.look())
        assert REGISTRY.get_sample_value("sla_partitions_without_leader") == 0
        assert manager.unready() == []
    assert [each["event"] for each in logs] == ["partitions_without_leader", "partitions_led_again"], "each once"


def test_another_number_of_partitions_is_refused() -> None:
    watched = watch(Topics(all_topics(5)))
    assert not asyncio.run(watched.look())
    assert isinstance(watched.refused, WorkerRefused)
    assert "eu.in has 5 partitions, SLA_PARTITIONS is 4" in str(watched.refused)


def test_a_topic_of_versions_before_is_read_if_it_exists_and_not_missed_otherwise() -> None:
    def none(_: int) -> None:
        raise AssertionError

    spec = AgentSpec("diary", ("eu.in",), none, legacy_topics=("eu.shared",), writes=("eu.out",))  # type: ignore[arg-type]

    async def read(found: dict[str, TopicDescription]) -> tuple[str, ...]:
        manager = TaskManager(SETTINGS, [spec])
        manager._topics._offsets = Topics(found)  # type: ignore[assignment]
        assert await manager._topics.look()
        manager._read_legacy_topics()
        return manager.agents[0].topics

    assert asyncio.run(read(all_topics())) == ("eu.in",)
    assert asyncio.run(read({**all_topics(), "eu.shared": TopicDescription(4, ID)})) == ("eu.in", "eu.shared")


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("look", LookupError),
        ("look", asyncio.CancelledError),
        ("measure", LookupError),  # what a client cancels is measured again
        ("delete", LookupError),
        ("delete", asyncio.CancelledError),
    ],
)
def test_a_worker_stops_when_what_runs_beside_its_tasks_fails(
    method: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise topics would be watched no longer, or internal topics grow, and nobody would know."""

    async def fail(*_: object) -> None:
        raise error

    async def crash() -> BaseException | None:
        manager = TaskManager(SETTINGS, [])
        manager._topics._offsets = Topics(all_topics())  # type: ignore[assignment]
        monkeypatch.setattr(task_manager, "_TOPICS_WATCH_S", 0)
        monkeypatch.setattr(purge, "EVERY_S", 0)
        monkeypatch.setattr(manager.app, "start", AsyncMock())
        monkeypatch.setattr(manager._lag, "measure", AsyncMock())
        await manager.start()
        assert manager.crash() is None
        fails = {
            "look": (manager._topics, "look"),
            "measure": (manager._lag, "measure"),
            "delete": (purge.Purge, "run"),
        }
        monkeypatch.setattr(*fails[method], fail)
        async with asyncio.timeout(TIMEOUT_S):
            await manager.crashed()
        found = manager.crash()
        monkeypatch.setattr(manager.app, "stop", AsyncMock())
        await manager.stop()
        return found

    assert isinstance(asyncio.run(crash()), error)


def test_topics_are_looked_at_while_the_lag_waits_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition without a leader answers after seconds, and who is waiting for it would be told that much later."""

    async def scenario() -> None:
        manager = TaskManager(SETTINGS, [])
        manager._topics._offsets = Topics(all_topics())  # type: ignore[assignment]
        measured, looks, enough = 0, 0, asyncio.Event()
        look = manager._topics.look

        async def counted() -> bool:
            nonlocal looks
            looks += 1
            if looks > 3:
                enough.set()
            return await look()

        async def hanging(_: object) -> None:
            nonlocal measured
            measured += 1
            await asyncio.Event().wait()

        monkeypatch.setattr(task_manager, "_TOPICS_WATCH_S", 0)
        monkeypatch.setattr(manager._topics, "look", counted)
        monkeypatch.setattr(manager._lag, "measure", hanging)
        for method in ("start", "stop"):
            monkeypatch.setattr(manager.app, method, AsyncMock())
        await manager.start()
        async with asyncio.timeout(TIMEOUT_S):
            await enough.wait()
        assert measured == 1, "no request is added to the one that waits"
        assert manager.crash() is None
        await manager.stop()
        for _ in range(3):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("assigned", "started", "incomplete"),
    [
        (["eu.in", "eu.own"], [0], []),
        (["eu.in", "eu.own", "eu.shared"], [0], []),
        (["eu.own"], [], []),
        (["eu.in"], [], [["eu.own"]]),
        (["eu.in", "eu.shared"], [], [["eu.own"]]),
    ],
)
def test_a_worker_beside_one_that_knows_no_internal_topics_is_ready_unless_its_own_inputs_lack_theirs(
    assigned: list[str], started: list[int], incomplete: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a topic to which only some members of the group subscribe, these get every partition: in a rolling upgrade
    they get internal topics of partitions whose inputs a worker of an earlier release has."""

    def none(_: int) -> None:
        raise AssertionError

    internal = frozenset(["eu.own", "eu.shared"])
    spec = AgentSpec("diary", ("eu.in", "eu.own"), none, legacy_topics=("eu.shared",), internal=internal)  # type: ignore[arg-type]
    begun: list[int] = []

    async def assign() -> list[dict[str, object]]:
        manager = TaskManager(SETTINGS, [spec], Stopped(0))
        manager._topics._offsets = Topics({**all_topics(), "eu.own": TopicDescription(4, ID)})  # type: ignore[assignment]
        assert await manager._topics.look()
        monkeypatch.setattr(manager, "_start_task", lambda _, partition: begun.append(partition))
        await manager._on_assigned(manager.app, {TopicPartition(topic, 0) for topic in assigned})
        found = manager.unready()
        assert REGISTRY.get_sample_value("sla_partitions_undecided") == len(incomplete)
        manager._clock = Stopped(11 * MINUTE)
        later = [each for each in manager.unready() if each not in found]
        assert len(later) == (assigned == ["eu.own"]), "the inputs of this partition are with another member for long"
        return found

    reasons = asyncio.run(assign())
    assert begun == started
    assert [each["missing"] for each in reasons if "missing" in each] == incomplete
    assert len(reasons) == len(incomplete)


def test_inputs_that_another_member_keeps_are_a_reason_after_ten_minutes() -> None:
    """A rolling upgrade does not take so long: another program uses the group, and nobody decides these inputs."""
    inputs = InputsElsewhere("sla")
    inputs.assigned([("diary", 1), ("diary", 0)], 0)
    inputs.assigned([("diary", 0), ("diary", 2)], 6 * MINUTE)
    assert inputs.problems(10 * MINUTE) == []
    (problem,) = inputs.problems(11 * MINUTE)
    assert (problem["agent"], problem["partition"]) == ("diary", 0)
    assert "for 11 minutes another member of the consumer group sla has had the inputs" in str(problem["reason"])
    inputs.measure(11 * MINUTE)
    assert REGISTRY.get_sample_value("sla_partitions_undecided") == 1
    assert [each["partition"] for each in inputs.problems(17 * MINUTE)] == [0, 2]
    inputs.assigned([], 17 * MINUTE)
    assert inputs.problems(60 * MINUTE) == []
    assert REGISTRY.get_sample_value("sla_partitions_undecided") == 0


@pytest.mark.parametrize(
    ("topic", "described", "reason"),
    [
        ("eu.diary-changelog", TopicDescription(4, ID, "delete"), "cleanup.policy delete, which loses state"),
        (
            "eu.diary-changelog",
            TopicDescription(4, ID, "compact,delete"),
            "it must be compact: `sla topics apply` sets it",
        ),
        ("eu.in", TopicDescription(4, ID, "compact"), "cleanup.policy compact, which loses events"),
        ("eu.out", TopicDescription(3, ID), "eu.out has 3 partitions, SLA_PARTITIONS is 4"),
        (
            "eu.in",
            TopicDescription(4, ID, "delete", "CreateTime"),
            "eu.in has message.timestamp.type CreateTime: arrivals are what senders write; it must be LogAppendTime: "
            "`sla topics apply` sets it",
        ),
    ],
)
def test_a_topic_of_another_shape_keeps_it_from_being_ready(
    topic: str, described: TopicDescription, reason: str
) -> None:
    topics = Topics(all_topics() | {topic: described})
    watched = watch(topics)
    assert asyncio.run(watched.look()) == (described.timestamps == "CreateTime"), "with its arrivals work goes on"
    assert watched.refused is None
    assert watched.problem is not None
    assert reason in str(watched.problem["reason"])
    assert unusable() == 1
    topics.found = all_topics()
    assert asyncio.run(watched.look())
    assert watched.problem is None
    assert unusable() == 0


@pytest.mark.parametrize(
    ("topic", "cleanup", "reason"),
    [
        ("eu.out", "compact", "eu.out has cleanup.policy compact, which loses events; it must be delete"),
        ("eu.out", "compact,delete", "eu.out has cleanup.policy compact,delete, which loses events"),
        ("eu.newest", "delete", "eu.newest has cleanup.policy delete, which loses state; it must be compact"),
    ],
)
def test_an_output_topic_that_loses_records_is_told_and_work_goes_on(topic: str, cleanup: str, reason: str) -> None:
    """Kafka takes no record without a key in a compacted topic, and others would lose events that nobody has read."""
    wanted = all_topics() | {
        "eu.out": TopicDescription(4, ID, "delete", "CreateTime"),
        "eu.newest": TopicDescription(4, ID, "compact"),
    }

    class Settings(Topics):
        async def topics(self, names: Iterable[str], cleanup_of: Iterable[str] = ()) -> dict[str, TopicDescription]:
            asked, found = set(cleanup_of), await super().topics(names)
            return {name: each if name in asked else each._replace(cleanup="") for name, each in found.items()}

    topics = Settings(wanted)
    spec = AgentSpec(
        "diary",
        ("eu.in",),
        lambda _: None,  # type: ignore[arg-type,return-value]
        writes=("eu.out", "eu.newest"),
        compacted=frozenset(["eu.newest"]),
    )
    watched = TopicWatch(SETTINGS, [spec], topics)  # type: ignore[arg-type]
    assert asyncio.run(watched.look())
    assert watched.problem is None
    topics.found = wanted | {topic: TopicDescription(4, ID, cleanup)}
    with capture_logs() as logs:
        assert asyncio.run(watched.look()), "work goes on"
        assert asyncio.run(watched.look())
    assert watched.problem is not None
    assert reason in str(watched.problem["reason"])
    assert [(each["event"], each["topic"]) for each in logs] == [("topics_misshapen", topic)]
    assert unusable() == 1


def unusable() -> float | None:
    return REGISTRY.get_sample_value("sla_topics_unusable")


def test_a_setting_changed_while_the_worker_runs_is_logged_and_in_its_metric() -> None:
    """And topics that agents write have timestamps of their writer."""
    topics = Topics(all_topics() | {"eu.own": TopicDescription(4, ID, "delete", "CreateTime")})
    spec = AgentSpec("diary", ("eu.in", "eu.own"), lambda _: None, internal=frozenset(["eu.own"]))  # type: ignore[arg-type,return-value]
    watched = TopicWatch(SETTINGS, [spec], topics)  # type: ignore[arg-type]
    assert asyncio.run(watched.look())
    assert topics.found is not None
    topics.found["eu.in"] = TopicDescription(4, ID, "delete", "CreateTime")
    with capture_logs() as logs:
        assert asyncio.run(watched.look()), "work goes on"
        assert asyncio.run(watched.look())
    assert watched.problem is not None
    assert [(each["event"], each["topic"]) for each in logs] == [("topics_misshapen", "eu.in")]
    assert unusable() == 1
    topics.found = None
    asyncio.run(watched.look())
    assert unusable() == 1, "Kafka does not answer: nothing is known that is better"


def test_a_description_tells_which_partitions_no_broker_leads() -> None:
    class Admin:
        def describe_topics(self, names: list[str]) -> list[dict[str, object]]:
            partitions = [{"partition_index": each, "leader_id": leader} for each, leader in ((2, -1), (1, 1), (0, -1))]
            return [{"name": name, "error_code": 0, "partitions": partitions} for name in names]

    found = TopicDescriptions([], {}, 1)._found(Admin(), ["eu.in"])
    assert found == {"eu.in": TopicDescription(3, b"", leaderless=(0, 2))}

"""Patches of the Kafka clients: skipped, with one log line each, where the installed version is not theirs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from structlog.testing import capture_logs

from streams.kafka import patches
from streams.kafka.batch_reader import FetcherReader, GetmanyReader, batch_reader
from streams.kafka.patches import PatchedLibrary
from tests.waiting import TIMEOUT_S

ONE, TWO = TopicPartition("t", 1), TopicPartition("t", 2)
FETCHER = SimpleNamespace(_subscriptions=None, _records={}, _closed=False, _create_fetch_waiter=None)


LIBRARIES = pytest.mark.parametrize("library", [patches.AIOKAFKA, patches.KAFKA_PYTHON], ids=lambda each: each.name)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "_applied", {})


@LIBRARIES
def test_another_version_keeps_the_librarys_own_code_and_says_so_once(
    library: PatchedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "version", lambda _: "4.0.0")
    key = library.name.replace("-", "_")
    with capture_logs() as logs:
        library.apply_all()
        library.apply_all()
        assert not any(map(library.applied, library.patches))
    assert [(each["event"], each["patch"], each[key]) for each in logs] == [
        (f"{key}_patch_skipped", name, "4.0.0") for name in library.patches
    ]


@pytest.mark.parametrize(
    ("library", "patch"),
    [(library, patch) for library in (patches.AIOKAFKA, patches.KAFKA_PYTHON) for patch in library.patches],
)
def test_a_private_part_that_is_gone_skips_its_patch_alone(
    library: PatchedLibrary, patch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(name: str) -> Any:
        if name.endswith(patch):
            raise AttributeError("AIOKafkaClient has no attribute _metadata_update")
        return SimpleNamespace(apply=lambda: None)

    monkeypatch.setattr(patches, "import_module", gone)
    with capture_logs() as logs:
        assert [library.applied(each) for each in library.patches] == [each != patch for each in library.patches]
    assert [each["patch"] for each in logs] == [patch]


@LIBRARIES
def test_every_patch_is_in_force_with_the_installed_version(library: PatchedLibrary) -> None:
    with capture_logs() as logs:
        assert all(map(library.applied, library.patches)), logs


def test_the_installed_version_is_read_through_its_fetcher() -> None:
    assert isinstance(batch_reader(SimpleNamespace(_fetcher=FETCHER)), FetcherReader)


def test_another_version_or_another_fetcher_is_read_through_getmany(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read() -> None:
        assert isinstance(batch_reader(SimpleNamespace(_fetcher=SimpleNamespace(_records={}))), GetmanyReader)
        monkeypatch.setattr(patches, "version", lambda _: "0.15.0")
        monkeypatch.setattr(patches, "_applied", {})
        assert isinstance(batch_reader(SimpleNamespace(_fetcher=FETCHER)), GetmanyReader)

    asyncio.run(read())


class Consumer:
    """A consumer of two partitions; records of `log` are given out from the position on."""

    def __init__(self, **log: list[int]) -> None:
        self.log = {ONE: log.get("one", []), TWO: log.get("two", [])}
        self.positions = {ONE: 0, TWO: 0}
        self.on_getmany = lambda: None

    def assignment(self) -> set[TopicPartition]:
        return set(self.log)

    async def position(self, tp: TopicPartition) -> int:
        return self.positions[tp]

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        self.on_getmany()
        found = {
            tp: [
                SimpleNamespace(offset=offset, value=b"", headers=())
                for offset in self.log[tp]
                if offset >= self.positions[tp]
            ]
            for tp in partitions
        }
        for tp, records in found.items():
            if records:
                self.positions[tp] = records[-1].offset + 1
        return {tp: records for tp, records in found.items() if records}


def test_getmany_gives_batches_that_say_which_offsets_they_cover() -> None:
    async def read() -> None:
        consumer = Consumer(one=[0, 1, 4], two=[7])
        reader = GetmanyReader(consumer)
        (batch,) = await reader.take(frozenset({ONE}), 0.0)
        assert batch[:4] == ("t", 1, 0, 5)
        assert [record.offset for record in batch.records] == [0, 1, 4]
        assert consumer.positions[TWO] == 0, "only what is wanted is taken"
        assert await reader.take(frozenset({ONE}), 0.0) == []

    asyncio.run(read())


def test_what_was_read_across_a_seek_is_left_out() -> None:
    async def read() -> None:
        consumer = Consumer(one=[0, 1, 2])
        reader = GetmanyReader(consumer)
        consumer.on_getmany = reader.moved
        assert await reader.take(frozenset({ONE}), 0.0) == []
        consumer.on_getmany = lambda: None
        consumer.positions[ONE] = 1
        (batch,) = await reader.take(frozenset({ONE}), 0.0)
        assert batch.start == 1

    asyncio.run(read())


def test_a_nudge_ends_the_wait() -> None:
    async def read() -> None:
        reader = GetmanyReader(Consumer())
        waiting = asyncio.create_task(reader.take(frozenset({ONE}), 2 * TIMEOUT_S))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reader.nudge()
        assert await asyncio.wait_for(waiting, TIMEOUT_S) == []

    asyncio.run(read())

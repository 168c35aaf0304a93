"""The schema registry's client and what rests on it: outages are waited out, refusals are told, answers are kept."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_log import ManualClock
from registry_server import TROUBLES, FakeRegistry

from agents import worker
from agents.schema_registration import Registration
from schemas import registry as schema_files
from streams.errors import RegistryRefused, RegistryUnavailable, SettingsError
from streams.runtime.processor import RetryLater
from streams.schema_registry.client import RegistryClient, SchemaRegistry
from streams.schema_registry.schema_source import BackgroundSchemas, retry_until_answered
from streams.schema_registry.subjects import INPUT_TYPES, register_subjects, subject_of
from streams.serde.codec import Codec, confluent_head, encode
from streams.serde.confluent_framing import Framing
from streams.settings import read_settings
from streams.sla.instants import SECOND
from streams.topics import TOPIC_OF
from tests.waiting import TIMEOUT_S, until

MARK = {"partition": 1, "until": 2}
TIME_MARK = {
    "event_id": "m",
    "source": "/sla/incidents",
    "subject": "partition-1",
    "occurred_at": 2,
    "backfill": False,
    "traceparent": None,
    "partition": 1,
    "marked_until": 2,
}
OPENED = schema_files.load().latest["incident.opened"]


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


# -- the client --------------------------------------------------------------------------------------------------------


def test_it_asks_as_confluent_says(server: FakeRegistry) -> None:
    client = RegistryClient(server.access())
    assert client.compatibility("a/b c") is None
    assert client.compatibility("a/b c", inherited=True) == "BACKWARD"
    client.set_compatibility("a/b c", "FULL")
    assert client.compatibility("a/b c") == "FULL"
    assert client.find("a/b c", OPENED.definition) is None
    schema_id = client.register("a/b c", OPENED.definition)
    assert client.find("a/b c", OPENED.definition) == schema_id
    assert json.loads(client.schema_for(schema_id) or "") == OPENED.definition
    assert client.schema_for(schema_id + 1) is None
    assert server.requests[0] == ("GET", "/apis/ccompat/v7/config/a%2Fb%20c")


@pytest.mark.parametrize("name", sorted(TROUBLES))
def test_what_is_no_answer_is_an_outage_and_never_an_absent_schema(server: FakeRegistry, name: str) -> None:
    server.broken = TROUBLES[name]
    client = RegistryClient(server.access(timeout_s=0.3) if name == "hang" else server.access())
    expected = RegistryRefused if name == "401" else RegistryUnavailable
    for ask in (
        lambda: client.schema_for(1),
        lambda: client.compatibility("s"),
        lambda: client.find("s", {}),
    ):
        with pytest.raises(expected, match="schema registry at http"):
            ask()


def test_nobody_there_is_an_outage() -> None:
    with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:1/x"):
        RegistryClient(SchemaRegistry("http://127.0.0.1:1/x")).schema_for(1)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, None),
        ({"token": "t0k"}, "Bearer t0k"),
        ({"username": "u", "password": "p:ß"}, "Basic dTpwOsOf"),
    ],
)
def test_it_says_who_it_is(server: FakeRegistry, given: dict[str, str], sent: str | None) -> None:
    access = server.access(**given)
    RegistryClient(access).schema_for(1)
    assert server.authorization == {sent}
    assert "t0k" not in repr(access)
    assert "p:ß" not in repr(access)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"URL": "registry:8081"}, "write http"),
        ({"URL": "ftp://registry"}, "write http"),
        ({"URL": "http://registry:eighty"}, "write http"),
        ({"URL": "http://u:p@registry"}, "no credentials"),
        ({"URL": "http://registry", "USERNAME": "u"}, "no password"),
        ({"URL": "http://registry", "USERNAME": "u", "PASSWORD": "p", "TOKEN": "t"}, "not both"),
    ],
)
def test_settings_that_cannot_be_are_told(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"SLA_SCHEMA_REGISTRY_{name}", value)
    with pytest.raises(SettingsError, match=told):
        read_settings().schema_registry()


def test_certificates_that_are_not_there_are_told() -> None:
    with pytest.raises(SettingsError, match=r"/no/such\.pem"):
        RegistryClient(SchemaRegistry("https://registry", cafile=Path("/no/such.pem")))


def test_settings_name_a_registry_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().schema_registry() is None
    monkeypatch.setenv("SLA_SCHEMA_REGISTRY_URL", "")
    assert read_settings().schema_registry() is None
    monkeypatch.setenv("SLA_SCHEMA_REGISTRY_URL", "https://r/apis/ccompat/v7")
    monkeypatch.setenv("SLA_SCHEMA_REGISTRY_WRITE", "false")
    monkeypatch.setenv("SLA_SCHEMA_REGISTRY_TIMEOUT", "PT0.5S")
    assert read_settings().schema_registry() == SchemaRegistry("https://r/apis/ccompat/v7", timeout_s=0.5, write=False)


# -- subjects ----------------------------------------------------------------------------------------------------------


def test_every_event_lies_in_one_topic_and_state_in_none() -> None:
    events = {name for name in schema_files.load().latest if not name.startswith("state.")}
    assert set(TOPIC_OF) == events
    assert {TOPIC_OF[event_type] for event_type in INPUT_TYPES} == {"incident-events", "contract-events"}
    assert subject_of("incident.opened", "sla") == f"sla.incident-events-{OPENED.full_name}"


def test_a_registry_without_our_subjects_gets_them_with_their_compatibility(server: FakeRegistry) -> None:
    access = server.access()
    ids = register_subjects(RegistryClient(access), access, "sla")
    assert set(ids) == set(TOPIC_OF)
    assert set(server.levels.values()) == {"FULL_TRANSITIVE"}
    assert set(server.levels) == set(server.subjects) == {subject_of(each, "sla") for each in TOPIC_OF}
    writes = [request for request in server.requests if request[0] == "PUT" or request[1].endswith("/versions")]
    server.requests.clear()
    assert register_subjects(RegistryClient(access), access, "sla") == ids
    assert not [request for request in server.requests if request in writes]
    assert register_subjects(RegistryClient(access), server.access(register=False), "sla") == ids


@pytest.mark.parametrize("register", [True, False])
def test_another_compatibility_is_refused_with_both_named(server: FakeRegistry, register: bool) -> None:
    server.levels[subject_of("incident.opened", "sla")] = "NONE"
    access = server.access(register=register)
    with pytest.raises(RegistryRefused, match=r"has compatibility NONE.*asks for FULL_TRANSITIVE") as refused:
        register_subjects(RegistryClient(access), access, "sla", ["incident.opened"])
    assert subject_of("incident.opened", "sla") in str(refused.value)
    assert not server.subjects


def test_an_incompatible_schema_is_refused(server: FakeRegistry) -> None:
    server.incompatible = True
    access = server.access()
    with pytest.raises(RegistryRefused, match="it takes a field away"):
        register_subjects(RegistryClient(access), access, "sla", ["incident.opened"])


def test_a_race_between_two_that_register_is_no_refusal(server: FakeRegistry) -> None:
    access, subject = server.access(), subject_of("incident.opened", "sla")
    server.levels[subject] = access.compatibility

    def the_other_was_faster(handler: Any) -> None:
        server.subjects[subject] = [server.add(OPENED.definition)]
        handler.reply(409, {"error_code": 409, "message": "exists"})

    server.troubles.extend([None, None, the_other_was_faster])
    assert register_subjects(RegistryClient(access), access, "sla", ["incident.opened"]) == {"incident.opened": 1}
    assert server.requests[2] == ("POST", f"/apis/ccompat/v7/subjects/{subject}/versions")


def test_where_nothing_may_be_registered_it_has_to_be_there(server: FakeRegistry) -> None:
    access = server.access(register=False, compatibility="BACKWARD")
    with pytest.raises(RegistryRefused, match=r"does not have this release's schema of incident\.opened"):
        register_subjects(RegistryClient(access), access, "sla", ["incident.opened"])
    assert {method for method, _ in server.requests} == {"GET", "POST"}
    assert not server.subjects
    assert not server.levels


# -- asking again ------------------------------------------------------------------------------------------------------


def test_a_command_asks_for_so_long_and_no_longer() -> None:
    now, failures = 0.0, [RegistryUnavailable("down")] * 3

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def ask() -> str:
        if failures:
            raise failures.pop()
        return "there"

    assert retry_until_answered(ask, 30, sleep=sleep, seconds=lambda: now) == "there"
    assert now == pytest.approx(1.7)
    failures = [RegistryUnavailable("down")] * 99
    with pytest.raises(RegistryUnavailable, match="down"):
        retry_until_answered(ask, 30, sleep=sleep, seconds=lambda: now)
    assert now <= 31.7


class Scripted:
    """A registry that says what it is told, one thing a question."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    def schema_for(self, schema_id: int) -> object | None:
        self.asked.append(schema_id)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Watched(ManualClock):
    """Tells how often it was waited for. What waits has read its time before."""

    waits = 0

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        self.waits += 1
        await super().wait(event, until)


def test_r27_an_outage_is_waited_out_and_a_known_absent_id_is_not() -> None:
    async def scenario() -> None:
        clock = Watched()
        down = [
            RegistryUnavailable("down"),
            RegistryRefused("who are you?"),
            ValueError("odd"),
            RegistryUnavailable(""),
        ]
        registry = Scripted(*down, "the schema", None, "registered since")
        source = BackgroundSchemas(registry, clock)
        with pytest.raises(RetryLater, match="schema id 7") as waiting:
            source.schema_for(7)
        for tries, wait_s in enumerate((0.2, 0.5, 1.0, 2.0), 1):
            await until(lambda tries=tries: clock.waits == tries)
            assert len(registry.asked) == tries  # it waits by the clock, not by what happens
            assert not waiting.value.answered.done()
            with pytest.raises(RetryLater) as again:
                source.schema_for(7)
            assert again.value.answered is waiting.value.answered
            clock.set(clock.now() + int(wait_s * SECOND))
        await waiting.value.answered
        assert source.schema_for(7) == "the schema"
        assert registry.asked == [7] * 5

        with pytest.raises(RetryLater) as waiting:
            source.schema_for(8)
        await waiting.value.answered
        assert source.schema_for(8) is None
        assert source.schema_for(8) is None  # known to be absent: a flood of it asks once
        clock.set(clock.now() + 30 * SECOND)
        with pytest.raises(RetryLater) as waiting:
            source.schema_for(8)
        await waiting.value.answered
        assert source.schema_for(8) == "registered since"
        await source.stop()

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


def test_r27_a_clock_that_is_set_back_makes_no_wait_for_the_registry_longer() -> None:
    """Neither the next attempt nor the next question about an id that was absent waits until it has caught up."""

    async def scenario() -> None:
        clock = Watched(3_600 * SECOND)
        registry = Scripted(RegistryUnavailable("down"), None, "registered since")
        source = BackgroundSchemas(registry, clock)
        with pytest.raises(RetryLater) as waiting:
            source.schema_for(8)
        await until(lambda: clock.waits == 1)
        clock.set(0)
        await until(lambda: clock.waits == 2)
        clock.set(SECOND)
        await waiting.value.answered
        assert source.schema_for(8) is None
        clock.set(0)
        with pytest.raises(RetryLater) as waiting:
            source.schema_for(8)
        await waiting.value.answered
        assert source.schema_for(8) == "registered since"
        await source.stop()

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


def test_a_source_can_be_stopped_while_the_registry_is_away() -> None:
    async def scenario() -> None:
        source = BackgroundSchemas(Scripted(RegistryUnavailable("down")), ManualClock())
        with pytest.raises(RetryLater) as waiting:
            source.schema_for(7)
        await source.stop()
        assert waiting.value.answered.cancelled()

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


# -- the worker's start ------------------------------------------------------------------------------------------------


def registration(
    server: FakeRegistry, framing: Framing, clock: ManualClock, codec: Codec | None = None
) -> Registration:
    access = server.access()
    codec = codec or Codec()
    return Registration(RegistryClient(access), access, "sla", codec=codec, framing=framing, clock=clock)


def test_a_worker_waits_for_the_registry_before_it_begins_and_says_so(server: FakeRegistry) -> None:
    async def scenario() -> None:
        clock, framing, codec = ManualClock(), Framing(), Codec()
        server.broken = TROUBLES["500"]
        preparing = registration(server, framing, clock, codec)
        task = asyncio.create_task(preparing.prepare())
        await until(lambda: "the store is away" in str(preparing.unready()))
        server.broken = None
        clock.set(SECOND)
        await task
        assert preparing.unready() == []
        value = encode("state.mark", MARK), encode("time.mark", TIME_MARK)
        (schema_id,) = server.subjects[subject_of("time.mark", "sla")]
        assert framing(value[0]) == value[0]
        assert framing(value[1]) == confluent_head(schema_id) + value[1][10:]
        assert codec.decode(framing(value[1])) == ("time.mark", TIME_MARK), "its own ids it need not ask for"

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


def test_a_worker_that_is_refused_does_not_begin(server: FakeRegistry) -> None:
    server.levels[subject_of("credit.issued", "sla")] = "NONE"
    with pytest.raises(RegistryRefused, match="credit"):
        asyncio.run(asyncio.wait_for(registration(server, Framing(), ManualClock()).prepare(), TIMEOUT_S))


def test_a_worker_told_to_stop_at_its_start_does_not_wait_for_the_registry(server: FakeRegistry) -> None:
    async def scenario() -> None:
        server.broken = TROUBLES["hang"]
        task = asyncio.create_task(registration(server, Framing(), ManualClock()).prepare())
        await until(lambda: server.requests)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))
    server.released.set()
    for thread in threading.enumerate():
        if thread.name.startswith("registration"):
            thread.join(TIMEOUT_S)
    assert len(server.requests) == 1


@pytest.mark.parametrize("write", [True, False])
def test_a_worker_that_only_reads_confluent_framing_registers_nothing(
    monkeypatch: pytest.MonkeyPatch, server: FakeRegistry, write: bool
) -> None:
    prepared = []

    async def run_worker(*_: object, preparation: Registration | None, **__: object) -> int:
        if preparation is not None:
            await preparation.prepare()
            prepared.append(preparation)
        return 0

    monkeypatch.setattr(worker, "run_worker", run_worker)
    settings = read_settings(schema_registry_url=server.url, schema_registry_write=write)
    assert asyncio.run(asyncio.wait_for(worker.work(settings), TIMEOUT_S)) == 0
    assert bool(prepared) is bool(server.requests) is write

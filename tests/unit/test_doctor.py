"""`sla doctor`: what it makes of what it reads, and what it says when nothing can be reached."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from cli.doctor import kafka_checks
from cli.doctor.findings import (
    Diagnosis,
    clock_finding,
    disk_finding,
    policy_findings,
    topic_findings,
    transaction_findings,
    worker_findings,
)
from cli.main import app
from streams.settings import read_settings
from streams.sla.instants import SECOND
from streams.time_source import SystemTimeSource
from streams.topics import declared
from streams.worker_progress import BlockedInput, PartitionState, TaskProgress, WorkerProgress

SPECS = declared("sla", 8, 1)
ALL = {spec.name: 8 for spec in SPECS}
_GIB = 1024**3


def statuses(found: list[Diagnosis]) -> list[tuple[str, str]]:
    return [(each.status, each.check) for each in found]


def test_topics_as_declared_are_fine() -> None:
    assert statuses(topic_findings(SPECS, ALL, {})) == [("ok", "partitions"), ("ok", "topics")]


def test_a_missing_topic_is_named_with_the_command_that_creates_it() -> None:
    some = {name: 8 for name in ALL if name != "sla.alerts"}
    (missing, _) = topic_findings(SPECS, some, {})
    assert (missing.status, missing.what, missing.mend) == (
        "fail",
        "missing: sla.alerts",
        "create them: sla topics apply",
    )


def test_a_topic_that_may_not_be_seen_is_not_called_missing() -> None:
    some = {name: 8 for name in ALL if name != "sla.alerts"}
    found = topic_findings(SPECS, some, {}, ["sla.alerts"])
    assert statuses(found) == [("fail", "access"), ("ok", "partitions")]


def test_partition_counts_must_be_equal_and_those_of_the_setting() -> None:
    differing = topic_findings(SPECS, {**ALL, "sla.alerts": 4}, {})
    assert statuses(differing)[0] == ("fail", "partitions")
    assert "4: sla.alerts" in differing[0].what
    other = topic_findings(SPECS, dict.fromkeys(ALL, 12), {})
    assert (other[0].status, other[0].mend) == ("fail", "set SLA_PARTITIONS=12")


def test_a_setting_that_changes_what_is_kept_or_stamped_fails_and_others_warn() -> None:
    differing = {"sla.alerts": [("retention.ms", "1", "2"), ("cleanup.policy", "delete", "compact")]}
    found = topic_findings(SPECS, ALL, differing)
    assert statuses(found) == [("ok", "partitions"), ("warn", "topics"), ("fail", "topics")]


def progress(workers: int | None, *waited: bool) -> WorkerProgress:
    states = tuple(PartitionState(number, 1, 0, each) for number, each in enumerate(waited))
    return WorkerProgress(states, (TaskProgress("incidents", 0, None, None, 5, 0),), {}, workers, 0)


@pytest.mark.parametrize(
    ("workers", "waited", "expected"),
    [
        (2, (False, False), [("ok", "workers"), ("ok", "progress")]),
        (0, (False, True), [("fail", "workers"), ("fail", "progress")]),
        (None, (False,), [("warn", "workers"), ("ok", "progress")]),
    ],
)
def test_workers_and_halted_partitions(
    workers: int | None, waited: tuple[bool, ...], expected: list[tuple[str, str]]
) -> None:
    found = worker_findings(progress(workers, *waited), "sla")
    assert statuses(found) == expected
    assert "5 inputs" in found[0].what or workers is None


def test_partitions_without_a_leader_are_named_and_nothing_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request for the ends of all partitions would fail after its timeout, and be told as a lack of access."""
    led = {spec.name: [{"partition_index": each, "leader_id": 1} for each in range(8)] for spec in SPECS}
    led["sla.incident-events"][3]["leader_id"] = led["sla.incident-events"][5]["leader_id"] = -1
    admin = Mock(describe_topics=lambda names: [{"name": each, "partitions": led[each]} for each in names])
    monkeypatch.setattr(kafka_checks, "_connect", lambda address: Diagnosis("ok", "brokers", address))
    monkeypatch.setattr(kafka_checks, "_cluster", lambda _: Diagnosis("ok", "brokers", "a cluster"))
    monkeypatch.setattr(kafka_checks, "_topics", lambda *_: [])
    monkeypatch.setattr("streams.kafka.kafka_python_clients.admin", lambda **_: admin)
    monkeypatch.setattr(kafka_checks, "_progress", lambda *_: [Diagnosis("ok", "progress", "read")])
    settings = read_settings(brokers="kafka:9092")
    found = list(kafka_checks.kafka_findings(settings, SystemTimeSource()))
    assert [(each.status, each.what) for each in found[2:]] == [
        ("fail", "sla.incident-events: no broker leads partition 3, 5")
    ]
    for each in (3, 5):
        led["sla.incident-events"][each]["leader_id"] = 2
    assert [each.what for each in kafka_checks.kafka_findings(settings, SystemTimeSource())][2:] == ["read"]


def test_input_behind_an_open_transaction_fails_with_how_to_find_its_producer() -> None:
    assert statuses(transaction_findings([], 0)) == [("ok", "transactions")]
    (found,) = transaction_findings([BlockedInput("sla.incident-events", 3, 7, 10 * SECOND)], 100 * SECOND)
    assert (found.status, found.what) == (
        "fail",
        "sla.incident-events-3 can't be read from offset 7 on: another program's transaction has been open there since "
        "1970-01-01T00:00:10Z, for 90 s",
    )
    assert "describe-producers --topic sla.incident-events --partition 3" in str(found.mend)


@pytest.mark.parametrize(("newest", "status"), [(None, "ok"), (100, "ok"), (101, "ok"), (103, "fail")])
def test_a_clock_behind_the_brokers_is_found(newest: int | None, status: str) -> None:
    assert clock_finding(None if newest is None else newest * SECOND, 100 * SECOND).status == status


def test_a_version_in_use_that_is_gone_or_changed_fails() -> None:
    assert statuses(policy_findings(3, [("a", "1", "deployed")])) == [("ok", "policies")]
    found = policy_findings(3, [("a", "1", "other content"), ("b", "2", "not deployed")])
    assert statuses(found) == [("fail", "policies")] * 2


@pytest.mark.parametrize(
    ("free", "total", "status"),
    [(50, 100, "ok"), (9, 100, "warn"), (2, 100, "fail"), (0.5, 1, "fail")],
)
def test_disks(free: float, total: int, status: str) -> None:
    assert disk_finding("data", int(free * _GIB), total * _GIB).status == status


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Nothing listens there, nor will as long as it is taken."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield int(one.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Something that listens and says nothing, which is no Kafka."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield int(one.getsockname()[1])


def run(*arguments: str) -> tuple[int, list[dict[str, str | None]]]:
    ended = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    return ended.exit_code, [json.loads(line) for line in ended.stdout.splitlines()]


def test_nothing_reachable_gives_the_true_cause_and_still_checks_the_rest(
    closed_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLA_BOARD_DATABASE_URL", f"sqlite:///{tmp_path}/board.db")
    monkeypatch.setenv("SLA_SCHEMA_REGISTRY_URL", f"http://127.0.0.1:{closed_port}")

    def never(**_: object) -> None:
        raise AssertionError("a client would try for a long time")

    monkeypatch.setattr("streams.kafka.kafka_python_clients.admin", never)
    code, found = run("--brokers", f"127.0.0.1:{closed_port}")
    assert code == 1
    by_check = {each["check"]: each for each in found}
    assert by_check["brokers"]["what"] == f"127.0.0.1:{closed_port}: nothing listens there"
    assert by_check["registry"]["status"] == "fail"
    assert {each: by_check[each]["status"] for each in ("versions", "policies", "board")} == dict.fromkeys(
        ("versions", "policies", "board"), "ok"
    )
    assert all(each["mend"] for each in found if each["status"] != "ok")
    assert not (tmp_path / "board.db").exists()


def test_what_listens_but_is_no_kafka_is_told_apart(silent_port: int) -> None:
    code, found = run("--brokers", f"127.0.0.1:{silent_port}")
    assert code == 1
    (wrong,) = [each for each in found if each["check"] == "brokers" and each["status"] == "fail"]
    assert "does not speak Kafka" in str(wrong["mend"])


def test_a_wrong_setting_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_PARTITIONS", "none")
    code, found = run()
    assert (code, found[-1]["check"], found[-1]["status"]) == (1, "settings", "fail")


def test_lines_for_people_name_the_check_and_the_remedy(closed_port: int) -> None:
    ended = CliRunner().invoke(app, ["doctor", "--brokers", f"127.0.0.1:{closed_port}"])
    assert f"fail brokers: 127.0.0.1:{closed_port}: nothing listens there\n     → start Kafka there" in ended.stdout


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_is_respected(
    no_color: str, coloured: bool, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    ended = CliRunner().invoke(app, ["doctor", "--brokers", f"127.0.0.1:{closed_port}"], color=True)
    assert ("\x1b[" in ended.stdout) is coloured

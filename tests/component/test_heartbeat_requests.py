"""Heartbeats over HTTP: who may send which, and what a mapping file and the dry run say of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import jsonschema
import pytest
from aiohttp.test_utils import TestClient, TestServer
from heartbeat_bench import MAPPING, Cluster, MemoryPublisher, MemoryReader, sources_of
from intake_bench import ROOT, HandClock, run
from typer.testing import CliRunner

from cli.main import app
from connect.intake.heartbeats import service
from connect.intake.loaded_mapping import LoadedMapping
from connect.intake.mapping.monitors import MonitorRule, MonitorRules
from connect.intake.mapping_file import MappingError, load_mapping
from connect.intake.record_publisher import Unavailable
from connect.intake.settings import IntakeSettings
from connect.intake.signatures import Secret, read_secrets
from connect.intake.web.app import Intake
from connect.intake.web.openapi import document

EXAMPLE = ROOT / "examples" / "intake" / "heartbeat.yaml"
JOBS, API = "jobs-token-00000001", "api-token-000000001"
TOKENS = {"SLA_INTAKE_JOBS_TOKEN": JOBS, "SLA_INTAKE_API_TOKEN": API}
WITH_API = MAPPING + "  services: {format: api, secrets: [{env: SLA_INTAKE_API_TOKEN}]}\n"


class Bench:
    """One intake on a cluster in memory."""

    def __init__(self, client: TestClient, intake: Intake, cluster: Cluster) -> None:  # type: ignore[type-arg]
        self.client, self.intake, self.cluster = client, intake, cluster
        self.reader = MemoryReader(cluster)

    async def send(self, path: str, token: str = JOBS) -> tuple[int, dict[str, str]]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.client.post(path, data=b"ignored", headers=headers) as answer:
            return answer.status, await answer.json()

    async def begin(self) -> None:
        assert self.intake.heartbeats is not None
        await self.intake.heartbeats.begin(self.reader)
        await self.intake.heartbeats.turn(self.reader)


@asynccontextmanager
async def served(mapping: str = WITH_API) -> AsyncIterator[Bench]:
    cluster, sources = Cluster(), sources_of(mapping)
    loaded = LoadedMapping(sources, read_secrets(sources.values(), TOKENS), operator=Secret("operator-token-00001"))
    intake = Intake(
        loaded, IntakeSettings(), MemoryPublisher(cluster), HandClock(), reader=lambda: MemoryReader(cluster)
    )
    async with TestClient(TestServer(intake.app())) as client:
        yield Bench(client, intake, cluster)


def test_a_heartbeat_that_finds_no_room_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with served() as bench:
            await bench.begin()

            async def full(_: object) -> None:
                raise Unavailable("9 bytes wait for Kafka; at most 8 are allowed", of_request=True)

            monkeypatch.setattr(bench.intake.heartbeats, "beat", full)
            status, told = await bench.send("/v1/heartbeats/backup")
            reason = "9 bytes wait for Kafka; at most 8 are allowed; send the heartbeat again"
            assert (status, told["error"]) == (503, reason)

    run(scenario)


def test_a_heartbeat_is_acknowledged_once_kafka_has_it() -> None:
    async def scenario() -> None:
        async with served() as bench:
            status, told = await bench.send("/v1/heartbeats/backup")
            assert (status, told["error"]) == (503, "Kafka has not acknowledged; send the heartbeat again")
            async with bench.client.get("/ready") as answer:
                found = await answer.json()
                assert (answer.status, found["heartbeats"]) == (200, {"problem": "not connected to Kafka"})
            await bench.begin()
            status, told = await bench.send("/v1/heartbeats/backup")
            assert (status, told) == (202, {"monitor": "backup", "every": "PT1M", "grace": "PT30S"})
            operation = document()["paths"]["/v1/heartbeats/{monitor}"]["post"]
            jsonschema.validate(told, operation["responses"]["202"]["content"]["application/json"]["schema"])
            jsonschema.validate("backup", operation["parameters"][0]["schema"])
            keys = [row.key for rows in bench.cluster.partitions for row in rows]
            assert b"beat/jobs/backup" in keys
            registry = bench.intake.metrics.registry
            assert registry.get_sample_value("sla_intake_heartbeats_total", {"source": "jobs"}) == 1
            assert registry.get_sample_value("sla_intake_requests_total", {"source": "jobs", "status": "202"}) == 1
            bench.cluster.away = True
            assert (await bench.send("/v1/heartbeats/backup"))[0] == 503
            headers = {"Authorization": "Bearer operator-token-00001"}
            async with bench.client.get("/v1/requests", headers=headers) as answer:
                listed = [(each["path"], each["status"]) for each in (await answer.json())["requests"]]
            assert listed == [("/v1/heartbeats/backup", 503)] * 2, "accepted ones would displace other requests"

    run(scenario)


def test_monitors_that_the_mapping_lacks_or_cannot_map_are_refused() -> None:
    async def scenario() -> None:
        async with served(
            WITH_API.replace("{from: monitor.wildcard}", "{from: monitor.wildcard, values: {a: a}}")
        ) as bench:
            await bench.begin()
            status, told = await bench.send("/v1/heartbeats/backups")
            assert (status, told["error"]) == (404, "jobs has no monitor 'backups'; allowed: backup, probe-*")
            assert (await bench.send("/v1/heartbeats/probe-%00"))[0] == 404
            assert (await bench.send(f"/v1/heartbeats/probe-{'x' * 60}"))[0] == 404
            status, told = await bench.send("/v1/heartbeats/probe-b")
            assert status == 422
            assert "tenants: monitor.wildcard is 'b', which line 13" in told["error"]
            assert (await bench.send("/v1/heartbeats/probe-a"))[0] == 202

    run(scenario)


def test_each_token_has_its_own_addresses() -> None:
    async def scenario() -> None:
        async with served() as bench:
            await bench.begin()
            assert (await bench.send("/v1/heartbeats/backup", API))[0] == 401
            assert (await bench.send("/v1/heartbeats/backup", "guess-token-0000001"))[0] == 401
            assert (await bench.send("/v1/incidents", JOBS))[0] == 401
            assert (await bench.send("/v1/events", JOBS))[0] == 401
            assert (await bench.send("/v1/hooks/jobs", JOBS))[0] == 404

    run(scenario)


def test_a_source_of_some_tenants_has_no_monitors_of_others() -> None:
    async def scenario() -> None:
        async with served(WITH_API.replace("    monitors:", "    only_tenants: [acme]\n    monitors:")) as bench:
            await bench.begin()
            assert (await bench.send("/v1/heartbeats/probe-acme"))[0] == 202
            status, told = await bench.send("/v1/heartbeats/probe-other")
            assert (status, told["error"]) == (403, "jobs may not affect tenant other; allowed: acme")
            assert (await bench.send("/v1/heartbeats/backup"))[0] == 403

    run(scenario)


def test_a_monitor_that_is_gone_for_good_is_forgotten_by_its_own_source() -> None:
    async def scenario() -> None:
        async with served() as bench:
            await bench.begin()

            async def forget(name: str, token: str = JOBS) -> tuple[int, dict[str, str]]:
                headers = {"Authorization": f"Bearer {token}"}
                async with bench.client.delete(f"/v1/heartbeats/{name}", headers=headers) as answer:
                    return answer.status, await answer.json()

            assert (await bench.send("/v1/heartbeats/probe-a"))[0] == 202
            assert bench.intake.heartbeats is not None
            await bench.intake.heartbeats.turn(bench.reader)
            assert (await forget("probe-a", API))[0] == 401
            assert await forget("probe-b") == (404, {"error": "no heartbeat of 'probe-b' from jobs is known"})
            assert await forget("probe-a") == (202, {"monitor": "probe-a"})
            await bench.intake.heartbeats.turn(bench.reader)
            assert (await forget("probe-a"))[0] == 404
            bench.cluster.away = True

    run(scenario)


def test_a_source_has_a_limited_number_of_monitors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_MONITORS", 2)

    async def scenario() -> None:
        async with served() as bench:
            await bench.begin()
            for name in ("a", "b"):
                assert (await bench.send(f"/v1/heartbeats/probe-{name}"))[0] == 202
            assert bench.intake.heartbeats is not None
            await bench.intake.heartbeats.turn(bench.reader)
            status, told = await bench.send("/v1/heartbeats/probe-c")
            assert status == 422
            assert told["error"] == "jobs has 2 monitors; at most 2 are allowed: delete those that are gone"
            assert (await bench.send("/v1/heartbeats/probe-b"))[0] == 202

    run(scenario)


def test_the_own_name_comes_before_the_longest_pattern() -> None:
    rules = tuple(MonitorRule(pattern, 1, 1) for pattern in ("*", "probe-*", "probe-eu-*", "probe-eu-1"))
    monitors = MonitorRules(rules)
    found = [monitors.rule_for(name) for name in ("job", "probe-x", "probe-eu-2", "probe-eu-1", "probe-eu-")]
    assert [None if rule is None else rule.pattern for rule in found] == [
        "*",
        "probe-*",
        "probe-eu-*",
        "probe-eu-1",
        "probe-eu-*",
    ]
    assert MonitorRules(rules[1:]).rule_for("job") is None
    assert rules[1].view("probe-x") == {"monitor": {"name": "probe-x", "pattern": "probe-*", "wildcard": "x"}}


class CountedRules(tuple[MonitorRule, ...]):
    """Counts how often all rules are gone through."""

    passes = 0

    def __iter__(self) -> Iterator[MonitorRule]:
        type(self).passes += 1
        return super().__iter__()


def test_each_of_many_monitors_is_found_without_a_look_at_the_others() -> None:
    rules = CountedRules(MonitorRule(f"m{number}", 1, 1) for number in range(1_000))
    CountedRules.passes = 0
    monitors = MonitorRules(rules)
    assert [monitors.rule_for(rule.pattern) for rule in list(rules)] == list(rules)
    assert monitors.rule_for("other") is None
    assert CountedRules.passes <= 4


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("every: PT60S", "every: PT1S", "7: sources.jobs.monitors.backup.every: the time between heartbeats is out of"),
        ("grace: PT30S", "grace: P8D", "7: sources.jobs.monitors.backup.grace: the grace of heartbeats is out of"),
        ("every: PT60S, ", "", "7: sources.jobs.monitors.backup.every:"),
        ("backup: {", "a*b: {", "7: sources.jobs.monitors.a*b: 'a*b' is not a name of monitors"),
        ("monitor.wildcard", "monitor.tenant", "13: sources.jobs.tenants[1].from: 'monitor.tenant' never matches"),
        ("monitor.name", "labels.name", "12: sources.jobs.tenants[0].when"),
        ("format: heartbeat", "format: alertmanager", "6: sources.jobs.monitors: a source of format alertmanager has"),
        ("    component: [{value: api}]\n", "", "3: sources.jobs: component: has no entry"),
    ],
)
def test_a_mistake_about_monitors_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in MAPPING
    file = tmp_path / "intake.yaml"
    file.write_text(MAPPING.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        load_mapping(file)
    assert any(str(each).removeprefix(f"{file}:").startswith(told) for each in caught.value.problems), str(caught.value)


def test_the_dry_run_shows_the_incident_of_a_silence(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(b"")

    def ran(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["intake", "test", str(empty), "--mapping", str(EXAMPLE), *words])
        return done.exit_code, done.output

    code, output = ran("--path", "/v1/heartbeats/probe-acme", "--explain")
    assert code == 0
    assert '"tenant_ids": ["acme"], "component": "api", "impact": "complete_outage"' in output
    assert "tenants, line 24: gives 'acme'" in output
    code, output = ran("--path", "/v1/heartbeats/nightly-backup", "--json")
    (event,) = json.loads(output)["events"]
    assert event["event"]["data"]["summary"] == "The nightly backup has not reported."
    assert ran("--path", "/v1/heartbeats/probe-nobody")[0] == 1
    assert "no monitor 'other'; allowed: nightly-backup, probe-*" in ran("--path", "/v1/heartbeats/other")[1]
    code, output = ran("--source", "jobs")
    assert (code, output) == (2, "which monitor is it? write --path /v1/heartbeats/NAME\n")

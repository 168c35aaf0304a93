"""The intake on a real broker: where events lie, kill -9 under load, a broker that goes away and comes back."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from heartbeat_intake import EVERY_S, GRACE_S, beat, running
from intake_process import DATA, SECRETS, SERVICES, IntakeProcess, accepted, records
from on_kafka import PARTITIONS, Run

from cli.embedded_kafka.broker import start_broker
from cli.kafka_io.topic_admin import apply_topics
from streams.kafka.partitioner import partition_of
from streams.sla.instants import SECOND, format_rfc3339, parse_rfc3339
from streams.time_source import SystemTimeSource
from streams.topics import declared
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

#: What the mapping file of these tests accepts.
SENDERS = ("alertmanager", "jira", "zendesk")
BODY = {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "api", "summary": "load"}


@pytest.fixture
def intake(broker: str, topics: str, tmp_path: Path) -> Iterator[IntakeProcess]:
    with IntakeProcess(broker, topics, tmp_path / "intake.log") as process:
        yield process


def proof(name: str, body: bytes) -> dict[str, str]:
    key = SECRETS.get(f"SLA_INTAKE_{name.upper()}_SECRET", "").encode()
    if name == "prometheus":
        return {"Authorization": f"Bearer {SECRETS['SLA_INTAKE_PROMETHEUS_TOKEN']}"}
    if name == "jira":
        return {"X-Hub-Signature": f"sha256={hmac.digest(key, body, 'sha256').hex()}"}
    time = format_rfc3339(SystemTimeSource().now())
    return {
        "X-Zendesk-Webhook-Signature": base64.b64encode(hmac.digest(key, time.encode() + body, "sha256")).decode(),
        "X-Zendesk-Webhook-Signature-Timestamp": time,
    }


def test_what_every_sender_sends_lies_in_its_partition_and_is_accepted(
    intake: IntakeProcess, broker: str, topics: str, run: Run
) -> None:
    """R1: sent twice and in disorder, the set of events is the same."""
    stories = sorted(path for sender in SENDERS for path in DATA.glob(f"{sender}-*.json"))
    for path in [*stories, *reversed(stories)]:
        name, body = path.name.partition("-")[0].replace("alertmanager", "prometheus"), path.read_bytes()
        status, answer = intake.post(
            f"/v1/hooks/{name}", body, proof(name, body) | {"Content-Type": "application/json"}
        )
        assert status == (422 if "unmapped" in path.name else 202), answer
    found = records(broker, topics)
    events = list(accepted(found))
    for record, event in zip(found, events, strict=True):
        assert record.key == event["subject"].encode()
        assert record.partition == partition_of(event["subject"], PARTITIONS)
        assert dict(record.headers)["ce_id"] == event["id"].encode()
    content = {(event["source"], event["id"]): json.dumps(event) for event in events}
    assert len(content) == 15
    assert {(event["source"], event["id"], json.dumps(event)) for event in events} == {
        (*identity, text) for identity, text in content.items()
    }
    listed = run("rejected", "list", "--json")
    assert listed.exit_code == 0, listed.stderr
    (refused,) = [json.loads(line) for line in listed.stdout.splitlines()]
    assert (refused["code"], refused["topic"], refused["key"]) == ("invalid", "intake/prometheus", "prometheus")
    shown = run("rejected", "show", f"intake/prometheus/0/{refused['offset']}")
    assert shown.exit_code == 0, shown.stderr
    assert "which line 18 of the mapping does not name" in shown.stdout
    assert intake.stop() == 0
    log = intake.log.read_text()
    assert not [secret for secret in SECRETS.values() if secret in log]


def test_contract_facts_go_to_their_own_topic(intake: IntakeProcess, broker: str, topics: str) -> None:
    from connect.intake.web.openapi_examples import EXAMPLES

    billing = SERVICES | {"Authorization": f"Bearer {SECRETS['SLA_INTAKE_BILLING_TOKEN']}"}
    for path, name in (
        ("/v1/contracts", "contract.set"),
        ("/v1/maintenance", "maintenance.scheduled"),
        ("/v1/maintenance/m-7/cancelled", "maintenance.cancelled"),
        ("/v1/claims", "credit.claimed"),
    ):
        status, answer = intake.post(path, json.dumps(EXAMPLES[name]).encode(), billing)
        assert status == 202, answer
    found = records(broker, topics, "contract-events")
    assert sorted(event["type"] for event in accepted(found)) == [
        "contract.set",
        "credit.claimed",
        "maintenance.cancelled",
        "maintenance.scheduled",
    ]
    assert not records(broker, topics)


@pytest.mark.chaos
def test_every_acknowledged_event_is_in_kafka_through_kill_9(intake: IntakeProcess, broker: str, topics: str) -> None:
    """Senders try again until 202; three times the intake is killed under them. Deduped by id: exactly the set."""
    senders, each = 16, 60
    acknowledged: set[str] = set()
    killed = asyncio.Event()

    async def send(session: aiohttp.ClientSession, identity: str) -> None:
        body = json.dumps({**BODY, "incident_id": identity, "time": "2026-04-10T08:00:00Z"}).encode()
        while True:
            try:
                async with session.post(f"{intake.url}/v1/incidents", data=body, headers=SERVICES) as answer:
                    if answer.status == 202:
                        (told,) = (await answer.json())["published"]
                        acknowledged.add(told["id"])
                        return
                    assert answer.status in {429, 503}, await answer.text()
            except aiohttp.ClientError:
                killed.set()
            await asyncio.sleep(0.02)

    async def sender(session: aiohttp.ClientSession, number: int) -> None:
        for index in range(each):
            await send(session, f"inc-{number}-{index}")

    async def kills(total: int) -> None:
        for share in (0.1, 0.4, 0.7):
            while len(acknowledged) < share * total:
                await asyncio.sleep(0.002)
            intake.kill()
            before = set(acknowledged)
            lying = {event["id"] for event in await asyncio.to_thread(lambda: list(accepted(records(broker, topics))))}
            assert before <= lying
            await asyncio.to_thread(intake.start)

    async def scenario() -> None:
        async with asyncio.timeout(2 * TIMEOUT_S), aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            group.create_task(kills(senders * each))
            for number in range(senders):
                group.create_task(sender(session, number))

    asyncio.run(scenario())
    assert killed.is_set()
    assert len(acknowledged) == senders * each
    events = list(accepted(records(broker, topics)))
    assert {event["id"] for event in events} == acknowledged
    assert {event["subject"] for event in events} == {f"inc-{n}-{i}" for n in range(senders) for i in range(each)}
    assert len({json.dumps(event) for event in events}) == len(acknowledged)


@pytest.mark.chaos
def test_a_broker_that_goes_away_is_503_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with start_broker() as own:
        apply_topics(own.bootstrap, declared("sla", PARTITIONS))
        process = IntakeProcess(own.bootstrap, "sla", tmp_path / "intake.log", ack_timeout="PT1S", retry_after="7")
        with process as intake:

            def send(identity: str) -> int:
                body = {**BODY, "incident_id": identity, "time": "2026-04-10T08:00:00Z"}
                return intake.post("/v1/incidents", json.dumps(body).encode(), SERVICES)[0]

            wait(lambda: send("before") == 202, intake.log.read_text)
            own.kill()
            assert send("during") == 503
            wait(lambda: intake.get("/ready")[0] == 503, intake.log.read_text)
            assert intake.get("/healthz")[0] == 200
            own.restart()
            wait(intake.ready, intake.log.read_text)
            wait(lambda: send("during") == 202, intake.log.read_text)
            wait(lambda: send("after") == 202, intake.log.read_text)
            own.kill()
            wait(lambda: send("again") == 503, intake.log.read_text)
            assert intake.stop() == 0  # it ends in time with Kafka away
            own.restart()
            subjects = {event["subject"] for event in accepted(records(own.bootstrap, "sla"))}
            assert subjects - {"again"} == {"before", "during", "after"}


def test_a_silence_is_published_once_though_the_intake_that_found_it_was_killed(broker: str, topics: str) -> None:
    """Between finding and publishing; the next intake opens the incident, and the next heartbeat resolves it."""
    done = subprocess.run(
        [sys.executable, "-m", "heartbeat_intake", broker, topics],
        cwd=Path(__file__).parent,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not records(broker, topics)

    def said(subject: str) -> list[dict[str, Any]]:
        return [each for each in accepted(records(broker, topics)) if not subject or each["subject"] == subject]

    async def until(count: int, subject: str = "") -> list[dict[str, Any]]:
        """A machine that takes longer than a monitor may be silent finds further silences: other incidents."""
        while len(found := await asyncio.to_thread(said, subject)) < count:
            await asyncio.sleep(0.1)
        return found

    async def scenario() -> list[dict[str, Any]]:
        async with asyncio.timeout(2 * TIMEOUT_S):
            async with running(broker, topics):
                incident = (await until(1))[0]["subject"]
            async with running(broker, topics) as again:
                await beat(again)
                found = await until(2, incident)
                while again.problem is not None or not await asyncio.to_thread(ended, broker, topics):
                    await asyncio.sleep(0.1)
            async with running(broker, topics) as third:
                await beat(third)
                while third.problem is not None:
                    await asyncio.sleep(0.1)
            assert await until(2, incident) == found, "a start publishes nothing again"
            return found

    opened, resolved = asyncio.run(scenario())
    beats = [each for each in records(broker, topics, "heartbeats") if each.key == b"beat/jobs/backup"]
    missed_at = beats[0].arrival + (EVERY_S + GRACE_S) * SECOND
    assert (opened["type"], parse_rfc3339(opened["time"])) == ("incident.opened", missed_at)
    heard_at = min(each.arrival for each in beats if each.arrival > missed_at)
    assert (resolved["type"], parse_rfc3339(resolved["time"])) == ("incident.resolved", heard_at)
    assert opened["subject"] == resolved["subject"]


def ended(broker: str, prefix: str) -> bool:
    """Whether the row is there that says the end of a silence is published."""
    rows = [each for each in records(broker, prefix, "heartbeats") if each.key == b"silence/jobs/backup"]
    return any(json.loads(each.value or b"{}")["ended"] for each in rows)

"""The intake's application in this process, over a way to Kafka that the test holds: what tests of it share."""

from __future__ import annotations

import asyncio
import base64
import hmac
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.trace import Tracer

from connect.intake.byte_budget import ByteBudget
from connect.intake.kafka_records import OutgoingRecord
from connect.intake.loaded_mapping import LoadedMapping
from connect.intake.mapping_file import load_mapping
from connect.intake.outcome import Reply
from connect.intake.record_publisher import RecordPublisher, Unavailable
from connect.intake.settings import IntakeSettings
from connect.intake.signatures import Secret, read_secrets
from connect.intake.web.app import Intake
from streams.runtime import dead_letter
from streams.sla.arrival import TimeLimits
from streams.sla.instants import DAY, SECOND, format_rfc3339, parse_rfc3339
from tests.waiting import TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "intake"
NOW = "2026-04-10T08:00:00Z"
#: Recorded requests are of later days.
ANY_TIME = TimeLimits(future_skew=1_000 * DAY)
SECRETS = {
    "SLA_INTAKE_PROMETHEUS_TOKEN": "prometheus-token-0001",
    "SLA_INTAKE_ZENDESK_SECRET": "zendesk-secret-00001",
    "SLA_INTAKE_JIRA_SECRET": "jira-secret-00000001",
    "SLA_INTAKE_PAGERDUTY_SECRET": "pagerduty-secret-001",
    "SLA_INTAKE_SLACK_SECRET": "slack-secret-0000001",
    "SLA_INTAKE_STATUSPAGE_TOKEN": "statuspage-token-001",
    "SLA_INTAKE_ZAMMAD_SECRET": "zammad-secret-000001",
    "SLA_INTAKE_UPTIME_KUMA_TOKEN": "uptime-kuma-token-01",
    "SLA_INTAKE_BILLING_TOKEN": "billing-token-000001",
    "SLA_INTAKE_SERVICES_TOKEN": "services-token-00001",
}


class HandClock:
    """Time moves when the test says so."""

    def __init__(self) -> None:
        self.at = parse_rfc3339(NOW)

    def now(self) -> int:
        return self.at


class HeldPublisher:
    """A way to Kafka that acknowledges when `open` is set, and fails with `trouble`."""

    def __init__(self) -> None:
        self.in_flight = ByteBudget(1 << 30)
        self.clock: HandClock | None = None
        self.ahead: int | None = 0  # of this clock; None where the time of Kafka is not known
        self.given: list[OutgoingRecord] = []
        self.acknowledged: list[OutgoingRecord] = []
        self.trouble: str | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        self.given += records
        await self.open.wait()
        if self.trouble is not None:
            raise Unavailable(self.trouble)
        self.acknowledged += records

    def kafka_time(self) -> int | None:
        asyncio.get_running_loop()  # as the real one, which can't be asked in a thread
        return None if self.clock is None or self.ahead is None else self.clock.now() + self.ahead

    def clock_ahead(self) -> int | None:
        asyncio.get_running_loop()
        return None if self.clock is None or self.ahead is None else -self.ahead

    def unready(self) -> str | None:
        return self.trouble


class Bench:
    """One intake that answers to a client."""

    def __init__(self, client: TestClient, publisher: HeldPublisher, clock: HandClock, intake: Intake) -> None:  # type: ignore[type-arg]
        self.client = client
        self.publisher = publisher
        self.clock = clock
        self.intake = intake
        self.replies: list[Reply] = []
        self.reply_trouble: Exception | int = 200
        """The status of answers to replies, or what happens instead."""

    async def take_reply(self, reply: Reply) -> int:
        """In place of Slack."""
        self.replies.append(reply)
        if isinstance(self.reply_trouble, Exception):
            raise self.reply_trouble
        return self.reply_trouble

    async def post(self, path: str, body: object, **headers: str) -> tuple[int, dict[str, object], dict[str, str]]:
        """Status, body and headers of the answer; JSON is made of anything but bytes."""
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        named = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        async with self.client.post(path, data=data, headers=named) as answer:
            return answer.status, await answer.json(), dict(answer.headers)

    async def hook(self, name: str, body: bytes, **headers: str) -> tuple[int, dict[str, object], dict[str, str]]:
        """A webhook, signed as its sender signs it."""
        return await self.post(f"/v1/hooks/{name}", body, **{**signed(name, body, self.clock.at), **headers})


def recorded(name: str) -> bytes:
    return (DATA / f"{name}.json").read_bytes()


def token(name: str) -> dict[str, str]:
    variable = f"SLA_INTAKE_{name.upper().replace('-', '_')}_TOKEN"
    return {"Authorization": f"Bearer {SECRETS[variable]}"}


def signed(name: str, body: bytes, at: int) -> dict[str, str]:
    """The headers that prove a webhook."""
    if name == "zendesk":
        time = format_rfc3339(at)
        digest = hmac.digest(SECRETS["SLA_INTAKE_ZENDESK_SECRET"].encode(), time.encode() + body, "sha256")
        return {
            "X-Zendesk-Webhook-Signature": base64.b64encode(digest).decode(),
            "X-Zendesk-Webhook-Signature-Timestamp": time,
        }
    if name == "jira":
        made = hmac.digest(SECRETS["SLA_INTAKE_JIRA_SECRET"].encode(), body, "sha256").hex()
        return {"X-Hub-Signature": f"sha256={made}", "X-Atlassian-Webhook-Identifier": "one"}
    if name == "pagerduty":
        made = hmac.digest(SECRETS["SLA_INTAKE_PAGERDUTY_SECRET"].encode(), body, "sha256").hex()
        return {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={made}"}
    if name == "slack":
        seconds = str(at // SECOND)
        message = f"v0:{seconds}:".encode() + body
        made = hmac.digest(SECRETS["SLA_INTAKE_SLACK_SECRET"].encode(), message, "sha256").hex()
        return {"X-Slack-Signature": f"v0={made}", "X-Slack-Request-Timestamp": seconds}
    if name == "zammad":
        made = hmac.digest(SECRETS["SLA_INTAKE_ZAMMAD_SECRET"].encode(), body, "sha1").hex()
        return {"X-Hub-Signature": f"sha1={made}"}
    return token(name)


@asynccontextmanager
async def served(
    publisher: RecordPublisher | None = None,
    operator: str | None = None,
    *,
    tracer: Tracer | None = None,
    limits: TimeLimits = ANY_TIME,
    **changed: object,
) -> AsyncIterator[Bench]:
    """An intake with the shipped example mappings; `changed` are settings, unchecked. `operator` is its token."""
    clock, way = HandClock(), publisher or HeldPublisher()
    sources = load_mapping(ROOT / "examples" / "intake.yaml")
    for name in ("feedback", "statuspage", "zammad", "uptime-kuma"):
        sources |= load_mapping(ROOT / "examples" / "intake" / f"{name}.yaml")
    way.clock = clock
    settings = IntakeSettings().model_copy(update=changed)
    bench: Bench

    async def post(reply: Reply) -> int:
        return await bench.take_reply(reply)

    secrets = read_secrets(sources.values(), SECRETS)
    mapping = LoadedMapping(sources, secrets, operator=None if operator is None else Secret(operator))
    intake = Intake(mapping, settings, way, clock, post, tracer, limits=limits)
    async with TestClient(TestServer(intake.app())) as client:
        bench = Bench(client, way, clock, intake)  # type: ignore[arg-type]
        yield bench


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await scenario()

    asyncio.run(limited())


def types(bench: Bench) -> list[str]:
    """What Kafka has: event types, and codes of rejects."""
    found = []
    for record in bench.publisher.acknowledged:
        headers = dict(record.headers)
        found.append((headers.get(dead_letter.CODE) or headers["ce_type"]).decode())
    return found

"""Who may send to the intake, how much, and what a sender may publish."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import encode_basic_auth
from intake_bench import NOW, ROOT, SECRETS, Bench, recorded, run, served, signed, token, types
from structlog.testing import capture_logs
from yarl import URL

from connect.intake.loaded_mapping import LoadedMapping
from connect.intake.mapping_file import load_mapping
from connect.intake.signatures import read_secrets
from connect.intake.web.openapi_examples import EXAMPLES, STRUCTURED_EXAMPLE
from streams.serde.codec import decode
from streams.sla.arrival import TimeLimits
from streams.sla.events import Rejection
from streams.sla.instants import HOUR, MINUTE, SECOND, format_rfc3339

STRUCTURED = {"Content_Type": "application/cloudevents+json"}
BATCH = {"Content_Type": "application/cloudevents-batch+json"}


def test_every_sender_gets_in_with_its_own_proof() -> None:
    async def scenario() -> None:
        async with served() as bench:
            for name, body in (
                ("prometheus", "alertmanager-resolved"),
                ("zendesk", "zendesk-created"),
                ("jira", "jira-created"),
            ):
                status, answer, _ = await bench.hook(name, recorded(body))
                assert status == 202, answer
            assert len(types(bench)) == 6
            record = bench.publisher.acknowledged[0]
            decoded = decode(record.value)
            assert not isinstance(decoded, Rejection)
            assert decoded[1]["subject"] == record.key
            assert record.topic == "incident-events"

    run(scenario)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("prometheus", {"Authorization": "Bearer prometheus-token-0002"}),
        ("prometheus", {"Authorization": f"Bearer {SECRETS['SLA_INTAKE_BILLING_TOKEN']}"}),
        ("prometheus", {"Authorization": ""}),
        ("zendesk", {"X-Zendesk-Webhook-Signature": "AAAA"}),
        ("zendesk", {"X-Zendesk-Webhook-Signature-Timestamp": "2026-04-10T08:00:01Z"}),
        ("jira", {"X-Hub-Signature": "sha256=00"}),
        ("jira", {"X-Hub-Signature": ""}),
    ],
)
def test_who_cannot_prove_it_leaves_no_trace(name: str, change: dict[str, str]) -> None:
    async def scenario() -> None:
        async with served() as bench:
            for body in (recorded(f"{'alertmanager-firing' if name == 'prometheus' else name + '-created'}"), b"{"):
                status, _, headers = await bench.hook(name, body, **change)
                assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
            assert bench.publisher.given == []

    run(scenario)


@pytest.mark.parametrize("written", ["ab+cd/ef=ghijklmnop", "ab%2Bcd%2Fef%3Dghijklmnop"])
def test_a_token_of_base64_in_an_address_needs_no_escapes(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    """`openssl rand -base64` gives tokens with `+`, which a query reads as a space."""
    monkeypatch.setitem(SECRETS, "SLA_INTAKE_STATUSPAGE_TOKEN", "ab+cd/ef=ghijklmnop")

    async def scenario() -> None:
        async with served() as bench:
            for given, expected in ((written, 202), (written.replace("a", "x"), 401)):
                url = URL(f"/v1/hooks/status?token={given}", encoded=True)
                async with bench.client.post(url, data=recorded("statuspage/investigating")) as answer:
                    assert answer.status == expected

    run(scenario)


def test_a_signature_that_is_replayed_late_is_refused() -> None:
    async def scenario() -> None:
        async with served() as bench:
            body = recorded("zendesk-created")
            proof = signed("zendesk", body, bench.clock.at)
            bench.clock.at += 301 * SECOND
            status, answer, _ = await bench.post("/v1/hooks/zendesk", body, **proof)
            assert status == 401
            assert "is not within 300 s of now" in str(answer["error"])
            bench.clock.at -= SECOND
            assert (await bench.post("/v1/hooks/zendesk", body, **proof))[0] == 202

    run(scenario)


def test_a_source_that_sends_too_much_waits_and_others_do_not() -> None:
    async def scenario() -> None:
        async with served() as bench:
            body = recorded("alertmanager-watchdog")
            answers = [await bench.hook("prometheus", body) for _ in range(101)]
            assert [status for status, _, _ in answers] == [202] * 100 + [429]
            assert answers[-1][2]["Retry-After"] == "1"
            assert (await bench.hook("jira", recorded("jira-created")))[0] == 202
            bench.clock.at += SECOND
            assert (await bench.hook("prometheus", body))[0] == 202

    run(scenario)


def test_strangers_do_not_use_up_a_sources_rate() -> None:
    async def scenario() -> None:
        async with served() as bench:
            for _ in range(150):
                assert (await bench.hook("jira", b"{}", **{"X-Hub-Signature": "sha256=00"}))[0] == 401
            assert (await bench.hook("jira", recorded("jira-created")))[0] == 202

    run(scenario)


def test_bodies_are_bounded_however_they_come() -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b" " * 1000

    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)

    async def scenario() -> None:
        headers = {"Content-Type": "application/json", **token("services")}

        async def send(bench: Bench, data: object, **more: str) -> tuple[int, str]:
            async with bench.client.post("/v1/incidents", data=data, headers=headers | more) as answer:
                return answer.status, (await answer.json())["error"]

        async with served(max_body=10_000) as bench:
            assert (await send(bench, b" " * 10_001))[0] == 413
            assert (await send(bench, pieces(11)))[0] == 413
            assert (await send(bench, pieces(10)))[0] == 422  # as long as allowed, but no JSON
            status, told = await send(bench, gzip.compress(b" " * 1_000_000), **{"Content-Encoding": "gzip"})
            assert (status, "Content-Encoding" in told) == (415, True)
        async with served(body_timeout=100_000) as bench:
            assert (await send(bench, stalled()))[0] == 408
            assert bench.intake._reader.budget.reserved == 0

    run(scenario)


def test_what_is_held_at_once_is_bounded() -> None:
    async def scenario() -> None:
        async with served(max_in_flight=9_000) as bench:
            bench.publisher.open.clear()
            body = json.dumps(STRUCTURED_EXAMPLE).encode().ljust(5_000)
            asked = asyncio.create_task(bench.post("/v1/events", body, **STRUCTURED, **token("services")))
            while not bench.publisher.given:
                await asyncio.sleep(0)
            status, _, headers = await bench.post("/v1/events", body, **STRUCTURED, **token("services"))
            assert (status, headers["Retry-After"]) == (503, "1")
            bench.publisher.open.set()
            assert (await asked)[0] == 202
            assert (await bench.post("/v1/events", body, **STRUCTURED, **token("services")))[0] == 202

    run(scenario)


def test_a_sender_publishes_only_what_it_may_and_the_attempt_is_kept() -> None:
    async def scenario() -> None:
        async with served() as bench:
            status, answer, _ = await bench.post("/v1/events", STRUCTURED_EXAMPLE, **STRUCTURED, **token("billing"))
            assert status == 403
            assert "may not publish incident.opened" in str(answer["error"])
            assert types(bench) == ["forbidden"]
            assert (await bench.post("/v1/contracts", EXAMPLES["contract.set"], **token("billing")))[0] == 202
            assert (await bench.post("/v1/claims", EXAMPLES["credit.claimed"], **token("services")))[0] == 403
            assert bench.publisher.acknowledged[1].topic == "contract-events"

    run(scenario)


def test_who_only_begins_to_send_takes_no_room_from_senders_with_a_token() -> None:
    """Zendesk's and Jira's proof is over the body: anyone may begin to send one."""

    async def scenario() -> None:
        async with served() as bench:
            unproven = bench.intake._reader.unproven
            assert unproven.limit < bench.intake._reader.budget.limit
            assert unproven.reserve(unproven.limit)
            assert (await bench.hook("zendesk", recorded("zendesk-created")))[0] == 503
            assert (await bench.hook("prometheus", recorded("alertmanager-firing")))[0] == 202
            unproven.release(unproven.limit)
            assert (await bench.hook("zendesk", recorded("zendesk-created")))[0] == 202

    run(scenario)


def test_an_event_from_the_future_is_rejected_where_its_sender_sees_it() -> None:
    """A clock or a zone is wrong: every worker would reject it, after the sender was told that all is well."""

    async def scenario() -> None:
        async with served(limits=TimeLimits()) as bench:
            incident = EXAMPLES["incident.opened"] | {"incident_id": "inc-1"}
            for time, expected in (("08:05:00", 202), ("08:05:01", 422), ("11:00:00", 422)):
                body = incident | {"time": f"2026-04-10T{time}Z"}
                status, answer, _ = await bench.post("/v1/incidents", body, **token("services"))
                assert (time, status) == (time, expected)
            (told,) = answer["rejected"]  # type: ignore[misc]
            assert told["code"] == "future"
            assert "is more than PT5M ahead of this machine's clock, 2026-04-10T08:00:00Z" in told["reason"]
            kuma = json.loads((ROOT / "examples/intake/recorded/uptime-kuma/1-down.json").read_text(encoding="utf-8"))
            assert (await bench.hook("uptime-kuma", json.dumps(kuma).encode()))[0] == 422
            old = incident | dict.fromkeys(("time", "started_at"), "2025-01-01T00:00:00Z")
            assert (await bench.post("/v1/incidents", old, **token("services")))[0] == 202
            assert types(bench) == ["incident.opened", "future", "future", "future", "incident.opened"]

    run(scenario)


@pytest.mark.parametrize(("ahead", "expected"), [(0, 422), (20 * MINUTE, 202), (-HOUR, 422), (None, 202)])
def test_what_is_the_future_is_judged_by_the_clock_of_kafka(ahead: int | None, expected: int) -> None:
    """As workers judge it: an intake whose own clock is behind would reject everything, and one whose clock is ahead
    would take what they reject."""

    async def scenario() -> None:
        async with served(limits=TimeLimits()) as bench:
            bench.publisher.ahead = ahead
            time = "2026-04-10T08:20:00Z" if ahead is None or ahead >= 0 else "2026-04-10T08:00:00Z"
            body = EXAMPLES["incident.opened"] | {"incident_id": "inc-1", "time": time}
            assert (await bench.post("/v1/incidents", body, **token("services")))[0] == expected

    run(scenario)


@pytest.mark.parametrize("ahead", [20 * MINUTE, -30 * MINUTE])
def test_the_time_of_receipt_is_that_of_kafka_where_the_clock_of_the_machine_is_wrong(ahead: int) -> None:
    """By a clock that is ahead, workers would reject it as `future`; by one behind, deadlines would begin early."""

    async def scenario() -> None:
        async with served(limits=TimeLimits()) as bench:
            sources = load_mapping(ROOT / "examples" / "intake" / "freshdesk.yaml")
            password = "freshdesk-password-1"
            secrets = read_secrets(sources.values(), {"SLA_INTAKE_FRESHDESK_PASSWORD": password})
            bench.intake.use(LoadedMapping(sources, secrets))
            bench.publisher.ahead, bench.clock.at = -ahead, bench.clock.at + ahead
            body = (ROOT / "examples/intake/recorded/freshdesk/1-created.json").read_bytes()
            basic = encode_basic_auth("freshdesk", password)
            with capture_logs() as logs:
                for _ in range(2):
                    status, answer, _ = await bench.post("/v1/hooks/freshdesk", body, Authorization=basic)
                    assert status == 202
            assert [each["event"] for each in logs] == ["clock_differs"]
            assert dict(bench.publisher.acknowledged[0].headers)["ce_time"] == NOW.encode()
            async with bench.client.get("/ready") as answer:
                assert (await answer.json())["clock"] == {"ahead_of_kafka_s": ahead // SECOND}
            measured = bench.intake.metrics.registry.get_sample_value("sla_intake_clock_ahead_seconds")
            assert measured == ahead // SECOND
            bench.publisher.ahead, bench.clock.at = -MINUTE, bench.clock.at + 60 * MINUTE
            assert (await bench.post("/v1/hooks/freshdesk", body, Authorization=basic))[0] == 202
            at = format_rfc3339(bench.clock.at)
            assert dict(bench.publisher.acknowledged[-1].headers)["ce_time"] == at.encode(), "as far as it is tolerated"

    run(scenario)

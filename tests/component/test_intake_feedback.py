"""What people do in PagerDuty, Slack and Statuspage arrives over HTTP: proven, answered in time, counted once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from intake_bench import SECRETS, Bench, recorded, run, served, signed, types
from structlog.testing import capture_logs

from connect.intake.formats import registry
from connect.intake.outcome import Reply
from connect.intake.web import replies
from streams.sla.instants import DAY, SECOND


def test_pagerduty_gets_in_with_one_of_its_signatures() -> None:
    async def scenario() -> None:
        async with served() as bench:
            names = ("acknowledged", "note", "resolved", "resolved-by-notifier", "acknowledged")
            for name in names:
                status, answer, _ = await bench.hook("pagerduty", recorded(f"pagerduty-{name}"))
                assert status == 202, answer
            assert types(bench) == [
                "incident.responded",
                "incident.updated",
                "incident.resolved",
                "incident.responded",  # a retry: the same record again
            ]
            first, *_, again = bench.publisher.acknowledged
            assert (first.key, first.value) == ("inc-42", again.value)

    run(scenario)


@pytest.mark.parametrize("header", ["", "v1=", "v0=0", f"v1={'0' * 64}", "v1=\u00e9"])
def test_a_signature_of_pagerduty_that_does_not_fit_leaves_no_trace(header: str) -> None:
    async def scenario() -> None:
        async with served() as bench:
            for body in (recorded("pagerduty-resolved"), b"{"):
                status, _, _ = await bench.hook("pagerduty", body, **{"X-PagerDuty-Signature": header})
                assert status == 401
            proof = signed("pagerduty", recorded("pagerduty-resolved"), 0)
            assert (await bench.post("/v1/hooks/pagerduty", recorded("pagerduty-note"), **proof))[0] == 401
            assert bench.publisher.given == []

    run(scenario)


def test_pagerduty_is_not_told_of_rejects_by_a_status_that_makes_it_stop() -> None:
    async def scenario() -> None:
        async with served() as bench:
            stranger = json.loads(recorded("pagerduty-acknowledged"))
            stranger["event"]["agent"]["id"] = "PXXXXXX"
            for body in (json.dumps(stranger).encode(), b"{", b"[]"):
                status, answer, _ = await bench.hook("pagerduty", body)
                assert (status, len(answer["rejected"])) == (202, 1)  # type: ignore[arg-type]
            assert types(bench) == ["invalid", "undecodable", "invalid"]

    run(scenario)


def test_a_request_of_pagerduty_that_is_replayed_gives_the_same_record() -> None:
    async def scenario() -> None:
        async with served() as bench:
            body = recorded("pagerduty-resolved")
            proof = signed("pagerduty", body, bench.clock.at)
            assert (await bench.post("/v1/hooks/pagerduty", body, **proof))[0] == 202
            bench.clock.at += DAY
            assert (await bench.post("/v1/hooks/pagerduty", body, **proof))[0] == 202
            first, second = bench.publisher.acknowledged
            assert first == second

    run(scenario)


def slack_form(**changed: object) -> bytes:
    payload = json.loads(recorded("slack/press")) | changed
    return urlencode({"payload": json.dumps(payload)}).encode()


async def posts(bench: Bench) -> list[str]:
    """What people were told."""
    await bench.intake._replies.close()
    return [json.loads(each.body)["text"] for each in bench.replies]


def test_a_press_in_slack_is_recorded_and_confirmed() -> None:
    async def scenario() -> None:
        async with served() as bench:
            status, answer, _ = await bench.hook("slack", slack_form())
            assert (status, types(bench)) == (200, ["incident.responded"]), answer
            assert await posts(bench) == ["Recorded: you have responded to incident inc-42."]
            assert bench.replies[0].url == "https://hooks.slack.com/actions/T9TK3CUKW/1234567890/AxBxCxDxExFx"

    run(scenario)


def test_a_press_in_slack_that_is_too_old_or_forged_leaves_no_trace() -> None:
    async def scenario() -> None:
        async with served() as bench:
            body = slack_form()
            proof = signed("slack", body, bench.clock.at)
            for change in ({"X-Slack-Signature": f"v0={'0' * 64}"}, {"X-Slack-Request-Timestamp": "1"}):
                assert (await bench.hook("slack", body, **change))[0] == 401
            bench.clock.at += 301 * SECOND
            status, answer, _ = await bench.post("/v1/hooks/slack", body, **proof)
            assert status == 401
            assert "is not within 300 s of now" in str(answer["error"])
            assert (bench.publisher.given, bench.replies) == ([], [])

    run(scenario)


def test_a_stranger_in_slack_is_told_why_nothing_was_recorded() -> None:
    async def scenario() -> None:
        async with served() as bench:
            body = slack_form(user={"id": "U00000000"})
            status, _, _ = await bench.hook("slack", body)
            assert (status, types(bench)) == (200, ["invalid"])
            (text,) = await posts(bench)
            assert text.startswith("Nothing was recorded: who: user.id is 'U00000000', which line")
            (kept,) = bench.publisher.acknowledged
            assert b"hooks.slack.com" not in kept.value
            assert b"9s8d9as89d8as9d8as989" not in kept.value

    run(scenario)


def test_slack_is_answered_in_time_while_kafka_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.FORMATS, "slack", replace(registry.FORMATS["slack"], answer_within=10_000))

    async def scenario() -> None:
        async with served() as bench:
            bench.publisher.open.clear()
            status, answer, headers = await bench.hook("slack", slack_form())
            assert (status, headers["Retry-After"]) == (503, "5")
            assert "may still be stored" in str(answer["error"])
            assert "Press the button again" in (await posts(bench))[0]
            bench.publisher.open.set()
            bench.publisher.trouble = "Kafka is away"
            assert (await bench.hook("slack", slack_form()))[0] == 503
            assert "Press the button again" in (await posts(bench))[1]

    run(scenario)


def test_a_reply_that_cannot_be_posted_costs_no_event() -> None:
    async def scenario() -> None:
        async with served() as bench:
            for trouble in (OSError("unreachable"), TimeoutError(), 404):
                bench.reply_trouble = trouble
                with capture_logs() as logs:
                    assert (await bench.hook("slack", slack_form()))[0] == 200
                    await bench.intake._replies.close()
                assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["reply_not_delivered"]
            assert types(bench) == ["incident.responded"] * 3

    run(scenario)


def test_bodies_that_replies_are_about_are_counted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply that has no room is dropped with a log, and the press counts all the same."""

    async def scenario() -> None:
        async with served() as bench:
            budget, waiting = bench.intake._replies.budget, asyncio.Event()

            async def post(_: Reply) -> int:
                await waiting.wait()
                return 200

            bench.intake._replies._post = post
            assert (await bench.hook("slack", slack_form()))[0] == 200
            metric = bench.intake.metrics.registry.get_sample_value("sla_intake_held_bytes", {"what": "replies"})
            assert metric == budget.reserved >= 2 * len(slack_form())
            monkeypatch.setattr(budget, "limit", budget.reserved)
            with capture_logs() as logs:
                assert (await bench.hook("slack", slack_form()))[0] == 200
            assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["reply_dropped"]
            assert types(bench) == ["incident.responded"] * 2
            waiting.set()
            await bench.intake._replies.close()
            assert budget.reserved == 0
            monkeypatch.setattr(replies, "_LARGEST_BODY", 1)
            monkeypatch.setattr(budget, "limit", replies._MAX_BYTES)
            with capture_logs() as logs:
                assert (await bench.hook("slack", slack_form()))[0] == 200
            assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["reply_dropped"]

    run(scenario)


@pytest.mark.parametrize("name", ["resolved", "maintenance"])
def test_statuspage_gets_in_by_the_token_of_its_address(name: str) -> None:
    async def scenario() -> None:
        async with served() as bench:
            secret = SECRETS["SLA_INTAKE_STATUSPAGE_TOKEN"]
            body = recorded(f"statuspage/{name}")
            with capture_logs() as logs:
                for token in ("", "?token=", "?token=wrong-token-000001", f"?other={secret}"):
                    status, answer, _ = await bench.post(f"/v1/hooks/status{token}", body)
                    assert status == 401
                    assert "?token=TOKEN" in str(answer["error"])
                assert not bench.publisher.given
                assert (await bench.post(f"/v1/hooks/status?token={secret}", body))[0] == 202
            assert secret not in str(logs)
            assert {each.topic for each in bench.publisher.given} == {
                "contract-events" if name == "maintenance" else "incident-events"
            }

    run(scenario)


def test_statuspage_is_not_told_of_rejects_and_what_is_kept_has_no_secret() -> None:
    """Ten answers with an error within an hour, and Statuspage sends nothing more."""

    async def scenario() -> None:
        async with served() as bench:
            secret = SECRETS["SLA_INTAKE_STATUSPAGE_TOKEN"]
            body = recorded("statuspage/investigating").replace(b'"major"', b'"red"')
            for _ in range(2):
                status, answer, _ = await bench.post(f"/v1/hooks/status?token={secret}", body)
                assert (status, len(answer["rejected"])) == (202, 1)  # type: ignore[arg-type]
            (kept,) = bench.publisher.acknowledged
            assert b"lbkhbwn21v5q" in kept.value
            assert b"j0vqr9kl3513" not in kept.value
            assert secret not in str(kept)

    run(scenario)

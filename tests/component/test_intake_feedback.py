"""What people do in PagerDuty and Slack arrives over HTTP: proven, answered in time, counted once."""

from __future__ import annotations

import json

import pytest
from intake_bench import recorded, run, served, signed, types

from streams.sla.instants import DAY


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

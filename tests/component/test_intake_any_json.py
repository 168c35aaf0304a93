"""Any JSON webhook over HTTP: its sender is proven, its events are acknowledged, and no secret of a body is kept."""

from __future__ import annotations

import json

from intake_bench import ROOT, run, served, types

from streams.sla.instants import parse_rfc3339

RECORDED = ROOT / "examples" / "intake" / "recorded"


def test_a_signed_webhook_gets_in_once_its_signature_fits() -> None:
    body = (RECORDED / "zammad" / "5-closed.json").read_bytes()

    async def scenario() -> None:
        async with served() as bench:
            status, answer, _ = await bench.hook("zammad", body)
            assert status == 202, answer
            assert types(bench) == ["incident.opened", "incident.updated", "incident.resolved"]
            for headers in ({"X_Hub_Signature": "sha1=00"}, {"X_Hub_Signature": ""}):
                status, answer, _ = await bench.hook("zammad", body, **headers)
                assert status == 401, answer
            status, answer, _ = await bench.post("/v1/hooks/zammad", body)
            assert (status, "X-Hub-Signature is missing" in str(answer["error"])) == (401, True)
            assert len(types(bench)) == 3

    run(scenario)


def test_what_cannot_be_mapped_is_kept_without_the_secrets_that_it_has() -> None:
    payload = json.loads((RECORDED / "uptime-kuma" / "1-down.json").read_text(encoding="utf-8"))
    payload["heartbeat"]["status"] = 9

    async def scenario() -> None:
        async with served() as bench:
            bench.clock.at = parse_rfc3339("2026-10-12T09:51:04Z")
            status, answer, _ = await bench.hook("uptime-kuma", json.dumps(payload).encode())
            assert (status, "heartbeat.status is '9'" in str(answer["error"])) == (422, True)
            (kept,) = bench.publisher.acknowledged
            assert kept.topic == "rejected"
            assert b"an-invented-password" not in kept.value
            assert json.loads(kept.value)["monitor"]["name"] == "Checkout"

    run(scenario)

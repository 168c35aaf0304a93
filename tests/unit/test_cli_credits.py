"""`sla credits list --claimable`: what billing has to claim before the month is closed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from cli.main import app
from connect.kafka_io.reader import TopicRecord
from streams.sla.instants import DAY
from streams.time_source import SystemTimeSource

MONTH = "2026-10"
CLAIMED, PAID = ("shipped", "1", ""), ("generous", "1", "")
POLICIES = SimpleNamespace(exact=lambda name, version: _policies.get((name, version)))
_policies = {
    named[:2]: SimpleNamespace(credit=SimpleNamespace(claim=claim))
    for named, claim in ((CLAIMED, "required"), (PAID, "automatic"))
}


def test_only_what_a_claim_of_now_would_issue_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SystemTimeSource().now()
    months = [
        SimpleNamespace(
            data={"tenant_id": tenant},
            terms=SimpleNamespace(
                tenant=tenant, month=MONTH, status=status, credit=credit, claimable_until=until, policy=policy
            ),
        )
        for tenant, status, credit, until, policy in (
            ("open", "final", 100, now + DAY, CLAIMED),
            ("corrected", "adjusted", 100, now + DAY, CLAIMED),
            ("claimed", "final", 100, now + DAY, CLAIMED),
            ("late", "final", 100, now - DAY, CLAIMED),
            ("kept", "final", 0, now + DAY, CLAIMED),
            ("running", "provisional", 100, None, CLAIMED),
            ("paid", "final", 100, now + DAY, PAID),
            ("elsewhere", "final", 100, now + DAY, ("gone", "2", "")),
        )
    ]
    monkeypatch.setattr("cli.credits.commands.policies_here", lambda _: POLICIES)
    monkeypatch.setattr("cli.credits.months.tenant_months", lambda *_: months)
    claims = {("claimed", MONTH): object()}
    monkeypatch.setattr("connect.kafka_io.contract_topic.applied_log_of", lambda *_: SimpleNamespace(claims=claims))

    notes: list[str] = []

    def listed(*words: str) -> list[str]:
        ended = CliRunner().invoke(app, ["credits", "list", "--claimable", "--json", *words])
        assert ended.exit_code == 0, ended.output
        notes.append(ended.stderr)
        return [json.loads(line)["tenant_id"] for line in ended.stdout.splitlines()]

    assert listed() == ["open", "corrected", "elsewhere"]
    assert "policies that are not here: gone 2; their months are listed" in notes[-1]
    assert listed("--status", "final") == ["open", "elsewhere"]
    claims |= {(tenant, MONTH): object() for tenant in ("open", "corrected", "elsewhere")}
    assert listed() == []


def test_a_month_that_cannot_be_decoded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(key: bytes, value: bytes | None) -> TopicRecord:
        return TopicRecord("sla.tenant-months", 0, 0, 0, key, value, [])

    keys = [(b"a", b"bad"), (b"b", b"bad"), (b"b", None), (b"c", None), (b"d", b"bad"), (b"d", b"worse")]
    monkeypatch.setattr("cli.credits.months.read_topics", lambda *_: [record(*each) for each in keys])
    ended = CliRunner().invoke(app, ["credits", "list"])
    assert ended.exit_code == 0, ended.output
    assert ended.stderr.splitlines() == [
        "left out: 2 months whose latest statement could not be decoded",
        "there are no such months",
    ]

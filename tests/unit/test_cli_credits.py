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


def test_only_what_a_claim_of_now_would_issue_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SystemTimeSource().now()
    months = [
        SimpleNamespace(
            data={"tenant_id": tenant},
            terms=SimpleNamespace(tenant=tenant, month=MONTH, status=status, credit=credit, claimable_until=until),
        )
        for tenant, status, credit, until in (
            ("open", "final", 100, now + DAY),
            ("corrected", "adjusted", 100, now + DAY),
            ("claimed", "final", 100, now + DAY),
            ("late", "final", 100, now - DAY),
            ("kept", "final", 0, now + DAY),
            ("running", "provisional", 100, None),
        )
    ]
    monkeypatch.setattr("cli.credits.months.tenant_months", lambda *_: months)
    claims = {("claimed", MONTH): object()}
    monkeypatch.setattr("connect.kafka_io.contract_topic.log_of", lambda _: SimpleNamespace(claims=claims))

    def listed(*words: str) -> list[str]:
        ended = CliRunner().invoke(app, ["credits", "list", "--claimable", "--json", *words])
        assert ended.exit_code == 0, ended.output
        return [json.loads(line)["tenant_id"] for line in ended.stdout.splitlines()]

    assert listed() == ["open", "corrected"]
    assert listed("--status", "final") == ["open"]
    claims |= {("open", MONTH): object(), ("corrected", MONTH): object()}
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

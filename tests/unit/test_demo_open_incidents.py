"""What `sla demo --keep` adds to the history: what the board is to show of it."""

from __future__ import annotations

import json

import pytest

from cli.demo.command import DEFAULT_POLICY, history
from cli.demo.open_incidents import claimable_month_lines, open_incident_lines
from cli.replay.outcome import data_of
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.sla.instants import MINUTE, parse_rfc3339
from streams.sla.policy import Policies

NOW = parse_rfc3339("2026-11-20T12:00:00Z")


def test_they_are_open_of_different_severity_and_the_next_deadline_is_near() -> None:
    contracts = [line for line in history() if json.loads(line)["type"] == "contract.set"]
    policies = Policies.of(load_policies(default_policies_dir()), DEFAULT_POLICY)
    outputs = list(simulate([*contracts, *open_incident_lines(NOW)], policies, until=NOW))
    assert not [each for each in outputs if each["type"] in {"sla.rejected", "incident.closed"}]
    last = {str(each["subject"]): data_of(each) for each in outputs if each["type"] == "incident.classified"}
    severities = {name.rpartition("-")[0]: data["severity"] for name, data in last.items()}
    assert severities == {"demo-git": "P1", "demo-api": "P1", "demo-pages": "P3", "demo-webhooks": "P4"}
    rules = {name.rpartition("-")[0]: data["rule"] for name, data in last.items()}
    assert rules["demo-git"] == "outage"
    assert rules["demo-api"] == "material-tier-1"
    assert {str(data["coverage"]) for data in last.values()} == {"covered"}
    soon = list(simulate([*contracts, *open_incident_lines(NOW)], policies, until=NOW + 3 * MINUTE))
    breached = {str(each["subject"]).rpartition("-")[0] for each in soon if each["type"] == "sla.breached"}
    assert "demo-git" in breached  # whoever opens the board sees a deadline pass
    breaches = [each for each in outputs if each["type"] == "sla.breached"]
    assert [str(each["subject"]).rpartition("-")[0] for each in breaches] == ["demo-api"]


@pytest.mark.parametrize("today", ["2026-11-20", "2026-12-01", "2026-12-04", "2027-01-01", "2027-03-31", "2028-03-05"])
def test_a_credit_can_be_claimed_on_every_day(today: str) -> None:
    now = parse_rfc3339(f"{today}T12:00:00Z")
    policies = Policies.of(load_policies(default_policies_dir()), DEFAULT_POLICY)
    outputs = list(simulate(claimable_month_lines(now), policies, until=now, backfill=True))
    assert not [each for each in outputs if each["type"] in {"sla.rejected", "sla.breached"}]
    statements = [data_of(each) for each in outputs if each["type"] == "credit.statement"]
    (final,) = [each for each in statements if each["status"] == "final" and each["downtime_s"]]
    assert final["credit"] == {"amount_minor": 24_000, "currency": "USD"}
    assert parse_rfc3339(str(final["claimable_until"])) > now

"""R31: what was recorded once is said again, byte for byte; and the real data comes to the same in any order (R2)."""

from __future__ import annotations

import json
from difflib import unified_diff
from pathlib import Path

import pytest

from cli.replay.outcome import Outcome, data_of, outcome_of
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.sla.instants import parse_rfc3339
from streams.sla.policy import Policies
from tests.replay.recorded_histories import GOLDENS, HERE, Golden

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"
AMOUNTS = ("eligible_s", "downtime_s", "excluded_s", "availability", "guarantee_met", "credit_percent", "credit")
ACCEPT = (
    "{name} is told differently than recorded:\n{difference}\n"
    "If this is meant: python -m tests.replay.record {name}, and an entry in CHANGELOG.md says why."
)


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.name)
def test_a_recorded_history_is_told_as_before(golden: Golden) -> None:
    now, before = golden.play(), golden.output.read_bytes()
    if now != before:
        lines = unified_diff(
            before.decode().splitlines(), now.decode().splitlines(), "recorded", "now", n=0, lineterm=""
        )
        difference = "\n".join(line[:400] for line in list(lines)[:20])
        pytest.fail(ACCEPT.format(name=golden.name, difference=difference), pytrace=False)


def test_each_recording_is_played() -> None:
    recorded = {path.name.partition(".")[0] for path in HERE.glob("*.jsonl")}
    assert recorded == {golden.name for golden in GOLDENS}


def test_together_they_say_every_type_and_refuse_in_most_ways() -> None:
    said = [json.loads(line) for golden in GOLDENS for line in golden.output.read_text().splitlines()]
    assert {record["type"] for record in said} == {
        *("incident.classified", "incident.closed", "incident.link_changed", "impact.changed", "sla.rejected"),
        *("sla.warning", "sla.update_due", "sla.breached", "sla.breach_retracted", "sla.met", "credit.issued"),
        "credit.statement",
    }
    codes = {record["data"]["code"] for record in said if record["type"] == "sla.rejected"}
    assert codes >= {
        *("undecodable", "unknown_type", "invalid", "conflict", "orphan", "future", "too_late", "four_eyes"),
        *("oversize", "cycle"),
    }
    statuses = {record["data"]["status"] for record in said if record["type"] == "credit.statement"}
    assert statuses == {"provisional", "final", "adjusted"}


def stated(lines: list[str]) -> dict[tuple[str, str], dict[str, object]]:
    """The amounts of every final statement of a load of history."""
    policies = Policies.of(load_policies(default_policies_dir()), "code-hosting")
    until = parse_rfc3339("2025-03-01T00:00:00Z")
    found: Outcome = outcome_of(simulate(lines, policies, until=until, backfill=True))
    return {
        key: {name: data_of(event)[name] for name in AMOUNTS}
        for key, event in found.statements.items()
        if data_of(event)["status"] != "provisional"
    }


def test_r2_the_real_data_shuffled_three_ways_comes_to_the_same_amounts() -> None:
    files = (DATA / "contracts.jsonl", DATA / "code-hosting-2022-2024.jsonl")
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    orders = [
        sorted(lines, key=lambda line: json.loads(line)["id"]),
        lines[::-1],
        # Every seventh line, then every seventh of the next: far from the order of time, and the same in each run.
        [line for start in range(7) for line in lines[start::7]],
    ]
    wanted = stated(lines)
    assert len(wanted) >= 3 * 36
    assert any(amounts["credit"] != {"amount_minor": 0, "currency": "USD"} for amounts in wanted.values())
    for order in orders:
        assert stated(order) == wanted

"""The digest recipe of docs/semantics.md, run as printed there, gives the digest that statements carry."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.sla.instants import parse_rfc3339
from streams.sla.policy import Policies

ROOT = Path(__file__).resolve().parents[2]


def documented_digest() -> Callable[[dict[str, Any]], str]:
    text = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    digest: Callable[[dict[str, Any]], str] = names["digest"]
    return digest


def test_the_documented_recipe_recomputes_every_digest() -> None:
    digest = documented_digest()
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    lines = (ROOT / "examples" / "outage.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [line.replace("2026-04-10T23:58:00Z", "2026-04-10T23:58:00.25Z") for line in lines]
    events: list[Any] = list(simulate(lines, policies, until=parse_rfc3339("2026-07-10T00:00:00Z")))
    statements = [event["data"] for event in events if event["type"] == "credit.statement"]
    assert any(statement["downtime_s"] % 1 for statement in statements)
    assert len(statements) >= 4
    for statement in statements:
        assert digest(statement) == statement["digest"]


def test_a_changed_amount_changes_the_digest_and_a_changed_position_does_not() -> None:
    digest = documented_digest()
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    lines = (ROOT / "examples" / "outage.jsonl").read_text(encoding="utf-8").splitlines()
    events: list[Any] = list(simulate(lines, policies, until=parse_rfc3339("2026-05-10T00:00:00Z")))
    final = next(e["data"] for e in events if e["type"] == "credit.statement" and e["data"]["downtime_s"])
    final["evidence"][0]["offset"] += 7
    assert digest(final) == final["digest"]
    final["credit"]["amount_minor"] += 1
    assert digest(final) != final["digest"]

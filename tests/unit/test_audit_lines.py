"""`sla tail audit`: one line says who did what to what, what came of it, and from where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.events.record_view import line_of

GOLDEN = Path(__file__).parents[2] / "schemas" / "golden"


@pytest.mark.parametrize(
    ("event_type", "expected"),
    [
        ("audit.signed_in", "sign-in: ok by kim [responder] from 192.0.2.7 (oidc)"),
        ("audit.sign_in_failed", "sign-in: failed (unknown token) from 192.0.2.7 (token)"),
        ("audit.denied", "read-system GET /system: denied (read-system shows data of all tenants; "),
        ("audit.acted", "resolve inc-42: accepted by kim [responder] from 192.0.2.7 (session)"),
        ("action.proposed", "amend inc-1: proposed by ann from 192.0.2.7 (session)"),
        ("action.approved", "  approved (agreed) by bob from 192.0.2.8 (token)"),
    ],
)
def test_a_line_of_the_audit_log(event_type: str, expected: str) -> None:
    event = json.loads((GOLDEN / f"{event_type}.json").read_text(encoding="utf-8"))
    assert expected in line_of(event).plain


def test_control_characters_of_others_do_not_reach_the_terminal() -> None:
    event = json.loads((GOLDEN / "audit.denied.json").read_text(encoding="utf-8"))
    event["data"]["about"] = "GET /\x1b[2J"
    assert "\x1b" not in line_of(event).plain

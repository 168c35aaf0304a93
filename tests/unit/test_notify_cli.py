"""`sla notify test`: what a history's alerts would become, without broker or secret."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from tests.page_triggers import event

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "examples" / "notify.yaml")


def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["notify", *words], input=stdin.encode())
    return result.exit_code, result.stdout, result.stderr


def lines(*events: object) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in events)


def test_each_alert_shows_who_is_told_what() -> None:
    story = lines(
        event("warning", severity="P4"),
        event("breached"),
        event("breached", tenant_ids=["tokyo-trading"], severity="P3", incident="inc-2"),
        event("met"),
        event("breached", backfill=True),
        event("closed", "inc-2"),
        event("closed", "inc-3"),
    )
    code, out, _ = run("test", "-", "--routes", EXAMPLE, stdin=story)
    assert code == 0
    shown = [line for line in out.splitlines() if line.startswith("line")]
    assert shown == [
        "line 1: sla.warning of inc-1, response/1: no notification: no route matches",
        "line 2: sla.breached of inc-1, response/1: on-call: trigger, POST https://events.pagerduty.com/v2/enqueue",
        "line 2: sla.breached of inc-1, response/1: status-page: trigger, POST ***",
        "line 3: sla.breached of inc-2, response/1: tokyo: trigger, POST ***",
        "line 3: sla.breached of inc-2, response/1: status-page: trigger, POST ***",
        "line 4: sla.met of inc-1, response/1: on-call: resolve, POST https://events.pagerduty.com/v2/enqueue",
        "line 4: sla.met of inc-1, response/1: status-page: resolve, POST ***",
        "line 5: no notification: it follows from loaded history",
        "line 6: incident.closed of inc-2: tokyo: resolve, POST ***",
        "line 6: incident.closed of inc-2: status-page: resolve, POST ***",
        "line 7: incident.closed of inc-3: no notification: no page of it is open",
    ]
    bodies = [json.loads(line) for line in out.splitlines() if line.startswith("  ")]
    assert bodies[0]["routing_key"] == "***"
    assert bodies[2]["text"] == "🚨 API の P1 障害"


def test_a_line_that_is_no_event_is_named() -> None:
    code, out, _ = run("test", "-", "--routes", EXAMPLE, stdin="{}\n\n" + lines(event("breached")))
    assert code == 1
    assert out.startswith("line 1: invalid: specversion")
    assert "line 3: sla.breached" in out


def test_what_can_t_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    absent = tmp_path / "absent.yaml"
    code, _, err = run("test", "-", "--routes", str(absent))
    assert code == 2
    assert "there is no routing file" in err
    absent.write_text("version: 1\n")
    code, _, err = run("test", "-", "--routes", str(absent))
    assert code == 2
    assert "destinations: this key is missing" in err
    assert run("test", str(tmp_path / "x.jsonl"), "--routes", EXAMPLE)[0] == 2
    assert run("parked", "retry")[0] == 2


def test_it_does_not_start_without_its_secrets() -> None:
    code, _, err = run("--routes", EXAMPLE)
    assert code == 2
    assert "secret of on-call: the environment variable SLA_NOTIFY_ON_CALL_KEY is empty or not set" in err

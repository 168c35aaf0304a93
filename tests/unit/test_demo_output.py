"""What `sla demo` prints fits a terminal of 80 columns."""

from __future__ import annotations

import time
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from cli.demo import command, live
from cli.demo.command import DEFAULT_POLICY, history
from cli.demo.summary import print_history
from cli.replay.outcome import outcome_of
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.simulate import simulate
from streams.sla.instants import parse_rfc3339
from streams.sla.policy import Policies
from tests.standard_modules import altered

NOW = parse_rfc3339("2026-11-20T12:00:00Z")
COLUMNS = 80


def wrapped(printed: StringIO) -> list[str]:
    """The lines that continue the one above: those that the demo begins are indented."""
    return [line for line in printed.getvalue().splitlines() if line and not line.startswith(" ")]


def test_the_summary_of_the_history_fits_80_columns() -> None:
    policies = Policies.of(load_policies(default_policies_dir()), DEFAULT_POLICY)
    lines = list(history())
    outcome = outcome_of(simulate(lines, policies, until=NOW, backfill=True))
    printed = StringIO()
    print_history(Console(file=printed, width=COLUMNS), outcome, 1.0, len(lines))
    assert "9 breaches" in printed.getvalue()
    assert wrapped(printed) == []


def test_a_live_event_fits_80_columns() -> None:
    printed = StringIO()
    console = Console(file=printed, width=COLUMNS)
    title = {"en": "P1 Git operations: response deadline breached"}
    event = {"type": "sla.breached", "time": "2026-11-20T12:00:00Z", "data": {"title": title}}
    live._print(console, event, 17.1, seen_at=NOW + 47_000)
    live._print(console, event | {"type": "incident.classified"}, 17.1, seen_at=NOW + 47_000)
    assert printed.getvalue().count("\n") == 2
    assert " 47 ms" in printed.getvalue().splitlines()[0]
    assert wrapped(printed) == []


def test_ctrl_c_is_answered_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it stops takes seconds."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    board = SimpleNamespace(url="http://127.0.0.1:8090", how_to_sign_in=list, code=lambda: None, log=tmp_path)
    monkeypatch.setattr(command, "LocalBoard", lambda *_, **__: nullcontext(board))
    monkeypatch.setattr(command, "publish_lines", lambda *_, **__: None)
    monkeypatch.setattr(command, "time", altered(time, sleep=interrupted))
    stack = SimpleNamespace(
        bootstrap="127.0.0.1:9092", broker=SimpleNamespace(data_dir=tmp_path), worker_code=lambda: None
    )
    printed = StringIO()
    with pytest.raises(KeyboardInterrupt):
        command._keep(Console(file=printed, width=COLUMNS), cast(Any, stack))
    assert printed.getvalue().splitlines()[-1] == "stopping the board, the worker and Kafka"

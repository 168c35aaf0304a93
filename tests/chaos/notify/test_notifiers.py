"""Some seeds of the simulation of notifiers; `python -m tests.chaos.notify` plays others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_alert_is_delivered_and_no_page_stays_open() -> None:
    """In a process of its own: sets of names are walked in the same order in every run."""
    command = [sys.executable, "-m", "tests.chaos.notify", "--seeds", "15", "--profile", "cut,zombie,edit"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "0 of 3 runs failed" in done.stdout

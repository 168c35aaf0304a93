"""A command whose reader is gone ends at once, with one exit code for all commands and without a message."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMANDS = {
    "text of ours": ["simulate", "examples/outage.jsonl"],
    "a table of Rich": ["policy", "show", "scalr-emergency"],
    "bytes": ["what-if", "examples/outage.jsonl", "--policy", "scalr-emergency", "--format", "csv"],
    "help": ["--help"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_a_closed_output_ends_every_command_alike(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", "from cli.main import main; main()", *command],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=600,
            check=False,
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")

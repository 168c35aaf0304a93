"""A command whose reader is gone ends at once, with one exit code for all commands and without a message."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SLA = [sys.executable, "-c", "from cli.main import main; main()"]

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


@pytest.mark.parametrize("errors", ["/dev/full", "closed pipe", "closed"])
def test_a_standard_error_that_takes_nothing_changes_no_result(errors: str) -> None:
    """As that of a job whose log is on a full disk."""
    command = (
        "import typer; from cli.support.closed_output import end_on_closed_output, open_standard_streams; "
        "open_standard_streams(); end_on_closed_output(); typer.echo('a warning', err=True); typer.echo('the result')"
    )
    closing = ["sh", "-c", 'exec "$@" 2>&-', "sh"] if errors == "closed" else []
    reader, pipe = os.pipe()
    os.close(reader)
    writer = os.open("/dev/full", os.O_WRONLY) if errors == "/dev/full" else os.dup(pipe)
    try:
        words = [*closing, sys.executable, "-c", command]
        ended = subprocess.run(words, stdout=subprocess.PIPE, stderr=writer, timeout=600, check=False)
    finally:
        os.close(pipe)
        os.close(writer)
    assert (ended.returncode, ended.stdout) == (0, b"the result\n")


def test_a_full_standard_error_that_is_not_waited_for_loses_messages_only() -> None:
    """As one that a program with an event loop shares with its children."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = (
        "import sys; from cli.support.closed_output import end_on_closed_output; end_on_closed_output(); "
        "[print('x' * 1000, file=sys.stderr) for _ in range(200)]; print('the result')"
    )
    try:
        ended = subprocess.run(
            [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=writer, timeout=600, check=False
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert (ended.returncode, ended.stdout) == (0, b"the result\n")


def test_a_closed_output_is_no_error() -> None:
    """`sla … >&-`: nobody wants what is printed."""
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *SLA, "policy", "show", "scalr-emergency"],
        stderr=subprocess.PIPE,
        timeout=600,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_characters_that_the_encoding_lacks_hide_no_result() -> None:
    """As on a terminal of EUC-JP or Latin-1. The escapes are those of JSON, so that what programs read stays whole."""
    text = "é 公開 \N{GRINNING FACE} \ud800"
    command = (
        "import typer; from cli.support.closed_output import end_on_closed_output; "
        f"end_on_closed_output(); typer.echo({text!r})"
    )
    for encoding, whole in (("latin-1", "é"), ("shift_jis", "\\u00e9 公開"), ("utf-8", "é 公開 \N{GRINNING FACE}")):
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        ended = subprocess.run(
            [sys.executable, "-c", command], capture_output=True, timeout=600, check=False, env=environment
        )
        assert ended.returncode == 0, ended.stderr
        printed = ended.stdout.decode(encoding)
        assert printed.startswith(whole)
        assert json.loads(f'"{printed.strip()}"') == text

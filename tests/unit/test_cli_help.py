"""`--help` of every command: it has an example and reads well in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import COMMANDS, app, load


def commands() -> Iterator[tuple[str, Any]]:
    for name in COMMANDS:
        command = load(name)
        yield name, command
        for inner, subcommand in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", subcommand
            for innermost, last in getattr(subcommand, "commands", {}).items():
                yield f"{name} {inner} {innermost}", last


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_help_and_an_example(name: str) -> None:
    command = ALL[name]
    assert command.help
    groups = hasattr(command, "commands") and " " in name
    assert groups or str(command.epilog).startswith("Example: "), command.epilog


@pytest.mark.parametrize("name", ALL)
def test_paragraphs_fill_the_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    assert all("\n" not in paragraph for paragraph in ALL[name].help.split("\n\n"))
    shown = CliRunner().invoke(app, [*name.split(), "--help"])
    assert shown.exit_code == 0, shown.output
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "completion" not in shown.stdout


def test_one_line_summaries_fit_the_list_of_commands() -> None:
    assert {name: len(command.summary) for name, command in COMMANDS.items() if len(command.summary) > 62} == {}

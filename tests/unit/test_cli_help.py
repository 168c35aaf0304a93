"""`--help` of every command: it has an example and reads well in a terminal of 80 columns."""

from __future__ import annotations

import pytest
from typer import rich_utils
from typer.testing import CliRunner

from cli.main import COMMANDS, app, walk

ALL = dict(walk())
#: Commands that run until they are stopped, or show people something.
PRINT_NO_DATA = {"demo", "up", "worker", "intake", "notify", "board", "bench"}
#: Commands whose output is always JSON, unless another format is asked for.
ALWAYS_JSON = {"simulate", "topics asyncapi"}


def options(name: str) -> set[str]:
    return {option for parameter in ALL[name].params for option in parameter.opts}


def is_group(name: str) -> bool:
    """Whether a command does nothing without a subcommand."""
    return bool(getattr(ALL[name], "commands", {})) and not ALL[name].invoke_without_command


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_help_and_an_example(name: str) -> None:
    command = ALL[name]
    assert command.help
    assert str(command.epilog).startswith("Example: "), command.epilog
    assert f"sla {name}" in command.epilog


@pytest.mark.parametrize("name", [name for name in ALL if not is_group(name)])
def test_every_command_that_prints_data_prints_json(name: str) -> None:
    assert name in PRINT_NO_DATA | ALWAYS_JSON or "--json" in options(name)


def test_lists_of_commands_name_existing_ones() -> None:
    assert not (PRINT_NO_DATA | ALWAYS_JSON) - set(ALL)


def check_fits(text: str, columns: int) -> None:
    assert max(map(len, text.splitlines())) <= columns
    assert "completion" not in text
    assert "…│" not in text  # nothing is cut


@pytest.mark.parametrize("name", ALL)
def test_help_fits_a_narrow_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", 60)
    assert all("\n" not in paragraph for paragraph in ALL[name].help.split("\n\n"))
    with pytest.raises(SystemExit) as ended:
        ALL[name].main(["--help"], prog_name=f"sla {name}")
    assert not ended.value.code
    check_fits(capsys.readouterr().out, 60)


@pytest.mark.parametrize("name", ["publish", "incidents", "incidents update"])
def test_help_fits_the_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", 80)
    shown = CliRunner().invoke(app, [*name.split(), "--help"])
    assert shown.exit_code == 0, shown.output
    check_fits(shown.stdout, 80)


def test_one_line_summaries_fit_the_list_of_commands() -> None:
    assert {name: len(command.summary) for name, command in COMMANDS.items() if len(command.summary) > 62} == {}


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    shown = CliRunner().invoke(app, ["--version"])
    first, *rest = shown.stdout.splitlines()
    assert (shown.exit_code, first) == (0, f"sla {version('sla-clocks')}")
    assert [line.split()[0] for line in rest] == ["commit", "Python", "aiokafka", "kafka-python", "faust-streaming"]
    assert f"aiokafka {version('aiokafka')}" in rest


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("reprot", "No such command 'reprot'. Did you mean 'report'?"),
        ("contract", "Did you mean 'contracts'?"),
        ("xyzzy", "`sla --help` lists the commands."),
        ("topics aply", "Did you mean 'apply'?"),
    ],
)
def test_a_mistyped_command_is_told_what_was_meant(typed: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = CliRunner().invoke(app, typed.split())
    assert ended.exit_code == 2
    assert hint in " ".join(ended.output.replace("│", " ").split())

"""`sla settings`: the settings that a process would have here, and where each value comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from cli.support.exits import one_line

if TYPE_CHECKING:
    from cli.settings.table import Setting

_COMMON: Final = ("Kafka", "Logs", "HTTP servers", "Schema registry", "Rules and limits")
#: Stands for the value of a secret that is set.
HIDDEN: Final = "***"


class Process(StrEnum):
    """The processes that have settings."""

    WORKER = "worker"
    INTAKE = "intake"
    NOTIFY = "notify"
    BOARD = "board"


_SECTION: Final = {
    Process.WORKER: "Worker",
    Process.INTAKE: "Intake",
    Process.NOTIFY: "Notifier",
    Process.BOARD: "Board",
}


class PresentSetting(NamedTuple):
    """One setting as it is here. `value` is empty for none; `source` is `environment`, `file` or `default`."""

    variable: str
    value: str
    source: str


def settings(
    process: Annotated[Process, typer.Argument(help="Whose settings.")] = Process.WORKER,
    only_set: Annotated[bool, typer.Option("--set", help="Only those that are set, not the defaults.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print the settings that a process started here would have: each value, and whether it comes from the environment,
    from a file that a variable with _FILE names, or is the default. Values of secrets are never shown.

    Exit code 2: a setting is wrong, or a variable is none of any process.
    """
    with one_line():
        _check(process)
        for each in _shown(present(process, os.environ), only_set=only_set, as_json=as_json):
            typer.echo(each)


def present(process: Process, environment: Mapping[str, str]) -> Iterator[PresentSetting]:
    """The settings of a process, in the order of docs/configuration.md, and the Kafka properties that are set."""
    from cli.settings.table import SECTIONS, settings_of

    values = {name.upper(): value for name, value in environment.items()}
    for heading in (*_COMMON, _SECTION[process]):
        for setting in settings_of(SECTIONS[heading]):
            yield _present(setting, values)
        if heading == "Kafka":
            yield from _properties(values)


def _present(setting: Setting, values: Mapping[str, str]) -> PresentSetting:
    from streams.configuration.variables import FILE
    from streams.errors import without_credentials

    name = setting.variable
    if setting.secret and f"{name}{FILE}" in values:
        return PresentSetting(name, HIDDEN, "file")
    if name in values:
        return PresentSetting(name, HIDDEN if setting.secret else without_credentials(values[name]), "environment")
    return PresentSetting(name, setting.default, "default")


def _properties(values: Mapping[str, str]) -> Iterator[PresentSetting]:
    from streams.configuration.variables import KAFKA_PREFIX
    from streams.errors import without_credentials
    from streams.kafka.properties import property_of, variable_of

    for name in sorted(each for each in values if each.startswith(KAFKA_PREFIX)):
        found, from_file = property_of(name.removeprefix(KAFKA_PREFIX))
        value = HIDDEN if found.secret else without_credentials(values[name])
        yield PresentSetting(variable_of(found.name), value, "file" if from_file else "environment")


def _shown(found: Iterator[PresentSetting], *, only_set: bool, as_json: bool) -> Iterator[str]:
    for variable, value, source in found:
        if only_set and source == "default":
            continue
        if as_json:
            hidden = {"secret": True} if value == HIDDEN else {"value": value or None}
            yield json.dumps({"variable": variable, **hidden, "source": source}, ensure_ascii=False)
        else:
            yield f"{variable}={value}" + ("" if source == "default" else f"  # {source}")


def _check(process: Process) -> None:
    """Raises SettingsError as the process itself would at its start."""
    from streams.settings import read_settings

    read_settings().client_security()
    match process:
        case Process.WORKER:
            pass
        case Process.INTAKE:
            from connect.intake.settings import read_intake_settings

            read_intake_settings()
        case Process.NOTIFY:
            from connect.notify.settings import read_notify_settings

            read_notify_settings()
        case Process.BOARD:
            from board.settings import read_board_settings

            read_board_settings()

"""All settings by process, from the settings classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from board.settings import BoardSettings
from connect.intake.settings import IntakeSettings
from connect.notify.settings import NotifySettings
from streams.configuration.environment import EnvironmentSettings, variable_of
from streams.configuration.fields import allowed_values, default_text, example_text, is_secret
from streams.configuration.sections import HttpSection, KafkaSection, LogSection, RegistrySection
from streams.configuration.variables import FILE
from streams.settings import RulesSection, Settings, WorkerSection


class Setting(NamedTuple):
    """One variable. `default` is empty where there is none."""

    variable: str
    allowed: str
    default: str
    meaning: str
    example: str
    secret: bool


#: Heading → class, in the order of the document. Those of `Settings` are its sections.
SECTIONS: Final[dict[str, type[EnvironmentSettings]]] = {
    "Kafka": KafkaSection,
    "Logs": LogSection,
    "HTTP servers": HttpSection,
    "Schema registry": RegistrySection,
    "Rules and limits": RulesSection,
    "Worker": WorkerSection,
    "Intake": IntakeSettings,
    "Notifier": NotifySettings,
    "Board": BoardSettings,
}
#: What processes construct; every section belongs to one of these.
CLASSES: Final = (Settings, IntakeSettings, NotifySettings, BoardSettings)


def settings_of(section: type[EnvironmentSettings]) -> Iterator[Setting]:
    """The settings of a section, in the order of its class."""
    for name, field in section.model_fields.items():
        yield Setting(
            variable_of(section, name),
            allowed_values(field) or "any text",
            default_text(field),
            field.description or "",
            "" if is_secret(field) and not example_text(field) else example_text(field),
            is_secret(field),
        )


def variables() -> list[str]:
    """Every variable of the settings classes, those of secrets with _FILE as well."""
    found = [each for section in CLASSES for each in settings_of(section)]
    return sorted({each.variable for each in found} | {each.variable + FILE for each in found if each.secret})

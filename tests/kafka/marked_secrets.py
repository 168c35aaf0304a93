"""A value for every secret setting that can be found again, wherever it should not be."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cli.settings.table import SECTIONS, settings_of
from streams.configuration.variables import FILE
from streams.kafka.properties import PROPERTIES, variable_of

#: Where a setting is an address with a secret in it.
_ADDRESSES = {"SLA_BOARD_DATABASE_URL": "postgresql://board:{}@127.0.0.1:1/board"}
#: The same secret by another name; one of the two can be set.
_ALSO = frozenset({"SLA_KAFKA_SASL_PASSWORD", "SLA_SCHEMA_REGISTRY_TOKEN"})
_MARK = "5ecret"
#: Secrets of files and of the environment, by the names that the files of these tests have.
_OTHERS = {
    "PAGER_KEY": "{}",
    "ROOM_URL": "https://hooks.slack.com/services/T00000000/B00000000/{}",
    "HOOK_URL": "https://hook.example/{}",
    "HOOK_KEY": "whsec_{}",
    "HTTPS_PROXY": "http://proxy:{}@127.0.0.1:1",
    "HTTP_PROXY": "http://proxy:{}@127.0.0.1:1",
}


def secret_variables() -> list[str]:
    """The variables of every secret, of settings classes and of Kafka properties."""
    found = [each.variable for section in SECTIONS.values() for each in settings_of(section) if each.secret]
    return [*found, *(variable_of(each.name) for each in PROPERTIES.values() if each.secret)]


def marked(more: Iterable[str] = ()) -> dict[str, str]:
    """An environment in which each of these secrets, and of `more`, has a value of its own."""
    names = [each for each in secret_variables() if each not in _ALSO and not each.endswith(FILE)]
    shapes = {**dict.fromkeys([*names, *more], "{}"), **_ADDRESSES, **_OTHERS}
    return {name: shape.format(f"{_MARK}{number:02d}" * 4) for number, (name, shape) in enumerate(shapes.items())}


def shown_in(text: str, environment: dict[str, str]) -> list[str]:
    """The variables whose secrets occur in a text."""
    numbers = set(re.findall(rf"{_MARK}(\d\d)", text))
    return [name for number, name in enumerate(environment) if f"{number:02d}" in numbers]

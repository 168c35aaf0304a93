"""Settings of a process from environment variables: the base of every settings class, and its messages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streams.configuration.fields import allowed_values, is_secret
from streams.configuration.variables import FILE, check_variables
from streams.errors import SettingsError

SettingsT = TypeVar("SettingsT", bound="EnvironmentSettings")
_SHOWN = 200


class EnvironmentSettings(BaseSettings):
    """Settings from variables with the prefix `env_prefix`. A secret (`repr=False`) is read from the file that the
    variable with the suffix _FILE names, where there is one."""

    model_config = SettingsConfigDict(
        env_prefix="SLA_", frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, SecretFiles(settings_cls)


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets from files. Raises SettingsError for a file that can't be read, and where file and value are given."""

    @cached_property
    def _environment(self) -> dict[str, str]:
        return {name.upper(): value for name, value in os.environ.items()}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = variable_of(self.settings_cls, field_name)
        path = self._environment.get(f"{name}{FILE}") if is_secret(field) else None
        if path is not None and name in self._environment:
            raise SettingsError(f"{name} and {name}{FILE} are both set; set one of them")
        return None if path is None else read_secret_file(f"{name}{FILE}", path), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def variable_of(settings: type[BaseSettings], field: str) -> str:
    """The environment variable of a field."""
    return f"{settings.model_config['env_prefix']}{field}".upper()


def read_secret_file(variable: str, path: str) -> str:
    """The text of a file that a variable names, without its last line break. Raises SettingsError."""
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise SettingsError(f"{variable}: the file {path} can't be read: {reason}") from None


def from_environment(settings: type[SettingsT], given: Mapping[str, object]) -> SettingsT:
    """Settings of any class; `given` takes precedence. Raises SettingsError naming each wrong variable, and for a
    variable that no process reads."""
    check_variables(os.environ)
    try:
        return settings(**given)
    except ValidationError as error:
        values = {name.upper(): value for name, value in os.environ.items()}
        problems = [_problem(settings, detail, given, values) for detail in error.errors(include_url=False)]
    raise SettingsError("; ".join(problems))  # outside of the handler: the original has the values of secrets


def _problem(
    settings: type[EnvironmentSettings],
    detail: ErrorDetails,
    given: Mapping[str, object],
    values: Mapping[str, str],
) -> str:
    """One mistake: the variable, what was wrong, and what is allowed. The value of a secret is not shown."""
    name = str(detail["loc"][0])
    field, variable = settings.model_fields[name], variable_of(settings, name)
    value = str(given.get(name, values.get(variable, "")))
    if detail["type"] == "value_error":  # of a validator of ours, whose text is complete
        return f"{variable}: {detail['ctx']['error']}"
    what = "this value" if is_secret(field) else repr(value[:_SHOWN])
    allowed = allowed_values(field)
    hint = ""
    if value.startswith(("tcp://", "udp://")):
        hint = "; Kubernetes sets it for a Service of that name: set enableServiceLinks: false in the pod"
    instead = f"allowed: {allowed}" if allowed else detail["msg"]
    return f"{variable}: {what} can't be used; {instead}{hint}"

"""References to secrets: environment variables or files that configuration names. No text shows a secret's value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from streams.config_files.config_keys import ConfigKeys
from streams.configuration.variables import problem_of_secret
from streams.errors import SettingsError


class SecretRef(NamedTuple):
    """The name of an environment variable, or a file."""

    kind: Literal["env", "file"]
    name: str


class SecretKeys(ConfigKeys):
    """A reference to one secret in a YAML file."""

    env: str | None = Field(None, description="Name of the environment variable that holds the secret.", min_length=1)
    file: str | None = Field(
        None, description="File that holds the secret; a final line break is removed.", min_length=1
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret has exactly one source; allowed: {env: NAME} or {file: PATH}")
        if self.env is not None and (problem := problem_of_secret(self.env)) is not None:
            raise ValueError(problem)
        return self

    def ref(self) -> SecretRef:
        return SecretRef("env", self.env) if self.env else SecretRef("file", str(self.file))


def read_secret(owner: str, ref: SecretRef, environment: Mapping[str, str], min_length: int) -> str:
    """The value of a secret. Raises SettingsError naming the variable or file, never the value."""
    if ref.kind == "env":
        where, value = f"the environment variable {ref.name}", environment.get(ref.name, "")
    else:
        where = f"the file {ref.name}"
        try:
            value = Path(ref.name).read_text(encoding="utf-8-sig").rstrip("\r\n")
        except (OSError, ValueError) as error:  # ValueError: it is not UTF-8, or no file has such a name
            raise SettingsError(f"secret of {owner}: {where} can't be read ({type(error).__name__})") from error
    if len(value) < min_length:
        problem = "is empty or not set" if not value else "is too short"
        raise SettingsError(f"secret of {owner}: {where} {problem}; a secret has at least {min_length} characters")
    return value

"""Where secrets are: environment variables or files that configuration names; what they hold is never shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streams.errors import SettingsError


class SecretRef(NamedTuple):
    """The name of an environment variable, or a file."""

    kind: Literal["env", "file"]
    name: str


class SecretKeys(BaseModel):
    """One secret in a YAML file, by where it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: str | None = Field(None, description="Name of the environment variable that holds it.", min_length=1)
    file: str | None = Field(None, description="File that holds it; the last line break is cut off.", min_length=1)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret is in one place; allowed: {env: NAME} or {file: PATH}")
        return self

    def ref(self) -> SecretRef:
        return SecretRef("env", self.env) if self.env else SecretRef("file", str(self.file))


def read_secret(whose: str, ref: SecretRef, environment: Mapping[str, str], shortest: int) -> str:
    """What a secret holds. Raises SettingsError naming the variable or file, never what it holds."""
    if ref.kind == "env":
        where, value = f"the environment variable {ref.name}", environment.get(ref.name, "")
    else:
        where = f"the file {ref.name}"
        try:
            value = Path(ref.name).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"secret of {whose}: {where} can't be read ({type(error).__name__})") from error
    if len(value) < shortest:
        told = "is empty or not set" if not value else "is too short"
        raise SettingsError(f"secret of {whose}: {where} {told}; a secret has at least {shortest} characters")
    return value

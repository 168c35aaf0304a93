"""A mapping file with the secrets that it names, as they were read at one instant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import mapping_in
from connect.intake.web.signatures import Secrets, read_secrets
from streams.errors import SettingsError

_DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class LoadedMapping:
    """The sources by name and the secrets of each. `digest` identifies the content of the mapping file: the first
    hexadecimal digits of its SHA-256."""

    sources: Mapping[str, Source]
    secrets: Secrets
    digest: str = ""


class MappingLoader:
    """Reads a mapping file and the secrets that it names."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path = path
        self._environment = environment
        self._secret_files: list[Path] = []

    def load(self) -> LoadedMapping:
        """Raises MappingError, SettingsError, OSError."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError as error:
            message = f"there is no mapping file {self._path}; set SLA_INTAKE_MAPPING or write --mapping"
            raise SettingsError(message) from error
        sources = mapping_in(content, str(self._path))
        named = {ref.name for source in sources.values() for ref in source.secrets if ref.kind == "file"}
        self._secret_files = [Path(name) for name in sorted(named)]
        digest = hashlib.sha256(content).hexdigest()[:_DIGEST_CHARACTERS]
        return LoadedMapping(sources, read_secrets(sources.values(), self._environment), digest)

    def files(self) -> Iterable[Path]:
        """The mapping file, and the files of secrets that it named when it was last read."""
        return [self._path, *self._secret_files]

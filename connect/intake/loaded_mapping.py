"""A mapping file with the secrets that it names, as they were read at one instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from connect.intake.formats.registry import format_of
from connect.intake.mapping.rules import Source
from connect.intake.mapping_file import mapping_in
from connect.intake.settings import read_intake_settings
from connect.intake.signatures import MIN_SECRET_CHARACTERS, Secret, Secrets, read_secrets
from streams.config_files.reload import content_digest
from streams.configuration.variables import FILE
from streams.errors import SettingsError

_OPERATOR = "SLA_INTAKE_OPERATOR_TOKEN"


@dataclass(frozen=True, slots=True)
class LoadedMapping:
    """The sources by name and the secrets of each. `digest` is that of the mapping file (`content_digest`). `operator`
    is the token of whoever may see the last requests; None: nobody. `shared` names, for each secret that says who sends
    and that several sources have, these sources."""

    sources: Mapping[str, Source]
    secrets: Secrets
    digest: str = ""
    operator: Secret | None = None
    shared: tuple[tuple[str, ...], ...] = ()


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
        digest = content_digest(content)
        secrets = read_secrets(sources.values(), self._environment)
        operator = _operator(read_intake_settings().operator_token, secrets)
        return LoadedMapping(sources, secrets, digest, operator, _shared(sources, secrets))

    def files(self) -> Iterable[Path]:
        """The mapping file, the files of secrets that it named when it was last read, and that of the operator."""
        operator = self._environment.get(f"{_OPERATOR}{FILE}")
        return [self._path, *self._secret_files, *([] if operator is None else [Path(operator)])]


def _shared(sources: Mapping[str, Source], secrets: Secrets) -> tuple[tuple[str, ...], ...]:
    """The sources that have a token in common which identifies its source: either has what the other may do."""
    owners: dict[bytes, list[str]] = {}
    for name, of_source in secrets.items():
        for digest in {secret.digest for secret in of_source}:
            owners.setdefault(digest, []).append(name)
    return tuple(
        tuple(names)
        for names in owners.values()
        if len(names) > 1 and any(format_of(sources[name]).translate is None for name in names)
    )


def _operator(token: str | None, secrets: Secrets) -> Secret | None:
    """The operator's token. Raises SettingsError where it is short, or also proves a source."""
    if token is None:
        return None
    if len(token) < MIN_SECRET_CHARACTERS:
        raise SettingsError(f"{_OPERATOR} is too short; a secret has at least {MIN_SECRET_CHARACTERS} characters")
    for name, of_source in secrets.items():
        if any(secret.equals(token) for secret in of_source):
            raise SettingsError(f"{_OPERATOR} is also a secret of the source {name}; choose another one")
    return Secret(token)

"""The tokens file: who may sign in with a token, and use the API with `Authorization: Bearer`. It has no token, only
their SHA-256."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from connect.actions.person import ROLE_NAMES, Person, Role
from streams.errors import SlaError
from streams.sla.instants import format_rfc3339
from streams.sla.limits import InvalidInputError, check_id

#: What a token begins with, so that scanners for leaked secrets recognise it.
TOKEN_PREFIX: Final = "slab_"
_VERSION: Final = 1
_ALLOWED = "allowed: a file that `sla board tokens add` has written"


class TokensFileError(SlaError):
    """The tokens file can't be used, or does not allow what was asked for."""


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """One line of the file. `name` is the token's: a person may have several. `sha256` is that of the token, in
    hexadecimal; `created_at` as RFC 3339."""

    name: str
    person: Person
    sha256: str
    created_at: str


def sha256_of(secret: str) -> str:
    """The digest under which a secret of 256 random bits is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


class TokensFile:
    """The file as it is now: it is read again when it has changed. All methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._state: tuple[int, ...] | None = None
        self._by_digest: Mapping[str, TokenEntry] = {}

    def find(self, token: str) -> TokenEntry | None:
        """The entry of a token; None for others."""
        return self.find_digest(sha256_of(token))

    def find_digest(self, sha256: str) -> TokenEntry | None:
        """The entry whose token has a digest. A file that can't be read has no entries; the log says why."""
        with self._lock:
            state = _file_state(self.path)
            if state != self._state:
                self._state = state
                try:
                    self._by_digest = {each.sha256: each for each in read_tokens(self.path)}
                except TokensFileError as error:
                    self._by_digest = {}
                    structlog.get_logger("board").error("tokens_file_unusable", reason=str(error))
            return self._by_digest.get(sha256)


def read_tokens(path: Path) -> list[TokenEntry]:
    """The entries, by name; none where there is no file. Raises TokensFileError."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise TokensFileError(f"{path}: can't be read: {error}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TokensFileError(f"{path}: others may write to it, and so give themselves any role; run chmod 600 {path}")
    try:
        document = json.loads(text)
        if document["version"] != _VERSION:
            raise TokensFileError(f"{path}: has version {document['version']!r}; this release reads version {_VERSION}")
        entries = [_entry(each) for each in document["tokens"]]
    except (ValueError, KeyError, TypeError, InvalidInputError) as error:
        raise TokensFileError(f"{path}: is no tokens file ({error}); {_ALLOWED}") from error
    return sorted(entries, key=lambda each: each.name)


def add_token(path: Path, person: Person, now: int, *, name: str | None = None) -> str:
    """Write an entry for a new token, and return the token, which is stored nowhere. `name` is the token's; without, it
    is the person's id. Raises TokensFileError when there is a token of this name, InvalidInputError for a name that is
    no id."""
    name = check_id(person.id if name is None else name, "NAME")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    with _locked(path):
        entries = read_tokens(path)
        if any(each.name == name for each in entries):
            raise TokensFileError(f"there is a token {name} already; remove it first: sla board tokens remove NAME")
        _write(path, [*entries, TokenEntry(name, person, sha256_of(token), format_rfc3339(now))])
    return token


def remove_token(path: Path, name: str) -> None:
    """Delete a token's entry; sessions that began with it end. Raises TokensFileError when there is none."""
    with _locked(path):
        entries = read_tokens(path)
        left = [each for each in entries if each.name != name]
        if len(left) == len(entries):
            names = ", ".join(each.name for each in entries) or "none"
            raise TokensFileError(f"there is no token {name!r} in {path}; there are: {names}")
        _write(path, left)


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Roles by name. Raises ValueError that says what is allowed."""
    try:
        return frozenset(Role(name) for name in names)
    except ValueError as error:
        raise ValueError(f"{error}; allowed: {ROLE_NAMES}") from error


def _entry(given: dict[str, Any]) -> TokenEntry:
    tenants = given["tenants"]
    if not isinstance(given["name"], str) or not isinstance(given["roles"], list):
        raise TypeError("name must be a text, roles a list")
    if tenants is not None and not (isinstance(tenants, list) and all(isinstance(each, str) for each in tenants)):
        raise TypeError("tenants must be null or a list of texts")
    person = Person(
        str(given["id"]), given["name"], roles_of(given["roles"]), None if tenants is None else frozenset(tenants)
    )
    if len(bytes.fromhex(given["sha256"])) != hashlib.sha256().digest_size:
        raise ValueError("sha256 must have 64 hexadecimal digits")
    # Files of earlier releases have one token for each person, without a name of its own.
    name = check_id(given.get("token", person.id), "token")
    return TokenEntry(name, person, given["sha256"].lower(), str(given["created_at"]))


def _write(path: Path, entries: Iterable[TokenEntry]) -> None:
    """Replace the file at once: a reader sees the former or the new one."""
    document = {
        "version": _VERSION,
        "tokens": [
            {
                "token": each.name,
                "id": each.person.id,
                "name": each.person.name,
                "roles": sorted(each.person.roles),
                "tenants": None if each.person.tenants is None else sorted(each.person.tenants),
                "sha256": each.sha256,
                "created_at": each.created_at,
            }
            for each in entries
        ],
    }
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    # Otherwise a power cut may bring the former file back, and with it a token that was removed.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time. Raises TokensFileError when the directory can't be written to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise TokensFileError(f"{path}: can't be written: {error}; name another file in SLA_BOARD_TOKENS") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise TokensFileError(f"{path}: can't be written: {error}; name another file in SLA_BOARD_TOKENS") from error
    finally:
        os.close(descriptor)


def _file_state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)

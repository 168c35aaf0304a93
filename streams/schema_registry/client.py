"""A client of schema registries with Confluent's HTTP interface: each method is one request."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from streams.errors import RegistryRefused, RegistryUnavailable, SettingsError

#: Confluent's names. FULL: the new schema reads what the last one wrote and vice versa; TRANSITIVE: this holds for all
#: versions before.
Compatibility = Literal[
    "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"
]

_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_LARGEST_ANSWER = 1024 * 1024
#: "There is none": no such subject, version, schema, or no compatibility of the subject's own. A 404 without one of
#: these comes from something else that answers at the address, such as a proxy whose registry is away.
_ABSENT = frozenset({40401, 40402, 40403, 40408})
_FORBIDDEN = frozenset({401, 403})
#: Incompatible with what the subject has; not valid.
_REFUSED = frozenset({409, 422})


@dataclass(frozen=True, slots=True)
class SchemaRegistry:
    """Where a schema registry is and how to use it. `url` is the base of its Confluent-compatible interface,
    such as `http://registry:8081` or, for Apicurio, `http://registry:8080/apis/ccompat/v7`.

    `username` and `password`, or a bearer `token`; `cafile` has the CA certificates of an https registry.
    `compatibility` is required of each subject; without `register` schemas and compatibility are only checked. Without
    `write` Confluent framing is read but not written. Raises SettingsError for an invalid address.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    cafile: Path | None = None
    timeout_s: float = 5.0
    compatibility: Compatibility = "FULL_TRANSITIVE"
    register: bool = True
    write: bool = True

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not _has_port(parts):
            raise SettingsError(
                f"the schema registry's address {self.url!r} is invalid; write http(s)://host:port/path"
            )
        if parts.username is not None:
            raise SettingsError(
                "the schema registry's address must contain no credentials; set user and password separately"
            )
        if self.token is not None and self.username is not None:
            raise SettingsError("for the schema registry, give a token or a user, not both")
        if self.username is not None and self.password is None:
            raise SettingsError(f"for the schema registry, the user {self.username} has no password")


class _Answer(NamedTuple):
    status: int
    body: Mapping[str, object]

    @property
    def absent(self) -> bool:
        return self.status == 404


class RegistryClient:
    """Every method is one request, which blocks for `timeout_s` or so at most, and raises RegistryUnavailable when no
    usable answer comes, RegistryRefused when the registry refuses the request. Constructing a client raises
    SettingsError when the certificates can't be read."""

    def __init__(self, access: SchemaRegistry) -> None:
        self._access = access
        self._base = access.url.rstrip("/")
        try:
            context = ssl.create_default_context(cafile=str(access.cafile) if access.cafile else None)
        except OSError as error:
            reason = f"the schema registry's certificates can't be read from {access.cafile}: {error.strerror}"
            raise SettingsError(reason) from error
        self._opener = urllib.request.build_opener(_NoRedirects(), urllib.request.HTTPSHandler(context=context))
        self._headers = {"Accept": f"{_MEDIA_TYPE}, application/json", "Content-Type": _MEDIA_TYPE}
        if access.token is not None:
            self._headers["Authorization"] = f"Bearer {access.token}"
        elif access.username is not None:
            pair = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"

    def schema_for(self, schema_id: int) -> str | None:
        """The text of a schema; None when the registry says that it has no such id."""
        answer = self._ask("GET", f"/schemas/ids/{schema_id}")
        return None if answer.absent else self._text(answer, "schema")

    def compatibility(self, subject: str, *, inherited: bool = False) -> str | None:
        """The subject's compatibility, or None when it has none of its own; with `inherited` the one in effect."""
        answer = self._ask("GET", f"/config/{_quoted(subject)}{'?defaultToGlobal=true' if inherited else ''}")
        return None if answer.absent else self._text(answer, "compatibilityLevel")

    def set_compatibility(self, subject: str, level: str) -> None:
        """Give a subject, which need not exist yet, its compatibility."""
        self._present(self._ask("PUT", f"/config/{_quoted(subject)}", {"compatibility": level}), subject)

    def find(self, subject: str, definition: Mapping[str, object]) -> int | None:
        """The id of a schema under a subject; None when it is not registered there."""
        answer = self._ask("POST", f"/subjects/{_quoted(subject)}", {"schema": json.dumps(definition)})
        return None if answer.absent else self._id(answer)

    def register(self, subject: str, definition: Mapping[str, object]) -> int:
        """Register a schema under a subject; its id, also when it was registered before."""
        path = f"/subjects/{_quoted(subject)}/versions"
        answer = self._ask("POST", path, {"schema": json.dumps(definition)})
        self._present(answer, subject)
        return self._id(answer)

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> _Answer:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, self._headers, method=method)
        try:
            with self._opener.open(request, timeout=self._access.timeout_s) as reply:
                return _Answer(reply.status, self._object(reply.read(_LARGEST_ANSWER + 1)))
        except urllib.error.HTTPError as error:
            with error:
                return self._refusal(error, path)
        except urllib.error.URLError as error:
            raise self._unavailable(str(error.reason)) from error
        except (OSError, HTTPException) as error:
            raise self._unavailable(str(error) or type(error).__name__) from error

    def _refusal(self, error: urllib.error.HTTPError, path: str) -> _Answer:
        """Only a 404 whose code says what is absent counts as an answer."""
        try:
            content = error.read(_LARGEST_ANSWER)
        except (OSError, HTTPException):
            content = b""
        try:
            body = self._object(content)
        except RegistryUnavailable:
            body = {}
        reason = body.get("message", error.reason)
        if error.code == 404 and body.get("error_code") in _ABSENT:
            return _Answer(404, body)
        if error.code in _FORBIDDEN:
            raise RegistryRefused(
                f"the schema registry at {self._base} refuses this user ({error.code}: {reason}); set "
                "SLA_SCHEMA_REGISTRY_USERNAME and _PASSWORD, or _TOKEN, to what it accepts"
            )
        if error.code in _REFUSED:
            raise RegistryRefused(f"the schema registry at {self._base} refuses {path}: {error.code}: {reason}")
        raise self._unavailable(f"{error.code}: {reason}")

    def _object(self, content: bytes) -> Mapping[str, object]:
        if len(content) > _LARGEST_ANSWER:
            raise self._unavailable(f"an answer of more than {_LARGEST_ANSWER:,} bytes")
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._unavailable("its answer is not JSON") from error
        if not isinstance(found, dict):
            raise self._unavailable("its answer is not a JSON object")
        return found

    def _text(self, answer: _Answer, name: str) -> str:
        found = answer.body.get(name)
        if not isinstance(found, str):
            raise self._unavailable(f"its answer has no {name}")
        return found

    def _id(self, answer: _Answer) -> int:
        found = answer.body.get("id")
        if type(found) is not int or not 0 <= found < 2**31:
            raise self._unavailable("its answer has no id")
        return found

    def _present(self, answer: _Answer, subject: str) -> None:
        if answer.absent:
            raise self._unavailable(f"it has no {subject}, which was just registered")

    def _unavailable(self, why: str) -> RegistryUnavailable:
        return RegistryUnavailable(f"the schema registry at {self._base} gives no usable answer: {why}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, so credentials go only to the configured address."""

    def redirect_request(self, *_: object) -> None:
        return None


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is absent or valid."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def _quoted(subject: str) -> str:
    return quote(subject, safe="")

"""Secrets from the environment or files, which no log and no message ever shows; compared in constant time."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping

from connect.intake.mapping.rules import Source
from connect.secret_refs import read_secret
from streams.sla.instants import parse_rfc3339

_SHORTEST = 16
_BEARER = "bearer "


class Secret:
    """A token or signing key. It has no text form."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value.encode()

    def __repr__(self) -> str:
        return "Secret(…)"

    def same(self, given: str) -> bool:
        """Whether that is it; the time it takes says nothing about how much of it is right, nor about its length."""
        ours, theirs = hashlib.sha256(self._value).digest(), hashlib.sha256(given.encode(errors="replace")).digest()
        return hmac.compare_digest(ours, theirs)

    def sign(self, message: bytes) -> bytes:
        """HMAC-SHA256."""
        return hmac.digest(self._value, message, hashlib.sha256)


Secrets = Mapping[str, tuple[Secret, ...]]


def read_secrets(sources: Iterable[Source], environment: Mapping[str, str]) -> Secrets:
    """The secrets of each source by its name. Raises SettingsError naming the variable or file, never what it holds."""
    return {
        source.name: tuple(Secret(read_secret(source.name, ref, environment, _SHORTEST)) for ref in source.secrets)
        for source in sources
    }


def bearer(secrets: tuple[Secret, ...], authorization: str | None) -> bool:
    """Whether `Authorization: Bearer …` has one of the tokens. All are compared, whichever fits."""
    if authorization is None or not authorization.lower().startswith(_BEARER):
        return False
    given = authorization[len(_BEARER) :].strip()
    return _any(secrets, lambda secret: secret.same(given))


def zendesk(secrets: tuple[Secret, ...], signature: str | None, timestamp: str | None, content: bytes) -> bool:
    """Whether the signature is base64(HMAC-SHA256(timestamp + body)) by one of the keys."""
    if signature is None or timestamp is None:
        return False
    given, message = signature.encode(errors="replace"), timestamp.encode(errors="replace") + content
    return _any(secrets, lambda secret: hmac.compare_digest(base64.b64encode(secret.sign(message)), given))


def hub(secrets: tuple[Secret, ...], signature: str | None, content: bytes) -> bool:
    """Whether the signature is `sha256=` and the hexadecimal HMAC-SHA256 of the body by one of the keys."""
    if signature is None:
        return False
    given = signature.encode(errors="replace")
    return _any(secrets, lambda secret: hmac.compare_digest(b"sha256=" + secret.sign(content).hex().encode(), given))


def fresh(timestamp: str, now: int, window: int) -> bool:
    """Whether a signed timestamp (RFC 3339) lies within the replay window around now."""
    try:
        return abs(now - parse_rfc3339(timestamp)) <= window
    except ValueError:
        return False


def _any(secrets: tuple[Secret, ...], fits: Callable[[Secret], bool]) -> bool:
    found = False
    for secret in secrets:
        found |= fits(secret)
    return found

"""Secrets and the primitives of proving a sender: constant-time comparison, HMAC, freshness. No text shows a secret."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping

from connect.intake.mapping.rules import Source
from connect.secret_refs import read_secret
from streams.sla.instants import parse_rfc3339

MIN_SECRET_CHARACTERS = 16
_BEARER = "bearer "


class Secret:
    """A token or signing key. Its text form hides the value."""

    __slots__ = ("_value", "digest")

    def __init__(self, value: str) -> None:
        self._value = value.encode()
        self.digest = hashlib.sha256(self._value).digest()
        """Identifies the value: equal secrets have the same."""

    def __repr__(self) -> str:
        return "Secret(…)"

    def equals(self, given: str) -> bool:
        """Compare in a time that depends neither on how much of `given` is right nor on the secret's length."""
        return self.has_digest(_digest(given))

    def has_digest(self, given: bytes) -> bool:
        """As `equals`, of the digest of what was given."""
        return hmac.compare_digest(self.digest, given)

    def sign(self, message: bytes, algorithm: str = "sha256") -> bytes:
        """HMAC of a message; the algorithm is one of hashlib's names."""
        return hmac.digest(self._value, message, algorithm)


Secrets = Mapping[str, tuple[Secret, ...]]


def read_secrets(sources: Iterable[Source], environment: Mapping[str, str]) -> Secrets:
    """The secrets of each source by its name. Raises SettingsError naming the variable or file, never its value."""
    return {
        source.name: tuple(
            Secret(read_secret(source.name, ref, environment, MIN_SECRET_CHARACTERS)) for ref in source.secrets
        )
        for source in sources
    }


def bearer(secrets: tuple[Secret, ...], authorization: str | None) -> bool:
    """Whether `Authorization: Bearer …` carries one of the tokens."""
    return bool(bearers({"": secrets}, [""], authorization))


def bearers(secrets: Secrets, sources: Iterable[str], authorization: str | None) -> list[str]:
    """The sources whose tokens `Authorization: Bearer …` carries one of. There may be a source for each tenant, and
    anybody may send a long text: it is hashed once."""
    if authorization is None or not authorization.lower().startswith(_BEARER):
        return []
    given = _digest(authorization[len(_BEARER) :].strip())
    return [name for name in sources if any_matches(secrets[name], lambda secret: secret.has_digest(given))]


def in_address(secrets: tuple[Secret, ...], given: str | None) -> bool:
    """Whether the token at the end of an address, `?token=…`, is one of the tokens. A `+` in a query means a space;
    whoever writes a token with `+` into an address by hand means a `+`, and no token contains a space by chance."""
    if given is None:
        return False
    as_written = given.replace(" ", "+")
    return any_matches(secrets, lambda secret: secret.equals(given) | secret.equals(as_written))


def fresh(timestamp: str, now: int, window: int) -> bool:
    """Whether a signed RFC 3339 timestamp is within `window` microseconds of `now`."""
    try:
        return abs(now - parse_rfc3339(timestamp)) <= window
    except ValueError:
        return False


def any_matches(secrets: tuple[Secret, ...], matches: Callable[[Secret], bool]) -> bool:
    """Whether one of the secrets matches. All are tried, so the duration does not reveal which one matched."""
    found = False
    for secret in secrets:
        found |= matches(secret)
    return found


def _digest(given: str) -> bytes:
    return hashlib.sha256(given.encode(errors="replace")).digest()

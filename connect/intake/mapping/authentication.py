"""How the sender of a webhook proves itself, where the mapping file says it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class BearerToken:
    """`Authorization: Bearer …` with one of the secrets."""


@dataclass(frozen=True, slots=True)
class AddressToken:
    """One of the secrets at the end of the address, `?token=…`, for senders that can set no header."""


@dataclass(frozen=True, slots=True)
class BasicAccount:
    """`Authorization: Basic …` of a user whose password is one of the secrets."""

    user: str


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """One of the secrets in a header, after a prefix."""

    header: str
    prefix: str


@dataclass(frozen=True, slots=True)
class SignedTime:
    """The time that a signature covers. `unit` is `seconds`, `milliseconds` or `rfc3339`."""

    header: str
    prefix: str
    unit: str


@dataclass(frozen=True, slots=True)
class BodySignature:
    """An HMAC of the body in a header. `message` is what is signed, with `{body}` and `{timestamp}` in it."""

    header: str
    algorithm: str
    encoding: str
    prefix: str
    message: str
    time: SignedTime | None


@dataclass(frozen=True, slots=True)
class ProxySubject:
    """The subject of a client certificate, which a proxy in one of the networks has verified and passes on."""

    header: str
    subjects: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Authentication:
    """One scheme."""

    scheme: BearerToken | AddressToken | BasicAccount | TokenHeader | BodySignature | ProxySubject

    @property
    def signature_header(self) -> str | None:
        """The header that signs the body, if one does."""
        return self.scheme.header if isinstance(self.scheme, BodySignature) else None

"""Reads and checks the values of secrets: routing keys, addresses, signing keys. No error shows a value."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping

from yarl import URL

from connect.notify.destinations.kind import Destination, Secrets
from connect.secret_refs import read_secret
from streams.errors import SettingsError

_SHORTEST = 8
_SIGNING_PREFIX = "whsec_"
_SHORTEST_SIGNING_BYTES = 16


def read_destination_secrets(
    destinations: Iterable[Destination], environment: Mapping[str, str]
) -> Mapping[str, Secrets]:
    """The secrets of each destination by its name. Raises SettingsError naming where a wrong one is."""
    return {each.name: each.kind.read_secrets(each, environment) for each in destinations}


def read_key_secret(destination: Destination, environment: Mapping[str, str]) -> str:
    """The main secret: printable ASCII without blanks."""
    value = read_secret(destination.name, destination.secret, environment, _SHORTEST)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise SettingsError(f"{_where(destination)} has characters that none has; allowed: ASCII without blanks")
    return value


def read_url_secret(destination: Destination, environment: Mapping[str, str]) -> str:
    """The main secret: an address, https unless private addresses are allowed."""
    text = read_key_secret(destination, environment)
    try:
        url = URL(text)
        valid = url.scheme in {"https", "http"} and bool(url.host) and url.user is None
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(f"{_where(destination)} is not an address; write https://host/path")
    if url.scheme == "http" and not destination.allow_private:
        raise SettingsError(
            f"{_where(destination)} is not encrypted; write https://…, or for tests allow_private: true"
        )
    return text


def read_signing_secrets(destination: Destination, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The signing keys, in the order of the file."""
    values = tuple(read_secret(destination.name, ref, environment, _SHORTEST) for ref in destination.signing)
    for ref, value in zip(destination.signing, values, strict=True):
        try:
            size = len(base64.b64decode(value.removeprefix(_SIGNING_PREFIX) + "==", validate=False))
        except (binascii.Error, ValueError):
            size = 0
        if size < _SHORTEST_SIGNING_BYTES:
            expected = f"a signing key is `{_SIGNING_PREFIX}` and base64 of 24 to 64 bytes"
            raise SettingsError(f"secret of {destination.name}: {ref.name} is not a signing key; {expected}")
    return values


def _where(destination: Destination) -> str:
    return f"secret of {destination.name}: {destination.secret.name}"

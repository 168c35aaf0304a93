"""Reads what secrets hold, and checks it: routing keys, addresses, signing keys. Nothing of it is shown."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping

from yarl import URL

from connect.notify.destinations.payloads import Secrets
from connect.notify.routing.rules import Destination
from connect.secret_refs import read_secret
from streams.errors import SettingsError

_SHORTEST = 8
_SIGNING_PREFIX = "whsec_"
_SHORTEST_SIGNING_BYTES = 16


def read_destination_secrets(
    destinations: Iterable[Destination], environment: Mapping[str, str]
) -> Mapping[str, Secrets]:
    """The secrets of each destination by its name. Raises SettingsError naming where a wrong one is."""
    return {each.name: _secrets(each, environment) for each in destinations}


def _secrets(destination: Destination, environment: Mapping[str, str]) -> Secrets:
    name = destination.name
    main = read_secret(name, destination.secret, environment, _SHORTEST)
    if not main.isascii() or not main.isprintable() or " " in main:
        raise SettingsError(f"secret of {name}: {destination.secret.name} has characters that none has")
    if destination.kind != "pagerduty":
        _check_url(destination, main)
    signing = tuple(read_secret(name, ref, environment, _SHORTEST) for ref in destination.signing)
    for ref, value in zip(destination.signing, signing, strict=True):
        try:
            size = len(base64.b64decode(value.removeprefix(_SIGNING_PREFIX) + "==", validate=False))
        except (binascii.Error, ValueError):
            size = 0
        if size < _SHORTEST_SIGNING_BYTES:
            told = f"a signing key is `{_SIGNING_PREFIX}` and base64 of 24 to 64 bytes"
            raise SettingsError(f"secret of {name}: {ref.name} is no signing key; {told}")
    return Secrets(main, signing)


def _check_url(destination: Destination, text: str) -> None:
    try:
        url = URL(text)
        fine = url.scheme in {"https", "http"} and bool(url.host) and url.user is None
    except ValueError:
        fine = False
    where = f"secret of {destination.name}: {destination.secret.name}"
    if not fine:
        raise SettingsError(f"{where} is no address; write https://host/path")
    if url.scheme == "http" and not destination.allow_private:
        raise SettingsError(f"{where} is not encrypted; write https://…, or allow_private: true for tests")

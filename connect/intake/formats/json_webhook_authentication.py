"""How senders of any JSON webhook prove themselves: token, password, signature, or a certificate that a proxy checked.

Secrets and signatures are compared in a time that does not depend on how much of them is right.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from ipaddress import ip_address

from connect.intake import signatures
from connect.intake.formats import bearer_token
from connect.intake.formats.source_format import AuthenticationError, Credentials
from connect.intake.mapping.authentication import (
    AddressToken,
    Authentication,
    BasicAccount,
    BearerToken,
    BodySignature,
    ProxySubject,
    SignedTime,
    TokenHeader,
)
from streams.sla.instants import LATEST, SECOND, parse_rfc3339

#: While a key is rotated some senders write several signatures into one header, as `v1=…,v1=…` or `v1=… v1=…`.
_MAX_PARTS = 10
_UNITS = {"seconds": SECOND, "milliseconds": SECOND // 1000}


def authenticate(credentials: Credentials) -> None:
    """Raises AuthenticationError unless the request proves its sender in the way that the mapping file says."""
    match (credentials.scheme or Authentication(BearerToken())).scheme:
        case BearerToken():
            bearer_token.authenticate(credentials)
        case AddressToken():
            if not signatures.in_address(credentials.secrets, credentials.address_token):
                raise AuthenticationError("the token is missing or unknown; the address ends in `?token=TOKEN`")
        case BasicAccount(user):
            _basic(credentials, user)
        case TokenHeader(header, prefix):
            given = credentials.headers.get(header, "")
            if not (given.startswith(prefix) and _is_secret(credentials, given.removeprefix(prefix))):
                raise AuthenticationError(f"{header} is missing or does not have the secret")
        case BodySignature() as signature:
            _signed(credentials, signature)
        case ProxySubject() as subject:
            _by_proxy(credentials, subject)


def _is_secret(credentials: Credentials, given: str) -> bool:
    return signatures.any_matches(credentials.secrets, lambda secret: secret.equals(given))


def _basic(credentials: Credentials, user: str) -> None:
    kind, _, encoded = credentials.headers.get("Authorization", "").partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True).decode() if kind.lower() == "basic" else ""
    except (binascii.Error, ValueError):
        given = ""
    name, _, password = given.partition(":")
    right_password = _is_secret(credentials, password)
    if not (hmac.compare_digest(name.encode(), user.encode()) and right_password):
        raise AuthenticationError("user or password is missing or wrong; send `Authorization: Basic …`")


def _signed(credentials: Credentials, signature: BodySignature) -> None:
    candidates = _parts(credentials.headers.get(signature.header, ""), signature.prefix)
    time = _signed_time(credentials, signature.time)
    if not candidates or (signature.time is not None and time is None):
        raise AuthenticationError(f"{signature.header} is missing or does not fit; set the webhook's signing secret")
    before, after = signature.message.encode().split(b"{body}")
    message = _with_time(before, time) + credentials.content + _with_time(after, time)

    def fits(secret: signatures.Secret) -> bool:
        digest, found = secret.sign(message, signature.algorithm), False
        expected = digest.hex().encode() if signature.encoding == "hex" else base64.b64encode(digest)
        for candidate in candidates:
            given = candidate.lower() if signature.encoding == "hex" else candidate
            found |= hmac.compare_digest(expected, given.encode(errors="replace"))
        return found

    if not signatures.any_matches(credentials.secrets, fits):
        raise AuthenticationError(f"{signature.header} is missing or does not fit; set the webhook's signing secret")
    if signature.time is not None and time is not None and not _fresh(credentials, signature.time, time):
        window = credentials.replay_window // SECOND
        raise AuthenticationError(
            f"the time in {signature.time.header}, read as {signature.time.unit}, is not within {window} s of now; "
            "check this machine's clock and the mapping's `format`"
        )


def _with_time(text: bytes, time: str | None) -> bytes:
    return text if time is None else text.replace(b"{timestamp}", time.encode(errors="replace"))


def _parts(value: str, prefix: str) -> list[str]:
    """What follows the prefix in the parts of a header, which commas or spaces separate."""
    parts = value.replace(",", " ").split()[:_MAX_PARTS]
    return [each.removeprefix(prefix) for each in parts if each.startswith(prefix)]


def _signed_time(credentials: Credentials, time: SignedTime | None) -> str | None:
    found = [] if time is None else _parts(credentials.headers.get(time.header, ""), time.prefix)
    return found[0] if found else None


def _fresh(credentials: Credentials, time: SignedTime, given: str) -> bool:
    if (unit := _UNITS.get(time.unit)) is None:
        try:
            at = parse_rfc3339(given)
        except ValueError:
            return False
    elif given.isascii() and given.isdecimal() and len(given) <= len(str(LATEST)):
        at = int(given) * unit
    else:
        return False
    return abs(credentials.now - at) <= credentials.replay_window


def _by_proxy(credentials: Credentials, expected: ProxySubject) -> None:
    try:
        address = ip_address(credentials.remote or "")
    except ValueError:
        address = None
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped is None or not any(mapped in network for network in expected.networks):
        raise AuthenticationError("the connection does not come from the proxy that checks certificates")
    given = [value for name, value in credentials.headers.items() if name.lower() == expected.header.lower()]
    if len(given) != 1:  # one that the sender has written beside the proxy's proves nothing
        raise AuthenticationError(f"{expected.header} has to be there once; the proxy sets it and removes any other")
    fits = False
    for subject in expected.subjects:
        fits |= hmac.compare_digest(subject.encode(), given[0].encode(errors="replace"))
    if not fits:
        raise AuthenticationError(f"the subject in {expected.header} is none of those that the mapping file names")

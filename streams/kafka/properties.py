"""Kafka client properties, by librdkafka's names, as options of aiokafka and kafka-python.

The one table of what can be passed. A property that would have no effect is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streams.errors import SettingsError

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI")
_CHECKS: Final = ("https", "none")
_COMPRESSIONS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_YEAR_MS: Final = 365 * 24 * 60 * 60 * 1000


class Property(NamedTuple):
    """A property: what it allows and means. `option` is its name in both clients; empty where it is not passed on as
    it is. `parse` raises ValueError."""

    name: str
    allowed: str
    meaning: str
    example: str
    parse: Callable[[str], object]
    option: str = ""
    secret: bool = False


def _one_of(*allowed: str) -> Callable[[str], object]:
    def parse(text: str) -> str:
        found = next((each for each in allowed if each.lower() == text.strip().lower()), None)
        if found is None:
            raise ValueError
        return found

    return parse


def _compression(text: str) -> object:
    found = _one_of(*_COMPRESSIONS)(text)
    return None if found == "none" else found


def _milliseconds(lowest: int) -> Callable[[str], object]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not lowest <= int(text) <= _YEAR_MS:
            raise ValueError
        return int(text)

    return parse


def _text(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError
    return text


def _secret(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", text):
        raise ValueError
    return text


_ANY, _FILE, _MS = "any text", "a path of a PEM file", "a whole number of milliseconds, at least"
#: Longer than any request takes, which kafka-python insists on.
_SHORTEST_IDLE_MS: Final = 60_000

PROPERTIES: Final[Mapping[str, Property]] = {
    each.name: each
    for each in (
        Property(
            "security.protocol",
            ", ".join(PROTOCOLS),
            "Protocol of the brokers' listener.",
            "SASL_SSL",
            _one_of(*PROTOCOLS),
            "security_protocol",
        ),
        Property(
            "sasl.mechanism",
            ", ".join(MECHANISMS),
            "How clients prove who they are (SASL protocols). GSSAPI needs the package `gssapi`.",
            "SCRAM-SHA-512",
            _one_of(*MECHANISMS),
            "sasl_mechanism",
        ),
        Property("sasl.username", _ANY, "User of PLAIN and SCRAM.", "sla", _text, "sasl_plain_username"),
        Property("sasl.password", _ANY, "The user's password.", "", _secret, "sasl_plain_password", secret=True),
        Property(
            "sasl.kerberos.service.name",
            _ANY,
            "Kerberos service of the brokers (GSSAPI); default: kafka.",
            "kafka",
            _text,
            "sasl_kerberos_service_name",
        ),
        Property(
            "sasl.oauthbearer.token.endpoint.url",
            "an address, http(s)://HOST/PATH",
            "Where tokens are requested with the client credentials grant (OAUTHBEARER).",
            "https://id.example/oauth2/token",
            _url,
        ),
        Property("sasl.oauthbearer.client.id", _ANY, "Client id of the token requests.", "sla", _text),
        Property("sasl.oauthbearer.client.secret", _ANY, "Its secret.", "", _secret, secret=True),
        Property("sasl.oauthbearer.scope", _ANY, "Scope to request; default: none.", "kafka", _text),
        Property(
            "sasl.oauthbearer.extensions",
            "NAME=VALUE pairs, separated by commas",
            "Extensions that some brokers require beside the token.",
            "logicalCluster=lkc-1,identityPoolId=pool-1",
            _text,
        ),
        Property(
            "ssl.ca.location",
            _FILE,
            "CA certificates of the brokers (TLS); default: those of the system.",
            "/etc/sla/tls/ca.crt",
            _text,
        ),
        Property(
            "ssl.certificate.location",
            _FILE,
            "The client's certificate and its chain (mutual TLS).",
            "/etc/sla/tls/tls.crt",
            _text,
        ),
        Property(
            "ssl.key.location",
            _FILE,
            "The client's private key; default: in the file of the certificate.",
            "/etc/sla/tls/tls.key",
            _text,
        ),
        Property("ssl.key.password", _ANY, "Password of the private key.", "", _secret, secret=True),
        Property("ssl.cipher.suites", "a list as OpenSSL has it", "Ciphers of TLS 1.2.", "ECDHE+AESGCM", _text),
        Property(
            "ssl.endpoint.identification.algorithm",
            ", ".join(_CHECKS),
            "Whether the certificate has to name the broker's host; default: https, which requires it.",
            "https",
            _one_of(*_CHECKS),
        ),
        Property(
            "client.rack", _ANY, "Rack of the process: consumers read from the nearest replica.", "eu-1a", _text,
            "client_rack",
        ),
        Property(
            "compression.type",
            ", ".join(_COMPRESSIONS),
            "Compression of what is written; default: none.",
            "zstd",
            _compression,
            "compression_type",
        ),
        Property(
            "metadata.max.age.ms",
            f"{_MS} 1",
            "After this time the clients ask for brokers and leaders again; default: 300000.",
            "60000",
            _milliseconds(1),
            "metadata_max_age_ms",
        ),
        Property(
            "connections.max.idle.ms",
            f"{_MS} {_SHORTEST_IDLE_MS}",
            "Unused connections are closed after this time; default: 540000.",
            "240000",
            _milliseconds(_SHORTEST_IDLE_MS),
            "connections_max_idle_ms",
        ),
        Property(
            "retry.backoff.ms",
            f"{_MS} 1",
            "Time before a failed request is sent again; default: 100.",
            "200",
            _milliseconds(1),
            "retry_backoff_ms",
        ),
    )
}  # fmt: skip

#: Options that only some kinds of client have.
CONSUMERS_ONLY: Final = frozenset({"client_rack"})
PRODUCERS_ONLY: Final = frozenset({"compression_type"})
#: Other names of properties, in librdkafka and in Kafka's own client.
_SYNONYMS: Final = {"sasl.mechanisms": "sasl.mechanism", "metadata.broker.list": "bootstrap.servers"}
#: Properties that have a setting of their own.
_ELSEWHERE: Final = {
    "bootstrap.servers": "set SLA_BROKERS",
    "group.id": "groups are named by SLA_APP_ID and SLA_TOPIC_PREFIX",
    "session.timeout.ms": "set SLA_SESSION_TIMEOUT",
    "transactional.id": "transactional ids are named by SLA_APP_ID",
}


def variable_of(name: str) -> str:
    """The environment variable of a property."""
    return f"SLA_KAFKA_{name.replace('.', '_').upper()}"


def property_of(suffix: str) -> tuple[Property, bool]:
    """The property of what follows SLA_KAFKA_ in a variable's name, and whether the variable names a file with its
    value. Raises SettingsError for one that has no effect."""
    by_suffix = {each.name.replace(".", "_"): each for each in PROPERTIES.values()}
    by_suffix |= {old.replace(".", "_"): PROPERTIES[new] for old, new in _SYNONYMS.items() if new in PROPERTIES}
    wanted = suffix.lower()
    if wanted in by_suffix:
        return by_suffix[wanted], False
    named = by_suffix.get(wanted.removesuffix("_file"))
    if wanted.endswith("_file") and named is not None and named.secret:
        return named, True
    elsewhere = {name.replace(".", "_"): reason for name, reason in _ELSEWHERE.items()}
    variable = f"SLA_KAFKA_{suffix.upper()}"
    if reason := elsewhere.get(_SYNONYMS.get(wanted.replace("_", "."), wanted).replace(".", "_")):
        raise SettingsError(f"{variable}: this Kafka property can't be passed: {reason}")
    close = difflib.get_close_matches(variable, map(variable_of, PROPERTIES), n=1)
    near = f"; did you mean {close[0]}?" if close else ""
    raise SettingsError(
        f"{variable}: this Kafka property would have no effect{near}; allowed: {', '.join(PROPERTIES)}, each as "
        "SLA_KAFKA_ and its name in capitals with _ for ."
    )


def parsed(variable: str, of: Property, text: str) -> object:
    """The value of a property. Raises SettingsError naming the variable; the value of a secret is not shown."""
    try:
        return of.parse(text)
    except ValueError:
        what = "this value" if of.secret else repr(text[:200])
        raise SettingsError(f"{variable}: {what} can't be used; allowed: {of.allowed}") from None

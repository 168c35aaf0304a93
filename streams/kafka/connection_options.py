"""Options of Kafka clients from properties: TLS, authentication, and what is passed on as it is."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

from streams.errors import SettingsError
from streams.kafka.properties import PROPERTIES, variable_of

_PASSWORD_MECHANISMS: Final = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})
_TOKENS: Final = "sasl.oauthbearer."
_PAIR: Final = "a PEM certificate, its key, and the key's password as SLA_KAFKA_SSL_KEY_PASSWORD where it has one"
#: Properties that also have a setting with a shorter name.
SHORT_NAMES: Final[Mapping[str, str]] = {
    "security.protocol": "SLA_SECURITY_PROTOCOL",
    "sasl.mechanism": "SLA_SASL_MECHANISM",
    "sasl.username": "SLA_SASL_USERNAME",
    "sasl.password": "SLA_SASL_PASSWORD",
    "ssl.ca.location": "SLA_SSL_CAFILE",
}


class ConnectionOptions:
    """What the clients of a process connect with. `values` are parsed properties by name (streams/kafka/properties.py),
    `variables` the environment variables that they came from, for messages.

    Raises SettingsError for properties that contradict each other, or that have no effect with the others.
    """

    def __init__(self, values: Mapping[str, object], variables: Mapping[str, str] | None = None) -> None:
        self._values = {"security.protocol": "PLAINTEXT", **values}
        self._variables = variables or {}
        self._protocol = str(self._values["security.protocol"])
        self._tls, self._sasl = self._protocol.endswith("SSL"), self._protocol.startswith("SASL_")
        self._check()

    def aiokafka(self) -> Mapping[str, object]:
        """The options of aiokafka clients. Raises SettingsError for certificates that can't be read."""
        return self._options(asynchronous=True)

    def kafka_python(self) -> Mapping[str, object]:
        """The options of kafka-python clients. Raises SettingsError for certificates that can't be read."""
        return self._options(asynchronous=False)

    def _options(self, *, asynchronous: bool) -> Mapping[str, object]:
        options: dict[str, object] = {
            each.option: self._values[each.name]
            for each in PROPERTIES.values()
            if each.option and each.name in self._values
        }
        if self._protocol == "PLAINTEXT":
            del options["security_protocol"]
        if self._tls:
            options["ssl_context"] = self._tls_context()
        if self._values.get("sasl.mechanism") == "OAUTHBEARER":
            options["sasl_oauth_token_provider"] = self._token_provider(asynchronous=asynchronous)
        return options

    def _check(self) -> None:
        for name in self._values:
            if name.startswith("sasl.") and not self._sasl:
                self._without_effect(name, "SASL_SSL or SASL_PLAINTEXT")
            if name.startswith("ssl.") and not self._tls:
                self._without_effect(name, "SSL or SASL_SSL")
        mechanism = self._values.get("sasl.mechanism")
        needed: dict[str, tuple[str, ...]] = {
            "OAUTHBEARER": tuple(_TOKENS + each for each in ("token.endpoint.url", "client.id", "client.secret")),
            **dict.fromkeys(_PASSWORD_MECHANISMS, ("sasl.username", "sasl.password")),
        }
        if self._sasl:
            self._need("sasl.mechanism", f"the protocol {self._protocol}")
            for name in needed.get(str(mechanism), ()):
                self._need(name, f"the mechanism {mechanism}")
        if mechanism == "GSSAPI" and find_spec("gssapi") is None:
            raise SettingsError(f"{self._name('sasl.mechanism')}: GSSAPI needs the Python package gssapi; install it")
        if "ssl.key.location" in self._values:
            self._need("ssl.certificate.location", "the client's key")

    def _without_effect(self, name: str, needed: str) -> None:
        raise SettingsError(
            f"{self._name(name)} has no effect with the protocol {self._protocol}; unset it, or set "
            f"{self._name('security.protocol')} to {needed}"
        )

    def _need(self, name: str, because: str) -> None:
        if name not in self._values:
            allowed = PROPERTIES[name].allowed
            raise SettingsError(f"{self._name(name)} is missing; {because} needs it; allowed: {allowed}")

    def _name(self, name: str) -> str:
        return self._variables.get(name) or SHORT_NAMES.get(name) or variable_of(name)

    def _text(self, name: str) -> str | None:
        value = self._values.get(name)
        return None if value is None else str(value)

    def _tls_context(self) -> ssl.SSLContext:
        ca, certificate, key = (self._text(f"ssl.{each}.location") for each in ("ca", "certificate", "key"))
        with _reading(self._name("ssl.ca.location"), ca, "a PEM file with certificates"):
            context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            # A password that is a text: without one, OpenSSL asks for it on the terminal.
            with _reading(self._name("ssl.certificate.location"), certificate, _PAIR):
                context.load_cert_chain(certificate, key, self._text("ssl.key.password") or "")
        if (suites := self._text("ssl.cipher.suites")) is not None:
            with _reading(self._name("ssl.cipher.suites"), suites, PROPERTIES["ssl.cipher.suites"].allowed):
                context.set_ciphers(suites)
        if self._text("ssl.endpoint.identification.algorithm") == "none":
            context.check_hostname = False
        return context

    def _token_provider(self, *, asynchronous: bool) -> object:
        from streams.kafka import oauth_tokens  # imports both clients, which takes a while

        pairs = (pair.partition("=") for pair in (self._text(_TOKENS + "extensions") or "").split(",") if pair.strip())
        credentials = oauth_tokens.ClientCredentials(
            str(self._values[_TOKENS + "token.endpoint.url"]),
            str(self._values[_TOKENS + "client.id"]),
            str(self._values[_TOKENS + "client.secret"]),
            self._text(_TOKENS + "scope") or "",
            {name.strip(): value.strip() for name, _, value in pairs},
        )
        return (
            oauth_tokens.aiokafka_provider(credentials)
            if asynchronous
            else oauth_tokens.kafka_python_provider(credentials)
        )


@contextmanager
def _reading(variable: str, value: str | None, allowed: str) -> Iterator[None]:
    """What OpenSSL says about a file or a list as SettingsError with the name of the variable."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise SettingsError(f"{variable}: {error.filename or value} can't be read: {error.strerror}") from None
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise SettingsError(f"{variable}: {value} can't be used: {reason}; allowed: {allowed}") from None

"""Settings that several kinds of process have in common; streams/settings.py puts them together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from streams.configuration.environment import EnvironmentSettings, read_secret_file
from streams.configuration.fields import PositiveDuration, about
from streams.configuration.variables import KAFKA_PREFIX
from streams.errors import SettingsError
from streams.http_connections import ConnectionLimits
from streams.kafka.connection_options import SHORT_NAMES, ConnectionOptions
from streams.kafka.properties import MECHANISMS, PROPERTIES, PROTOCOLS, parsed, property_of
from streams.schema_registry.client import Compatibility, SchemaRegistry

_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\],]+)(:(?P<port>[0-9]{1,5}))?")
_BROKERS_ALLOWED = "HOST:PORT, several of them separated by commas"


def _brokers(brokers: str) -> str:
    for each in filter(None, (part.strip() for part in brokers.split(","))):
        found = _BROKER.fullmatch(each)
        if found is None or not 0 < int(found["port"] or 9092) <= 65535:
            raise ValueError(f"{each!r} is not the address of a broker; allowed: {_BROKERS_ALLOWED}")
    return brokers


def _capitals(text: object) -> object:
    return text.upper() if isinstance(text, str) else text


class KafkaSection(EnvironmentSettings):
    """The connection to Kafka. Every process and command reads these."""

    brokers: Annotated[str, AfterValidator(_brokers)] = Field(
        "127.0.0.1:9092",
        description="Bootstrap servers.",
        json_schema_extra=about(allowed=_BROKERS_ALLOWED, example="kafka-1:9092,kafka-2:9092"),
    )
    topic_prefix: str = Field(
        "sla",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="First part of every topic name.",
        json_schema_extra=about(allowed="letters, digits, . _ and -"),
    )
    security_protocol: str = Field(
        "PLAINTEXT",
        description="Protocol of the brokers' listener.",
        json_schema_extra=about(allowed=", ".join(PROTOCOLS), example="SASL_SSL"),
    )
    sasl_mechanism: str | None = Field(
        None,
        description="How clients prove who they are (SASL protocols).",
        json_schema_extra=about(allowed=", ".join(MECHANISMS), example="SCRAM-SHA-512"),
    )
    sasl_username: str | None = Field(
        None, description="User of PLAIN and SCRAM.", json_schema_extra=about(example="sla")
    )
    sasl_password: str | None = Field(None, repr=False, description="The user's password.")
    ssl_cafile: Path | None = Field(
        None,
        description="CA certificates of the brokers, as PEM; default: those of the system.",
        json_schema_extra=about(example="/etc/sla/tls/ca.crt"),
    )

    def model_post_init(self, context: Any, /) -> None:
        """Raises SettingsError for options of the connection that contradict each other or have no effect."""
        self.connection_options()

    def bootstrap(self) -> tuple[str, ...]:
        return tuple(broker.strip() for broker in self.brokers.split(",") if broker.strip())

    def connection_options(self) -> ConnectionOptions:
        """From the settings and from SLA_KAFKA_… variables. Raises SettingsError."""
        values, variables = kafka_properties(os.environ)
        for name, variable in SHORT_NAMES.items():
            field = variable.removeprefix("SLA_").lower()
            given = getattr(self, field)
            if field not in self.model_fields_set or given is None:
                continue
            value = parsed(variable, PROPERTIES[name], str(given))
            if values.setdefault(name, value) != value:
                raise SettingsError(f"{variable} and {variables[name]} differ; set one of them")
            variables[name] = variable
        return ConnectionOptions(values, variables)

    def aiokafka_security(self) -> Mapping[str, object]:
        """Options of aiokafka clients: TLS context, authentication, Kafka properties. Raises SettingsError."""
        return self.connection_options().aiokafka()

    def client_security(self) -> Mapping[str, object]:
        """The same options for kafka-python clients. Raises SettingsError."""
        return self.connection_options().kafka_python()


def kafka_properties(environment: Mapping[str, str]) -> tuple[dict[str, object], dict[str, str]]:
    """Kafka properties by name, and the variable that each came from. Raises SettingsError for one that can't be passed
    or whose value can't be used."""
    values: dict[str, object] = {}
    variables: dict[str, str] = {}
    for variable, text in sorted(environment.items()):
        if not variable.upper().startswith(KAFKA_PREFIX) or text.startswith(("tcp://", "udp://")):
            continue
        of, from_file = property_of(variable[len(KAFKA_PREFIX) :])
        value = parsed(variable, of, read_secret_file(variable, text) if from_file else text)
        if of.name in values:
            raise SettingsError(f"{variables[of.name]} and {variable} are both set; set one of them")
        values[of.name], variables[of.name] = value, variable
    return values, variables


class LogSection(EnvironmentSettings):
    """Logs. Every process reads these."""

    log_format: Literal["json", "console"] | None = Field(
        None,
        description="Form of the log on standard error; default: console on terminals, json elsewhere.",
        json_schema_extra=about(example="json"),
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_capitals)] = Field(
        "INFO", description="Level of the product's own logs."
    )


class HttpSection(EnvironmentSettings):
    """HTTP servers. Every process with one reads these: worker, intake, notifier, board."""

    http_max_connections: int = Field(
        0,
        ge=0,
        description="Open HTTP connections; 0: half of the files that the process may open, 2,048 at most.",
        json_schema_extra=about(unit="connections", example="1000"),
    )
    http_max_connections_per_address: int = Field(
        0,
        ge=0,
        description="HTTP connections from one address (IPv6: one /64 network); 0: half of all.",
        json_schema_extra=about(unit="connections", example="200"),
    )
    http_head_timeout: PositiveDuration = Field(
        "PT10S", description="Time in which the head of a request has to arrive."
    )  # type: ignore[assignment]

    def connection_limits(self) -> ConnectionLimits:
        return ConnectionLimits(
            self.http_max_connections, self.http_max_connections_per_address, self.http_head_timeout / 1_000_000
        )


class RegistrySection(EnvironmentSettings):
    """The schema registry. Every process and command that reads or writes events reads these."""

    schema_registry_url: str | None = Field(
        None,
        description="Base of a schema registry's Confluent-compatible interface; none: single-object encoding.",
        json_schema_extra=about(
            allowed="an address, http(s)://HOST:PORT/PATH", example="http://registry:8080/apis/ccompat/v7"
        ),
    )
    schema_registry_username: str | None = Field(
        None, description="User of the registry.", json_schema_extra=about(example="sla")
    )
    schema_registry_password: str | None = Field(None, repr=False, description="The user's password.")
    schema_registry_token: str | None = Field(None, repr=False, description="Bearer token, instead of a user.")
    schema_registry_cafile: Path | None = Field(
        None,
        description="CA certificates of the registry, as PEM; default: those of the system.",
        json_schema_extra=about(example="/etc/sla/tls/registry-ca.crt"),
    )
    schema_registry_timeout: PositiveDuration = Field("PT5S", description="One request to it, at most.")  # type: ignore[assignment]
    schema_registry_compatibility: Compatibility = Field(
        "FULL_TRANSITIVE", description="What each subject has to have; what the schema gate holds releases to."
    )
    schema_registry_register: bool = Field(True, description="False: schemas and compatibility are only checked.")
    schema_registry_write: bool = Field(True, description="False: Confluent framing is read, but not written.")

    def schema_registry(self) -> SchemaRegistry | None:
        """The schema registry, where there is one. Raises SettingsError."""
        if not self.schema_registry_url:
            return None
        try:
            return SchemaRegistry(
                self.schema_registry_url,
                username=self.schema_registry_username,
                password=self.schema_registry_password,
                token=self.schema_registry_token,
                cafile=self.schema_registry_cafile,
                timeout_s=self.schema_registry_timeout / 1_000_000,
                compatibility=self.schema_registry_compatibility,
                register=self.schema_registry_register,
                write=self.schema_registry_write,
            )
        except SettingsError as error:
            raise SettingsError(f"SLA_SCHEMA_REGISTRY_…: {error}") from None

"""A real broker with the standard authorizer, which denies everything that no ACL allows. Users prove who they are by
SASL SCRAM, PLAIN or OAUTHBEARER, or with a certificate; their grants are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from certificates import DAY, certificate, validity
from cryptography import x509
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)
from kafka_listeners import wait_for_listeners
from token_endpoint import AUDIENCE, ISSUER, TokenEndpoint

from cli.embedded_kafka import node_files
from cli.embedded_kafka.broker import start_broker
from cli.embedded_kafka.node_files import HOST, free_port
from streams.access_rules import Grant
from streams.kafka.connection_options import ConnectionOptions
from streams.kafka.properties import variable_of

_SCRAM = "SCRAM-SHA-256"
CERTIFICATE = "certificate"
#: How a user proves who it is, and the protocol of the listener for it.
MECHANISMS = {_SCRAM: "SASL_PLAINTEXT", "PLAIN": "SASL_SSL", "OAUTHBEARER": "SASL_SSL", CERTIFICATE: "SSL"}
#: The names of the listeners are those of the mechanisms, as Kafka allows them.
_LISTENERS = {each: each.replace("-", "").upper() for each in MECHANISMS}
_OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Create": ACLOperation.CREATE,
    "Delete": ACLOperation.DELETE,
    "Alter": ACLOperation.ALTER,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": ACLOperation.ALTER_CONFIGS,
}
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.CLUSTER,
}


@dataclass(frozen=True)
class Secured:
    """A running broker: `open` is its listener for the administrator, `listeners` those of each mechanism, `folder`
    has the certificates."""

    open: str
    listeners: Mapping[str, str]
    log: Path
    folder: Path
    tokens: TokenEndpoint

    @property
    def bootstrap(self) -> str:
        """The listener for SCRAM."""
        return self.listeners[_SCRAM]

    def properties(self, user: str, mechanism: str = _SCRAM) -> dict[str, str]:
        """Kafka client properties of a user."""
        protocol = MECHANISMS[mechanism]
        found = {"security.protocol": protocol}
        if protocol.endswith("SSL"):
            found["ssl.ca.location"] = str(self.folder / "ca.crt")
        if mechanism == CERTIFICATE:
            return found | {"ssl.certificate.location": str(self.folder / f"sla-{user}.pem")}
        found["sasl.mechanism"] = mechanism
        if mechanism != "OAUTHBEARER":
            return found | {"sasl.username": user, "sasl.password": password(user)}
        token = {"token.endpoint.url": self.tokens.url, "client.id": user, "client.secret": password(user)}
        return found | {f"sasl.oauthbearer.{name}": value for name, value in token.items()}

    def client(self, user: str, mechanism: str = _SCRAM) -> dict[str, Any]:
        """kafka-python's options of a user."""
        options = ConnectionOptions(self.properties(user, mechanism)).kafka_python()
        return {"bootstrap_servers": self.listeners[mechanism], **options}

    def environment(self, user: str, mechanism: str = _SCRAM) -> dict[str, str]:
        """The settings of a process of that user."""
        settings = {variable_of(name): value for name, value in self.properties(user, mechanism).items()}
        return {"SLA_BROKERS": self.listeners[mechanism], **settings}

    def denied(self) -> list[str]:
        """What the authorizer has denied so far, in its words."""
        return re.findall(r"Principal = User:(\S+) is Denied (.*)", self.log.read_text())


def password(user: str) -> str:
    """Each user has its own."""
    return f"{user}-Pa55"


@contextmanager
def secured_broker(folder: Path, grants: Mapping[str, Iterable[Grant]], users: Iterable[str] = ()) -> Iterator[Secured]:
    """A broker with those users, and further `users` without any grant. Its certificates are in `folder`."""
    everybody = sorted({*grants, *users})
    _certificates(folder, everybody)
    jwks = folder / "jwks.json"
    node_files._JVM += (
        "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info",
        f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks.as_uri()}",
    )
    port = free_port()
    ports = {name: free_port() for name in _LISTENERS.values()}
    with (
        TokenEndpoint(jwks, password) as tokens,
        start_broker(port=port, extra=_settings(port, ports, folder, everybody)) as running,
    ):
        wait_for_listeners(ports.values())
        with closing(KafkaAdminClient(bootstrap_servers=running.bootstrap)) as admin:
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(user, 1, password(user)) for user in everybody]
            )
            created = admin.create_acls(
                [acl for user, given in grants.items() for each in given for acl in _acls(user, each)]
            )
            assert not created["failed"], created["failed"]
        listeners = {mechanism: f"{HOST}:{ports[name]}" for mechanism, name in _LISTENERS.items()}
        yield Secured(running.bootstrap, listeners, running.data_dir / "broker.log", folder, tokens)


def _settings(port: int, ports: Mapping[str, int], folder: Path, users: Iterable[str]) -> dict[str, str]:
    protocols = {_LISTENERS[mechanism]: protocol for mechanism, protocol in MECHANISMS.items()}
    addresses = ",".join(f"{name}://{HOST}:{at}" for name, at in {"BROKER": port, **ports}.items())
    control = free_port()
    logins = " ".join(f'user_{each}="{password(each)}"' for each in users)
    security = "org.apache.kafka.common.security"
    login = {
        _SCRAM: f"{security}.scram.ScramLoginModule required;",
        "PLAIN": f"{security}.plain.PlainLoginModule required {logins};",
        "OAUTHBEARER": f"{security}.oauthbearer.OAuthBearerLoginModule required;",
    }
    found = {
        "listeners": f"{addresses},CONTROLLER://{HOST}:{control}",
        "controller.quorum.voters": f"1@{HOST}:{control}",
        "advertised.listeners": addresses,
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,"
        + ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "ssl.keystore.type": "PEM",
        "ssl.truststore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"),
        "ssl.truststore.location": str(folder / "ca.crt"),
        "listener.name.certificate.ssl.client.auth": "required",
        "listener.name.certificate.ssl.principal.mapping.rules": "RULE:^CN=sla-([a-z-]+)$/$1/,DEFAULT",
        "listener.name.oauthbearer.oauthbearer.sasl.server.callback.handler.class": (
            f"{security}.oauthbearer.OAuthBearerValidatorCallbackHandler"
        ),
        "sasl.oauthbearer.jwks.endpoint.url": (folder / "jwks.json").as_uri(),
        "sasl.oauthbearer.expected.audience": AUDIENCE,
        "sasl.oauthbearer.expected.issuer": ISSUER,
        "connection.failed.authentication.delay.ms": "10",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    for mechanism, module in login.items():
        listener = f"listener.name.{_LISTENERS[mechanism].lower()}"
        found[f"{listener}.sasl.enabled.mechanisms"] = mechanism
        found[f"{listener}.{mechanism.lower()}.sasl.jaas.config"] = module
    return found


def _certificates(folder: Path, users: Iterable[str]) -> None:
    """The broker's, one of each user, and one of a user by an authority that the broker does not trust."""
    valid = validity(-DAY, DAY)
    authority, foreign = certificate(folder, "ca", valid), certificate(folder, "foreign-ca", valid)
    certificate(folder, "broker", valid, [x509.IPAddress(ip_address(HOST))], authority)
    for user in users:
        certificate(folder, f"sla-{user}", valid, signer=authority)
    certificate(folder, "foreign", valid, signer=foreign)


def _acls(user: str, grant: Grant) -> list[ACL]:
    pattern = ResourcePattern(
        _RESOURCES[grant.resource],
        grant.name,
        ACLResourcePatternType.PREFIXED if grant.prefixed else ACLResourcePatternType.LITERAL,
    )
    return [ACL(f"User:{user}", "*", _OPERATIONS[each], ACLPermissionType.ALLOW, pattern) for each in grant.operations]

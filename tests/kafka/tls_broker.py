"""A broker with secured listeners: TLS, SASL over TLS, mutual TLS, and certificates that clients must not accept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from certificates import DAY, certificate, validity
from cryptography import x509
from kafka_listeners import wait_for_listeners

from cli.embedded_kafka.broker import start_broker
from cli.embedded_kafka.node_files import HOST, free_port

#: Users of SASL PLAIN and their passwords; only `admin` is allowed anything.
USERS = {"admin": "admin-secret", "stranger": "stranger-secret"}
_LISTENERS = {
    "SASL": "SASL_SSL",
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "EXPIRED": "SSL",
    "OTHERNAME": "SSL",
    "SASLPLAIN": "SASL_PLAINTEXT",
}


@dataclass(frozen=True)
class TlsBroker:
    """`plain` and `listeners` (by name) are addresses; `ca` is the certificate of the brokers' authority, `client` a
    certificate with its key in one file, `other_ca` an authority that has signed nothing."""

    plain: str
    listeners: dict[str, str]
    ca: Path
    other_ca: Path
    client: Path


@contextmanager
def tls_broker(folder: Path) -> Iterator[TlsBroker]:
    """Starts it, with its certificates in `folder`."""
    ca, other_ca, client = _certificates(folder)
    ports = {name: free_port() for name in _LISTENERS}
    port, controller = free_port(), free_port()
    users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    jaas = f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
    extra = {
        "listeners": ",".join(
            [f"BROKER://{HOST}:{port}", f"CONTROLLER://{HOST}:{controller}"]
            + [f"{name}://{HOST}:{each}" for name, each in ports.items()]
        ),
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "advertised.listeners": ",".join(
            [f"BROKER://{HOST}:{port}"] + [f"{name}://{HOST}:{each}" for name, each in ports.items()]
        ),
        "listener.security.protocol.map": ",".join(
            ["BROKER:PLAINTEXT", "CONTROLLER:PLAINTEXT"] + [f"{name}:{kind}" for name, kind in _LISTENERS.items()]
        ),
        "ssl.keystore.type": "PEM",
        "ssl.truststore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"),
        "ssl.truststore.location": str(ca),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": jaas,
        "listener.name.saslplain.plain.sasl.jaas.config": jaas,
        "listener.name.mutual.ssl.client.auth": "required",
        "connection.failed.authentication.delay.ms": "10",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:admin",
    }
    for name in ("expired", "othername"):
        extra[f"listener.name.{name}.ssl.keystore.type"] = "PEM"
        extra[f"listener.name.{name}.ssl.keystore.location"] = str(folder / f"{name}.pem")
    with start_broker(port=port, extra=extra) as broker:
        wait_for_listeners(ports.values())
        listeners = {name: f"{HOST}:{each}" for name, each in ports.items()}
        yield TlsBroker(broker.bootstrap, listeners, ca, other_ca, client)


def _certificates(folder: Path) -> tuple[Path, Path, Path]:
    valid, past = validity(-DAY, DAY), validity(-10 * DAY, -DAY)
    authority = certificate(folder, "ca", valid)
    certificate(folder, "other-ca", valid)
    here = [x509.IPAddress(ip_address(HOST)), x509.DNSName("localhost")]
    certificate(folder, "broker", valid, here, authority)
    certificate(folder, "expired", past, here, authority)
    certificate(folder, "othername", valid, [x509.DNSName("kafka.example")], authority)
    certificate(folder, "client", valid, [x509.DNSName("client")], authority)
    return folder / "ca.crt", folder / "other-ca.crt", folder / "client.pem"

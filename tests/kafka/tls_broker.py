"""A broker with secured listeners: TLS, SASL over TLS, mutual TLS, and certificates that clients must not accept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli.embedded_kafka.broker import start_broker
from cli.embedded_kafka.node_files import HOST, free_port
from streams.time_source import SystemTimeSource

DAY = timedelta(days=1)

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
        listeners = {name: f"{HOST}:{each}" for name, each in ports.items()}
        yield TlsBroker(broker.bootstrap, listeners, ca, other_ca, client)


def _certificates(folder: Path) -> tuple[Path, Path, Path]:
    now = datetime.fromtimestamp(SystemTimeSource().now() / 1_000_000, UTC)
    valid, past = (now - DAY, now + DAY), (now - 10 * DAY, now - DAY)
    authority = _certificate(folder, "ca", valid)
    _certificate(folder, "other-ca", valid)
    here = [x509.IPAddress(ip_address(HOST)), x509.DNSName("localhost")]
    _certificate(folder, "broker", valid, here, authority)
    _certificate(folder, "expired", past, here, authority)
    _certificate(folder, "othername", valid, [x509.DNSName("kafka.example")], authority)
    _certificate(folder, "client", valid, [x509.DNSName("client")], authority)
    return folder / "ca.crt", folder / "other-ca.crt", folder / "client.pem"


class _Authority(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _certificate(
    folder: Path,
    name: str,
    validity: tuple[datetime, datetime],
    names: Sequence[x509.GeneralName] = (),
    signer: _Authority | None = None,
) -> _Authority:
    """A certificate in NAME.crt, and with its key in NAME.pem; without `signer` it is an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(key if signer is None else signer.key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = b"" if signer is None else signer.certificate.public_bytes(serialization.Encoding.PEM)
    (folder / f"{name}.crt").write_bytes(pem)
    (folder / f"{name}.pem").write_bytes(private + pem + chain)
    return _Authority(certificate, key)

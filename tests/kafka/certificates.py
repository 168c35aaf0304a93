"""Certificates of tests: authorities, and what they sign, as PEM files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from streams.time_source import SystemTimeSource

DAY = timedelta(days=1)

Validity = tuple[datetime, datetime]


def validity(first: timedelta, last: timedelta) -> Validity:
    """From and until, as distances from now."""
    now = datetime.fromtimestamp(SystemTimeSource().now() / 1_000_000, UTC)
    return now + first, now + last


class Authority(NamedTuple):
    """Who signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def certificate(
    folder: Path,
    name: str,
    valid: Validity,
    names: Sequence[x509.GeneralName] = (),
    signer: Authority | None = None,
) -> Authority:
    """A certificate in NAME.crt, and with its key in NAME.pem; without `signer` it is an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(key if signer is None else signer.key, hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = b"" if signer is None else signer.certificate.public_bytes(serialization.Encoding.PEM)
    (folder / f"{name}.crt").write_bytes(pem)
    (folder / f"{name}.pem").write_bytes(private + pem + chain)
    return Authority(signed, key)

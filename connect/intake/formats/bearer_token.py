"""Authentication by a bearer token, for the formats whose senders do not sign."""

from __future__ import annotations

from connect.intake import signatures
from connect.intake.formats.source_format import AuthenticationError, Credentials


def authenticate(credentials: Credentials) -> None:
    """Raises AuthenticationError unless `Authorization: Bearer …` carries one of the source's tokens."""
    if not signatures.bearer(credentials.secrets, credentials.headers.get("Authorization")):
        raise AuthenticationError("the token is missing or unknown; send `Authorization: Bearer TOKEN`")

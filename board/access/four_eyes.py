"""Who may take part in what takes two people, besides roles: not somebody whom a token vouches for, where others do."""

from __future__ import annotations

from board.access.identity import Identity
from board.settings import BoardSettings
from connect.actions.permissions import Denied, Permission, without_token


def token_denied(identity: Identity, settings: BoardSettings, permission: Permission) -> Denied | None:
    """Why the token of a request, or of its session, does not suffice for a permission; None where it does, or where
    something else vouches for the person."""
    if identity.token is None or identity.person is None:
        return None
    if settings.sign_in == "local" or settings.tokens_in_proposals:
        return None
    return without_token(identity.person, permission)

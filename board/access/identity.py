"""Who sends a request, as the sign-in has found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request

from connect.actions.person import Person

Way = Literal["session", "token", "proxy", "none"]


@dataclass(frozen=True, slots=True)
class Identity:
    """`person`: None when nobody is signed in and the board is not open to this machine. `way`: what vouches for the
    person. `csrf`: what forms and `X-CSRF-Token` must carry; None where no browser adds the credentials by itself.
    `session`: the key of the person's session. `token`: the digest of the token that vouches for the person.
    `address`: where the request comes from. `browser`: a new value for the cookie that the token for forms follows from
    where no session does; None where the browser has one."""

    person: Person | None
    way: Way
    address: str
    csrf: str | None = None
    session: str | None = None
    token: str | None = None
    browser: str | None = None


@dataclass(frozen=True, slots=True)
class RequestSender:
    """Somebody who sends a request, as the audit log names them: the person, where the request comes from, and what
    vouches for the person."""

    person: Person
    address: str
    way: Way


_IDENTITY = "identity"


def identity_of(request: Request) -> Identity | None:
    """The identity of a request; None where none was looked for (static files, health, tests of parts)."""
    found: Identity | None = getattr(request.state, _IDENTITY, None)
    return found


def set_identity(state: dict[str, object], identity: Identity) -> None:
    """Store it in the `state` of an ASGI scope."""
    state[_IDENTITY] = identity


def current_person(request: Request) -> Person:
    """The person of a request to an address that requires a permission."""
    return sender_of(request).person


def sender_of(request: Request) -> RequestSender:
    """Who sends a request to an address that requires a permission."""
    identity = identity_of(request)
    assert identity is not None
    assert identity.person is not None
    return RequestSender(identity.person, identity.address, identity.way)


CurrentPerson = Annotated[Person, Depends(current_person)]

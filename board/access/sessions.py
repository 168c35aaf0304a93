"""Sessions of signed-in people, in the board's database. The browser has the id, the database its digest alone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, Row, delete, select, update
from sqlalchemy.exc import OperationalError

from board.access.tokens import sha256_of
from board.store.engine import writing
from board.store.own_tables import session
from connect.actions.person import Person, Role
from streams.sla.instants import MINUTE
from streams.time_source import TimeSource

#: Use is recorded once within this time, so that not every request writes.
_RECORDED_EVERY = MINUTE


@dataclass(frozen=True, slots=True)
class Session:
    """`key` is the digest of the id. `token` is the digest of the token that began it, for people with a token; the
    person's roles are then those of the tokens file. `id_token` is the provider's, for signing out there."""

    key: str
    person: Person
    token: str | None = None
    id_token: str | None = None


class Sessions:
    """`idle` and `lifetime` are in microseconds: a session ends when it is not used for `idle`, and after `lifetime`
    in any case. All methods raise SQLAlchemy's errors and may be called from any thread."""

    def __init__(self, engine: Engine, time_source: TimeSource, *, idle: int, lifetime: int) -> None:
        self._engine = engine
        self._time = time_source
        self._idle = idle
        self._lifetime = lifetime

    def begin(
        self,
        person: Person,
        *,
        token: str | None = None,
        id_token: str | None = None,
        also: Callable[[Connection], None] = lambda _: None,
    ) -> str:
        """Store a new session and return its id: 256 random bits, known to the caller alone. `also` writes in the same
        transaction. Sessions that are over are deleted."""
        secret, now = secrets.token_urlsafe(32), self._time.now()
        with writing(self._engine).begin() as connection:
            over = (session.c.seen_at <= now - self._idle) | (session.c.created_at <= now - self._lifetime)
            connection.execute(delete(session).where(over))
            row = {
                "key": sha256_of(secret),
                "person_id": person.id,
                "name": person.name,
                "roles": json.dumps(sorted(person.roles)),
                "tenants": None if person.tenants is None else json.dumps(sorted(person.tenants)),
                "token": token,
                "id_token": id_token,
                "created_at": now,
                "seen_at": now,
            }
            connection.execute(session.insert(), row)
            also(connection)
        return secret

    def find(self, secret: str) -> Session | None:
        """The session of an id, and record its use; None when it is unknown, over or ended."""
        key, now = sha256_of(secret), self._time.now()
        with self._engine.connect() as connection:
            row = connection.execute(select(session).where(session.c.key == key)).one_or_none()
        if row is None or not self._runs(row, now):
            return None
        if now - row.seen_at >= _RECORDED_EVERY:
            # Where the ingest thread has the database for long, the next request records it.
            with suppress(OperationalError), writing(self._engine).begin() as connection:
                connection.execute(update(session).where(session.c.key == key).values(seen_at=now))
        return _session(row)

    def runs(self, key: str) -> bool:
        """Whether a session has neither ended nor is over; this does not count as use."""
        with self._engine.connect() as connection:
            row = connection.execute(select(session).where(session.c.key == key)).one_or_none()
        return row is not None and self._runs(row, self._time.now())

    def end(self, key: str, also: Callable[[Connection], None] = lambda _: None) -> str | None:
        """Delete a session and return its `id_token`; without effect when there is none. `also` writes in the same
        transaction."""
        with writing(self._engine).begin() as connection:
            mine = session.c.key == key
            row = connection.execute(select(session.c.id_token).where(mine)).one_or_none()
            if row is None:
                return None
            connection.execute(delete(session).where(mine))
            also(connection)
            found: str | None = row.id_token
            return found

    def _runs(self, row: Row[tuple[object, ...]], now: int) -> bool:
        return bool(now - row.seen_at < self._idle and now - row.created_at < self._lifetime)


def _session(row: Row[tuple[object, ...]]) -> Session:
    tenants = None if row.tenants is None else frozenset(json.loads(row.tenants))
    person = Person(row.person_id, row.name, frozenset(Role(each) for each in json.loads(row.roles)), tenants)
    return Session(row.key, person, row.token, row.id_token)


_CSRF: Final = "csrf"


def csrf_token(secret: str) -> str:
    """What forms of a session carry: it follows from the session's id and does not give it away."""
    return sha256_of(f"{_CSRF}\0{secret}")

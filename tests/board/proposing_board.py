"""A board with proposals whose topics are kept here: what it sends is read back."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from board_history import NOW, story
from databases import new_sqlite
from fastapi.testclient import TestClient
from replayed import ingest, replayed
from signed_in import MovingClock, access_app, board_settings, browser, token_of
from sqlalchemy import Engine, select
from story import policies

from board.access.audit_sender import audit_record
from board.ingest.records import AUDIT, IngestRecord
from board.proposals.effect import EffectRequest, compute_effect
from board.proposals.publishing import ApprovedPublisher
from board.queries.statements import revisions
from board.store.engine import open_engine, writing
from board.store.own_tables import audit_outbox
from connect.actions.person import Role
from streams.serde.cloudevents_json import format_line
from streams.serde.codec import Codec
from streams.settings import Settings
from streams.sla.credits.submitted import SubmittedStatement

LINES = [line for line in story(40) if json.loads(line)["subject"] != "inc-1"]


@cache
def _beginning() -> tuple[IngestRecord, ...]:
    """What the topics of every deployment begin with."""
    return tuple(replayed(LINES, policies(), NOW))


@cache
def _begun() -> tuple[bytes, frozenset[Any], Counter[tuple[str, int]]]:
    """The database of a board that has read that, what has been read, and where the topics end."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "board.db"
        engine = new_sqlite(file)
        read: set[Any] = set()
        ends: Counter[tuple[str, int]] = Counter()
        ingest(engine, _more(_beginning(), read, ends))
        engine.dispose()
        return file.read_bytes(), frozenset(read), ends


def _more(records: Iterable[IngestRecord], read: set[Any], ends: Counter[tuple[str, int]]) -> list[IngestRecord]:
    """Those that have not been read, which they are then."""
    new = []
    for record in records:
        what = (record.topic, record.key, record.value)
        if what not in read:
            read.add(what)
            place = record.topic, record.partition
            new.append(record._replace(offset=ends[place]))
            ends[place] += 1
    return new


class Deployment:
    """A board whose topics are kept here: what is sent is read back by `turn`. `given` are settings of the board."""

    def __init__(self, directory: Path, **given: Any) -> None:
        self.clock = MovingClock(NOW)
        database, read, ends = _begun()
        (directory / "board.db").write_bytes(database)
        self.engine: Engine = open_engine(f"sqlite:///{directory / 'board.db'}")
        self.lines = list(LINES)
        self._read = set(read)
        self._ends = ends.copy()
        self._people: dict[str, TestClient] = {}
        self._audit = 0
        self.sent: list[Any] = []
        settings = board_settings(directory, **given)
        self.app = access_app(self.engine, settings, self.clock)
        self._settings = settings
        self.publisher = ApprovedPublisher(self.engine, self._send, lambda: True, self.clock)

    def person(self, name: str, role: Role = Role.RESPONDER, tenants: set[str] | None = None) -> TestClient:
        if name not in self._people:
            token = token_of(self._settings, name, role, tenants=tenants)
            headers = {"Authorization": f"Bearer {token}"}
            self._people[name] = TestClient(self.app, base_url="http://127.0.0.1", headers=headers)
        return self._people[name]

    def token(self, name: str, role: Role = Role.RESPONDER) -> str:
        return token_of(self._settings, name, role)

    def browser(self, name: str, role: Role = Role.RESPONDER, tenants: set[str] | None = None) -> TestClient:
        """The browser of a person who has signed in."""
        client = browser(self.app)
        client.post("/sign-in", data={"token": token_of(self._settings, name, role, tenants=tenants)})
        return client

    def ingest_topics(self) -> None:
        """Read what the topics have more than before: the history is replayed as a whole, so by content."""
        records = replayed(self.lines, policies(), self.clock.now())
        ingest(self.engine, _more(records, self._read, self._ends))

    def turn(self) -> None:
        """The audit log is sent and read, and what is approved is published and read back."""
        self.log()
        if self.publisher.publish_waiting():
            self.ingest_topics()

    def log(self) -> None:
        with self.engine.connect() as connection:
            rows = connection.execute(select(audit_outbox).order_by(audit_outbox.c.id)).all()
        records = []
        for row in rows:
            value = Codec().encode(row.type, audit_record(row))
            records.append(IngestRecord(AUDIT, 0, self._audit, row.occurred_at, b"", value))
            self._audit += 1
        with writing(self.engine).begin() as connection:
            connection.execute(audit_outbox.delete())
        self.changed = ingest(self.engine, records)

    def compute(self, proposal_id: str) -> dict[str, Any]:
        limits = Settings().time_limits()
        url = str(self.engine.url)
        compute_effect(lambda *_: None, EffectRequest(url, policies(), limits, proposal_id, self.clock.now()))
        found = self.person("eva", Role.ADMIN).get(f"/api/v1/proposals/{proposal_id}").json()
        assert found["effect"]["current"]
        result: dict[str, Any] = found["effect"]["result"]
        return result

    def statement(self, tenant: str, month: str) -> SubmittedStatement:
        """The latest of a month."""
        with self.engine.connect() as connection:
            return max((each.terms for each in revisions(connection, tenant, month)), key=lambda each: each.revision)

    def credit(self, tenant: str, month: str) -> tuple[int, int]:
        latest = self.statement(tenant, month)
        return latest.revision, latest.credit

    def _send(self, events: Any) -> None:
        self.sent += events
        self.lines += [format_line(dict(each)) for each in events]

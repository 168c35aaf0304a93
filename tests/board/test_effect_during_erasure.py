"""No effect names an erased tenant (R29), whenever the erasure is read while the effect is computed."""

from __future__ import annotations

import threading
from random import Random  # noqa: TID251 -- seeded

import pytest
from board_history import NOW
from databases import Database
from interleaving import apply_in_pieces, interleaved
from proposing_board import LINES
from replayed import PREFIX, ingest, replayed
from signed_in import MovingClock
from sqlalchemy import insert, select
from story import erased, policies, texts

from board.access.audit import AuditLog
from board.access.audit_sender import audit_record
from board.access.identity import RequestSender
from board.actions.runner import ActionAttempt
from board.ingest.apply import Applier
from board.ingest.checkpoints import advance
from board.ingest.records import AUDIT, IngestRecord
from board.proposals import effect
from board.proposals.decisions import Proposing, Written
from board.proposals.effect import EffectRequest, compute_effect
from board.store.engine import write_transaction, writing
from board.store.own_tables import audit_outbox, proposal_effect
from board.store.tables import checkpoint, incident
from streams.serde.codec import Codec
from streams.serde.input_records import CONTRACT_EVENTS
from streams.settings import Settings
from streams.sla.arrival import TimeLimits
from streams.sla.erasure import Erasures
from streams.sla.instants import DAY, HOUR, format_rfc3339
from tests.unit.action_bench import KIM
from tests.waiting import TIMEOUT_S

KEY = b"key"
PSEUDONYM = Erasures(KEY).pseudonym("acme")
Parts = tuple[list[IngestRecord], list[IngestRecord]]


@pytest.fixture(scope="module")
def parts() -> Parts:
    """The topics before tenant acme is erased, and from then on."""
    lines = [*LINES, *texts([erased(format_rfc3339(NOW + HOUR), of="acme")])]
    records = replayed(lines, policies(), NOW + 2 * HOUR)
    at = max(number for number, each in enumerate(records) if each.topic == CONTRACT_EVENTS)
    assert records[at].key == b"acme"
    return records[:at], records[at:]


@pytest.fixture
def proposal_id(database: Database, parts: Parts) -> str:
    """A proposal about an outage of acme and globex, in a read model of the time before the erasure."""
    apply_in_pieces(database.engine, interleaved(parts[0], Random(1)), Random(1), KEY)
    with database.engine.connect() as connection:
        query = select(incident.c.revision).where(incident.c.incident_id == "outage")
        revision = connection.execute(query).scalar_one()
    proposing = Proposing(database.engine, Settings(), policies(), DAY, AuditLog(database.engine, MovingClock(NOW)))
    attempt = ActionAttempt("annul", "outage", {"reason": "a drill"}, "a", revision)
    written = proposing.propose(RequestSender(KIM, "127.0.0.1", "token"), attempt, now=NOW)
    assert isinstance(written, Written)
    with database.engine.connect() as connection:
        row = connection.execute(select(audit_outbox)).one()
    value = Codec().encode(row.type, audit_record(row))
    ingest(database.engine, [IngestRecord(AUDIT, 0, 0, NOW, b"", value)])
    return written.proposal_id


def stored(database: Database) -> str:
    with database.engine.connect() as connection:
        return "".join(connection.execute(select(proposal_effect.c.data)).scalars())


def request(database: Database, proposal_id: str) -> EffectRequest:
    return EffectRequest(
        database.url, policies(), TimeLimits(retain_closed=4_000 * DAY, pseudonym_key=KEY), proposal_id, NOW
    )


def test_an_erasure_that_is_read_meanwhile(
    database: Database, proposal_id: str, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effect, "_REPORT_EVERY", 1)
    compute_effect(lambda *_: None, request(database, proposal_id))
    assert '"acme"' in stored(database)
    random = Random(6)
    late, waits = interleaved(parts[1], random), [random.randrange(1, 60) for _ in range(4)]
    begun: list[int] = []

    def report(done: int, total: int) -> None:
        """The rest is read in pieces, at several moments of the computation."""
        begun.extend([done] if done == 1 else [])
        while waits and len(begun) + done > waits[0]:
            waits.pop(0)
            piece = late[: len(late) // (len(waits) + 1)]
            del late[: len(piece)]
            apply_in_pieces(database.engine, piece, random, KEY)

    compute_effect(report, request(database, proposal_id))
    assert late == []
    assert len(begun) > 1, "it is computed again"
    assert "acme" not in stored(database)
    assert PSEUDONYM in stored(database)


def test_an_erasure_that_is_being_written_when_the_effect_is_stored(
    database: Database, proposal_id: str, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = (CONTRACT_EVENTS, parts[1][0].partition)
    row = {"topic": place[0], "partition": place[1], "topic_id": "", "next_offset": 1, "current_at": 0}
    with writing(database.engine).begin() as connection:
        connection.execute(insert(checkpoint), row)
    computing = threading.Thread(target=compute_effect, args=(lambda *_: None, request(database, proposal_id)))
    storing = threading.Event()
    store = effect._store

    def noted(*arguments: object) -> bool:
        storing.set()
        return store(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(effect, "_store", noted)
    with write_transaction(database.engine) as connection:
        advance(connection, {place: 1}, {place: 2})
        applier = Applier(Codec(), PREFIX, KEY)
        computing.start()
        assert storing.wait(TIMEOUT_S)
        applier.apply(connection, parts[1])
    computing.join(TIMEOUT_S)
    assert not computing.is_alive()
    assert "acme" not in stored(database)
    assert PSEUDONYM in stored(database)


def test_all_effects_go_with_an_erasure(database: Database, proposal_id: str, parts: Parts) -> None:
    """Also one that is not about an incident of the tenant: that of a platform-wide incident has everybody's months."""
    with writing(database.engine).begin() as connection:
        row = {"proposal_id": "other", "revision": 1, "computed_at": 1, "data": '{"months": ["acme"]}'}
        connection.execute(insert(proposal_effect), row)
    ingest(database.engine, parts[1])
    assert stored(database) == ""

"""What actions look up of contracts in the read model is what the contract topic says, and nothing older."""

from __future__ import annotations

from random import Random  # noqa: TID251 -- seeded
from typing import Any

import pytest
from board_history import NOW, TENANTS, story
from databases import Database
from interleaving import apply_in_pieces
from replayed import replayed
from sqlalchemy import insert
from story import erased, policies, texts

from board.actions.read_position import ReadModelBehind, wait_until_applied
from board.ingest.records import IngestRecord
from board.queries.contract_facts import contract_facts, count_tenants
from board.queries.rejects import latest_reject
from board.store.engine import writing
from board.store.tables import checkpoint, reject
from connect.contract_import.current_terms import ContractLog, ContractRecord
from streams.serde.input_records import CONTRACT_EVENTS
from streams.sla.arrival import TimeLimits
from streams.sla.events import Position
from streams.sla.instants import HOUR, format_rfc3339

KEY = b"key"
LIMITS = TimeLimits(pseudonym_key=KEY)
WINDOWS = ("m-1", "m-2", "m-3")
#: One in which the history has claims; one whose claim the workers rejected, which the topic alone does not tell.
CLAIMED, TOO_LATE = "2026-06", "2026-03"


@pytest.fixture(scope="module")
def records() -> list[IngestRecord]:
    lines = [*story(12), *texts([erased(format_rfc3339(NOW + HOUR), of="globex")])]
    return replayed(lines, policies(), NOW + 2 * HOUR)


def of_topic(records: list[IngestRecord]) -> ContractLog:
    facts = [each for each in records if each.topic == CONTRACT_EVENTS]
    return ContractLog(
        (ContractRecord(each.value, each.timestamp, Position(*each[:3])) for each in facts), TimeLimits()
    )


def known(log: ContractLog, name: str) -> tuple[Any, ...]:
    """What is known of a tenant or window, without who said it: erasure removes that."""
    window = log.maintenance.get(name)
    return (
        list(log.contracts.get(name, ())),
        None if window is None else (window.id, window.time, window.type, window.payload),
        log.claims[name, CLAIMED].id if (name, CLAIMED) in log.claims else None,
        name in log.erased,
    )


@pytest.fixture
def filled(database: Database, records: list[IngestRecord]) -> Database:
    apply_in_pieces(database.engine, records, Random(5), KEY)
    return database


def test_facts_of_the_read_model_are_those_of_the_topic(filled: Database, records: list[IngestRecord]) -> None:
    expected, random = of_topic(records), Random(2)
    names = [*TENANTS, *WINDOWS, "nobody"]
    with filled.engine.connect() as connection:
        assert count_tenants(connection) == len(expected.contracts) == len(TENANTS)
        for size in (1, 1, 1, 3, len(names)):
            asked = random.sample(names, size)
            found = contract_facts(connection, asked, LIMITS)
            assert {*found.contracts, *found.maintenance} <= set(asked)
            for name in asked:
                assert known(found, name) == known(expected, name), name
        assert contract_facts(connection, ["globex"], LIMITS).erased == {"globex"}
        assert contract_facts(connection, ["acme"], LIMITS).claims.keys() == {("acme", CLAIMED)}
        assert ("acme", TOO_LATE) in expected.claims
        assert len(list(expected.contracts["acme"])) == 2


def test_what_the_workers_rejected_is_no_fact(filled: Database) -> None:
    with filled.engine.connect() as connection:
        latest = contract_facts(connection, ["acme"], LIMITS)
    place = list(latest.contracts["acme"])[-1].position
    row = {"partition": 0, "offset": 99, "rejected_at": 1, "code": "internal", "message": "", "headers": "[]"}
    of = {"original_topic": CONTRACT_EVENTS, "original_partition": place.partition, "original_offset": place.offset}
    with writing(filled.engine).begin() as connection:
        connection.execute(insert(reject), row | of)
        quarantined = contract_facts(connection, ["acme"], LIMITS).contracts["acme"]
        assert list(quarantined) == list(latest.contracts["acme"])  # the row only names the last input of its subject
        original = Position(CONTRACT_EVENTS, place.partition, place.offset)
        assert latest_reject(connection, original, quarantines=False) is None
        assert latest_reject(connection, original) is not None, "it can be retried"
        connection.execute(insert(reject), row | of | {"offset": 100, "event_type": "contract.set"})
        assert len(list(contract_facts(connection, ["acme"], LIMITS).contracts["acme"])) == 1
        rejected = latest_reject(connection, original, quarantines=False)
        assert rejected is not None
        assert rejected.offset == 100


def test_an_action_waits_for_what_was_acknowledged_before_it(database: Database) -> None:
    row = {"topic": CONTRACT_EVENTS, "topic_id": "", "current_at": 0}
    with writing(database.engine).begin() as connection:
        connection.execute(insert(checkpoint), [row | {"partition": each, "next_offset": 4} for each in range(2)])
    waits: list[float] = []

    def later(seconds: float) -> None:
        waits.append(seconds)
        with writing(database.engine).begin() as connection:
            connection.execute(
                checkpoint.update().where(checkpoint.c.partition == 1).values(next_offset=3 + len(waits))
            )

    wait_until_applied(database.engine, CONTRACT_EVENTS, {0: 4, 1: 4}, pause=waits.append)
    assert waits == []
    wait_until_applied(database.engine, CONTRACT_EVENTS, {0: 4, 1: 6}, pause=later)
    assert len(waits) == 3
    with pytest.raises(ReadModelBehind, match="the last 5 records of contract-events within 3 s"):
        wait_until_applied(database.engine, CONTRACT_EVENTS, {0: 4, 1: 6, 2: 5}, pause=lambda _: None)

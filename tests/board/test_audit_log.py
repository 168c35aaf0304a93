"""The audit log in the read model: each event once, the same in any order, without erased tenants, within its time."""

from __future__ import annotations

import json
from random import Random  # noqa: TID251 -- seeded
from typing import Any

import pytest
from alembic import command
from audit_topic import NOBODY, acted, audit_line, audit_topic
from databases import Database
from interleaving import apply_in_pieces, interleaved
from replayed import ingest, replayed
from slow_model import dump, text_of
from sqlalchemy import func, insert, select, text
from story import MONDAY, erased, opened, policies, texts

from board.ingest.apply import Applier
from board.ingest.rebuild import empty
from board.ingest.records import IngestRecord
from board.ingest.retention import expire
from board.proposals.stored import get_proposal
from board.store import schema
from board.store.audit_tables import audit_event, audit_tenant
from board.store.engine import write_transaction
from board.store.tables import checkpoint
from streams.serde.codec import Codec
from streams.sla.arrival import TimeLimits
from streams.sla.erasure import Erasures
from streams.sla.instants import DAY, HOUR, MINUTE

KEY = TimeLimits().pseudonym_key
PSEUDONYM = Erasures(KEY).pseudonym("acme")
PROPOSED = {
    "action": "annul",
    "incident_id": "own",
    "tenants": ["acme", "zeta"],
    "form": json.dumps({"reason": "secret text"}),
    "expires_at": MONDAY + 20 * DAY,
}
REFUSED = {"outcome": "refused", "reason": "decided_before", "proposal_id": "p1", "concerned": ["acme", "zeta"]}


def lines() -> list[dict[str, Any]]:
    """What happens in a day: of support, and of two people of tenants."""
    of_acme: dict[str, Any] = {"person": "pat", "tenants": ["acme"], "address": "198.51.100.9"}
    return [
        audit_line("audit.sign_in_failed", "e1", MONDAY, **NOBODY, outcome="failed", reason="unknown token"),
        audit_line("audit.signed_in", "e2", MONDAY + 1),
        audit_line("audit.signed_in", "e3", MONDAY + 2, **of_acme),
        audit_line(
            "audit.denied",
            "e4",
            MONDAY + 3,
            **of_acme,
            what="read-system",
            about="GET /system",
            outcome="denied",
            reason="pat is limited to some",
        ),
        audit_line(
            "audit.denied", "e5", MONDAY + 4, what="x", about="GET /api/v1/tenants/acme/months", outcome="denied"
        ),
        audit_line("audit.denied", "e6", MONDAY + 5, what="erase-tenant", about="erase-tenant acme", outcome="denied"),
        acted("e7", MONDAY + 6, "resolve", "own", **of_acme),
        acted("e8", MONDAY + 7, "claim-credit", "acme"),
        acted("e9", MONDAY + 8, "import-contracts", None, concerned=["zeta", "acme"], event_ids=["a", "b"], events=2),
        acted("e10", MONDAY + 9, "retry-rejected", "incident-events/0/3"),
        audit_line("action.proposed", "p1", MONDAY + 10, "ann", **PROPOSED),
        audit_line("action.declined", "d1", MONDAY + 11, "pat", kind="customer", reason="secret text"),
        acted("e11", MONDAY + 12, "approve", "own", **REFUSED),
        audit_line("audit.signed_out", "e12", MONDAY + HOUR, **of_acme),
        audit_line("audit.signed_out", "e12", MONDAY + HOUR, **of_acme),
    ]


def history(*, erase: bool = True) -> list[IngestRecord]:
    facts = [opened("10:00", of="own", tenants=["acme", "zeta"])]
    if erase:
        facts.append(erased("2026-03-03T00:00:00Z", of="acme"))
    return [*replayed(texts(facts), policies(), MONDAY + 2 * DAY), *audit_topic(lines()).records]


def stored(database: Database) -> dict[str, dict[str, Any]]:
    with database.engine.connect() as connection:
        found = connection.execute(select(audit_event)).mappings()
        return {row["event_id"]: dict(row) | {"data": json.loads(row["data"])} for row in found}


def links(database: Database) -> set[tuple[str, str]]:
    with database.engine.connect() as connection:
        return {(tenant, event_id) for tenant, event_id in connection.execute(select(audit_tenant))}


def test_each_event_is_there_once_with_what_it_is_about(database: Database) -> None:
    ingest(database.engine, history(erase=False))
    found = stored(database)
    assert len(found) == len(lines()) - 1
    assert {(row["action"], row["about_kind"], row["about"]) for row in found.values() if row["about"]} == {
        (None, None, "GET /system"),
        (None, None, "GET /api/v1/tenants/acme/months"),
        ("erase-tenant", "tenant", "acme"),
        ("resolve", "incident", "own"),
        ("claim-credit", "tenant", "acme"),
        ("retry-rejected", None, "incident-events/0/3"),
        ("annul", "incident", "own"),
        (None, "incident", "own"),
        ("approve", "incident", "own"),
    }
    assert found["d1"]["outcome"] == "declined"
    assert found["d1"]["data"]["proposed"] == "annul"
    assert found["e9"]["data"]["event_ids"] == ["a", "b"]
    assert {event_id for tenant, event_id in links(database) if tenant == "acme"} == {
        *("e3", "e4", "e5", "e6", "e7", "e8", "e9", "e11", "e12", "p1", "d1")
    }
    assert "secret text" not in str(found), "what people wrote is with the proposal alone"


def test_rows_are_the_same_whatever_is_read_first_and_name_no_erased_tenant(database: Database) -> None:
    records = history()
    audit = [record for record in records if record.topic == "audit"]
    others = [record for record in records if record.topic != "audit"]
    orders = [[*audit, *others], [*others, *audit], *(interleaved(records, Random(seed)) for seed in range(2))]
    orders.append([*audit[:11], *others, *audit[11:]])
    contents = set()
    for number, order in enumerate(orders):
        apply_in_pieces(database.engine, order, Random(number), KEY)
        with database.engine.connect() as connection:
            tables = dump(connection)
        assert "acme" not in text_of(tables)
        assert not any(name in str(tables["audit_event"]) for name in ("'pat'", "198.51.100.9"))
        contents.add(text_of(tables))
        if number < len(orders) - 1:
            empty(database.engine)
    assert len(contents) == 1
    found = stored(database)
    assert found["e5"]["about"] == f"GET /api/v1/tenants/{PSEUDONYM}/months"
    assert found["e6"]["about"] == found["e8"]["about"] == PSEUDONYM
    assert found["e9"]["data"]["concerned"] == [PSEUDONYM, "zeta"]
    assert (found["e9"]["person"], found["d1"]["person"], found["e7"]["person"]) == ("kim", "erased", "erased")
    assert found["e2"]["person"] == "kim"


def test_a_topic_that_is_read_again_changes_nothing(database: Database) -> None:
    """A release that adds the table reads the topic again, which old boards have read for its proposals."""
    applier = Applier(Codec(), "sla", KEY)
    ingest(database.engine, history(), applier)
    with database.engine.connect() as connection:
        before = text_of(dump(connection))
    ingest(database.engine, audit_topic(lines()).records, applier)
    with database.engine.connect() as connection:
        assert text_of(dump(connection)) == before
        proposal = get_proposal(connection, "p1")
    assert proposal is not None
    assert proposal.status(MONDAY) == "declined"


def test_the_migration_has_the_topic_read_again(database: Database) -> None:
    with write_transaction(database.engine) as connection:
        command.downgrade(_config(connection), "0003")
        for topic in ("audit", "alerts"):
            row = {"topic": topic, "partition": 0, "topic_id": "", "next_offset": 7, "current_at": 1}
            connection.execute(insert(checkpoint).values(row))
    schema.upgrade(database.engine)
    with database.engine.connect() as connection:
        assert connection.execute(select(checkpoint.c.topic)).scalars().all() == ["alerts"]
        assert connection.execute(text("SELECT count(*) FROM audit_event")).scalar() == 0


def _config(connection: Any) -> Any:
    config = schema.migration_config()
    config.attributes["connection"] = connection
    return config


def test_old_events_are_deleted_with_their_tenants(database: Database) -> None:
    ingest(database.engine, history(erase=False))
    list(expire(database.engine, MONDAY + MINUTE))
    assert set(stored(database)) == {"e12"}
    assert {event_id for _, event_id in links(database)} == {"e12"}
    list(expire(database.engine, MONDAY + DAY))
    with database.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(audit_event)).scalar() == 0
        assert connection.execute(select(func.count()).select_from(audit_tenant)).scalar() == 0


@pytest.mark.parametrize("name", ["a/b", "x" * 300, ""])
def test_a_path_may_name_a_tenant_with_slashes(database: Database, name: str) -> None:
    line = audit_line("audit.denied", "e1", MONDAY, what="x", about=f"GET /tenants/{name}/2026-06", outcome="denied")
    facts = [erased("2026-03-03T00:00:00Z", of="a/b")]
    records = replayed(texts(facts), policies(), MONDAY + 2 * DAY)
    ingest(database.engine, [*audit_topic([line]).records, *records], Applier(Codec(), "sla", KEY))
    about = stored(database)["e1"]["about"]
    assert about == (f"GET /tenants/{Erasures(KEY).pseudonym('a/b')}/2026-06" if name == "a/b" else line["about"])

"""Lists of proposals and of maintenance windows, page by page: everything once, for whoever may see what."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random  # noqa: TID251 -- seeded
from typing import Any

import pytest
from alembic import command
from databases import Database
from replayed import ingest, replayed
from sqlalchemy import insert, select
from story import erased, maintenance, maintenance_cancelled, policies, texts

from board.ingest.retention import expire
from board.proposals.listing import count_open, list_proposals, sees
from board.proposals.proposal import Decided, Proposed
from board.proposals.stored import apply_proposals, get_proposal
from board.queries.tenant_scope import EVERY_TENANT, TenantScope
from board.queries.windows import STANDINGS, list_windows
from board.store import schema
from board.store.engine import write_transaction, writing
from board.store.proposal_tables import proposal_tenant
from board.store.tables import checkpoint, named_tenant
from connect.actions.person import Person, Role
from streams.sla.events import Who
from streams.sla.instants import DAY, HOUR, format_rfc3339, parse_rfc3339

NOW = parse_rfc3339("2026-06-15T00:00:00Z")
TENANTS = ("acme", "globex", "initech")
EVERYBODY = Person("ann", "Ann", frozenset({Role.RESPONDER}))
LIMITED = Person("pat", "Pat", frozenset({Role.RESPONDER}), frozenset({"acme", "initech"}))


def pages(load: Callable[[Any], Any]) -> list[Any]:
    """All rows, page by page."""
    found: list[Any] = []
    after = None
    while True:
        page = load(after)
        found += page[0]
        after = page.after
        if after is None:
            return found


def proposed(number: int, random: Random) -> Proposed:
    tenants = random.choice((None, (), ("acme",), ("acme", "globex"), ("globex",), ("acme", "initech")))
    at = NOW - random.randrange(20) * DAY  # several at the same instant
    who = Who("support", "ann")
    return Proposed(f"p{number:03}", at, "annul", f"i{number % 9}", tenants, 1, {"reason": "x"}, who, at + 14 * DAY)


@pytest.fixture
def proposals(database: Database) -> list[Proposed]:
    random = Random(4)
    made = [proposed(number, random) for number in range(120)]
    decided = [
        Decided(each.proposal_id, each.at + HOUR, "declined", f"d{each.proposal_id}", Who("support", "bob"), "no")
        for each in random.sample(made, 50)
    ]
    with writing(database.engine).begin() as connection:
        apply_proposals(connection, [*made, *decided])
    return made


@pytest.mark.parametrize("person", [EVERYBODY, LIMITED], ids=["everybody", "limited"])
def test_pages_of_proposals_have_each_that_the_person_sees_once(
    database: Database, proposals: list[Proposed], person: Person
) -> None:
    with database.engine.connect() as connection:
        every = [get_proposal(connection, each.proposal_id) for each in proposals]
        wanted = [each for each in every if each is not None and sees(person, each)]
        wanted.sort(key=lambda each: (each.status(NOW) != "proposed", -each.proposed.at, each.proposed.proposal_id))
        assert len(wanted) > (20 if person is LIMITED else 100)
        for limit in (7, 50, 500):
            found = pages(lambda after, limit=limit: list_proposals(connection, person, NOW, after=after, limit=limit))
            assert found == wanted, limit
        assert count_open(connection, person, NOW) == sum(each.status(NOW) == "proposed" for each in wanted)
        assert {each.status(NOW) for each in wanted} == {"proposed", "declined", "expired"}


def test_tenants_of_proposals_are_erased_and_deleted_with_them(database: Database, proposals: list[Proposed]) -> None:
    with writing(database.engine).begin() as connection:
        names = [{"tenant_id": "acme", "kind": "incident", "subject": f"i{number}"} for number in range(9)]
        connection.execute(insert(named_tenant), names)
    facts = texts([erased(format_rfc3339(NOW), of="acme")])
    ingest(database.engine, replayed(facts, policies(), NOW + HOUR))
    with database.engine.connect() as connection:
        tenants = set(connection.execute(select(proposal_tenant.c.tenant_id)).scalars())
        assert len(list_proposals(connection, LIMITED, NOW).proposals) == 0
    assert "acme" not in tenants
    assert len(tenants) == 3
    list(expire(database.engine, NOW + 100 * DAY))
    with database.engine.connect() as connection:
        assert connection.execute(select(proposal_tenant)).all() == []


def test_an_upgrade_keeps_who_sees_which_proposal(database: Database, proposals: list[Proposed]) -> None:
    with database.engine.connect() as connection:
        before = list_proposals(connection, LIMITED, NOW, limit=500)
    with write_transaction(database.engine) as connection:
        row = {"topic": "contract-events", "partition": 0, "topic_id": "", "next_offset": 7, "current_at": 1}
        connection.execute(insert(checkpoint), [row, row | {"topic": "alerts"}])
        config = schema.migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
    schema.upgrade(database.engine)
    with database.engine.connect() as connection:
        assert list_proposals(connection, LIMITED, NOW, limit=500) == before
        assert connection.execute(select(checkpoint.c.topic)).scalars().all() == ["alerts"], "facts are read again"


@pytest.fixture
def windows(database: Database) -> dict[str, tuple[Any, ...]]:
    """Windows that were moved and cancelled at random; what each is now, by its id."""
    random, lines = Random(9), []
    last: dict[str, tuple[Any, ...]] = {}
    for number in range(60):
        name, tenants = f"w{number:02}", random.choice((None, ["acme"], ["globex"], ["acme", "globex"]))
        for version in range(random.randrange(1, 4)):
            told = NOW - (30 - 5 * version) * DAY + number
            start = NOW + random.randrange(-10, 10) * DAY
            cancelled = version and random.random() < 0.3
            if cancelled:
                lines.append(maintenance_cancelled(format_rfc3339(told), of=name))
                last[name] = ("cancelled", told, tenants)
            else:
                end = start + DAY
                times = (format_rfc3339(each) for each in (told, start, end))
                lines.append(maintenance(*times, of=name, tenants=tenants))
                standing = "upcoming" if start > NOW else "past" if end <= NOW else "current"
                last[name] = (standing, start, tenants)
    lines.sort(key=lambda line: str(line["time"]))
    ingest(database.engine, replayed(texts(lines), policies(), NOW))
    return last


@pytest.mark.parametrize("tenants", [None, frozenset({"globex"})], ids=["everybody", "limited"])
def test_pages_of_windows_have_each_window_under_what_it_is_now(
    database: Database, windows: dict[str, tuple[Any, ...]], tenants: frozenset[str] | None
) -> None:
    scope = EVERY_TENANT if tenants is None else TenantScope(tenants)
    with database.engine.connect() as connection:
        for standing in STANDINGS:
            sign = 1 if standing == "upcoming" else -1
            wanted = sorted(
                (sign * at, name)
                for name, (found, at, named) in windows.items()
                if found == standing and (named is None or tenants is None or not tenants.isdisjoint(named))
            )
            assert wanted, standing
            for limit in (3, 100):
                rows = pages(
                    lambda after, limit=limit, standing=standing: list_windows(
                        connection, standing, NOW, scope, after=after, limit=limit
                    )
                )
                assert [row.maintenance_id for row in rows] == [name for _, name in wanted], (standing, limit)
                assert all(row.standing(NOW) == standing for row in rows)
                assert all(set(row.tenant_ids) <= (tenants or set(TENANTS)) for row in rows)
            assert all(one != other for one, other in pairwise(wanted))

"""An erased tenant (R29): its name and texts are nowhere in the read model, whatever is read first."""

from __future__ import annotations

from random import Random  # noqa: TID251 -- seeded
from typing import cast

import pytest
from databases import Database
from interleaving import apply_in_pieces, interleaved
from replayed import Topics, ingest, replayed
from slow_model import dump, text_of
from sqlalchemy import select
from story import (
    MONDAY,
    amended,
    claimed,
    contract,
    erased,
    linked,
    maintenance,
    opened,
    policies,
    resolved,
    responded,
    texts,
    updated,
)

from board.ingest.apply import Applier
from board.ingest.rebuild import empty
from board.ingest.records import IngestRecord
from board.store.tables import entry, erased_tenant, incident, statement, tenant_month
from connect.notify.message import Message
from connect.notify.page_store_rows import pending_row
from streams.errors import PseudonymKeyChanged
from streams.serde.codec import Codec
from streams.sla.arrival import TimeLimits
from streams.sla.erasure import Erasures
from streams.sla.events import Rejection
from streams.sla.instants import DAY, HOUR

KEY = TimeLimits().pseudonym_key
PSEUDONYM = Erasures(KEY).pseudonym("acme")
SECRET = "secret"


def history(*, twice: bool = False) -> list[IngestRecord]:
    """Incidents of the tenant alone and with another, its contract, statements and claim, a reject, a message; the
    erasure a while later."""
    first = opened("10:00", of="own", tenants=["acme"], channel="phone")
    first["data"] |= {"summary": f"{SECRET} one", "ticket_id": f"{SECRET} two"}
    both = opened("11:00", "material_aspect", of="both", tenants=["acme", "b"])
    both["data"]["summary"] = f"{SECRET} three"
    other = opened("11:00", of="other", tenants=["b"])
    other["data"]["summary"] = "kept"
    said = updated("10:40", of="own")
    said["data"]["text"] = f"{SECRET} four"
    mistaken = amended("12:00", started="09:00", of="own")
    mistaken["data"] |= {"approver": mistaken["data"]["who"], "reason": f"{SECRET} five"}
    lines = [
        contract("2026-01-01T00:00:00Z", of="acme"),
        contract("2026-01-01T00:00:00Z", of="b"),
        maintenance("2026-02-01T00:00:00Z", "20:00", "21:00", tenants=["acme", "b"]),
        first,
        responded("10:20", {"kind": "support", "id": f"{SECRET} six"}, of="own"),
        said,
        linked("10:50", f"{SECRET} seven", of="own"),
        both,
        other,
        mistaken,
        resolved("15:00", of="own"),
        resolved("15:00", of="both"),
        resolved("15:00", of="other"),
        claimed("2026-03-20T00:00:00Z", "2026-03", of="acme"),
        claimed("2026-03-20T00:00:00Z", "1999-03", of="acme"),
        erased("2026-04-10T00:00:00Z", of="acme"),
        linked("2026-04-11T00:00:00Z", "T-9", of="other"),
        contract("2026-04-12T00:00:00Z", of="acme", charge=1),
    ]
    if twice:
        lines.append(erased("2026-04-13T00:00:00Z", of="b"))
    records = replayed(texts(lines), policies(), MONDAY + 60 * DAY)
    topics = Topics()
    event = {"type": "sla.breached", "data": {"incident_id": "own", "tenant_ids": ["acme"], "summary": SECRET}}
    row = pending_row("pager", "own", Message("m1", "trigger", "response/1", event, 1, HOUR, HOUR))
    topics.write("notifications", "own", MONDAY, row.value, key=row.key)
    return [*records, *topics.records]


def everything(database: Database) -> str:
    with database.engine.connect() as connection:
        return text_of(dump(connection))


@pytest.mark.parametrize("twice", [False, True])
def test_rows_are_the_same_whatever_is_read_first(database: Database, twice: bool) -> None:
    records = history(twice=twice)
    contracts = [record for record in records if record.topic == "contract-events"]
    others = [record for record in records if record.topic != "contract-events"]
    orders = [[*contracts, *others], [*others, *contracts], records]
    orders += [interleaved(records, Random(seed)) for seed in range(2)]
    found = set()
    for number, order in enumerate(orders):
        apply_in_pieces(database.engine, order, Random(number), KEY)
        content = everything(database)
        assert "acme" not in content
        assert SECRET not in content
        found.add(content)
        empty(database.engine)
    assert len(found) == 1


def test_what_names_the_tenant_is_under_its_pseudonym(database: Database) -> None:
    ingest(database.engine, history(), Applier(Codec(), "sla", KEY))
    with database.engine.connect() as connection:
        kept = select(incident.c.summary).where(incident.c.incident_id == "other")
        assert connection.execute(kept).scalar() == "kept"
        months = connection.execute(select(tenant_month.c.tenant_id, tenant_month.c.month)).all()
        assert {tenant for tenant, _ in months} == {PSEUDONYM, "b"}
        revisions = connection.execute(select(statement.c.revision).where(statement.c.tenant_id == PSEUDONYM)).all()
        assert revisions
        facts = connection.execute(select(entry.c.type).where(entry.c.subject == PSEUDONYM)).scalars().all()
        assert sorted(facts) == ["contract.set", "contract.set", "credit.claimed", "credit.claimed", "tenant.erased"]


def test_every_month_stays_under_the_pseudonym_with_its_latest_statement(database: Database) -> None:
    records = history()
    stated: dict[str, int] = {}
    before = set()
    for record in records:
        if record.topic != "credits":
            continue
        found = Codec().decode(record.value)
        assert not isinstance(found, Rejection)
        event_type, fields = found
        if event_type != "credit.statement" or fields["tenant_id"] not in ("acme", PSEUDONYM):
            continue
        month, revision = cast(str, fields["month"]), cast(int, fields["revision"])
        stated[month] = max(revision, stated.get(month, 0))
        if fields["tenant_id"] == "acme":
            before.add(month)
    assert before, "months were stated under the name"
    ingest(database.engine, records, Applier(Codec(), "sla", KEY))
    wanted = select(tenant_month.c.month, tenant_month.c.revision).where(tenant_month.c.tenant_id == PSEUDONYM)
    with database.engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(wanted.order_by("month"))] == sorted(stated.items())


def test_another_key_is_refused(database: Database) -> None:
    ingest(database.engine, history(), Applier(Codec(), "sla", KEY))
    with pytest.raises(PseudonymKeyChanged, match="SLA_PSEUDONYM_KEY"):
        ingest(database.engine, [], Applier(Codec(), "sla", b"another"))
    with database.engine.connect() as connection:
        assert connection.execute(select(erased_tenant.c.pseudonym)).scalars().all() == [PSEUDONYM]

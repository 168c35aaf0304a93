"""Rows of the read model from records: what each topic becomes."""

from __future__ import annotations

import json
from pathlib import Path

from board_history import MARKUP, NOW, TENANTS
from replayed import ingest, replayed
from slow_model import dump
from sqlalchemy import Engine, func, select
from story import MONDAY, opened, policies, texts

from board.ingest.apply import Applier
from board.store.engine import open_engine
from board.store.events import cloud_event
from board.store.schema import upgrade
from board.store.tables import contract, credit, entry, incident, maintenance, reject, tenant_month, verdict
from streams.serde.codec import SINGLE_OBJECT_HEAD, Codec, confluent_head, decode
from streams.sla.events import Rejection
from streams.sla.instants import DAY, parse_rfc3339


def test_open_incidents_are_listed_by_their_next_deadline(read_model: Engine) -> None:
    with read_model.connect() as connection:
        query = select(incident).where(incident.c.status == "open").order_by(incident.c.next_deadline)
        found = {row["incident_id"]: row for row in connection.execute(query).mappings()}
    assert {"open-p1", "late-p1", "waiting", "reopened", "hostile", "linked", "by-hand"} <= found.keys()
    assert found["open-p1"]["scope"] == "platform"
    assert found["open-p1"]["severity"] == "P1"
    assert found["open-p1"]["next_deadline"] > NOW
    assert found["hostile"]["component"] == MARKUP
    assert json.loads(found["hostile"]["data"])["ticket_id"] == MARKUP


def test_an_entry_is_whole_again_as_the_event_that_was_read(read_model: Engine) -> None:
    with read_model.connect() as connection:
        query = select(entry).where(entry.c.subject == "merged").order_by(entry.c.occurred_at, entry.c.type)
        events = [cloud_event(row) for row in connection.execute(query).mappings()]
    assert [event["type"] for event in events if str(event["type"]).startswith("incident.")][:2] == [
        "incident.classified",
        "incident.opened",
    ]
    merged = next(event for event in events if event["type"] == "incident.merged")
    assert merged["data"] == {"into": "open-p1"}
    assert merged["time"] == merged["receivedtime"] == "2026-11-20T11:20:00Z"


def test_a_backfilled_input_keeps_its_own_arrival(empty_read_model: Engine) -> None:
    told = {"backfill": True, "receivedtime": "2026-01-05T00:10:00Z"}
    lines = [{**opened("2026-01-05T00:00:00Z", of="told"), **told}]
    lines.append({**opened("2026-01-06T00:00:00Z", of="untold"), "backfill": True})
    ingest(empty_read_model, replayed(texts(lines), policies(), parse_rfc3339("2026-01-06T01:00:00Z")))
    with empty_read_model.connect() as connection:
        query = select(entry).where(entry.c.type == "incident.opened").order_by(entry.c.occurred_at)
        told_event, untold_event = (cloud_event(row) for row in connection.execute(query).mappings())
    assert (told_event["receivedtime"], told_event["backfill"]) == ("2026-01-05T00:10:00Z", True)
    assert "receivedtime" not in untold_event


def test_the_latest_month_of_each_tenant_is_its_highest_revision(read_model: Engine) -> None:
    with read_model.connect() as connection:
        months = connection.execute(select(tenant_month)).mappings().all()
        issued = connection.execute(select(credit).order_by(credit.c.tenant_id)).mappings().all()
    assert {row["tenant_id"] for row in months} == set(TENANTS)
    assert [(row["tenant_id"], row["month"], row["amount_minor"]) for row in issued] == [
        ("acme", "2026-06", 60_000),
        ("globex", "2026-06", 40_000),
    ]


def test_contracts_maintenance_and_rejects_have_rows(read_model: Engine) -> None:
    with read_model.connect() as connection:
        plans = connection.execute(select(contract.c.tenant_id, contract.c.charge_minor)).all()
        windows = connection.execute(select(maintenance).where(maintenance.c.maintenance_id == "m-3")).mappings().all()
        rejects = connection.execute(select(reject).order_by(reject.c.code)).mappings().all()
    assert sorted(plans)[:2] == [("acme", 100_000), ("acme", 150_000)]
    assert {row["type"]: row["start"] is None for row in windows} == {
        "maintenance.scheduled": False,
        "maintenance.cancelled": True,
    }
    assert [(row["code"], row["subject"]) for row in rejects] == [
        ("four_eyes", "open-p1"),
        ("orphan", "never-opened"),
        ("too_late", "acme"),
        ("too_late", "open-p1"),
    ]
    assert all(row["original"] and row["original_topic"] in {"incident-events", "contract-events"} for row in rejects)


def test_each_clock_has_one_verdict(read_model: Engine) -> None:
    with read_model.connect() as connection:
        late = connection.execute(select(verdict).where(verdict.c.incident_id == "late-p1")).mappings().all()
        annulled = select(func.count()).select_from(verdict).where(verdict.c.incident_id == "annulled")
        assert connection.execute(annulled).scalar() == 0
    assert {(row["metric"], row["instance"]): row["verdict"] for row in late if row["instance"] == 1} == {
        ("response", 1): "breached",
        ("update", 1): "breached",
    }
    assert {row["month"] for row in late} == {"2026-11"}


def test_both_framings_give_the_same_rows(empty_read_model: Engine, tmp_path: Path) -> None:
    """With a schema registry, events of the topics are in Confluent framing."""
    records = replayed(texts([opened("10:00", of="inc", tenants=["acme"])]), policies(), MONDAY + DAY)
    types = [decoded[0] for record in records if not isinstance(decoded := decode(record.value), Rejection)]
    ids = {event_type: number for number, event_type in enumerate(dict.fromkeys(types), 1)}
    codec = Codec()
    codec.use_schema_ids(ids)
    framed = [
        record._replace(value=confluent_head(ids[event_type]) + (record.value or b"")[SINGLE_OBJECT_HEAD:])
        for record, event_type in zip(records, types, strict=True)
    ]
    other = open_engine(f"sqlite:///{tmp_path}/framed.db")
    upgrade(other)
    ingest(empty_read_model, records)
    ingest(other, framed, Applier(codec, "sla"))
    with empty_read_model.connect() as one, other.connect() as two:
        found = dump(one)
        assert found["incident"]
        assert dump(two) == found
    other.dispose()

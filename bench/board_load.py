"""Fills a read model directly with incidents, to measure pages and queries: `python -m bench.board_load URL INCIDENTS`.

Of the incidents 2 % are open (at most 10,000, or as told), with deadlines around `now`; the others ended over the last
400 days. Each has seven entries and two verdicts, four in five concern one of 1,000 tenants; a summary has 16 words.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from random import Random  # noqa: TID251 -- seeded, so that every run has the same load
from time import perf_counter

from sqlalchemy import Engine

from bench.load import COMPONENTS, IMPACTS
from board.ingest.rows import Row
from board.ingest.upserts import upsert
from board.store import tables
from board.store.engine import open_engine, write_transaction
from board.store.events import json_text
from board.store.schema import upgrade
from streams.kafka.partitioner import partition_of
from streams.sla.instants import DAY, HOUR, MINUTE, format_rfc3339, parse_rfc3339
from streams.sla.severity import SEVERITIES

NOW = parse_rfc3339("2026-11-20T12:00:00Z")
PARTITIONS = 8
TENANTS = 1_000
_POLICY = {"name": "scalr-emergency", "version": "1", "digest": "c" * 64}
_WORDS = ("requests", "fail", "with", "errors", "since", "customers", "report", "timeouts", "database", "certificate")
_FACTS = ("opened", "responded", "updated", "updated", "resolved")
_PIECE = 2_000


def fill(
    engine: Engine, incidents: int, *, open_incidents: int | None = None, now: int = NOW, seed: int = 1
) -> Iterator[int]:
    """Fill an empty, migrated database; yields how many incidents there are so far."""
    random = Random(seed)
    open_count = min(incidents // 50, 10_000) if open_incidents is None else open_incidents
    for start in range(0, incidents, _PIECE):
        rows: dict[str, list[Row]] = {
            name: [] for name in ("incident", "incident_tenant", "named_tenant", "entry", "verdict")
        }
        for number in range(start, min(start + _PIECE, incidents)):
            _incident(random, number, number < open_count, now, rows)
        with write_transaction(engine) as connection:
            for name, listed in rows.items():
                upsert(connection, tables.metadata.tables[name], listed, "keep")
        yield min(start + _PIECE, incidents)


def _incident(random: Random, number: int, is_open: bool, now: int, rows: dict[str, list[Row]]) -> None:
    name = f"inc-{number:07}"
    severity = random.choices(SEVERITIES, (10, 25, 40, 25))[0]
    opened = now - (random.randrange(4 * HOUR) if is_open else 4 * HOUR + random.randrange(400 * DAY))
    component, impact = random.choice(COMPONENTS), random.choice(IMPACTS)
    tenants = [f"tenant-{random.randrange(TENANTS)}"] if random.random() < 0.8 else []
    deadline = now + random.randrange(-HOUR, 8 * HOUR) if is_open else None
    summary = " ".join(random.choices(_WORDS, k=16))
    ended = None if is_open else opened + random.randrange(5 * MINUTE, 3 * HOUR)
    title = {"en": f"{severity} {component}: answered", "ja": f"{severity} {component}: 応答しました"}
    data = _state(name, severity, component, impact, tenants, title, summary, opened, ended, deadline)
    partition = partition_of(name, PARTITIONS)
    rows["incident"].append(
        {
            **{key: data[key] for key in ("incident_id", "revision", "status", "severity", "rule", "scope")},
            "waiting": None,
            "covered": True,
            "component": component,
            "impact": impact,
            "title_en": title["en"],
            "title_ja": title["ja"],
            "summary": summary,
            "ticket_id": f"T-{number}",
            "opened_at": opened,
            "started_at": opened,
            "restored_at": ended,
            "ended_at": ended,
            "responded_at": opened + 5 * MINUTE,
            "updated_at": opened + 30 * MINUTE,
            "next_deadline": deadline,
            "next_at": deadline,
            "breached": int(random.random() < 0.05),
            "backfill": False,
            "policy": _POLICY["name"],
            "policy_version": _POLICY["version"],
            "changed_at": ended or opened,
            "partition": partition,
            "offset": number,
            "data": json_text(data),
        }
    )
    for tenant in tenants:
        rows["incident_tenant"].append({"tenant_id": tenant, "incident_id": name})
        rows["named_tenant"].append({"tenant_id": tenant, "kind": "incident", "subject": name})
    _entries(name, number, partition, opened, data, is_open, rows)
    for metric in ("response", "update"):
        rows["verdict"].append(
            {
                "incident_id": name,
                "metric": metric,
                "instance": 1,
                "verdict": "met" if random.random() < 0.95 else "breached",
                "deadline": opened + 2 * HOUR,
                "at": opened + HOUR,
                "month": format_rfc3339(opened + HOUR)[:7],
                "severity": severity,
                "component": component,
                "scope": data["scope"],
                "tenant_ids": json_text(tenants),
                "backfill": False,
                "superseded": None,
            }
        )


def _state(
    name: str,
    severity: str,
    component: str,
    impact: str,
    tenants: list[str],
    title: dict[str, str],
    summary: str,
    opened: int,
    ended: int | None,
    deadline: int | None,
) -> Row:
    clock = {"metric": "update", "instance": 1, "requested": False, "started_at": format_rfc3339(opened)}
    clock |= {"deadline": format_rfc3339(deadline or opened + 2 * HOUR), "deadline_revision": 0, "warn_at": []}
    data: Row = {
        "policy": _POLICY,
        "incident_id": name,
        "revision": 5,
        "status": "open" if ended is None else "resolved",
        "severity": severity,
        "coverage": "covered",
        "rule": "outage",
        "severity_by_hand": False,
        "counts_as_downtime": True,
        "flags": [],
        "scope": "tenants" if tenants else "platform",
        "tenant_ids": tenants,
        "component": component,
        "impact": impact,
        "channel": "monitor",
        "title": title,
        "summary": summary,
        "opened_at": format_rfc3339(opened),
        "started_at": format_rfc3339(opened),
        "responded_at": format_rfc3339(opened + 5 * MINUTE),
        "updated_at": format_rfc3339(opened + 30 * MINUTE),
        "clocks": [clock | {"state": "running" if ended is None else "met"}],
        "clocks_omitted": 0,
    }
    if deadline is not None:
        data["next"] = {"what": "deadline", "metric": "update", "instance": 1, "at": format_rfc3339(deadline)}
        data["next_deadline"] = format_rfc3339(deadline)
    if ended is not None:
        data |= {"restored_at": format_rfc3339(ended), "ended_at": format_rfc3339(ended)}
    return data


def _entries(
    name: str, number: int, partition: int, opened: int, data: Row, is_open: bool, rows: dict[str, list[Row]]
) -> None:
    events = [("incident-events", f"incident.{kind}") for kind in _FACTS[: 4 if is_open else 5]]
    events += [("incidents", "incident.classified"), ("alerts", "sla.met")]
    shown = ("policy", "scope", "tenant_ids", "severity", "component", "title", "summary", "impact")
    named = {name: data[name] for name in shown}
    text = json_text(named)
    fact = json_text({"who": {"kind": "support", "id": "agent-7"}, "visibility": "public", "text": data["summary"]})
    clock = {"metric": "response", "instance": 1, "deadline": format_rfc3339(opened + 2 * HOUR)}
    met = json_text({**named, **clock, "met_at": format_rfc3339(opened + 10 * MINUTE)})
    for step, (topic, kind) in enumerate(events):
        at = opened + step * 10 * MINUTE
        rows["entry"].append(
            {
                "topic": topic,
                "partition": partition,
                "offset": number * 8 + step,
                "subject": name,
                "type": kind,
                "event_id": f"{name}-{step}",
                "source": "/bench/monitor",
                "occurred_at": at,
                "arrived_at": at,
                "received_at": None,
                "backfill": False,
                "data": met
                if kind == "sla.met"
                else text
                if kind in {"incident.opened", "incident.classified"}
                else fact,
            }
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("url")
    options.add_argument("incidents", type=int)
    options.add_argument("--open", type=int, default=None, help="open incidents")
    given = options.parse_args()
    engine = open_engine(given.url)
    upgrade(engine)
    begun = perf_counter()
    for done in fill(engine, given.incidents, open_incidents=given.open):
        print(f"\r{done:,} incidents, {perf_counter() - begun:.0f} s", end="", flush=True)
    print()


if __name__ == "__main__":
    main()

"""What very much evidence costs: platform-wide incidents that are amended thousands of times, without a broker.

    python -m bench.evidence [--incidents 5] [--amendments 2150] [--records 200] [--profile]

Every amendment changes the impact list, so every ledger partition gets a copy of it. The processors of all partitions
run in transactions of at most so many records, as in a worker's tasks. Microseconds of CPU are for one copy; the last
line also has the bytes of copies and changelog rows written for one amendment.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
from collections.abc import Iterator
from functools import partial
from time import process_time
from typing import NamedTuple

from agents.context import Topics
from agents.incidents import IncidentsProcessor
from agents.ledger import LedgerProcessor
from bench.load import Encoded, contracts, encoded
from streams.policy.load import default_policies_dir, load_policies
from streams.runtime.processor import Effects, FinishesTransactions, Processor, Record, Send
from streams.sla.arrival import TimeLimits
from streams.sla.instants import DAY, SECOND
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource

PARTITIONS = 4
TENANTS = 40
TOPICS = Topics("sla", PARTITIONS)
POLICY = "scalr-emergency"
LIMIT_BYTES = 16 * 1024 * 1024
"""Of one transaction, as the runtime has it."""


class Cost(NamedTuple):
    """CPU seconds of both agents, how many copies the ledgers applied, and the bytes of copies and of their rows."""

    incidents_s: float
    ledger_s: float
    copies: int
    copied_bytes: int
    row_bytes: int


def amended(name: str, began: int, times: int) -> Iterator[Encoded]:
    """An outage that is amended again and again, and then resolved."""
    base: dict[str, object] = {"source": "/bench/monitor", "subject": name, "backfill": True}
    four_eyes = {"who": {"kind": "support", "id": "kim"}, "approver": {"kind": "support", "id": "lee"}, "reason": "x"}
    whom: dict[str, object] = {"scope": "platform", "tenant_ids": [], "tier": None}
    opened = {**whom, "component": "api", "impact": "complete_outage", "channel": "monitor", "summary": None}
    facts: list[tuple[str, dict[str, object]]] = [("opened", opened)]
    facts += [("amended", {**four_eyes, "counts_as_downtime": bool(number % 2)}) for number in range(times)]
    facts.append(("resolved", {}))
    for number, (kind, data) in enumerate(facts):
        at = began + number * SECOND
        yield encoded(
            f"incident.{kind}", {**base, "event_id": f"{name}-{number}", "occurred_at": at, **data}, PARTITIONS
        )


def transactions(processor: Processor, records: list[Record], limit: int) -> Iterator[Effects]:
    """The effects of each transaction of at most `limit` records."""
    effects, applied = Effects(), 0
    for record in records:
        processor.apply(record, effects)
        applied += 1
        if applied == limit or effects.bytes >= LIMIT_BYTES or record is records[-1]:
            while processor.fire(record.arrival + 1, 1, effects):  # queued rechecks
                pass
            while isinstance(processor, FinishesTransactions) and not processor.finish(effects, 8):
                pass
            yield effects
            effects, applied = Effects(), 0


def measure(policies: Policies, incidents: int, amendments: int, limit: int) -> Cost:
    """One run."""
    clock = SystemTimeSource()
    now = clock.now() // 1000 * 1000
    began = now - 40 * DAY
    ledgers = [
        LedgerProcessor(number, TOPICS, policies, TimeLimits(), clock=SystemTimeSource())
        for number in range(PARTITIONS)
    ]
    terms_of_all = contracts(TENANTS, began, PARTITIONS, since=10 * DAY, backfill=True)
    for offset, (_, partition, key, value, headers) in enumerate(terms_of_all):
        terms = Record(TOPICS.name("contract-events"), partition, offset, now, key, value, tuple(headers))
        ledgers[partition].apply(terms, Effects())
    inputs: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for number in range(incidents):
        for _, partition, key, value, headers in amended(f"amended-{number}", began, amendments):
            topic, offset = TOPICS.name("incident-events"), len(inputs[partition])
            inputs[partition].append(Record(topic, partition, offset, now, key, value, tuple(headers)))
    gc.collect()
    gc.freeze()
    copies: list[list[Send]] = [[] for _ in range(PARTITIONS)]
    started = process_time()
    for number, records in enumerate(inputs):
        processor = IncidentsProcessor(number, TOPICS, policies, TimeLimits(), clock=clock, mark_every=10 * SECOND)
        for effects in transactions(processor, records, limit):
            for send in effects.sends:
                if send.topic == TOPICS.internal("ledger"):
                    copies[send.partition].append(send)
    incidents_s = process_time() - started
    row_bytes = 0
    started = process_time()
    for ledger, sends in zip(ledgers, copies, strict=True):
        arrived = [
            Record(send.topic, send.partition, offset, now, send.key, send.value, tuple(send.headers))
            for offset, send in enumerate(sends)
        ]
        for effects in transactions(ledger, arrived, limit):
            row_bytes += sum(len(value or b"") for value in effects.rows.values())
    ledger_s = process_time() - started
    gc.unfreeze()
    sent = [send for sends in copies for send in sends]
    return Cost(incidents_s, ledger_s, len(sent), sum(len(send.value or b"") for send in sent), row_bytes)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="bench.evidence", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--incidents", type=int, default=5, metavar="N")
    parser.add_argument("--amendments", type=int, default=2_150, metavar="N", help="of each incident")
    parser.add_argument("--records", type=int, default=200, metavar="N", help="in one transaction")
    parser.add_argument("--profile", action="store_true", help="also print where the time goes")
    options = parser.parse_args()
    policies = Policies.of(load_policies(default_policies_dir()), POLICY)
    run = partial(measure, policies, options.incidents, options.amendments, options.records)
    if options.profile:
        profiler = cProfile.Profile()
        found = profiler.runcall(run)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    else:
        found = run()
    facts = options.incidents * (options.amendments + 2)
    print(f"incidents agent {found.incidents_s * 1e6 / facts:7.0f} us an event {found.incidents_s:6.1f} s")
    print(f"ledger agent    {found.ledger_s * 1e6 / max(found.copies, 1):7.0f} us a copy  {found.ledger_s:6.1f} s")
    print(
        f"{found.copies:,} copies: {found.copied_bytes / facts / 1024:,.1f} KiB of copies and "
        f"{found.row_bytes / facts / 1024:,.1f} KiB of their rows an event"
    )


if __name__ == "__main__":
    main()

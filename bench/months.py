"""The cost of one input of a tenant after so many months with statements. It must not grow with the past (R24–R26).

    python -m bench.months [--months 1 12 60 240] [--inputs 200]

It measures one partition's `Ledger` without a broker and without encoding. It prints the median microseconds per
input, and the ratio to the shortest past.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median
from time import perf_counter

from streams.policy.load import default_policies_dir, load_policies
from streams.sla.arrival import TimeLimits
from streams.sla.credits.ledger import Ledger
from streams.sla.events import ContractSet, CreditClaimed, Event, MaintenanceScheduled, Money, Payload, Position
from streams.sla.impact import Impact, ImpactCopy
from streams.sla.instants import DAY, HOUR, MINUTE, parse_rfc3339
from streams.sla.policy import Policies

START = parse_rfc3339("2000-01-01T00:00:00Z")
PLACE = Position("t", 0, 0)


class Tenant:
    """A ledger with one tenant; each past month has one hour of outage and a final statement."""

    def __init__(self, policies: Policies, months: int) -> None:
        self._ledger = Ledger(policies, TimeLimits())
        self._ids = (f"e{n}" for n in count())
        self.now = START
        self.contract(1)
        for month in range(months):
            self.now = START + month * 30 * DAY + DAY
            self.outage(self.now - HOUR, self.now)
        self.now += 40 * DAY
        self._pass_time()

    def _pass_time(self) -> None:
        while self._ledger.fire(self.now) is not None:
            pass

    def _apply(self, kind: str, subject: str, payload: Payload) -> None:
        name = next(self._ids)
        event = Event(name, "/bench", kind, subject, self.now, payload, False, None, None, name.encode())
        self._ledger.apply(event, self.now, PLACE)
        self._pass_time()

    def contract(self, charge: int) -> None:
        terms = ContractSet(self.now, None, "scalr-emergency", Money(charge, "EUR"), None, "Europe/Berlin", True)
        self._apply("contract.set", "acme", terms)

    def outage(self, start: int, end: int) -> None:
        impact = Impact("api", "complete_outage", start, end, None, "tenants", ("acme",))
        self._ledger.apply_impacts(ImpactCopy(next(self._ids), 1, (impact,), (PLACE,)), self.now, backfill=False)
        self._pass_time()

    def maintenance(self) -> None:
        window = MaintenanceScheduled("tenants", ("acme",), ("api",), self.now + HOUR, self.now + 2 * HOUR, self.now)
        self._apply("maintenance.scheduled", next(self._ids), window)

    def claim(self) -> None:
        self._apply("credit.claimed", "acme", CreditClaimed("2100-01"))


def inputs(tenant: Tenant) -> Iterator[tuple[str, Callable[[], None]]]:
    yield "contract", lambda: tenant.contract(2)
    yield "outage now", lambda: tenant.outage(tenant.now - MINUTE, tenant.now)
    yield "outage of a month ago", lambda: tenant.outage(tenant.now - 31 * DAY, tenant.now - 30 * DAY)
    yield "maintenance", tenant.maintenance
    yield "claim", tenant.claim


def microseconds(policies: Policies, months: int, rounds: int) -> dict[str, float]:
    """The median cost of each kind of input in microseconds; each round starts a minute after the one before."""
    durations: dict[str, list[float]] = {}
    tenant = Tenant(policies, months)
    for _ in range(rounds):
        for name, fire in inputs(tenant):
            tenant.now += MINUTE
            started = perf_counter()
            fire()
            durations.setdefault(name, []).append(perf_counter() - started)
    return {name: median(each) * 1e6 for name, each in durations.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--months", type=int, nargs="+", default=[1, 12, 60, 240])
    parser.add_argument("--inputs", type=int, default=200)
    options = parser.parse_args()
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    costs = {months: microseconds(policies, months, options.inputs) for months in options.months}
    first = costs[options.months[0]]
    print(f"{'months':>24}" + "".join(f"{months:>16}" for months in options.months))
    for name in first:
        cells = (f"{costs[m][name]:8.0f} µs {costs[m][name] / first[name]:4.2f}" for m in options.months)
        print(f"{name:>24}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()

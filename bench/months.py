"""What an input of a tenant costs the ledger after so many months with statements: it must not grow (R24–R26).

    python -m bench.months [--months 1 12 60 240] [--inputs 200]

One partition's `Ledger`, no broker and no encoding. Prints the median microseconds per input, and the ratio to the
shortest past.
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
    """A ledger with one tenant whose months, each with an hour of outage, have all been stated."""

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
    """The median cost of each kind of input; each round starts a minute later."""
    spent: dict[str, list[float]] = {}
    tenant = Tenant(policies, months)
    for _ in range(rounds):
        for name, fire in inputs(tenant):
            tenant.now += MINUTE
            started = perf_counter()
            fire()
            spent.setdefault(name, []).append(perf_counter() - started)
    return {name: median(each) * 1e6 for name, each in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--months", type=int, nargs="+", default=[1, 12, 60, 240])
    parser.add_argument("--inputs", type=int, default=200)
    given = parser.parse_args()
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    found = {months: microseconds(policies, months, given.inputs) for months in given.months}
    first = found[given.months[0]]
    print(f"{'months':>24}" + "".join(f"{months:>16}" for months in given.months))
    for name in first:
        cells = (f"{found[m][name]:8.0f} µs {found[m][name] / first[name]:4.2f}" for m in given.months)
        print(f"{name:>24}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()

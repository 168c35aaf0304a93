"""What a late fact costs: one event of an incident by the incident's size, beside a plain fold of the same incident.

    python -m bench.late [--rounds 15] [--sizes 10 100 500 2000]

The pure core through `IncidentStore`, no broker and no encoding. Each round takes a fresh P1 incident with an update
every 40 minutes and other facts between, lets one event arrive, and then folds the incident from the start. CPU time,
so that neighbours on the machine count little; the garbage collector rests meanwhile.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from time import process_time

from streams.policy.load import default_policies_dir, load_policies
from streams.sla import events as ev
from streams.sla.arrival import TimeLimits
from streams.sla.decisions import Duplicate
from streams.sla.incidents.fold import FoldContext, fold
from streams.sla.incidents.incident_store import IncidentStore
from streams.sla.incidents.steps import Applied, outputs_of
from streams.sla.instants import MINUTE, parse_rfc3339
from streams.sla.policy import Policies

START = parse_rfc3339("2026-03-02T00:00:00Z")
STEP = 10 * MINUTE
SUPPORT, CUSTOMER = ev.Who("support", "agent-7"), ev.Who("customer", "cho")
PUBLIC_UPDATE, CUSTOMER_UPDATE = ev.Updated(SUPPORT, "public"), ev.Updated(CUSTOMER, "public")
OPENED = ev.Opened("tenants", ("acme",), "api", "complete_outage", None, "monitor", None)

Arriving = Callable[[str, int], ev.Event]
"""From an incident's id and the instant of its newest fact to the event that is measured."""


class NoContracts:
    """The contract terms of a store that has none."""

    def at(self, tenant: str, instant: int) -> None:
        return None


def event(incident: str, name: str, time: int, kind: str, payload: ev.Payload) -> ev.Event:
    return ev.Event(name, "/bench", kind, incident, time, payload, False, None, None, name.encode())


def history(incident: str, facts: int) -> Iterator[ev.Event]:
    """An opening, and a fact every ten minutes: each fourth tells the customer something, so no window breaches."""
    yield event(incident, "open", START, "incident.opened", OPENED)
    between: list[tuple[str, ev.Payload]] = [
        ("incident.updated", PUBLIC_UPDATE),
        ("incident.linked", ev.Linked("T-1", None)),
        ("incident.updated", CUSTOMER_UPDATE),
        ("incident.update_requested", ev.UpdateRequested(CUSTOMER)),
    ]
    for number in range(1, facts):
        yield event(incident, f"fact-{number}", START + number * STEP, *between[number % 4])


CASES: dict[str, Arriving] = {
    "newest": lambda of, last: event(of, "new", last + STEP, "incident.updated", PUBLIC_UPDATE),
    "repeated": lambda of, last: event(of, f"fact-{(last - START) // STEP}", last, "incident.updated", PUBLIC_UPDATE),
    "one place late": lambda of, last: event(of, "new", last - 1, "incident.updated", CUSTOMER_UPDATE),
    "at the beginning": lambda of, _: event(of, "new", START + MINUTE, "incident.updated", CUSTOMER_UPDATE),
    "every window moves": lambda of, _: event(of, "new", START + MINUTE, "incident.updated", PUBLIC_UPDATE),
}


def measure(policies: Policies, arriving: Arriving, facts: int, rounds: int) -> list[tuple[float, float, int]]:
    """Per round: seconds for the event, seconds for the fold of its incident, outputs of the event."""
    found = []
    for number in range(rounds):
        store = IncidentStore(policies, TimeLimits())
        incident = f"incident-{number}"
        for offset, each in enumerate(history(incident, facts - 1)):
            store.apply(each, each.time, ev.Position("bench", 0, offset))
        last = START + (facts - 2) * STEP
        late = arriving(incident, last)
        arrival, position = last + STEP, ev.Position("bench", 0, facts)
        started = process_time()
        decision = store.apply(late, arrival, position)
        took = process_time() - started
        assert isinstance(decision, Applied | Duplicate), decision
        known = store._state.cache.known(incident).timeline.facts
        started = process_time()
        fold(known, FoldContext(policies, NoContracts()))
        found.append((took, process_time() - started, len(outputs_of(decision))))
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 500, 2000])
    options = parser.parse_args()
    policies = Policies.of(load_policies(default_policies_dir()), "scalr-emergency")
    measure(policies, CASES["newest"], 100, 3)  # warm
    gc.disable()
    print(f"median of {options.rounds} rounds; `folds` is the event beside a plain fold of its incident, same round")
    print(f"{'event':<20}{'facts':>7}{'µs':>9}{'fold µs':>9}{'folds':>7}{'quartiles':>14}{'outputs':>9}")
    for name, arriving in CASES.items():
        for facts in options.sizes:
            found = measure(policies, arriving, facts, options.rounds)
            gc.collect()
            low, middle, high = quantiles([took / plain for took, plain, _ in found], n=4)
            took, plain = median(t for t, _, _ in found) * 1e6, median(p for _, p, _ in found) * 1e6
            spread = f"{low:.2f} to {high:.2f}"
            print(f"{name:<20}{facts:>7,}{took:>9,.0f}{plain:>9,.0f}{middle:>7.2f}{spread:>14}{found[0][2]:>9,}")


if __name__ == "__main__":
    main()

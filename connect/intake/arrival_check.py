"""Events that every worker would reject for their instants, whenever they arrive (R5), are rejected here, where the
sender sees it."""

from __future__ import annotations

from typing import NamedTuple

from streams.serde.input_checks import untimely, untimely_instants
from streams.sla.arrival import TimeLimits
from streams.sla.events import Event, Rejection


class Arrival(NamedTuple):
    """When a request arrived (microseconds since 1970), and the limits of the workers."""

    at: int
    limits: TimeLimits

    def rejects(self, event: Event) -> Rejection | None:
        """Why an event is rejected; None where only its own time may be too late. That is left to the workers: a sender
        may repeat what it told in time, as an alert that has fired for two months, and it counts once."""
        found = untimely(event, self.at, self.limits)
        if found is None or found.code != "too_late":
            return found
        return untimely_instants(event, self.limits)

"""Events from the future, which every worker would reject (R5), are rejected here, where the sender sees it."""

from __future__ import annotations

from typing import NamedTuple

from streams.serde.input_checks import untimely
from streams.sla.arrival import TimeLimits
from streams.sla.events import Event, Rejection


class Arrival(NamedTuple):
    """When a request arrived (microseconds since 1970), and the limits of the workers."""

    at: int
    limits: TimeLimits

    def rejects(self, event: Event) -> Rejection | None:
        """Why an event is rejected; None where it is not from the future. What is too late is left to the workers: a
        sender may repeat what it told in time, as an alert that has fired for two months, and it counts once."""
        found = untimely(event, self.at, self.limits)
        return found if found is not None and found.code == "future" else None

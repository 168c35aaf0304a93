"""Events that every worker would reject for their instants, whenever they arrive (R5), are rejected here, where the
sender sees it."""

from __future__ import annotations

from typing import NamedTuple

from streams.serde.input_checks import untimely, untimely_instants
from streams.sla.arrival import TimeLimits
from streams.sla.events import Event, Rejection

_IN_KAFKA = "; it is in Kafka, where the workers reject it"


class Arrival(NamedTuple):
    """When a request arrived (microseconds since 1970), and the limits of the workers. None where the time of Kafka is
    not known: then only instants that are wrong whenever the event arrives are a reason."""

    at: int | None
    limits: TimeLimits

    def rejects(self, event: Event) -> Rejection | None:
        """Why an event is rejected; None where only its own time may be too late. That is left to the workers: a sender
        may repeat what it told in time, as an alert that has fired for two months, and it counts once."""
        found = None if self.at is None else untimely(event, self.at, self.limits)
        if found is not None and found.code != "too_late":
            return found
        return untimely_instants(event, self.limits)

    def rejected_by_workers(self, event: Event) -> Rejection | None:
        """Why workers reject an event that Kafka has taken at this instant."""
        found = self.rejects(event)
        return None if found is None else found._replace(message=found.message + _IN_KAFKA)

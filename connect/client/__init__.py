"""The client for other services: publish incidents and contract facts, consume what follows (docs/client.md).

    with IncidentPublisher("kafka:9092", "/monitors/eu") as publisher:
        delivery = publisher.responded("inc-43", who=Who("support", "kim"))
        delivery.result(timeout=30)  # acknowledged by all replicas

    with consume_alerts("kafka:9092", group="on-call") as alerts:
        for alert in alerts:
            page(alert.type, alert.data["severity"], alert.subject)  # committed when the loop comes back

**Ids.** An event counts once by its source and id. Whoever may send one twice, after a failed acknowledgement or a
crash of its own, gives the same id *and the same time* again: the same id with other content is rejected as `conflict`.
So keep the event (`Delivery.event`, `DeliveryFailed.events`) and give it to `publish`, or derive id and time from what
happened.
"""

from connect.client.consume import consume_alerts, consume_credits, consume_states
from connect.client.contracts import ContractPublisher
from connect.client.delivery import Delivery
from connect.client.errors import (
    BrokerUnavailable,
    ClientError,
    DeliveryFailed,
    InvalidEvent,
    UndecodableRecord,
)
from connect.client.incidents import IncidentPublisher
from connect.client.outgoing import Instant
from connect.client.received import ReceivedEvent
from connect.client.states import IncidentStates
from connect.client.subscription import Subscription
from streams.errors import RegistryRefused, RegistryUnavailable
from streams.schema_registry.client import SchemaRegistry
from streams.sla.events import Money, Position, Who

__all__ = [
    "BrokerUnavailable",
    "ClientError",
    "ContractPublisher",
    "Delivery",
    "DeliveryFailed",
    "IncidentPublisher",
    "IncidentStates",
    "Instant",
    "InvalidEvent",
    "Money",
    "Position",
    "ReceivedEvent",
    "RegistryRefused",
    "RegistryUnavailable",
    "SchemaRegistry",
    "Subscription",
    "UndecodableRecord",
    "Who",
    "consume_alerts",
    "consume_credits",
    "consume_states",
]

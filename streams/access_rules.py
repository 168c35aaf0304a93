"""The one table of access to Kafka: `sla topics acls`, the KafkaUser manifests and their tests read it from here.

A role is a kind of process or service. Its grants are the least with which it works; what is not granted is denied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from streams.internal_topics import LEGACY, internal_topic

Resource = Literal["topic", "group", "transactional-id", "cluster"]
#: Operations by Kafka's names, as kafka-acls.sh and Strimzi write them. Read, Write, Delete and Alter imply Describe.
Operation = Literal["Read", "Write", "Create", "Delete", "Alter", "Describe", "DescribeConfigs", "AlterConfigs"]

CLUSTER = "kafka-cluster"


@dataclass(frozen=True, slots=True)
class Grant:
    """Operations allowed on one resource, or on all whose names start with `name`."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    prefixed: bool = False


@dataclass(frozen=True, slots=True)
class _Role:
    about: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    purge: tuple[str, ...] = ()
    """Topics of which it deletes records that are no longer needed."""
    checked: tuple[str, ...] = ()
    """Topics whose cleanup policy it looks at, so that it is not ready with one that loses records."""
    own_groups: str | None = None
    """First part of the names of the consumer groups that it joins."""


_INPUTS = ("incident-events", "contract-events")
_DECIDED = ("incidents", "alerts", "impacts", "incident-state")
_INTERNAL = (internal_topic("incidents"), internal_topic("ledger"))
_CHANGELOGS = ("incidents-changelog", "ledger-changelog")
_AGENTS = ("incidents", "ledger")

_ROLES: Mapping[str, _Role] = {
    "publisher": _Role("monitors and ticket systems that publish incidents", write=("incident-events",)),
    "worker": _Role(
        "sla worker",
        read=(*_INPUTS, *_INTERNAL, LEGACY, *_CHANGELOGS),
        write=(*_DECIDED, *_INTERNAL, "credits", "tenant-months", "rejected", *_CHANGELOGS),
        purge=_INTERNAL,
        checked=(*_INPUTS, *_INTERNAL, *_CHANGELOGS, *_DECIDED, "credits", "tenant-months", "rejected"),
    ),
    "intake": _Role(
        "sla intake",
        read=("heartbeats",),
        write=(*_INPUTS, "rejected", "heartbeats"),
        checked=(*_INPUTS, "rejected", "heartbeats"),
    ),
    "notifier": _Role(
        "sla notify",
        read=("alerts", "incidents", "notifications"),
        write=("notifications",),
        checked=("alerts", "incidents", "notifications"),
        own_groups="{prefix}-notify-",
    ),
    "billing": _Role(
        "the service that books credits and publishes contract terms",
        read=("credits", "tenant-months"),
        write=("contract-events",),
        own_groups="billing",
    ),
    "on-call": _Role(
        "on-call tooling that reads alerts and states",
        read=("alerts", "incidents", "incident-state"),
        own_groups="on-call",
    ),
    "board": _Role(
        "sla board: reads what it shows, publishes what people do",
        read=(
            *(*_INPUTS, "incidents", "alerts", "incident-state", "credits", "rejected", "notifications", "audit"),
            *(*_INTERNAL, *_CHANGELOGS),
        ),
        write=(*_INPUTS, "audit"),
        checked=(*_INPUTS, "incidents", "alerts", "incident-state", "credits", "rejected", "notifications", "audit"),
    ),
}
_OPERATOR = "operator"

#: The roles, each with what it is.
ROLES: Mapping[str, str] = {
    **{name: role.about for name, role in _ROLES.items()},
    _OPERATOR: "people and jobs with the command line: creates topics, reads everything, publishes, retries",
}


def grants(role: str, prefix: str, app_id: str) -> list[Grant]:
    """What a role needs in the deployment with that topic prefix and app id. Raises KeyError for an unknown role."""
    if role == _OPERATOR:
        return _operator(prefix, app_id)
    needs = _ROLES[role]
    topics: dict[str, list[Operation]] = {}
    for operation, names in (
        ("Read", needs.read),
        ("Write", needs.write),
        ("Delete", needs.purge),
        ("DescribeConfigs", needs.checked),
    ):
        for name in names:
            topics.setdefault(name, []).append(operation)  # type: ignore[arg-type]
    found = [Grant("topic", f"{prefix}.{name}", tuple(operations)) for name, operations in topics.items()]
    if needs.own_groups is not None:
        found.append(Grant("group", needs.own_groups.format(prefix=prefix), ("Read",), prefixed=True))
    if role == "worker":
        # Not the prefix of the app id: the notifier's groups may start with it.
        found += [Grant("group", name, ("Read",)) for name in _worker_groups(app_id)]
        found += [
            Grant("transactional-id", f"{app_id}-{agent}-", ("Write", "Describe"), prefixed=True) for agent in _AGENTS
        ]
    if role == "board":
        found += [Grant("group", name, ("Describe",)) for name in _worker_groups(app_id)]
    return found


def _operator(prefix: str, app_id: str) -> list[Grant]:
    everything: tuple[Operation, ...] = ("Read", "Create", "Alter", "Describe", "DescribeConfigs", "AlterConfigs")
    written = (*_INPUTS, "notifications")
    return [
        Grant("topic", f"{prefix}.", everything, prefixed=True),
        *(Grant("topic", f"{prefix}.{name}", ("Write",)) for name in written),
        *(Grant("group", name, ("Describe",)) for name in _worker_groups(app_id)),
        Grant("cluster", CLUSTER, ("Describe",)),
    ]


def _worker_groups(app_id: str) -> tuple[str, ...]:
    """Faust's group, and those whose offsets the agents' transactions commit."""
    return (app_id, *(f"{app_id}-{agent}" for agent in _AGENTS))

"""The subjects of our events in a schema registry (TopicRecordName): registers or checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from schemas import registry as schema_files
from streams.errors import RegistryRefused
from streams.schema_registry.client import RegistryClient, SchemaRegistry
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK
from streams.topics import TOPIC_OF

#: What other services publish.
INPUT_TYPES = (*INCIDENT_RANK, *sorted(CONTRACT_TYPES))


def subject_of(event_type: str, prefix: str) -> str:
    """TopicRecordName: the topic, a dash, the full name of the record. Each event of a topic evolves for itself."""
    return f"{prefix}.{TOPIC_OF[event_type]}-{schema_files.load().latest[event_type].full_name}"


def register_subjects(
    client: RegistryClient,
    access: SchemaRegistry,
    prefix: str,
    event_types: Iterable[str] = tuple(TOPIC_OF),
    *,
    keep_going: Callable[[], bool] = lambda: True,
) -> dict[str, int]:
    """The schema ids of the events' subjects, each registered and with the requested compatibility; where registering
    is not allowed, both must be the case already.

    Raises RegistryRefused when a subject differs, RegistryUnavailable when the registry does not answer; what was
    registered until then remains and is found the next time. `keep_going` is asked before each subject.
    """
    ids: dict[str, int] = {}
    for event_type in event_types:
        if not keep_going():
            break
        subject = subject_of(event_type, prefix)
        _check_compatibility(client, access, subject)
        ids[event_type] = _id(client, access, subject, event_type)
    return ids


def _check_compatibility(client: RegistryClient, access: SchemaRegistry, subject: str) -> None:
    """A new subject gets its compatibility before its first schema, so no schema is ever unprotected."""
    wanted = access.compatibility
    found = client.compatibility(subject)
    if found is None and access.register:
        client.set_compatibility(subject, wanted)
        return
    if found is None:
        found = client.compatibility(subject, inherited=True)
    if found != wanted:
        raise RegistryRefused(
            f"subject {subject} at {access.url} has compatibility {found or 'unset'}, this deployment asks for "
            f"{wanted}: set the subject's, or SLA_SCHEMA_REGISTRY_COMPATIBILITY, to the value that both should have"
        )


def _id(client: RegistryClient, access: SchemaRegistry, subject: str, event_type: str) -> int:
    definition = schema_files.load().latest[event_type].definition
    found = client.find(subject, definition)
    if found is not None:
        return found
    if not access.register:
        raise RegistryRefused(
            f"subject {subject} at {access.url} does not have this release's schema of {event_type}; register it, or "
            "let this deployment do so with SLA_SCHEMA_REGISTRY_REGISTER=true"
        )
    try:
        return client.register(subject, definition)
    except RegistryRefused:
        found = client.find(subject, definition)  # another process may have registered it first
        if found is None:
            raise
        return found

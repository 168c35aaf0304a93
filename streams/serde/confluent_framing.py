"""Confluent framing: replaces the single-object header with the id of the same schema in a registry. Only events in
public topics are framed this way. State and copies between agents must be readable without a registry.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas import registry as schema_files
from streams.serde.codec import SINGLE_OBJECT, SINGLE_OBJECT_HEAD, confluent_head


class Framing:
    """Frames values by the schema ids that it was given (event type → id); without any it leaves them as they are."""

    def __init__(self, ids: Mapping[str, int] | None = None) -> None:
        self._heads: dict[bytes, bytes] = {}
        self.use(ids or {})

    def use(self, ids: Mapping[str, int]) -> None:
        """Frame these types from now on."""
        latest = schema_files.load().latest
        self._heads = {
            SINGLE_OBJECT + latest[event_type].fingerprint: confluent_head(schema_id)
            for event_type, schema_id in ids.items()
        }

    def __call__(self, value: bytes) -> bytes:
        """The framed value; unchanged for a type without schema id."""
        if not self._heads:
            return value
        head = self._heads.get(value[:SINGLE_OBJECT_HEAD])
        return value if head is None else head + value[SINGLE_OBJECT_HEAD:]

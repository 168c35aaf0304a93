"""Events in Confluent framing: what the codec wrote, its head replaced by the id of the same schema in a registry.

Events go to topics so; state never does, nor what agents copy to one another: both must be readable without a registry.
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
        """The value as it goes to a topic; itself where nothing is to be done."""
        if not self._heads:
            return value
        head = self._heads.get(value[:SINGLE_OBJECT_HEAD])
        return value if head is None else head + value[SINGLE_OBJECT_HEAD:]

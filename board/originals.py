"""The original of a reject, decoded where it is an event."""

from __future__ import annotations

from collections.abc import Mapping

from streams.errors import RegistryUnavailable
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import Codec
from streams.sla.events import Rejection


def decoded_original(codec: Codec, original: bytes | None) -> Mapping[str, object] | None:
    """The CloudEvents object of an original's value; None where it is not an event, or the schema registry is
    unavailable."""
    if original is None:
        return None
    try:
        found = codec.decode(original, len(original))
    except RegistryUnavailable:
        return None
    return None if isinstance(found, Rejection) or found[0].startswith("state.") else to_json(*found)

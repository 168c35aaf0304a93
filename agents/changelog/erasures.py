"""Erased tenants in the changelog (R29): tenants known by pseudonym alone, and redacted inputs."""

from __future__ import annotations

from typing import cast

from agents.changelog.input_rows import InputRows, row_key
from streams.errors import PseudonymKeyChanged
from streams.runtime.processor import Effects, Record
from streams.serde.codec import Codec, Fields
from streams.sla.erasure import Erasure, Erasures
from streams.sla.events import Event, Position
from streams.sla.redaction import redacted_record

KIND = "@erased"


def put_erased(codec: Codec, erasures: Erasures, erasure: Erasure, effects: Effects) -> None:
    """Write the row of a tenant that was just erased."""
    fields = {
        "pseudonym": erasure.pseudonym,
        "home": erasures.home(erasure.pseudonym),
        "key_check": erasures.key_check,
        "arrival": erasure.arrival,
        "time": erasure.time,
        "source": erasure.source,
        "event_id": erasure.id,
    }
    effects.put(row_key(KIND, erasure.pseudonym), codec.encode("state.erased", fields))


def restore_erased(row: Fields, erasures: Erasures) -> Erasure:
    """Restore an erased tenant. Raises PseudonymKeyChanged when this deployment's key is not the one that the row was
    written with."""
    if row["key_check"] != erasures.key_check:
        raise PseudonymKeyChanged(
            "tenants have been erased with another SLA_PSEUDONYM_KEY than this worker's: with this one their names "
            "would reappear; set the key that was used then"
        )
    pseudonym = str(row["pseudonym"])
    erasures.add(pseudonym, cast(int, row["home"]))
    time, arrival = cast(int, row["time"]), cast(int, row["arrival"])
    return Erasure(pseudonym, str(row["source"]), str(row["event_id"]), time, arrival)


def redacted_input(rows: InputRows, event: Event, arrival: int, position: Position) -> Record:
    """A redacted input: only what decisions need, at the position of the original (R29)."""
    value = rows.codec.encode(event.type, redacted_record(event))
    return Record(*position, arrival, event.subject.encode(), value, [])

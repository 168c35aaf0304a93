"""Rejected inputs and quarantined subjects of one partition of one agent (R27)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from agents.changelog.input_rows import row_key
from agents.context import AgentContext
from agents.reject_log import RejectLog
from streams.internal_topics import LEGACY, unwrap
from streams.kafka.partitioner import partition_of
from streams.log_damper import CrashLog
from streams.runtime.dead_letter import rejected
from streams.runtime.processor import Effects, Record
from streams.sla.events import Position, Rejection

#: Row kind of a quarantined subject, in both agents' changelogs.
QUARANTINE = "q"
_MAX_KEY_BYTES = 1024
"""A longer key is not a subject, and hashing it would be slow."""


class RejectWriter:
    """Writes inputs that can't be applied to the rejected topic, in the transaction of their offset."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._internal = {context.topics.internal(context.agent), context.topics.name(LEGACY)}
        self._log = RejectLog(context.agent, context.partition)
        self._crashes = CrashLog(structlog.get_logger(__name__), "last_input_unknown")

    def reject(
        self,
        record: Record,
        rejection: Rejection,
        effects: Effects,
        attempts: int = 1,
        *,
        known: Mapping[str, str] | None = None,
        counts: bool = True,
    ) -> None:
        """Send the original record to the rejected topic. `known` has further fields of the log event; `counts` says
        that it is one of the latest inputs, whose share of rejects tells a wrong deployment."""
        context = self._context
        context.count.rejected(rejection.code)
        if counts:
            context.reject_share.rejected(rejection.code)
        self._log.rejected(record, rejection, known or {})
        key = "" if record.key is None or len(record.key) > _MAX_KEY_BYTES else record.key.decode(errors="replace")
        partition = partition_of(key, context.topics.partitions) if key else context.partition
        topic = context.topics.name("rejected")
        effects.send(rejected(record, rejection.code, rejection.message, topic, partition, attempts))

    def reject_internal(self, record: Record, rejection: Rejection, effects: Effects, attempts: int) -> None:
        """Reject a record whose processing raised an exception: a forwarded record as its original, any other
        unchanged."""
        routed = unwrap(record) if record.topic in self._internal else None
        original = routed.record if routed is not None and routed.forwarded else record
        self.reject(original, rejection, effects, attempts)

    def reject_stored(
        self, subject: str, position: Position, arrival: int, rejection: Rejection, effects: Effects
    ) -> None:
        """Reject an input that was accepted before. The reject has its coordinates and no value, of which the state
        has no texts and persons."""
        record = Record(*position, arrival, subject.encode(), None, [])
        self.reject(record, rejection, effects, counts=False)

    def write_quarantine(
        self,
        subject: str,
        last_input: Callable[[str], Position | None],
        message: str,
        effects: Effects,
        attempts: int,
    ) -> None:
        """Store that a subject is quarantined, and write one reject that names the position of its last input, where it
        can be found. The reject has no value, because that input is not at fault."""
        context = self._context
        row = context.codec.encode("state.quarantine", {"subject": subject, "message": message})
        effects.put(row_key(QUARANTINE, subject), row)
        try:
            found = last_input(subject)
        except MemoryError:
            raise
        except Exception as error:  # what crashed may be reading its rows: it costs this subject, and halts nothing
            found = None
            self._crashes.caught(error, partition=context.partition, subject=subject)
        topic, partition, offset = found or Position(f"{context.topics.prefix}.{context.agent}", context.partition, -1)
        record = Record(topic, partition, offset, 0, subject.encode(), None, [])
        self.reject(record, Rejection("internal", f"quarantined: {message}"), effects, attempts)

    @staticmethod
    def release(subject: str, effects: Effects) -> None:
        """Delete a subject's quarantine, which a new input ends."""
        effects.put(row_key(QUARANTINE, subject), None)

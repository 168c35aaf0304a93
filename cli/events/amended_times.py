"""Whether incidents that `sla publish` amends end before they begin, by what the workers made of it (R21)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

from cli.support.console import safe
from cli.support.progress import shown
from streams.sla.events import Amended, Event, Rejection
from streams.sla.instants import format_rfc3339

if TYPE_CHECKING:
    from connect.kafka_io.reader import TopicRecord
    from streams.serde.codec import Decode
    from streams.settings import Settings

#: Two people decide each amendment, so a file has few.
_MOST = 10_000


class AmendedTimes:
    """The incidents whose times a file amends, each with the last line that does."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}
        self._times: dict[str, dict[str, int]] = {}
        self._left_out = 0

    def add(self, number: int, event: Event) -> None:
        """Note an event, which does not contradict itself: that is refused."""
        amended = event.payload
        if not isinstance(amended, Amended) or (amended.started_at is None and amended.restored_at is None):
            return
        if event.subject in self._lines or len(self._lines) < _MOST:
            self._lines[event.subject] = number
            given = {"started_at": amended.started_at, "restored_at": amended.restored_at}
            stated = {name: at for name, at in given.items() if at is not None}
            self._times[event.subject] = self._times.get(event.subject, {}) | stated
        else:
            self._left_out += 1

    def __bool__(self) -> bool:
        return bool(self._lines)

    def in_states(self, settings: Settings, *, applied: bool = True) -> Iterator[str]:
        """A warning for each incident that now ends before it begins, by the states that the workers published in the
        transactions in which they read the amendments. Where these are not `applied` for certain, the amended times
        stand for those of the states. Raises BrokerProblem."""
        from connect.kafka_io.reader import read_topics
        from streams.schema_registry.schema_source import reading_codec

        decode = reading_codec(settings.schema_registry()).decode
        topic = f"{settings.topic_prefix}.incident-state"
        place, watch = (settings.bootstrap(), [topic], settings.aiokafka_security()), shown("states of incidents read")
        records = read_topics(*place, watch=watch, keys=self._lines)
        yield from self.in_records(records, decode, applied=applied)

    def in_records(self, records: Iterable[TopicRecord], decode: Decode, *, applied: bool = True) -> Iterator[str]:
        """The same, of the records of the topic of states; only those of these incidents are decoded."""
        wanted = {incident.encode(): incident for incident in self._lines}
        newest = {each.key: each.value for each in records if each.key in wanted}
        for key, incident in wanted.items():
            value = newest.get(key)
            decoded = None if value is None else decode(value, len(value))
            if decoded is None or isinstance(decoded, Rejection):
                continue
            state = decoded[1] if applied else {**decoded[1], **self._times[incident]}
            started, restored = cast(int, state["started_at"]), cast("int | None", state["restored_at"])
            if restored is not None and restored < started and state["status"] != "annulled":
                yield (
                    f"line {self._lines[incident]}: {safe(incident)} ends before it begins now: restored_at "
                    f"{format_rfc3339(restored)} is before started_at {format_rfc3339(started)}, so none of it is "
                    "downtime; amend it again"
                )
        if self._left_out:
            yield f"{self._left_out:,} more amended incidents were not looked at"

"""How often a task retries, and which failures it remembers across restarts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streams.runtime.errors import RecordFailed, TaskInterrupted, TimersFailed

_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
#: A permission or a topic's limit is corrected by a person, and each attempt reads the changelog again.
_REFUSED_S = (30.0, 60.0, 120.0, 300.0)


class RetryPolicy:
    """Counts failures; a commit clears the counts that it disproves."""

    def __init__(self, attempts: int) -> None:
        self.failed: dict[tuple[str, int], list[str]] = {}
        """Records (topic, offset) that made the processor raise, with the message of each attempt."""
        self.subjects: dict[str, list[str]] = {}
        """Subjects whose timers made the processor raise, with the message of each attempt."""
        self.strikes = 0
        self._refusals = 0
        self._attempts = attempts
        self._timer_strikes = 0

    def with_record(self, error: RecordFailed) -> bool:
        """Whether to retry. After `attempts` the record is rejected; False if even that failed."""
        tries = self.failed.setdefault((error.topic, error.offset), [])
        tries.append(str(error))
        return len(tries) <= self._attempts

    def with_subject(self, subject: str, message: str) -> bool:
        """Whether to retry. After `attempts` the subject is quarantined; False if even that failed."""
        tries = self.subjects.setdefault(subject, [])
        tries.append(message)
        return len(tries) <= self._attempts

    def with_fault(self, error: Exception) -> float | None:
        """Seconds to wait before the restart; None: halt.

        An unavailable broker is retried without limit, a fault of this process a limited number of times.
        """
        self.strikes += 1
        self._timer_strikes += isinstance(error, TimersFailed)
        if not isinstance(error, TaskInterrupted) and max(self.strikes, self._timer_strikes) >= self._attempts:
            return None
        return _BACKOFF_S[min(self.strikes, len(_BACKOFF_S)) - 1]

    def with_refusal(self) -> float:
        """Seconds to wait until a write that Kafka refused is tried again."""
        self._refusals += 1
        return _REFUSED_S[min(self._refusals, len(_REFUSED_S)) - 1]

    def committed(self, fired: int, offsets: Mapping[str, int], quarantined: Iterable[str] = ()) -> None:
        """A transaction was committed: `fired` timers, all input below `offsets`, subjects that it quarantined."""
        self.strikes = self._refusals = 0
        for subject in quarantined:
            self.subjects.pop(subject, None)
        if fired:
            self._timer_strikes = 0
        if self.failed:
            self.passed(offsets)

    def passed(self, offsets: Mapping[str, int]) -> None:
        """Forget failures of records below `offsets`."""
        for topic, offset in [key for key in self.failed if key[1] < offsets[key[0]]]:
            del self.failed[topic, offset]

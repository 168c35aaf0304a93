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
        self._faults = 0
        """Since the last commit, of this process. An outage, however long, brings a task no nearer to its halt."""
        self._refusals = 0
        self._refused_up_to: Mapping[str, int] | None = None
        """The input that the writes covered that Kafka refused; None unless some are still refused."""
        self._taken_since_refusal = False
        """Kafka has taken a write since it refused one."""
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

        An unavailable broker and a want of memory are retried without limit, a fault of this process a limited number
        of times.
        """
        lasting = not isinstance(error, TaskInterrupted | MemoryError)
        self.strikes += 1
        self._faults += lasting
        self._timer_strikes += isinstance(error, TimersFailed)
        if lasting and max(self._faults, self._timer_strikes) >= self._attempts:
            return None
        return _BACKOFF_S[min(self.strikes, len(_BACKOFF_S)) - 1]

    def with_refusal(self, applied: Mapping[str, int]) -> float:
        """Seconds to wait until a write that Kafka refused is tried again. `applied` are the offsets up to which input
        was applied then; none if the task did not run."""
        self._refusals += 1
        self._taken_since_refusal = False
        self._refused_up_to = applied or self._refused_up_to or {}
        return _REFUSED_S[min(self._refusals, len(_REFUSED_S)) - 1]

    def running(self) -> None:
        """The task runs: what was refused before that is allowed now. One that has nothing to write shows it by no
        commit."""
        if not self._refused_up_to:
            self._allowed()

    @property
    def refused(self) -> bool:
        """Whether Kafka has refused a write that it has not taken since."""
        return self._refused_up_to is not None

    def committed(self, fired: int, offsets: Mapping[str, int], quarantined: Iterable[str] = ()) -> None:
        """A transaction was committed: `fired` timers, all input below `offsets`, subjects that it quarantined."""
        self.strikes = self._faults = 0
        self._taken_since_refusal = True
        self._covered(offsets)
        for subject in quarantined:
            self.subjects.pop(subject, None)
        if fired:
            self._timer_strikes = 0
        if self.failed:
            self.passed(offsets)

    def idle(self, applied: Mapping[str, int]) -> None:
        """Nothing is left to commit below `applied`. A commit may end before markers that lay behind what was refused,
        and no other follows where nothing arrives."""
        if self._taken_since_refusal:
            self._covered(applied)

    def _covered(self, offsets: Mapping[str, int]) -> None:
        """A transaction may cover less than the refused one, and end before what was refused in it."""
        if self._refused_up_to and all(offsets[topic] >= up_to for topic, up_to in self._refused_up_to.items()):
            self._allowed()

    def passed(self, offsets: Mapping[str, int]) -> None:
        """Forget failures of records below `offsets`."""
        for topic, offset in [key for key in self.failed if key[1] < offsets[key[0]]]:
            del self.failed[topic, offset]

    def _allowed(self) -> None:
        self._refusals = 0
        self._refused_up_to = None

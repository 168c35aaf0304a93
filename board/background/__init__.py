"""Work that takes longer than a request: in processes of their own, one at a time, with progress."""

from __future__ import annotations

from dataclasses import dataclass

from board.background.job_process import Limits
from board.background.jobs import BackgroundJobs
from streams.time_source import TimeSource


@dataclass(frozen=True, slots=True)
class Background:
    """The jobs of a board: verifications of statements, candidate policies over history, effects of proposals."""

    verifications: BackgroundJobs
    what_ifs: BackgroundJobs
    effects: BackgroundJobs

    @classmethod
    def of(cls, time_source: TimeSource, memory: int) -> Background:
        """Each process may use `memory` bytes. None is started before the first job."""
        verify, what_if = Limits(memory, "sla verify"), Limits(memory, "sla what-if")
        effect = Limits(memory, "sla simulate with the event appended")
        return cls(
            BackgroundJobs(time_source, verify, name="verification", waiting=8, keep=100),
            BackgroundJobs(time_source, what_if, name="what-if", waiting=4, keep=20),
            BackgroundJobs(time_source, effect, name="effect", waiting=8, keep=100),
        )

    def close(self, within_s: float = 10.0) -> None:
        """End what runs, all queues at the same time."""
        queues = (self.verifications, self.what_ifs, self.effects)
        for jobs in queues:
            jobs.end()
        for jobs in queues:
            jobs.close(within_s)

"""Runs calls in processes of their own, one at a time, so that the board stays responsive.

A job is submitted under a key; while one of that key waits or runs, submitting again returns it. Results are kept in
memory for a while. A process that is cancelled or crashes takes nothing with it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any, Literal

import structlog

from board.background.job_process import JobCall, Limits, in_process
from streams.errors import SlaError
from streams.time_source import TimeSource

Status = Literal["queued", "running", "done", "failed", "cancelled"]

_POLL_S = 0.1
#: A process that was told to end is killed after this.
_ENDS_WITHIN_S = 5


class TooManyJobs(SlaError):  # noqa: N818 -- it names what happened
    """The queue is full."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. `done` of `total` is its progress (0 of 0: not known yet). `result` is there when it is done,
    `error` when it failed: a text for people. Instants are microseconds UTC."""

    id: str
    key: str
    about: Any
    status: Status
    submitted_at: int
    started_at: int | None = None
    ended_at: int | None = None
    done: int = 0
    total: int = 0
    result: Any = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in {"done", "failed", "cancelled"}

    @property
    def percent(self) -> int:
        """Progress in whole percent."""
        return min(100, 100 * self.done // self.total) if self.total else 0


class BackgroundJobs:
    """One process at a time, at most `waiting` jobs behind it, the last `keep` ended ones. Thread-safe."""

    def __init__(self, time_source: TimeSource, limits: Limits, *, name: str, waiting: int = 4, keep: int = 20) -> None:
        self._time_source = time_source
        self._limits = limits
        self._name = name
        self.waiting, self._keep = waiting, keep
        self._jobs: dict[str, Job] = {}
        self._work: dict[str, JobCall] = {}
        self._cancelled: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def submit(self, key: str, about: Any, call: Callable[..., Any], *arguments: Any) -> Job:
        """Queue `call(report, *arguments)`; `about` says what for, and stays with the job. Raises TooManyJobs."""
        with self._changed:
            for job in self._jobs.values():
                if job.key == key and not job.ended:
                    return job
            if sum(job.status == "queued" for job in self._jobs.values()) >= self.waiting:
                raise TooManyJobs(f"{self.waiting} jobs wait already; wait for one of them, or cancel one")
            job = Job(secrets.token_urlsafe(12), key, about, "queued", self._time_source.now())
            self._jobs[job.id] = job
            self._work[job.id] = JobCall(call, arguments, self._limits)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"jobs-{self._name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return job

    def get(self, job_id: str) -> Job | None:
        """The job of an id; None when there is none, or no longer."""
        with self._changed:
            return self._jobs.get(job_id)

    def latest(self, key: str) -> Job | None:
        """The newest job of a key."""
        with self._changed:
            return next((job for job in reversed(self._jobs.values()) if job.key == key), None)

    def all(self) -> list[Job]:
        """Every job that is kept, the newest first."""
        with self._changed:
            return list(self._jobs.values())[::-1]

    def cancel(self, job_id: str) -> Job | None:
        """Cancel a job; without effect on one that has ended."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.ended:
                return job
            self._cancelled.add(job_id)
            if job.status == "queued":
                self._end(job, "cancelled")
            self._changed.notify_all()
            return self._jobs[job_id]

    def wait(self, job_id: str, timeout_s: float) -> Job | None:
        """The job once it has ended, or as it stands after a timeout."""
        with self._changed:
            self._changed.wait_for(lambda: (job := self._jobs.get(job_id)) is None or job.ended, timeout_s)
            return self._jobs.get(job_id)

    def close(self, within_s: float = 2 * _ENDS_WITHIN_S) -> None:
        """Cancel everything, and wait for the process to end."""
        self.end()
        if self._thread is not None:
            self._thread.join(within_s)

    def end(self) -> None:
        """Cancel everything, without waiting. No job starts any more."""
        with self._changed:
            self._closing = True
            for job in list(self._jobs.values()):
                if job.status == "queued":
                    self._end(job, "cancelled")
                elif not job.ended:
                    self._cancelled.add(job.id)
            self._changed.notify_all()

    # -- the thread that starts processes ----------------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._supervise(job, self._work.pop(job.id))
            except Exception as error:
                structlog.get_logger("board").exception("background_job_failed", jobs=self._name)
                self._finish(job.id, "failed", error=f"{type(error).__name__}: the log of the board has the details")

    def _next(self) -> Job | None:
        """The oldest job that waits, running now; None when closing."""
        with self._changed:
            while True:
                if self._closing:
                    return None
                for job in self._jobs.values():
                    if job.status == "queued":
                        started = replace(job, status="running", started_at=self._time_source.now())
                        self._jobs[job.id] = started
                        return started
                self._changed.wait()

    def _supervise(self, job: Job, work: JobCall) -> None:
        context = get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=in_process, args=(sender, work), name=f"sla-{self._name}", daemon=True)
        process.start()
        sender.close()
        try:
            while True:
                if job.id in self._cancelled:
                    self._finish(job.id, "cancelled")
                    return
                if not receiver.poll(_POLL_S):
                    continue
                try:
                    kind, *values = receiver.recv()
                except EOFError:
                    process.join(_ENDS_WITHIN_S)
                    self._finish(job.id, "failed", error=f"the process ended with exit code {process.exitcode}")
                    return
                if kind == "progress":
                    self._update(job.id, *values)
                elif kind == "done":
                    self._finish(job.id, "done", result=values[0])
                    return
                else:
                    message, details = values
                    if details is not None:
                        structlog.get_logger("board").error("background_job_failed", jobs=self._name, traceback=details)
                    self._finish(job.id, "failed", error=message)
                    return
        finally:
            receiver.close()
            process.terminate()
            process.join(_ENDS_WITHIN_S)
            if process.exitcode is None:
                process.kill()
                process.join()
            process.close()

    def _update(self, job_id: str, done: int, total: int) -> None:
        with self._changed:
            self._jobs[job_id] = replace(self._jobs[job_id], done=done, total=total)

    def _finish(self, job_id: str, status: Status, *, result: Any = None, error: str | None = None) -> None:
        with self._changed:
            self._end(self._jobs[job_id], status, result=result, error=error)
            self._changed.notify_all()

    def _end(self, job: Job, status: Status, *, result: Any = None, error: str | None = None) -> None:
        ended = replace(job, status=status, ended_at=self._time_source.now(), result=result, error=error)
        self._jobs[job.id] = ended
        self._work.pop(job.id, None)
        self._cancelled.discard(job.id)
        old = [each.id for each in self._jobs.values() if each.ended]
        for name in old[: max(0, len(old) - self._keep)]:
            del self._jobs[name]

"""Background jobs: processes one at a time, progress, cancelling, failures, a full queue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from board.background.job_process import Limits, Report
from board.background.jobs import BackgroundJobs, Job, TooManyJobs
from streams.errors import SettingsError
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S

LIMIT = 512 * 1024**2
#: The priority of a job: below that of the tests, which may be lowered already.
LOWERED = min(os.nice(0) + 10, 19)


def double(report: Report, number: int) -> tuple[int, int]:
    report(1, 4)
    return 2 * number, os.nice(0)


def block(report: Report, path: str) -> None:
    """Until its end of a pipe is closed; the other end knows that it has begun."""
    report(3, 10)
    with open(path, "w", encoding="utf-8") as begun:
        begun.write("begun")
    os.read(os.open(f"{path}.wait", os.O_RDONLY), 1)


def hoard(report: Report, step: int) -> None:
    """Take memory until there is none."""
    report(1, 2)
    taken = []
    while True:
        taken.append(b"x" * step)


def fail(report: Report, kind: str) -> None:
    if kind == "known":
        raise SettingsError("the reason is this")
    if kind == "exit":
        os._exit(7)
    raise ZeroDivisionError


@pytest.fixture
def jobs() -> Iterator[BackgroundJobs]:
    made = BackgroundJobs(SystemTimeSource(), Limits(LIMIT, "sla what-if"), name="test", waiting=2, keep=3)
    yield made
    made.close()


@pytest.fixture
def blocked(tmp_path: Path) -> str:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    os.mkfifo(f"{path}.wait")
    return path


def ended(jobs: BackgroundJobs, job: Job) -> Job:
    found = jobs.wait(job.id, TIMEOUT_S)
    assert found is not None
    assert found.ended, found
    return found


def begun(path: str) -> None:
    with open(path, encoding="utf-8") as reader:
        assert reader.read() == "begun"


def test_a_job_runs_at_low_priority_and_its_result_stays(jobs: BackgroundJobs) -> None:
    done = ended(jobs, jobs.submit("a", "what for", double, 21))
    assert (done.status, done.about, done.error) == ("done", "what for", None)
    assert done.result[0] == 42
    assert done.result[1] == LOWERED
    assert jobs.get(done.id) == jobs.latest("a") == done
    assert done.started_at is not None
    assert done.ended_at is not None
    assert done.submitted_at <= done.started_at <= done.ended_at


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("known", "the reason is this"),
        ("unknown", "ZeroDivisionError: the log of the board has the details"),
        ("exit", "the process ended with exit code 7"),
    ],
)
def test_a_failure_says_why(jobs: BackgroundJobs, kind: str, error: str) -> None:
    failed = ended(jobs, jobs.submit("a", None, fail, kind))
    assert (failed.status, failed.error, failed.result) == ("failed", error, None)


def test_one_runs_at_a_time_and_the_queue_is_bounded(jobs: BackgroundJobs, blocked: str) -> None:
    first = jobs.submit("first", None, block, blocked)
    begun(blocked)
    running = jobs.get(first.id)
    assert running is not None
    assert running.status == "running"
    assert jobs.submit("first", None, block, blocked).id == first.id
    second, third = (jobs.submit(name, None, double, 1) for name in ("second", "third"))
    with pytest.raises(TooManyJobs, match="2 jobs wait already"):
        jobs.submit("fourth", None, double, 1)
    assert [job.status for job in jobs.all()] == ["queued", "queued", "running"]
    cancelled = jobs.cancel(second.id)
    assert cancelled is not None
    assert cancelled.status == "cancelled"
    jobs.cancel(first.id)
    assert ended(jobs, first).status == "cancelled"
    assert ended(jobs, third).status == "done"


def test_progress_is_seen_while_it_runs(jobs: BackgroundJobs, blocked: str) -> None:
    job = jobs.submit("a", None, block, blocked)
    begun(blocked)
    with open(f"{blocked}.wait", "wb"):
        pass
    done = ended(jobs, job)
    assert (done.status, done.done, done.total, done.percent) == ("done", 3, 10, 30)


def test_old_results_are_dropped(jobs: BackgroundJobs) -> None:
    first = jobs.submit("1", None, double, 1)
    ended(jobs, first)
    for name in ("2", "3", "4"):
        job = jobs.submit(name, None, double, 1)
        jobs.cancel(job.id)
        ended(jobs, job)
    assert [job.key for job in jobs.all()] == ["4", "3", "2"]
    assert jobs.cancel(first.id) is None


def test_closing_ends_the_process(jobs: BackgroundJobs, blocked: str) -> None:
    job = jobs.submit("a", None, block, blocked)
    begun(blocked)
    jobs.close()
    assert ended(jobs, job).status == "cancelled"


@pytest.mark.parametrize("step", [1_000, 16 * 1024**2])
def test_a_job_that_needs_too_much_memory_fails_and_says_what_to_do(jobs: BackgroundJobs, step: int) -> None:
    job = ended(jobs, jobs.submit("large", None, hoard, step))
    assert job.status == "failed"
    assert job.error == (
        "it needs more memory than SLA_BOARD_JOB_MEMORY_BYTES allows (512 MiB): allow more and restart the board, "
        "or use sla what-if on a machine that has it"
    )
    assert ended(jobs, jobs.submit("small", None, double, 2)).result == (4, LOWERED)

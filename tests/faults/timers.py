"""Timers under fault: kills around a deadline, a clock that is an hour off, silence, and very many at one instant."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable

from kafka import KafkaConsumer, TopicPartition

from streams.sla.instants import HOUR, SECOND, format_rfc3339
from streams.time_source import SystemTimeSource

from . import crowds
from .deployment import PARTITIONS, PREFIX, wait_for
from .evidence import lag
from .load import Incidents, Publisher, Sent, line_of, record_of
from .run import Run
from .service import running, serves_all
from .watching import Watch

#: Of P1 on the plan of seconds, after the opening: the response's breach, and that of the first two windows.
BREACHES_S = (6, 10, 14)
#: Of P4 there: half the time to respond is gone, and all of it. Nothing comes after that.
QUIET_WARNING_S, QUIET_BREACH_S = 15, 30
AROUND_MS = (-100, 0, 100)
_NOBODY_ANSWERS = "nobody-answers"


def at_deadlines(run: Run) -> None:
    """kill -9 at 100 ms before a deadline, right at it, and 100 ms after, 30 times."""
    clock, names = SystemTimeSource(), []
    kills = 3 if run.short else 30
    with Watch(run.deployment.bootstrap, _NOBODY_ANSWERS) as watch:
        while (done := sum(run.result.faults.values())) < kills:
            opened = [f"{_NOBODY_ANSWERS}-{len(names)}-{number}" for number in range(2 * PARTITIONS)]
            now = clock.now()
            publish(run, (opening(name, now) for name in opened))
            names += opened
            for due in (now + breach * SECOND for breach in BREACHES_S):
                around = AROUND_MS[done % len(AROUND_MS)]
                if done < kills and clock.now() < due + around * 1_000:  # else the worker was not back in time
                    sleep_until(due + around * 1_000)
                    run.deployment.alive()[0].kill()
                    run.did(f"kill -9 {around:+} ms from a deadline" if around else "kill -9 at a deadline")
                    run.deployment.start_worker()
                    done += 1
                wait_for(
                    lambda due=due, opened=opened: heard(watch, "sla.breached", due) >= set(opened),
                    f"breaches after kill {done}",
                )
        publish(run, (resolving(name, clock.now()) for name in names))
    note(run, watch)


def clock_behind(run: Run) -> None:
    """A worker whose clock is an hour behind: timers move with the input, none is lost; then it is set right, and
    wrong again. Nothing is promised about when they act, for its clock says that they have an hour."""
    _with_clock_off(run, -HOUR)


def clock_ahead(run: Run) -> None:
    """A worker whose clock is an hour ahead, with SLA_MAX_CLOCK_SKEW saying so: nothing is early, by a right clock.
    Beyond what that setting says nothing is promised about a clock ahead: its timers act as early as it is wrong."""
    _with_clock_off(run, HOUR, SLA_MAX_CLOCK_SKEW="PT1H")


def _with_clock_off(run: Run, offset: int, **environment: str) -> None:
    clock, names = SystemTimeSource(), []
    step = "clock an hour ahead" if offset > 0 else "clock an hour behind"
    with Watch(run.deployment.bootstrap, _NOBODY_ANSWERS) as watch:
        for turn in run.times(4, 2):
            run.deployment.alive()[0].kill()
            worker = run.deployment.start_worker(wait=True, FAULT_CLOCK_US=str(offset), **environment)
            run.did(f"started with a {step}")
            now = clock.now()
            opened = [f"{_NOBODY_ANSWERS}-{turn}-{number}" for number in range(2 * PARTITIONS)]
            publish(run, (opening(name, now) for name in opened))
            names += opened
            run.pause(2.0, 9.0)
            worker.process.send_signal(signal.SIGUSR1)
            run.did("clock set right")
            run.pause(2.0, 6.0)
            worker.process.send_signal(signal.SIGUSR1)
            run.did(f"stepped to a {step}")
            run.pause(2.0, 6.0)
        run.deployment.alive()[0].kill()
        run.deployment.start_worker()
        wait_for(lambda: heard(watch, "sla.breached") >= set(names), "all breaches")
        publish(run, (resolving(name, clock.now()) for name in names))
    note(run, watch)


class Elsewhere(Incidents):
    """Load that leaves one partition alone."""

    avoided = 0

    def next(self, now: int) -> Sent:
        while (sent := super().next(now))[1] == self.avoided:
            self._open = [each for each in self._open if each[0].encode() != sent[2]]
            self._again = [each for each in self._again if each is not sent]
        return sent


def elsewhere(run: Run) -> Callable[[], Sent | None]:
    """For `execute`'s `mixed_in`: only the history, which ends soon, reaches partition 0."""
    run.incidents = Elsewhere(run.result.seed)
    return lambda: None


def silent_partition(run: Run) -> None:
    """The last input of a partition is an opening; its warning and its breach come all the same. Needs `elsewhere`."""
    silent = TopicPartition(f"{PREFIX}.incident-events", Elsewhere.avoided)
    reader = KafkaConsumer(bootstrap_servers=run.deployment.bootstrap, enable_auto_commit=False)
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 8:  # until the history is through
        if (now := reader.end_offsets([silent])[silent]) != last:
            last, since = now, time.monotonic()
        time.sleep(0.2)
    names = [name for name in (f"{_NOBODY_ANSWERS}-{number}" for number in range(200)) if _partition(name) == silent[1]]
    with Watch(run.deployment.bootstrap, _NOBODY_ANSWERS) as watch:
        publish(run, (opening(name, SystemTimeSource().now(), impact="cosmetic") for name in names))
        end = reader.end_offsets([silent])[silent]
        run.did("a partition falls silent")
        if run.random.random() < 0.5:
            run.pause(0.0, 20.0)
            run.deployment.alive()[0].kill()
            run.did("kill -9 in the silence")
            run.deployment.start_worker()
        wait_for(lambda: heard(watch, "sla.breached") >= set(names), "breaches of the silent partition")
        if heard(watch, "sla.warning") != set(names):
            run.result.problems.append("warnings of the silent partition are missing")
        if (now := reader.end_offsets([silent])[silent]) != end:
            run.result.problems.append(f"the partition was not silent: {now - end} inputs")
    reader.close()
    note(run, watch)


def same_second(run: Run) -> None:
    """100,000 open incidents change workers: half of them as one joins, the rest as the other dies. Then all their
    deadlines come at one instant; in the counts, how long until the last alert could be read."""
    count, ahead_s = (5_000, 70) if run.short else (100_000, 300)
    due = (SystemTimeSource().now() // SECOND + ahead_s) * SECOND
    took = crowds.load(run, "crowd", count, due - crowds.RESPONSE_S * SECOND)
    run.result.counts["crowd loaded in ms"] = int(took * 1_000)
    wait_for(lambda: sum(lag(run.deployment.bootstrap).values()) < 1_000, "the crowd is applied", 600)
    _move(run, count)
    sleep_until(due - 2 * SECOND)
    with Watch(run.deployment.bootstrap, "crowd") as watch:
        sleep_until(due)
        run.did("deadlines at one instant", count)
        wait_for(lambda: len(watch.of("sla.breached")) >= count, "all breaches of the crowd", 600)
    breaches = sorted(each.at - due for each in watch.of("sla.breached"))
    run.result.counts["deadline to first alert in ms"] = breaches[0] // 1_000
    run.result.counts["deadline to median alert in ms"] = breaches[len(breaches) // 2] // 1_000
    run.result.counts["deadline to last alert in ms"] = breaches[-1] // 1_000
    run.result.problems += watch.early()[:5]


def _move(run: Run, count: int) -> None:
    first = run.deployment.alive()[0]
    began = time.monotonic()
    second = run.deployment.start_worker()
    wait_for(lambda: running(first) and running(second), "both have partitions")
    run.did("open incidents moved to a worker that joined", count // 2)
    run.result.counts["joined, all served after ms"] = int((time.monotonic() - began) * 1_000)
    run.pause(2.0, 4.0)
    began = time.monotonic()
    first.kill()
    run.did("kill -9 of the first worker")
    wait_for(lambda: serves_all(second), "the second serves everything")
    run.result.counts["killed, all served after ms"] = int((time.monotonic() - began) * 1_000)


# -- what the scenarios share ------------------------------------------------------------------------------------------


def opening(name: str, at: int, *, impact: str = "complete_outage") -> Sent:
    """An incident of a tenant on the plan of seconds: P1, or P4 if it is only cosmetic."""
    data: dict[str, object] = {
        "scope": "tenants",
        "tenant_ids": ["tenant-1"],
        "component": "git_operations",
        "impact": impact,
        "channel": "monitor",
    }
    return record_of(line_of("incident.opened", f"{name}-0", name, format_rfc3339(at), data))


def resolving(name: str, at: int) -> Sent:
    """The end of an incident."""
    return record_of(line_of("incident.resolved", f"{name}-end", name, format_rfc3339(at), {}))


def publish(run: Run, records: Iterable[Sent]) -> None:
    """Beside the load; returns when all is acknowledged."""
    Publisher(run.deployment.bootstrap).send(iter(list(records)))


def sleep_until(instant: int) -> None:
    """By the wall clock."""
    time.sleep(max(0.0, (instant - SystemTimeSource().now()) / SECOND))


def heard(watch: Watch, kind: str, due: int | None = None) -> set[str]:
    """Who has had an alert, due at that instant."""
    return {each.subject for each in watch.of(kind) if due is None or each.due == due}


def note(run: Run, watch: Watch) -> None:
    """Nothing could be read early; how late the latest was goes into the counts."""
    run.result.problems += watch.early()[:5]
    run.result.counts["alerts watched"] = len(watch.seen)
    run.result.counts["latest alert after its instant in ms"] = max(each.at - each.due for each in watch.seen) // 1_000


def _partition(name: str) -> int:
    return opening(name, 0)[1]

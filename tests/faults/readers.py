"""Readers of the outputs that are slow, stopped, dead, or out of disk: the workers must not notice."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable

from kafka import KafkaConsumer

from .deployment import PREFIX
from .run import Run
from .service import wait_until_flowing

SESSION_MS = 6_000
"""The billing consumer's session timeout."""


def misbehaving(run: Run) -> None:
    """Each of the faults in turn, under load, while a slow reader holds its place on every output topic."""
    stop = threading.Event()
    slow = [threading.Thread(target=_dawdle, args=(run, topic, stop)) for topic in ("alerts", "incidents", "credits")]
    for thread in slow:
        thread.start()
    run.did("reader that takes a second for each record", len(slow))
    try:
        for _ in run.times(2, 1):
            for fault, act in FAULTS.items():
                run.pause(1.0, 2.0)
                act(run)
                run.did(fault)
                wait_until_flowing(run)
    finally:
        stop.set()
        for thread in slow:
            thread.join()
    for worker in run.deployment.workers:
        for event in ("task_interrupted", "task_fenced", "task_halted"):
            if worker.said(event):
                run.result.problems.append(f"{worker.name} noticed its readers: {worker.said(event)[0]}")


def _dawdle(run: Run, topic: str, stop: threading.Event) -> None:
    consumer = KafkaConsumer(
        f"{PREFIX}.{topic}",
        bootstrap_servers=run.deployment.bootstrap,
        group_id=f"slow-{topic}",
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_poll_records=1,
    )
    while not stop.is_set():
        consumer.poll(timeout_ms=500)
        stop.wait(1.0)
    consumer.close(autocommit=False)


def _disk_full(run: Run) -> None:
    """Billing can't write its ledger any more, and dies of it; then its disk has room again."""
    assert run.billing is not None
    resource.prlimit(run.billing.pid, resource.RLIMIT_FSIZE, (0, 0))
    run.pause(4.0, 8.0)
    run.restart_billing()


def _stopped(run: Run) -> None:
    """Billing is stopped for longer than its session, and goes on as if nothing had been."""
    assert run.billing is not None
    run.billing.send_signal(signal.SIGSTOP)
    run.pause(SESSION_MS / 1_000 + 1, SESSION_MS / 1_000 + 3)
    run.billing.send_signal(signal.SIGCONT)


def _killed(run: Run) -> None:
    """Billing dies between what it has kept and what it has committed, or anywhere else."""
    for _ in range(3):
        run.pause(0.5, 1.5)
        run.restart_billing()


FAULTS: dict[str, Callable[[Run], None]] = {
    "billing's disk full": _disk_full,
    "billing stopped past its session": _stopped,
    "billing killed three times": _killed,
}

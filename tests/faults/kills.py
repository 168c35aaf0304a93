"""kill -9: at random, and at every named point inside a batch."""

from __future__ import annotations

from .deployment import wait_for
from .run import Run
from .worker import POINTS

#: A worker is assigned once, and recovers each of its tasks once.
MOST_TURNS = {"during-assignment": 1, "during-recovery": 4, "after-fencing": 4}
EVENTS = 20_000


def at_random(run: Run) -> None:
    """25 times over at least so many EVENTS."""
    for turn in run.times(25, 2):
        run.pause(0.5, 4.0)
        run.deployment.alive()[0].kill()
        run.did("kill -9")
        if turn % 5 == 1:
            run.restart_billing()
            run.did("kill -9 of billing")
        run.deployment.start_worker()
    wait_for(lambda: run.short or run.publisher.sent >= EVENTS, f"{EVENTS:,} events are sent")
    run.pause(1.0, 2.0)


def at_points(run: Run) -> None:
    """Each named point five times; the worker there dies by itself, another takes over."""
    run.deployment.alive()[0].stop()
    for point in POINTS:
        for _ in run.times(5, 1):
            turn = run.random.randint(1, MOST_TURNS.get(point, 40))
            doomed = run.deployment.start_worker(wait=False, FAULT_POINT=point, FAULT_TURN=str(turn))
            wait_for(lambda doomed=doomed: not doomed.alive, f"the worker dies at {point}, turn {turn}")
            run.did(point)
    run.deployment.start_worker()

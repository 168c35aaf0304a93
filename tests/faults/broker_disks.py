"""The log directory of a broker fails: the broker ends, and goes on where it was."""

from __future__ import annotations

import resource

from cli.embedded_kafka.broker import Broker

from .deployment import wait_for
from .run import Run
from .service import wait_until_flowing


def fails(run: Run) -> None:
    """Every file of the broker is at its largest, as on a full disk: it ends by itself, and comes back with room."""
    broker = run.deployment.brokers
    assert isinstance(broker, Broker)
    for _ in run.times(4, 2):
        run.pause(2.0, 5.0)
        resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (run.random.choice((0, 4096)), resource.RLIM_INFINITY))
        run.did("log directory full")
        wait_for(lambda: not broker.alive, "the broker ends for want of a log directory")
        run.pause(0.0, 15.0)
        broker.restart()
        wait_until_flowing(run)

"""The log directory of a broker fails, and a cleaner is broken off: the broker ends, and goes on where it was."""

from __future__ import annotations

import resource
import time
from pathlib import Path

from cli.embedded_kafka.broker import Broker

from .deployment import PREFIX, wait_for
from .evidence import AGENTS
from .recovering import EAGER, configure
from .run import Run
from .service import wait_until_flowing

_CLEANING = ("*.cleaned", "*.swap")
"""Files of a cleaner at work."""
_CLEANER_S = 30.0


def fails(run: Run) -> None:
    """Every file of the broker is at its largest, as on a full disk: it ends by itself, and comes back with room."""
    broker = _broker(run)
    for _ in run.times(4, 2):
        run.pause(2.0, 5.0)
        resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (run.random.choice((0, 4096)), resource.RLIM_INFINITY))
        run.did("log directory full")
        wait_for(lambda: not broker.alive, "the broker ends for want of a log directory")
        run.pause(0.0, 15.0)
        broker.restart()
        wait_until_flowing(run)


def cleaner_broken_off(run: Run) -> None:
    """kill -9 of the broker while its cleaner replaces segments of the changelogs, then of the worker, too."""
    broker = _broker(run)
    changelogs = [f"{PREFIX}.{agent}-changelog" for agent in AGENTS]
    configure(run, changelogs, EAGER)
    for turn in run.times(8, 4):
        run.pause(1.5, 4.0)
        found = _seen_cleaning(broker.data_dir / "data")
        broker.kill()
        run.did("kill -9 of the broker while its cleaner works" if found else "kill -9 of the broker")
        if turn % 2:
            run.deployment.alive()[0].kill()
            run.did("kill -9 of the worker at the same time")
        broker.restart()
        if turn % 2:
            run.deployment.start_worker()
        wait_until_flowing(run)


def _broker(run: Run) -> Broker:
    broker = run.deployment.brokers
    assert isinstance(broker, Broker)
    return broker


def _seen_cleaning(folder: Path) -> bool:
    """Wait for the cleaner to be at work on a changelog; False if that is not seen in time."""
    deadline = time.monotonic() + _CLEANER_S
    while time.monotonic() < deadline:
        if any(next(folder.glob(f"{PREFIX}.*-changelog-*/{each}"), None) for each in _CLEANING):
            return True
        time.sleep(0.001)
    return False

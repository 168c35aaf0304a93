"""The product's worker, with a crash at a named point inside a batch, and a decision that crashes on marked input.

FAULT_POINT is one of POINTS, FAULT_TURN which time it is reached (from 1). An incident whose id starts with `crash-on-`
makes the decision raise when it is updated, in every worker, whatever the environment says. FAULT_CLOCK_US is how far
the clock of this worker is ahead; SIGUSR1 sets it right, and wrong again. FAULT_FOLDER is where it works,
FAULT_FILE_BYTES the largest file that it may write, FAULT_REFUSED_S for how long a refused write is not tried again.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from cli.support.quick_imports import quick_imports

with quick_imports():
    from aiokafka import AIOKafkaProducer

    from agents.incidents import IncidentsProcessor
    from agents.worker import main
    from streams.runtime import recovery, retry_policy, task
    from streams.runtime.task_manager import TaskManager
    from streams.runtime.transactions import KafkaTransactions
    from streams.serde.codec import Codec
    from streams.time_source import SystemTimeSource

CRASHES = b"crash-on-"
POINTS = (
    "before-outputs",
    "between-outputs",
    "after-outputs-before-offsets",
    "after-offsets-before-commit",
    "after-commit",
    "during-recovery",
    "after-fencing",
    "during-assignment",
)


class Countdown:
    """Kills this process when a point is reached for the n-th time."""

    def __init__(self, point: str, turn: int) -> None:
        self._point = point
        self._left = turn

    def reached(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str, before: Callable[[], None] | None, after: Callable[[], None] | None) -> None:
    """Have an async function call others before and after."""
    original = getattr(owner, name)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before()
        result = await original(*args, **kwargs)
        if after is not None:
            after()
        return result

    setattr(owner, name, wrapped)


def install(countdown: Countdown) -> None:
    """Patch every point into the runtime."""

    def at(point: str) -> Callable[[], None]:
        return lambda: countdown.reached(point)

    around(KafkaTransactions, "_send", at("before-outputs"), at("after-outputs-before-offsets"))
    around(KafkaTransactions, "_send_to", None, at("between-outputs"))
    around(KafkaTransactions, "fence", None, at("after-fencing"))
    around(KafkaTransactions, "commit", None, at("after-commit"))
    around(AIOKafkaProducer, "commit_transaction", at("after-offsets-before-commit"), None)
    around(TaskManager, "_on_assigned", None, at("during-assignment"))
    recover = recovery.recover

    async def recovering(*args: Any, **kwargs: Any) -> Any:
        countdown.reached("during-recovery")
        return await recover(*args, **kwargs)

    task.recover = recovering  # type: ignore[attr-defined]


def crash_on_marked_input() -> None:
    """A decision that raises for `incident.updated` of marked incidents."""
    apply, codec = IncidentsProcessor.apply, Codec()

    def fragile(self: IncidentsProcessor, record: Any, effects: Any) -> None:
        if record.key is not None and record.key.startswith(CRASHES) and record.value is not None:
            decoded = codec.decode(record.value)
            if isinstance(decoded, tuple) and decoded[0] == "incident.updated":
                raise ValueError("injected: this decision crashes")
        apply(self, record, effects)

    IncidentsProcessor.apply = fragile  # type: ignore[method-assign]


def step_clock(by_us: int) -> None:
    """Have this worker's clock be wrong until SIGUSR1, and so on in turns."""
    right = SystemTimeSource.now
    wrong_by = [by_us]

    def step(*_: object) -> None:
        wrong_by[0] = by_us - wrong_by[0]

    SystemTimeSource.now = lambda self: right(self) + wrong_by[0]  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR1, step)


if __name__ == "__main__":
    crash_on_marked_input()
    if os.environ.get("FAULT_CLOCK_US"):
        step_clock(int(os.environ["FAULT_CLOCK_US"]))
    if os.environ.get("FAULT_REFUSED_S"):
        retry_policy._REFUSED_S = (float(os.environ["FAULT_REFUSED_S"]),)  # type: ignore[assignment]
    if os.environ.get("FAULT_FOLDER"):
        os.chdir(os.environ["FAULT_FOLDER"])
    if os.environ.get("FAULT_FILE_BYTES"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["FAULT_FILE_BYTES"]),) * 2)
    if os.environ.get("FAULT_POINT"):
        install(Countdown(os.environ["FAULT_POINT"], int(os.environ.get("FAULT_TURN", "1"))))
    sys.exit(main())

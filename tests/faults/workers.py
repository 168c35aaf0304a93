"""Workers that come and go: churn, scaling out and in, and zombies that wake up when others have their work."""

from __future__ import annotations

import signal
import threading
import time

from streams.runtime.settings import RuntimeSettings

from .deployment import PARTITIONS, SESSION_S, Worker, wait_for
from .run import Run
from .service import applied, running, serves_since, wait_until_flowing

MOST_ALIVE = 3
_TRANSACTION_S = RuntimeSettings("", ()).transaction_timeout_ms / 1_000
CLEAN = (0, -signal.SIGTERM)
"""How a stopped worker may end; by the signal itself when it had not come so far as to handle it."""


def churn(run: Run) -> None:
    """A new worker each second for a minute, at most three alive beside those that are finishing; then calm."""
    deployment = run.deployment
    leaving: dict[str, threading.Thread] = {}

    def finish(worker: Worker) -> None:
        code = worker.stop()
        if code not in CLEAN:
            run.result.problems.append(f"{worker.name} was stopped and ended with {code}")

    began = time.monotonic()
    for second in run.times(60, 15):
        staying = [worker for worker in deployment.alive() if worker.name not in leaving]
        if len(staying) >= MOST_ALIVE:
            gone = run.random.choice((staying[0], run.random.choice(staying)))
            if run.random.random() < 0.5:
                gone.kill()
                run.did("kill -9")
            else:
                thread = leaving[gone.name] = threading.Thread(target=finish, args=(gone,), name=f"stop {gone.name}")
                thread.start()
                run.did("clean stop")
        deployment.start_worker(wait=False)
        run.did("new worker")
        time.sleep(max(0.0, began + second + 1 - time.monotonic()))
    for thread in leaving.values():
        thread.join()
    deployment.wait_until_served()
    wait_until_flowing(run)


def scale(run: Run) -> None:
    """1 → 3 → 1 under load; those that go may go without a word."""
    deployment = run.deployment
    for _ in run.times(2, 1):
        while len(deployment.alive()) < MOST_ALIVE:
            deployment.start_worker()
            run.did("one more")
        wait_for(lambda: all(map(running, deployment.alive())), "each of three workers has partitions")
        wait_until_flowing(run)
        run.pause(0.5, 3.0)
        going = run.random.sample(deployment.alive(), MOST_ALIVE - 1)
        for worker in going:
            if run.random.random() < 0.5:
                worker.kill()
                run.did("one less, by kill -9")
            else:
                code = worker.stop()
                run.did("one less, cleanly")
                if code not in CLEAN:
                    run.result.problems.append(f"{worker.name} was stopped and ended with {code}")
            run.pause(0.0, 2.0)
        deployment.wait_until_served()
        wait_until_flowing(run)


def zombies(run: Run) -> None:
    """SIGSTOP until another worker serves all that the stopped one had, then SIGCONT."""
    deployment = run.deployment
    for _ in run.times(10, 2):
        while len(deployment.alive()) < 2:
            deployment.start_worker()
        wait_for(lambda: all(map(running, deployment.alive())), "both workers have partitions")
        wait_until_flowing(run)
        run.pause(0.0, 2.0)
        zombie, other = run.random.sample(deployment.alive(), 2)
        owned, before, assigned = running(zombie), applied(other), len(zombie.said("partitions_assigned"))
        zombie.pause()
        stopped = time.monotonic()

        def replaced(
            other: Worker = other, owned: set[tuple[str, int]] = owned, before: dict[tuple[str, int], float] = before
        ) -> bool:
            return owned <= serves_since(other, before) and len(running(other)) == 2 * PARTITIONS

        wait_for(replaced, f"{other.name} serves what {zombie.name} had")
        # Sometimes longer than a transaction may take, so that the broker has aborted it of its own accord.
        run.pause(0.0, 8.0)
        if time.monotonic() - stopped < SESSION_S:
            run.result.problems.append(f"{zombie.name} was replaced within its session timeout")
        zombie.resume()
        run.did("SIGSTOP past the session timeout")
        wait_for(
            lambda zombie=zombie, assigned=assigned: (
                not zombie.alive or len(zombie.said("partitions_assigned")) > assigned
            ),
            f"{zombie.name} has come back or ended",
        )
        if not zombie.alive:
            run.did("zombie ended")
        deployment.wait_until_served()


def held_alone(run: Run) -> None:
    """SIGSTOP of the only worker for longer than its session and its transactions may last, then SIGCONT: the broker
    has aborted what was open, and its tasks have to fence themselves."""
    for _ in run.times(6, 3):
        (worker,) = run.deployment.alive()
        wait_until_flowing(run)
        run.pause(0.0, 2.0)
        worker.pause()
        run.pause(_TRANSACTION_S + 1.0, _TRANSACTION_S + 6.0)
        worker.resume()
        run.did("SIGSTOP of the only worker past its transactions' timeout")
        wait_until_flowing(run)
        if not worker.alive:
            run.result.problems.append(f"{worker.name} has ended")
            run.deployment.start_worker()

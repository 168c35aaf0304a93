"""Who serves what, as the workers' own pages say: they answer whatever happens to brokers and network."""

from __future__ import annotations

import re

from .deployment import PARTITIONS, Worker, wait_for
from .evidence import AGENTS
from .run import Run

StreamTask = tuple[str, int]
"""Agent and partition."""

ALL: frozenset[StreamTask] = frozenset((agent, partition) for agent in AGENTS for partition in range(PARTITIONS))
_RUNNING = re.compile(r'^sla_task_state\{agent="(\w+)",partition="(\d+)",state="running"\} 1\.0$', re.MULTILINE)
_APPLIED = re.compile(r'^sla_task_records_total\{agent="(\w+)",partition="(\d+)"\} (\S+)$', re.MULTILINE)


def running(worker: Worker) -> set[StreamTask]:
    """The tasks that run there."""
    return {(agent, int(partition)) for agent, partition in _RUNNING.findall(worker.get("/metrics")[1])}


def serves_all(worker: Worker) -> bool:
    """Whether it runs every task of the deployment."""
    return running(worker) == ALL and worker.ready()


def applied(worker: Worker) -> dict[StreamTask, float]:
    """By task, how many records it has applied and committed since the worker started."""
    found = _APPLIED.findall(worker.get("/metrics")[1])
    return {(agent, int(partition)): float(count) for agent, partition, count in found}


def serves_since(worker: Worker, before: dict[StreamTask, float]) -> set[StreamTask]:
    """The tasks that have committed more there than they had `before`."""
    return {task for task, count in applied(worker).items() if count > before.get(task, 0.0)}


def wait_until_flowing(run: Run) -> None:
    """Until every task has committed something new, wherever it is: ready alone may be a memory of better times."""
    before = {worker.name: applied(worker) for worker in run.deployment.alive()}
    left = set(ALL)

    def flows() -> bool:
        run.keep_billing()
        for worker in run.deployment.alive():
            left.difference_update(serves_since(worker, before.get(worker.name, {})))
        return not left

    try:
        wait_for(flows, "every task commits")
    except TimeoutError as error:
        pages = {worker.name: worker.get("/ready")[1] for worker in run.deployment.alive()}
        raise TimeoutError(f"{error}; not {sorted(left)}; {pages}") from None

"""The world around the tasks of one seed: it publishes, kills, pauses, restarts, and judges when all is done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 -- seeded

from aiokafka.structs import TopicPartition

from streams.runtime.task import TaskState

from .desk import Desk
from .ending import all_done, digest, facts
from .fake_broker import Broker
from .fake_log import installed
from .loop import Loop, Stalled, no_garbage_collection
from .network import Network
from .oracle import Oracle, Wrong
from .plan import Arrival, Plan
from .worker import Worker

LONGEST_S = 900.0
LOOK_S = 0.5


@dataclass
class Verdict:
    """What came of a seed; no `problem` is good."""

    seed: int
    problem: str = ""
    steps: int = 0
    digest: int = 0
    """Of all that the broker holds in the end: a seed gives the same one each time."""
    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)


class Simulation:
    """Process 0: everything that is not a worker."""

    def __init__(self, plan: Plan, *, trace: bool = False) -> None:
        self.plan = plan
        self.verdict = Verdict(plan.seed)
        self.random = Random(f"world-{plan.seed}")
        self.loop = Loop(Random(f"loop-{plan.seed}"))
        self.network = Network(self.loop, Random(f"network-{plan.seed}"), plan.trouble)
        self.broker = Broker(self.network.now_us, self.network.later)
        self.workers: dict[int, Worker] = {}
        self._spawned = 0
        self._breaks = list(plan.breaks)
        self._arrived = False
        self.network.on_fault = self._on_fault
        self.loop.on_break = self._on_break
        self.broker.on_change = self._on_change
        if trace:
            self.network.trace = self._tell

    def run(self) -> Verdict:
        """Play it and judge it."""
        verdict = self.verdict
        with installed(self.broker, self.network), no_garbage_collection():
            try:
                self.loop.run(self._main())
                Oracle(facts(self.broker, self.plan.topics)).check()
            except Wrong as wrong:
                verdict.problem = str(wrong)
            except Stalled:
                verdict.problem = "stalled: nobody has anything to do, and it is not done"
            finally:
                self.network.closed = True
                self.network.trace = None
                self.loop.bury()
        verdict.steps = self.loop.steps
        verdict.digest = digest(self.broker)
        return verdict

    async def _main(self) -> None:
        self._spawn()
        self._next_break()
        for arrival in self.plan.arrivals:
            self.loop.call_at(arrival.at, self._arrive, arrival)
        for at in self.plan.restarts:
            self.loop.call_at(at, self._restart)
        while not self._done():
            if self.loop.time() > LONGEST_S:
                raise Wrong(f"not done in time: {self._where_it_stands()}")
            await asyncio.sleep(LOOK_S)
        self.plan.trouble.budget = 0
        self.loop.break_at = -1
        while self.workers:
            for worker in list(self.workers.values()):
                self._leave(worker)
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(LOOK_S)  # the last markers

    # Input

    def _arrive(self, arrival: Arrival) -> None:
        where, broker = TopicPartition(arrival.topic, 0), self.broker
        if arrival.writer is None:
            broker.append(where, arrival.records)
            return
        writer = arrival.writer
        epoch = broker.initialise(writer, 60_000)
        broker.produce(writer, epoch, where, arrival.records)
        self.loop.call_later(arrival.held, lambda: broker.end(writer, epoch, commit=arrival.commit))

    def _on_change(self, where: TopicPartition) -> None:
        if where.topic in self.plan.topics:
            for worker in self.workers.values():
                self.network.later(worker.feed.changed.set)

    # Processes

    def _spawn(self) -> None:
        self._spawned += 1
        skew = self.plan.sizes.skew_us
        worker = self.workers[self._spawned] = Worker(
            self._spawned,
            self.broker,
            self.network,
            self.plan.topics,
            lambda partition: Desk(partition, lambda: self.random.random() < 0.6),
            self.plan.sizes,
            ahead_us=self.random.choice((skew, 0, -50_000)),
        )
        self._count("started", worker.process)
        for process in self.workers:
            self._later(9, self._retire, process)

    def _on_fault(self, outcome: str, process: int) -> None:
        if process not in self.workers or self.loop.frozen(process):
            return
        action = outcome.partition(" ")[0]
        {"kill": self._kill, "pause": self._pause, "twin": self._twin}[action](process)

    def _on_break(self, process: int) -> None:
        if process in self.workers:
            (self._kill if self.random.random() < 0.7 else self._pause)(process)
        self._next_break()

    def _next_break(self) -> None:
        self.loop.break_at = self._breaks.pop(0) if self._breaks else -1

    def _kill(self, process: int) -> None:
        self._count("killed", process)
        self.loop.freeze(process)
        del self.workers[process]
        if process == self._spawned:
            self._later(self.random.choice((0, 1, 14)), self._spawn)

    def _pause(self, process: int) -> None:
        self._count("paused", process)
        self.loop.freeze(process)
        if process == self._spawned and self.random.random() < 0.8:
            self._later(self.random.choice((0, 6)), self._succeed, process)
        self._later(self.random.choice((1, 12)), self._thaw, process)

    def _succeed(self, process: int) -> None:
        if process == self._spawned:
            self._spawn()

    def _thaw(self, process: int) -> None:
        self._count("thawed", process)
        self.loop.thaw(process)

    def _twin(self, process: int) -> None:
        self._count("doubled", process)
        if process == self._spawned:
            self._spawn()

    def _retire(self, process: int) -> None:
        """Whoever is not the newest owner has been told of the rebalance by now."""
        worker = self.workers.get(process)
        if worker is None or process == self._spawned:
            return
        if self.loop.frozen(process):
            self._later(3, self._retire, process)
        else:
            self._count("retired", process)
            self._leave(worker)

    def _restart(self) -> None:
        process = self._spawned
        worker = self.workers.get(process)
        if worker is not None and not self.loop.frozen(process):
            self._count("restarted", process)
            self._leave(worker, then=lambda: self._succeed(process))

    def _leave(self, worker: Worker, then: Callable[[], None] = lambda: None) -> None:
        """Stop it in good order; when it has, the process ends."""

        def done(_: object) -> None:
            if self.workers.pop(worker.process, None) is not None:
                self.loop.freeze(worker.process)
                then()

        if not worker.leaving:
            worker.stop().add_done_callback(done)

    def _later(self, longest_s: float, fire: Callable[..., object], *args: object) -> None:
        self.loop.call_later(self.random.random() * longest_s, fire, *args, context=self.network.world)

    # The end

    def _done(self) -> bool:
        halted = [worker for worker in self.workers.values() if worker.task.state is TaskState.HALTED]
        if halted:
            raise Wrong(f"the task of process {halted[0].process} halted: {halted[0].task.reason}")
        if self.loop.time() <= self.plan.last + 1 or len(self.workers) != 1:
            return False
        ((process, worker),) = self.workers.items()
        if worker.task.state is not TaskState.RUNNING or self.loop.frozen(process):
            return False
        return all_done(self.broker, self.plan.topics)

    def _where_it_stands(self) -> str:
        tasks = {p: (w.task.state.value, w.task.reason, self.loop.frozen(p)) for p, w in self.workers.items()}
        return f"workers {tasks}, group {list(self.broker.groups.values())}"

    def _count(self, what: str, process: int) -> None:
        self.verdict.counts[what] += 1
        if self.network.trace is not None:
            self._tell(f"p{process} {what}")

    def _tell(self, said: str) -> None:
        self.verdict.trace.append(f"{self.loop.time():10.6f} {self.loop.steps:6} {said}")

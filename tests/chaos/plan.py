"""What a seed stands for: the input and when it comes, the sizes, how much goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random  # noqa: TID251 -- seeded
from typing import Any, NamedTuple

from streams.runtime.run_loop import AT_ONCE, CommitInterval
from streams.runtime.transaction_builder import TransactionLimits

from .desk import to_bytes
from .fake_broker import Sent
from .network import OUTCOMES, Trouble
from .worker import Sizes

DOINGS = {"note": 24, "bad": 1, "poison": 1, "flaky": 1}
KEYS = ["a", "b", "c", "d", "cursed"]


class Arrival(NamedTuple):
    """Records that come together at `at` seconds; with `writer`, in a transaction that ends `held` seconds later."""

    at: float
    topic: str
    records: list[Sent]
    writer: str | None
    held: float
    commit: bool


@dataclass(frozen=True)
class Plan:
    """One seed."""

    seed: int
    topics: tuple[str, ...]
    arrivals: list[Arrival]
    sizes: Sizes
    trouble: Trouble
    breaks: list[int]
    """Numbers of steps at which whoever has its turn is killed or paused."""
    restarts: list[float]
    """Seconds at which the owner is stopped in good order and started again."""

    @property
    def last(self) -> float:
        """No input comes after this."""
        return max(arrival.at + arrival.held for arrival in self.arrivals)


def drawn(seed: int) -> Plan:
    """The plan of a seed."""
    random = Random(f"plan-{seed}")
    topics = random.choice((("sim.in",), ("sim.in", "sim.shared")))
    duration = random.choice((1.0, 5.0, 20.0))
    count = random.randint(3, 14)
    ids = 0
    arrivals: list[Arrival] = []
    for number in range(count):
        records = []
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            ids += 1
            records.append(_record(random, ids))
        transactional = random.random() < 0.15
        at = random.random() * duration
        if arrivals and random.random() < 0.2:
            at = arrivals[-1].at  # arrivals in one millisecond
        arrivals.append(
            Arrival(
                at=at,
                topic=random.choice(topics),
                records=records,
                writer=f"writer-{number}" if transactional else None,
                held=random.choice((0.0, 0.05, 3.0)) if transactional else 0.0,
                commit=random.random() < 0.7,
            )
        )
    rate, budget = random.choice(((0.0, 0), (0.01, 3), (0.03, 8), (0.1, 12)))
    steps = 150 * count
    return Plan(
        seed=seed,
        topics=topics,
        arrivals=arrivals,
        sizes=Sizes(
            limits=TransactionLimits(
                records=random.choice((1, 3, 10)), timers=random.choice((1, 2, 10)), seconds=random.choice((0.05, 9.0))
            ),
            queue=random.choice((2, 8, 100)),
            fetch=random.choice((1, 4, 50)),
            skew_us=random.choice((0, 7_000, 250_000)),
            commit_interval=random.choice(
                (
                    AT_ONCE,
                    CommitInterval(per_record=10_000, offsets_only=500_000),
                    CommitInterval(per_record=90_000, maximum=300_000, offsets_only=2_000_000),
                )
            ),
        ),
        trouble=Trouble(rate, budget, OUTCOMES),
        breaks=sorted(random.randrange(steps) for _ in range(random.choice((0, 0, 1, 3, 5)))),
        restarts=[random.random() * duration * 2 for _ in range(random.choice((0, 0, 1, 2)))],
    )


def _record(random: Random, number: int) -> Sent:
    name = number if random.random() < 0.9 else random.randint(1, number)
    body: dict[str, Any] = {"id": f"e{name}", "do": random.choices(list(DOINGS), list(DOINGS.values()))[0]}
    if random.random() < 0.4:
        scale = random.choice((1_000, 50_000, 1_000_000))
        body |= {"after": random.randrange(0, 8 * scale, scale // 4), "again": random.choice((0, 0, 0, 1, 3))}
    key = random.choices(KEYS, (6, 6, 6, 6, 1))[0]
    return Sent(0, key.encode(), to_bytes(body))

"""Times the parts of a load in processor time, and prints them as a table."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import process_time

Work = Callable[[], None]


def timed(parts: Mapping[str, Callable[[], Work]], events: int) -> dict[str, float]:
    """Microseconds of CPU an event of each part; what prepares a part is not counted."""
    found = {}
    for name, prepare in parts.items():
        work = prepare()
        gc.collect()
        gc.freeze()  # what is there already is no garbage of this part
        started = process_time()
        work()
        found[name] = (process_time() - started) * 1e6 / events
    gc.unfreeze()
    return found


def show(
    rounds: list[dict[str, float]], events: int, lines: Callable[[Mapping[str, float]], Mapping[str, float]]
) -> None:
    """The table: each part as it cost least, for neighbours can only add to it, and its median."""
    least, middle = ({part: pick(one[part] for one in rounds) for part in rounds[0]} for pick in (min, median))
    print(f"µs of CPU an event, least and median of {len(rounds)} rounds of {events:,} events")
    for name, cost in lines(least).items():
        print(f"{name:<36}{cost:7.1f}{lines(middle)[name]:7.1f}")
    print(f"{'sum':<36}{sum(lines(least).values()):7.1f}{sum(lines(middle).values()):7.1f}")

"""One run of one contender: what it is told, by the runner on one side and by its own program on the other.

It imports nothing of ours: programs in environments of their own read it too.
"""

from __future__ import annotations

import argparse
import gc
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """Names that no other run has, so that every run starts without state."""

    bootstrap: str
    name: str
    """Application id and consumer group, and the first part of every topic of this run."""
    input: str
    partitions: int
    folder: str
    """An empty directory for local state."""

    @property
    def output(self) -> str:
        """The topic of the decisions."""
        return f"{self.name}.out"

    def arguments(self) -> list[str]:
        """The command line of a contender's program."""
        return [part for key, value in asdict(self).items() for part in (f"--{key}", str(value))]


def read_run(purpose: str | None) -> Run:
    """The run that this program was started for."""
    parser = argparse.ArgumentParser(description=purpose)
    for name in ("bootstrap", "name", "input", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    # The worker of the product does the same; for a heap of small long-lived objects the default walks it all the time.
    gc.set_threshold(100_000, 50, 100)
    return Run(**vars(parser.parse_args()))

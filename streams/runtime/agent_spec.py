"""The definition of an agent, as a worker needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streams.kafka.records import RawRecord
from streams.runtime.processor import Processor
from streams.runtime.run_loop import AT_ONCE, CommitInterval


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent: `name` is part of its topics, group and transactional ids; `processor` makes the processor of a
    partition."""

    name: str
    topics: tuple[str, ...]
    processor: Callable[[int], Processor]
    commit_interval: CommitInterval = AT_ONCE
    legacy_topics: tuple[str, ...] = ()
    """Topics that versions before wrote to: read as well if they exist when the worker starts."""
    writes: tuple[str, ...] = ()
    """The topics that it writes, apart from its changelog: all must exist before the worker starts."""
    compacted: frozenset[str] = frozenset()
    """Those of `writes` that keep the newest record of each key; of the others every record counts."""
    purges: frozenset[str] = frozenset()
    """Those of its topics that it alone reads: records are deleted once they are applied."""
    internal: frozenset[str] = frozenset()
    """Those of its topics that agents alone write to: only what they wrote moves stream time (R11)."""
    from_agent: Callable[[RawRecord], bool] = lambda _: True
    """Whether an agent wrote a record of an internal topic."""
    background: bool = False
    """Under load, all tasks of this agent together get as much CPU time as one task of another agent."""

"""The mapping that requests are received by. A request ends with the one that it began with."""

from __future__ import annotations

from dataclasses import dataclass

from connect.intake.formats.registry import format_of
from connect.intake.loaded_mapping import LoadedMapping
from connect.intake.mapping.rules import Source
from connect.intake.web.limits import SourceRateLimits
from connect.intake.web.request_guard import RequestGuard
from streams.time_source import PresentTime


@dataclass(frozen=True, slots=True)
class MappingInForce:
    """A loaded mapping, what checks its secrets, and the rates of its sources. `callers` are the sources that a token
    identifies, rather than an address; `heartbeat_callers` those whose requests are heartbeats."""

    loaded: LoadedMapping
    callers: tuple[Source, ...]
    heartbeat_callers: tuple[Source, ...]
    guard: RequestGuard
    rates: SourceRateLimits

    @classmethod
    def of(cls, loaded: LoadedMapping, clock: PresentTime, previous: MappingInForce | None = None) -> MappingInForce:
        """`previous` is the one that it replaces."""
        by_token = [source for source in loaded.sources.values() if format_of(source).translate is None]
        callers = tuple(source for source in by_token if not format_of(source).heartbeats)
        heartbeat_callers = tuple(source for source in by_token if format_of(source).heartbeats)
        rates = SourceRateLimits(loaded.sources, clock.now(), None if previous is None else previous.rates)
        return cls(loaded, callers, heartbeat_callers, RequestGuard(loaded.secrets, clock), rates)

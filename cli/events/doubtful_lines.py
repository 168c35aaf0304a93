"""What events that a command sends say that is rarely meant: it can be told without the workers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cli.support.console import safe
from cli.support.warnings import CommandWarning
from connect.actions.doubtful import window_warnings
from connect.actions.texts import warning_text
from connect.intake.contradictory_extensions import differing_extension
from connect.intake.contradictory_times import StatedTimes
from streams.serde.cloudevents_json import data_fields, json_of
from streams.sla.events import CONTRACT_TYPES, INCIDENT_RANK, Event, MaintenanceScheduled

if TYPE_CHECKING:
    from streams.sla.contracts import ContractHistory
    from streams.sla.policy import Policies

_MOST_LISTED = 20
#: Incidents whose times are compared, and windows that are looked at.
_MOST_INCIDENTS = 100_000
_MOST_WINDOWS = 1_000
_FIELDS = {each.name for kind in (*INCIDENT_RANK, *CONTRACT_TYPES) for each in data_fields(kind) or ()}
#: Extensions that may name a field of the event: a line without one is not parsed again.
_NAMES = sorted(name.replace("_", "") for name in {*_FIELDS, "incident_id"} if "_" in name)
_EXTENSION = re.compile(f'"(?:{"|".join(_NAMES)})"')


class DoubtfulLines:
    """The events that a command sends, one after another."""

    def __init__(self) -> None:
        self._times = StatedTimes(_MOST_INCIDENTS)
        self._found: list[CommandWarning] = []
        self._more = 0
        self._windows: list[tuple[str, Event]] = []
        self._windows_left_out = 0

    @property
    def windows(self) -> bool:
        """Whether there are maintenance windows, of which policies say something."""
        return bool(self._windows)

    def add(self, event: Event, line: str, where: str = "") -> None:
        """Note an event and the JSON line that it is; `where` says which, such as "line 3"."""
        place = f"{where}: " if where else ""
        found = [self._times.note("", event)]
        if _EXTENSION.search(line):
            given = json_of(line)
            if isinstance(given, dict):
                found.append(differing_extension("", given, event.subject))
        for each in found:
            if each is not None:
                self._note(each.unapplied or "", f"{place}{safe(event.subject)}: {safe(each.reason)}")
        if isinstance(event.payload, MaintenanceScheduled):
            if len(self._windows) < _MOST_WINDOWS:
                self._windows.append((place, event))
            else:
                self._windows_left_out += 1

    def warnings(
        self, policies: Policies | None, contracts: Mapping[str, ContractHistory], now: int
    ) -> Iterator[CommandWarning]:
        """What to tell. `contracts` are those that are known here, which say what policy a tenant has."""
        for place, event in self._windows:
            plan = event.payload
            assert isinstance(plan, MaintenanceScheduled)
            # Whether it changes an earlier window is not known, so it is told as of a change, which holds for both.
            at = 0 if event.backfill else now
            for warning in window_warnings(plan, event, contracts, policies, at):
                self._note(warning.code, f"{place}{safe(event.subject)}: {safe(warning_text(warning))}")
        yield from self._found
        if self._more:
            yield CommandWarning("more", f"{self._more:,} more of these")
        if self._times.left_out:
            text = f"the times of all but {_MOST_INCIDENTS:,} incidents were not compared"
            yield CommandWarning("not_checked", text)
        if self._windows_left_out:
            yield CommandWarning("not_checked", f"{self._windows_left_out:,} more windows were not looked at")

    def _note(self, code: str, text: str) -> None:
        if len(self._found) < _MOST_LISTED:
            self._found.append(CommandWarning(code, text))
        else:
            self._more += 1

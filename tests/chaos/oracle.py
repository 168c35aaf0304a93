"""What must have come of it: the input folded by a plain function, in the order that the outputs claim, if legal.

Nothing of the runtime is used here. `out` holds exactly one record per input and per timer that acted, so it must be a
legal history: each topic's inputs in order, none left out, none twice, time never back; each timer after every input
that arrived by its due instant (R11), in the order of due instants, not before it was due by the broker's clock; and
everything that each record says must be what the fold says at that point.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .desk import to_bytes
from .fake_broker import Entry

ATTEMPTS = 3


@dataclass
class Facts:
    """What the broker holds in the end, as a read_committed reader sees it."""

    inputs: Mapping[str, Sequence[Entry]]
    ends: Mapping[str, int]
    out: Sequence[Entry]
    alerts: Sequence[bytes]
    rejected: Sequence[bytes]
    rows: Mapping[bytes, bytes]
    """The changelog: the last row of each key, without the applied row."""
    applied: Mapping[str, int]
    """Offsets in the applied row."""
    applied_time: int
    committed: Mapping[str, int]
    """The consumer group's offsets."""
    unsettled: Sequence[str]


class Wrong(Exception):  # noqa: N818 -- it names what happened
    """The first thing that is not as it must be."""


@dataclass
class Oracle:
    """Folds while it reads `out`."""

    facts: Facts
    time: int = 0
    before: int = 0
    """Timers have acted up to here; whether time has moved here too depends on whether all of them had acted."""
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=lambda: {"applied": 0, "ignored": 0, "rejected": 0})
    waiting: dict[str, deque[Entry]] = field(default_factory=dict)

    def check(self) -> None:
        """Raises Wrong."""
        facts = self.facts
        self.waiting = {topic: deque(entries) for topic, entries in facts.inputs.items()}
        said: dict[str, list[bytes]] = {"timer": [], "rejected": []}
        for entry in facts.out:
            body = json.loads(entry.value or b"")
            kind = body["kind"]
            if kind in self.totals:
                self._input(body)
            elif kind == "timer":
                self._timer(body, entry)
            else:
                self._quarantined(body, entry)
            said.setdefault(kind, []).append(entry.value or b"")
        lost = {topic: len(entries) for topic, entries in self.waiting.items() if entries}
        _same("inputs without an output", lost, {})
        _same("timers that never acted", self._timers(), [])
        _same("alerts", list(facts.alerts), said["timer"])
        _same("rejected", list(facts.rejected), said["rejected"])
        self._state()

    def _input(self, body: dict[str, Any]) -> None:
        topic, offset = body["at"]
        queue = self.waiting[topic]
        _same(f"the next input of {topic} to have an output", offset, queue[0].offset if queue else None)
        entry = queue.popleft()
        arrival: int = body["arrival"]
        earliest, latest = max(entry.timestamp * 1_000, self.time), max(entry.timestamp * 1_000, self.time, self.before)
        if not earliest <= arrival <= latest:
            raise Wrong(f"{topic}@{offset} arrived at {arrival}, not at {earliest} to {latest}")
        if arrival > self.time:
            overdue = [timer for timer in self._timers() if timer[0] < arrival]
            _same(f"timers left behind when {topic}@{offset} was applied at {arrival}", overdue, [])
        self.time = arrival
        key = (entry.key or b"").decode()
        asked = json.loads(entry.value or b"")
        expected = {"key": key, "at": [topic, offset], "arrival": arrival, **self._outcome(key, asked, arrival, body)}
        self.totals[expected["kind"]] += 1
        _same(f"{topic}@{offset}", body, expected)

    def _outcome(self, key: str, asked: dict[str, Any], arrival: int, body: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "bad":
            return {"kind": "rejected", "code": "bad", "attempts": 1}
        # A flaky record may be decided either way, but by the task's own rule.
        if asked["do"] == "poison" or (asked["do"] == "flaky" and body["kind"] == "rejected"):
            return {"kind": "rejected", "code": "internal", "attempts": ATTEMPTS}
        state = self.keys.setdefault(key, {"count": 0, "ids": [], "timers": []})
        if asked["id"] in state["ids"]:
            return {"kind": "ignored", "id": asked["id"], "count": state["count"]}
        state["count"] += 1
        state["ids"].append(asked["id"])
        if "after" in asked:
            state["timers"].append([arrival + asked["after"], asked["id"], asked["again"], asked["after"]])
        return {"kind": "applied", "id": asked["id"], "count": state["count"]}

    def _timer(self, body: dict[str, Any], entry: Entry) -> None:
        pending = self._timers()
        _same("a timer that acted, and the earliest one", body["due"], pending[0][0] if pending else None)
        (due, name, again, after), key = min((timer, key) for key, s in self.keys.items() for timer in s["timers"])
        self._not_early(f"the timer {name} of {key}", due, entry)
        if not due < body["before"] <= entry.appended_us:
            raise Wrong(f"the timer {name} of {key}, due {due}, acted before {body['before']} at {entry.appended_us}")
        self.before = max(self.before, body["before"])
        state = self.keys[key]
        state["timers"].remove([due, name, again, after])
        if again:
            state["timers"].append([due + after, name, again - 1, after])
        expected = {"kind": "timer", "key": key, "name": name, "due": due, "count": state["count"]}
        _same(f"the timer {name} of {key}", body, expected | {"before": body["before"]})

    def _quarantined(self, body: dict[str, Any], entry: Entry) -> None:
        key = body["key"]
        _same("a quarantine", body, {"kind": "quarantined", "key": key, "attempts": ATTEMPTS})
        timers = self.keys[key]["timers"] if key.startswith("cursed") else []
        if not timers:
            raise Wrong(f"{key} was set aside for nothing")
        self._not_early(f"setting {key} aside", min(timers)[0], entry)
        self.keys[key]["timers"] = []

    def _not_early(self, what: str, due: int, entry: Entry) -> None:
        if entry.appended_us <= due:
            raise Wrong(f"{what}, due {due}, was early: {entry.appended_us}")
        for topic, queue in self.waiting.items():
            # An input that was written in a transaction, or lies behind one, arrives when it can be read.
            if queue and queue[0].timestamp * 1_000 <= due and queue[0].readable_us <= due:
                raise Wrong(f"{what}, due {due}, came before {topic}@{queue[0].offset} of {queue[0].timestamp}")

    def _timers(self) -> list[list[Any]]:
        return sorted(timer for state in self.keys.values() for timer in state["timers"])

    def _state(self) -> None:
        facts = self.facts
        expected = {key.encode(): to_bytes(state) for key, state in self.keys.items() if state["count"]}
        if any(self.totals.values()):
            expected[b"totals"] = to_bytes(self.totals)
        _same("the changelog", dict(facts.rows), expected)
        _same("applied, ignored and rejected inputs", sum(self.totals.values()), sum(map(len, facts.inputs.values())))
        _same("the group's offsets and the applied ones", facts.committed, facts.applied)
        for topic, entries in facts.inputs.items():
            first = entries[-1].offset + 1 if entries else 0
            if entries and not first <= facts.committed.get(topic, -1) <= facts.ends[topic]:
                raise Wrong(
                    f"the offset of {topic} is {facts.committed.get(topic)}, not {first} to {facts.ends[topic]}"
                )
        if facts.out and facts.applied_time < self.time:
            raise Wrong(f"the applied time is {facts.applied_time}, inputs reached {self.time}")
        _same("open transactions", list(facts.unsettled), [])


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Wrong(f"{what}: found {found!r}, expected {expected!r}")

"""The processor under simulation: small decisions that show everything that must not happen.

A record is JSON: {"id", "do", "after", "again"}. Each input has exactly one output in `out`, each timer that acts has
one too, and a copy in `alerts`; rejects are copied to `rejected`. `out` so tells in which order all of it happened.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from streams.runtime.processor import Effects, Record, Send, SubjectFailed

OUT, ALERTS, REJECTED = "sim.out", "sim.alerts", "sim.rejected"
TOTALS = b"totals"


def to_bytes(body: Any) -> bytes:
    """One form for one content."""
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


class Desk:
    """State per key: how many inputs, their ids, timers as [due, name, times to act again, by how much later]."""

    def __init__(self, partition: int, flaky: Callable[[], bool]) -> None:
        self._partition = partition
        self._flaky = flaky
        self._totals = {"applied": 0, "ignored": 0, "rejected": 0}
        self._keys: dict[str, dict[str, Any]] = {}

    def restore(self, key: bytes, value: bytes) -> None:
        if key == TOTALS:
            self._totals = json.loads(value)
        else:
            self._keys[key.decode()] = json.loads(value)

    def restored(self) -> None:
        pass

    def apply(self, record: Record, effects: Effects) -> None:
        body = json.loads(record.value or b"{}")
        key = (record.key or b"").decode()
        do = body["do"]
        if do == "bad":
            self.reject(record, "bad", "as it says", effects)
            return
        state = self._keys.setdefault(key, {"count": 0, "ids": [], "timers": []})
        new = body["id"] not in state["ids"]
        if new:
            state["count"] += 1
            state["ids"].append(body["id"])
        if do == "poison" or (do == "flaky" and self._flaky()):
            raise ValueError("poisoned")  # after the state has been changed, as bad luck would have it
        if new and body.get("after") is not None:
            state["timers"].append([record.arrival + body["after"], body["id"], body["again"], body["after"]])
        self._said("applied" if new else "ignored", record, {"id": body["id"], "count": state["count"]}, effects)
        effects.put(key.encode(), to_bytes(state))

    def reject(self, record: Record, code: str, message: str, effects: Effects, attempts: int = 1) -> None:
        said = self._said("rejected", record, {"code": code, "attempts": attempts}, effects)
        effects.send(Send(REJECTED, self._partition, record.key, said, []))

    def quarantine(self, subject: str, message: str, effects: Effects, attempts: int) -> None:
        state = self._keys.get(subject)
        if state is None or not state["timers"]:
            return  # another owner has done it
        state["timers"] = []
        effects.put(subject.encode(), to_bytes(state))
        self._send(subject, {"kind": "quarantined", "attempts": attempts}, effects)

    def next_due(self) -> int | None:
        return min((timer[0] for state in self._keys.values() for timer in state["timers"]), default=None)

    def fire(self, before: int, limit: int, effects: Effects) -> int:
        fired = 0
        while fired < limit:
            earliest = min(
                ((timer, key) for key, state in self._keys.items() for timer in state["timers"]), default=None
            )
            if earliest is None or earliest[0][0] >= before:
                break
            timer, key = earliest
            state = self._keys[key]
            state["timers"].remove(timer)
            if key.startswith("cursed"):
                try:
                    raise ValueError("cursed")
                except ValueError as error:
                    raise SubjectFailed(key) from error
            due, name, again, after = timer
            if again:
                state["timers"].append([due + after, name, again - 1, after])
            effects.put(key.encode(), to_bytes(state))
            body = {"kind": "timer", "name": name, "due": due, "before": before, "count": state["count"]}
            effects.send(Send(ALERTS, self._partition, key.encode(), self._send(key, body, effects), []))
            fired += 1
        return fired

    def _said(self, kind: str, record: Record, more: dict[str, Any], effects: Effects) -> bytes:
        self._totals[kind] += 1
        effects.put(TOTALS, to_bytes(self._totals))
        body = {"kind": kind, "at": [record.topic, record.offset], "arrival": record.arrival, **more}
        return self._send((record.key or b"").decode(), body, effects)

    def _send(self, key: str, body: dict[str, Any], effects: Effects) -> bytes:
        value = to_bytes({"key": key, **body})
        effects.send(Send(OUT, self._partition, key.encode(), value, []))
        return value

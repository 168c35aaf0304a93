"""States of incidents, roughly, from inputs and outputs: until the replay gives the real ones."""

from __future__ import annotations

from typing import Any

from streams.sla.ids import output_id
from streams.sla.instants import HOUR, format_rfc3339, parse_rfc3339

_EVERY = {"P1": HOUR, "P2": 2 * HOUR, "P3": 6 * HOUR}


class States:
    """The latest of every incident."""

    def __init__(self) -> None:
        self.data: dict[str, dict[str, Any]] = {}

    def take(self, event: dict[str, Any]) -> None:
        kind, data, time = event["type"], event["data"], event["time"]
        state = self.data.get(event["subject"])
        if kind == "incident.opened":
            names = ("scope", "tenant_ids", "component", "impact", "tier", "channel", "summary", "ticket_id")
            self.data[event["subject"]] = {
                "incident_id": event["subject"],
                "status": "open",
                "opened_at": time,
                "started_at": data.get("started_at") or time,
                "clocks": {},
                "severity_by_hand": False,
                **{name: data[name] for name in names if data.get(name) is not None},
            }
            return
        if state is None:
            return
        state["changed"] = time
        match kind:
            case "incident.reclassified":
                state.update(data)
            case "incident.linked":
                state.update({name: value for name, value in data.items() if value})
            case "incident.waiting":
                state["waiting"] = data["on"]
            case "incident.waiting_ended":
                state.pop("waiting", None)
            case "incident.severity_set":
                state["severity_by_hand"] = data["severity"] is not None
            case "incident.responded":
                state.setdefault("responded_at", time)
                self._window(state, time)
            case "incident.updated":
                state["updated_at"] = time
                self._window(state, time)
            case "incident.resolved":
                state["restored_at"] = data.get("restored_at") or time
            case "incident.reopened":
                state.pop("restored_at", None)
                state.update(status="open")
                state.pop("ended_at", None)
            case "incident.merged":
                state["merged_into"] = data["into"]
            case "incident.classified":
                names = ("policy", "severity", "coverage", "rule", "counts_as_downtime", "flags", "title")
                state.update({name: data[name] for name in names})
                for clock in data["clocks"]:
                    self._clock(state, clock, "running", state["opened_at"])
            case "sla.met":
                self._clock(state, data, "met", data["met_at"])
            case "sla.breached":
                self._clock(state, data, "breached", data["deadline"])
                self._window(state, data["deadline"])
            case "incident.closed":
                state.update(status=data["reason"], ended_at=data["closed_at"])
                state.pop("waiting", None)
                for clock in data["clocks"]:
                    self._clock(state, clock, clock["verdict"], data["closed_at"])

    @staticmethod
    def _clock(state: dict[str, Any], clock: dict[str, Any], what: str, at: str) -> None:
        key = (clock["metric"], clock["instance"])
        known = state["clocks"].setdefault(key, {"started_at": at, "deadline_revision": 0})
        known.update(metric=key[0], instance=key[1], state=what, deadline=clock["deadline"], warn_at=[])
        if what != "running":
            known["ended_at"] = at

    def _window(self, state: dict[str, Any], start: str) -> None:
        every = _EVERY.get(state.get("severity", ""))
        if every is None or state["status"] != "open" or "responded_at" not in state:
            return
        number = sum(metric == "update" for metric, _ in state["clocks"]) + 1
        deadline = format_rfc3339(parse_rfc3339(start) + every)
        self._clock(state, {"metric": "update", "instance": number, "deadline": deadline}, "running", start)

    def events(self) -> list[dict[str, Any]]:
        """The states as events in their JSON form."""
        return [self._event(name, state) for name, state in self.data.items() if "severity" in state]

    @staticmethod
    def _event(name: str, state: dict[str, Any]) -> dict[str, Any]:
        data = {key: value for key, value in state.items() if key != "changed"}
        data |= {"revision": 1, "clocks": sorted(state["clocks"].values(), key=lambda each: each["started_at"])}
        data.setdefault("tenant_ids", [])
        running = [each for each in data["clocks"] if each["state"] == "running"]
        if running and state["status"] == "open":
            first = min(running, key=lambda each: each["deadline"])
            data["next_deadline"] = first["deadline"]
            data["next"] = {"what": "deadline", "at": first["deadline"]} | {
                part: first[part] for part in ("metric", "instance")
            }
        return {
            "specversion": "1.0",
            "id": output_id("incident.state", name, 1),
            "type": "incident.state",
            "source": "/sla/incidents",
            "subject": name,
            "time": state.get("changed", state["opened_at"]),
            "data": data,
        }

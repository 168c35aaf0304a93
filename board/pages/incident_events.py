"""The events of an incident in words: what happened, the details, who said so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from board.charts.timeline import EventKind
from board.pages.incident_texts import IncidentPhrases
from board.pages.render import local
from board.pages.texts import BoardPhrases
from board.queries.timeline import TimelineRow
from board.viewer import Viewer
from streams.policy.phrases import policy_phrases
from streams.sla.instants import MINUTE, parse_rfc3339

#: Events that arrive later than this after they happened say so.
_LATE = 5 * MINUTE
_KINDS: Mapping[str, EventKind] = {
    "incident.responded": "answer",
    "incident.amended": "correction",
    "incident.reclassified": "correction",
    "incident.severity_set": "correction",
    "incident.policy_applied": "correction",
    "incident.resolved": "end",
    "incident.merged": "end",
    "incident.annulled": "end",
    "incident.closed": "end",
    "sla.warning": "warning",
    "sla.update_due": "reminder",
    "sla.breached": "breach",
    "sla.breach_retracted": "retraction",
    "sla.met": "met",
}


@dataclass(frozen=True, slots=True)
class EventView:
    """One event as it is shown. `other` is the id of an incident that it links to. `late` is how long after the event
    it arrived, microseconds; None when it came at once."""

    row: TimelineRow
    kind: EventKind
    what: str
    details: tuple[str, ...]
    text: str | None
    author: str
    other: str | None
    late: int | None
    is_output: bool


def kind_of(row: TimelineRow) -> EventKind:
    """The sign of an event in the picture."""
    if row.type == "incident.updated":
        return "update" if row.data.get("visibility") == "public" else "internal"
    return _KINDS.get(row.type, "fact")


@dataclass(frozen=True, slots=True)
class EventWords:
    """Puts events into words for one viewer."""

    phrases: IncidentPhrases
    common: BoardPhrases
    viewer: Viewer

    def view(self, row: TimelineRow) -> EventView:
        """An event as it is shown."""
        is_output = row.topic != "incident-events"
        late = row.arrived_at - row.occurred_at
        data = row.data
        return EventView(
            row=row,
            kind=kind_of(row),
            what=self.phrases.events.get(row.type, row.type),
            details=tuple(self._details(row.type, data)),
            text=_text(data.get("text") or data.get("summary") or data.get("reason"), row.type),
            author=row.source if is_output else self._author(row),
            other=data.get("into") or data.get("other"),
            late=late if late > _LATE and not is_output else None,
            is_output=is_output,
        )

    def who(self, found: Mapping[str, Any] | None) -> str | None:
        """`support kim`; None for nobody."""
        if not found:
            return None
        kind = self.phrases.actors.get(str(found.get("kind")), self.phrases.actors["unknown"])
        return f"{kind} {found['id']}" if found.get("id") else kind

    def clock(self, metric: str, instance: object) -> str:
        """`public update 3`."""
        return f"{self.common.metrics.get(metric, self.common.metrics['unknown'])} {instance}"

    def time_of(self, instant: int) -> str:
        """An instant in the viewer's zone, to the second."""
        return local(instant, self.viewer, "%Y-%m-%d %H:%M:%S")

    def time(self, text: object) -> str:
        """An instant of an event's data in the viewer's zone."""
        return self.time_of(parse_rfc3339(str(text)))

    def _author(self, row: TimelineRow) -> str:
        who = self.who(row.data.get("who"))
        return row.source if who is None else f"{who} · {row.source}"

    def _details(self, kind: str, data: Mapping[str, Any]) -> Iterator[str]:
        made: Callable[[Mapping[str, Any]], Iterator[str]] | None = {
            "incident.opened": self._facts,
            "incident.reclassified": self._facts,
            "incident.reopened": self._facts,
            "incident.resolved": self._facts,
            "incident.amended": self._facts,
            "incident.linked": self._facts,
            "incident.severity_set": self._severity_set,
            "incident.policy_applied": self._policy_applied,
            "incident.updated": self._updated,
            "incident.waiting": self._waiting,
            "incident.waiting_ended": self._waiting,
            "incident.classified": self._classified,
            "incident.closed": self._closed,
            "incident.link_changed": self._link_changed,
            "incident.merged": self._merged,
            "sla.warning": self._alert,
            "sla.update_due": self._alert,
            "sla.breached": self._alert,
            "sla.breach_retracted": self._alert,
            "sla.met": self._alert,
        }.get(kind)
        if made is not None:
            yield from made(data)
        approver = self.who(data.get("approver"))
        if approver is not None:
            yield self.phrases.approved_by.format(who=approver)

    def _named(self, name: str, value: object) -> str:
        return self.phrases.changed_value.format(name=name, value=value)

    def _facts(self, data: Mapping[str, Any]) -> Iterator[str]:
        words = policy_phrases(self.viewer.language)
        names = self.phrases.value_names
        if data.get("impact"):
            yield words.impacts.get(data["impact"], data["impact"])
        if data.get("component"):
            yield self._named(names["component"], data["component"])
        if data.get("tier") is not None:
            yield self._named(names["tier"], data["tier"])
        if data.get("scope") == "platform":
            yield self.common.everyone
        elif data.get("tenant_ids"):
            yield self._named(self.phrases.tenants, ", ".join(data["tenant_ids"]))
        if data.get("channel"):
            yield self._named(names["channel"], words.channels.get(data["channel"], data["channel"]))
        if data.get("started_at"):
            yield self._named(self.phrases.started, self.time(data["started_at"]))
        if data.get("restored_at"):
            yield self._named(self.phrases.restored, self.time(data["restored_at"]))
        if data.get("counts_as_downtime") is not None:
            answer = self.phrases.yes_no["yes" if data["counts_as_downtime"] else "no"]
            yield self._named(self.phrases.downtime, answer)
        if data.get("ticket_id"):
            yield self._named(self.phrases.ticket, data["ticket_id"])
        if data.get("phone_call_id"):
            yield self._named(self.phrases.phone_call, data["phone_call_id"])

    def _severity_set(self, data: Mapping[str, Any]) -> Iterator[str]:
        severity = data.get("severity")
        yield self.phrases.to_rules if severity is None else self.phrases.to_severity.format(severity=severity)

    def _policy_applied(self, data: Mapping[str, Any]) -> Iterator[str]:
        yield f"{data.get('policy')} {data.get('version')}"

    def _updated(self, data: Mapping[str, Any]) -> Iterator[str]:
        yield self.phrases.visibilities.get(str(data.get("visibility")), self.phrases.visibilities["unknown"])

    def _waiting(self, data: Mapping[str, Any]) -> Iterator[str]:
        yield self.common.waiting.get(str(data.get("on")), self.common.waiting["unknown"])

    def _classified(self, data: Mapping[str, Any]) -> Iterator[str]:
        previous = data.get("previous")
        yield f"{previous} → {data.get('severity')}" if previous else str(data.get("severity"))
        yield str(data.get("rule"))
        for clock in data.get("clocks", ()):
            deadline = clock["deadline"]
            what = self.phrases.states["paused"] if deadline is None else self._deadline(deadline)
            yield f"{self.clock(clock['metric'], clock['instance'])}: {what}"

    def _deadline(self, text: str) -> str:
        return self.phrases.deadline_was.format(time=self.time(text))

    def _closed(self, data: Mapping[str, Any]) -> Iterator[str]:
        yield self.common.statuses.get(str(data.get("reason")), self.common.statuses["unknown"])

    def _merged(self, _: Mapping[str, Any]) -> Iterator[str]:
        yield self.phrases.merged_into

    def _link_changed(self, data: Mapping[str, Any]) -> Iterator[str]:
        relation = self.phrases.merged_from if data.get("relation") == "merged_from" else self.phrases.merged_into
        yield relation if data.get("standing", True) else f"{self.phrases.no_longer}: {relation}"

    def _alert(self, data: Mapping[str, Any]) -> Iterator[str]:
        clock = self.clock(data.get("metric", "update"), data.get("instance"))
        if "threshold" in data:
            yield self.phrases.threshold.format(percent=f"{100 * float(data['threshold']):g}", clock=clock)
        else:
            yield clock
        yield self._deadline(data["deadline"])
        if data.get("cause") not in {None, "elapsed"}:
            yield self.phrases.causes.get(data["cause"], self.phrases.causes["unknown"])


def _text(found: object, kind: str) -> str | None:
    """What a person wrote; the reason of a closing is a word of the contract and is shown as a detail."""
    return str(found) if found and kind != "incident.closed" else None

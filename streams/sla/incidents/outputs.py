"""The outputs of one incident as records: classification, warnings, reminders, breaches, verdicts, impacts (R3)."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from streams.sla import calendar
from streams.sla.events import Output
from streams.sla.ids import output_id
from streams.sla.impact import Impact
from streams.sla.incidents.clocks import CANCELLED, OPEN, RESOLUTION, RESPONSE, UPDATE, Breach, ClockKey, Met, SlaClock
from streams.sla.incidents.fold import Fold

#: Titles are data of the events, English and Japanese side by side, so they are part of this core and not of the
#: catalogues in streams/i18n: `sla simulate` and every worker give the same bytes.
METRIC_TITLES = {
    RESPONSE: ("response", "初回応答"),
    UPDATE: ("update", "状況更新"),
    RESOLUTION: ("resolution", "復旧"),
}
TYPE_TITLES = {
    "sla.warning": ("{metric} is running out", "{metric}の期限が近づいています"),
    "sla.update_due": ("{metric} is due", "{metric}の時刻です"),
    "sla.breached": ("{metric} deadline breached", "{metric}の期限を超過しました"),
    "sla.breach_retracted": ("{metric} breach retracted", "{metric}の超過を取り消しました"),
    "sla.met": ("{metric} in time", "{metric}を期限内に行いました"),
    "incident.classified": ("classified", "重要度を判定しました"),
    "incident.closed": ("closed", "終了しました"),
}
#: What an impact is called in the title of an incident.
IMPACT_TITLES = {
    "complete_outage": ("complete outage", "全面停止"),
    "critical_performance": ("critical performance problem", "著しい性能低下"),
    "material_aspect": ("outage of an important part", "重要な機能の停止"),
    "processing_delay": ("delayed processing", "処理の遅れ"),
    "cosmetic": ("cosmetic fault", "表示上の不具合"),
    "unknown": ("other fault", "その他の障害"),
}


@lru_cache(maxsize=4096)
def _state_title(impact: str, severity: str, in_english: str, in_japanese: str) -> dict[str, object]:
    english, japanese = IMPACT_TITLES[impact]
    return {"en": f"{severity} {in_english}: {english}", "ja": f"{severity} {in_japanese}: {japanese}"}


def state_title(fold: Fold) -> dict[str, object]:
    """What an incident is, in one line: `P1 API: complete outage`."""
    return _state_title(fold.subject.impact, fold.classification.severity, *_component_titles(fold))


def _component_titles(fold: Fold) -> tuple[str, str]:
    """What the component is called in English and Japanese; its id where the policy does not name it."""
    name = fold.subject.component
    component = fold.policy.components.get(name)
    return (name, name) if component is None else (component.title.en, component.title.ja)


@lru_cache(maxsize=4096)
def _title(kind: str, metric: str | None, severity: str, in_english: str, in_japanese: str) -> dict[str, object]:
    """Cached, because few titles occur often; nobody changes an output's data."""
    english, japanese = TYPE_TITLES[kind]
    if metric is not None:
        english = english.format(metric=METRIC_TITLES[metric][0])
        japanese = japanese.format(metric=METRIC_TITLES[metric][1])
    return {"en": f"{severity} {in_english}: {english}", "ja": f"{severity} {in_japanese}: {japanese}"}


class OutputBuilder:
    """Builds the outputs of one incident from its current fold."""

    __slots__ = ("_backfill", "_basis", "_common", "_component_titles", "_fold", "_incident_id")

    def __init__(self, incident_id: str, fold: Fold, *, backfill: bool) -> None:
        self._incident_id = incident_id
        self._fold = fold
        self._backfill = backfill
        self._basis: tuple[object, ...] = ()
        self._common: dict[str, object] = {}
        self._component_titles = ("", "")

    def _output(
        self, kind: str, identity: tuple[object, ...], time: int, data: dict[str, object], metric: str | None = None
    ) -> Output:
        fold = self._fold
        basis = fold.policy, fold.subject, fold.classification, fold.pinned
        if basis != self._basis:
            self._update_common()
            self._basis = basis
        record = self._common | data
        record["title"] = _title(kind, metric, str(record["severity"]), *self._component_titles)
        return self._finished(kind, identity, time, record)

    def _update_common(self) -> None:
        """What all outputs of an incident say while its classification stays."""
        fold, subject = self._fold, self._fold.subject
        self._component_titles = _component_titles(fold)
        self._common = {
            "policy": fold.policy.as_data(),
            "incident_id": self._incident_id,
            "scope": subject.scope,
            "tenant_ids": list(subject.tenant_ids) if subject.scope == "tenants" else [],
            "severity": fold.classification.severity,
            "component": subject.component,
            "flags": [*fold.classification.flags, *fold.pinned.flags],
        }

    def _finished(self, kind: str, identity: tuple[object, ...], time: int, record: dict[str, object]) -> Output:
        name = output_id(kind, self._incident_id, *identity)
        return Output(kind, name, self._incident_id, time, record, self._backfill)

    def classified(self, previous: str | None, cause: tuple[str, str, str]) -> Output:
        """`cause` is the type and identity of the input that led to it."""
        fold = self._fold
        decided = fold.classification
        data: dict[str, object] = {
            "previous": previous,
            "coverage": "covered" if decided.covered else "not_covered",
            "rule": decided.rule,
            "counts_as_downtime": decided.counts_as_downtime,
            "clocks": [
                {
                    "metric": clock.metric,
                    "instance": clock.instance,
                    "deadline": clock.deadline,
                    "deadline_revision": max(clock.revision, 0),
                }
                for clock in (fold.response, fold.resolution, fold.window)
                if clock is not None and clock.state == OPEN
            ],
        }
        return self._output("incident.classified", cause, fold.classified_at, data)

    def warning(self, clock: SlaClock, threshold_at: int, threshold: float) -> Output:
        data = self._clock(clock.key, clock.revision) | {"threshold": threshold, "due_at": threshold_at}
        return self._output("sla.warning", (*clock.key, threshold), threshold_at, data, clock.metric)

    def update_due(self, clock: SlaClock, due_at: int) -> Output:
        data = self._clock(clock.key, clock.revision) | {"due_at": due_at, "requested": clock.requested}
        del data["metric"]
        return self._output("sla.update_due", clock.key, due_at, data, clock.metric)

    def breached(self, breach: Breach, detected_at: int, *, judged_before: bool) -> Output:
        cause = "late_evidence" if judged_before else "elapsed"
        if breach.reclassified:
            cause = "reclassified"
        data = self._clock(breach.key, breach.revision)
        data |= {"detected_at": detected_at, "cause": cause, "severity": breach.severity}
        output = self._output("sla.breached", breach.key, breach.at, data, breach.key.metric)
        ending = self._fold.ending
        return output if ending is None else output._replace(incident_ended=ending.at)

    def retracted(self, key: ClockKey, revision: int, at: int, cause: str) -> Output:
        """`revision` is that of the clock's deadline as it stands now."""
        breach_id = output_id("sla.breached", self._incident_id, *key)
        data = self._clock(key, revision) | {"breach_id": breach_id, "cause": cause}
        return self._output("sla.breach_retracted", key, at, data, key.metric)

    def met(self, met: Met) -> Output:
        data: dict[str, object] = {
            "metric": met.key.metric,
            "instance": met.key.instance,
            "deadline": met.key.deadline,
            "met_at": met.at,
        }
        return self._output("sla.met", (*met.key, met.at), met.at, data, met.key.metric)

    def closed(self, digest: str) -> Output:
        ending = self._fold.ending
        assert ending is not None
        data: dict[str, object] = {
            "closed_at": ending.at,
            "reason": ending.reason,
            "clocks": [self._verdict(clock) for clock in self._fold.clocks if clock.revision >= 0],
        }
        return self._output("incident.closed", (ending.at, digest), ending.at, data)

    def _verdict(self, clock: SlaClock) -> dict[str, object]:
        """Wall and business time from the clock's start to its end, pauses not deducted."""
        ended = clock.ended_at if clock.ended_at is not None else clock.start
        hours = self._fold.policy.calendar
        return {
            "metric": clock.metric,
            "instance": clock.instance,
            "deadline": clock.deadline,
            "deadline_revision": clock.revision,
            "verdict": clock.state if clock.state != OPEN else CANCELLED,
            "wall_s": ended - clock.start,
            "business_s": calendar.business_between(hours, clock.start, ended),
        }

    def impact_changed(self, impacts: list[Impact], revision: int, time: int) -> Output:
        """The whole replacement list. An interval names its own scope and tenants, because membership may change (R21);
        the event's are their union."""
        fold = self._fold
        touched = [(i.scope, i.tenant_ids) for i in impacts] or [(fold.subject.scope, fold.subject.tenant_ids)]
        platform = any(scope == "platform" for scope, _ in touched)
        data: dict[str, object] = {
            "policy": fold.policy.as_data(),
            "incident_id": self._incident_id,
            "scope": "platform" if platform else "tenants",
            "tenant_ids": [] if platform else sorted({tenant for _, tenants in touched for tenant in tenants}),
            "intervals": [_interval(impact) for impact in impacts],
            "incident_revision": revision,
            "flags": [*fold.classification.flags, *fold.pinned.flags],
            **fold.evidence.as_data(),
        }
        return self._finished("impact.changed", (revision,), time, data)

    def links(self, old: str | None, new: str | None, revision: int, time: int) -> list[Output]:
        """A merge that no longer stands, then one that does, each published for both incidents (R16)."""
        found = []
        for into, standing in ((old, False), (new, True)):
            if into is None:
                continue
            ours, theirs = (self._incident_id, "merged_into", into), (into, "merged_from", self._incident_id)
            for incident, relation, other in (ours, theirs):
                data: dict[str, object] = {
                    "policy": self._fold.policy.as_data(),
                    "incident_id": incident,
                    "relation": relation,
                    "other": other,
                    "standing": standing,
                    "link_revision": revision,
                }
                kind = "incident.link_changed"
                name = output_id(kind, incident, relation, other, standing, revision)
                found.append(Output(kind, name, incident, time, data, self._backfill))
        return found

    @staticmethod
    def _clock(key: ClockKey, revision: int) -> dict[str, object]:
        return {
            "metric": key.metric,
            "instance": key.instance,
            "deadline": key.deadline,
            "deadline_revision": revision,
        }


def _interval(impact: Impact) -> dict[str, object]:
    return {
        "component": impact.component,
        "impact": impact.impact,
        "start": impact.start,
        "end": impact.end,
        "counts": impact.counts,
        "scope": impact.scope,
        "tenant_ids": list(impact.tenant_ids),
    }


def closed_digest(fold: Fold) -> str:
    """Tells whether an ending or one of its verdicts differs from what was published."""
    verdicts = [(c.metric, c.instance, c.deadline, c.state) for c in fold.clocks if c.revision >= 0]
    return _digest((fold.ending, verdicts))


def impacts_digest(impacts: list[Impact]) -> str:
    return _digest([tuple(impact) for impact in impacts])


def _digest(value: object) -> str:
    return blake2b(repr(value).encode(), digest_size=8).hexdigest()

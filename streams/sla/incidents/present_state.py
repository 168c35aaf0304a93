"""The present state of one incident as a record, for whoever shows it or acts on it without knowing the rules."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from streams.sla.events import Output
from streams.sla.ids import output_id
from streams.sla.incidents.clocks import OPEN, RESOLUTION, RESPONSE, UPDATE, SlaClock
from streams.sla.incidents.fold import Fold
from streams.sla.incidents.outputs import state_title
from streams.sla.incidents.timeline import Timeline

TYPE = "incident.state"
#: Clocks in a state, at most: an incident may have had thousands of update windows.
MAX_CLOCKS = 32
_USUAL_BYTES = 700
_ORDER = {RESPONSE: 0, RESOLUTION: 1, UPDATE: 2}


def state_of(timeline: Timeline, revision: int) -> Output:
    """The state of a folded incident that has an opening. `revision` grows with every change of it. Instants are
    microseconds, UTC."""
    fold = timeline.live
    decided, subject, episode, ending = fold.classification, fold.subject, fold.episodes[-1], fold.ending
    clocks = _listed(fold)
    running = fold.next_deadline()
    data: dict[str, object] = {
        "policy": fold.policy.as_data(),
        "incident_id": timeline.id,
        "revision": revision,
        "status": "open" if ending is None else ending.reason,
        "waiting": _waiting_on(fold),
        "severity": decided.severity,
        "coverage": "covered" if decided.covered else "not_covered",
        "rule": decided.rule,
        "severity_by_hand": fold.by_hand is not None,
        "counts_as_downtime": decided.counts_as_downtime,
        "flags": [*decided.flags, *fold.pinned.flags],
        "scope": subject.scope,
        "tenant_ids": list(subject.tenant_ids) if subject.scope == "tenants" else [],
        "component": subject.component,
        "impact": subject.impact,
        "tier": subject.tier if subject.tier is not None else fold.pinned.tenant_tier,
        "channel": fold.channel,
        "title": state_title(fold),
        "summary": fold.summary,
        "ticket_id": fold.ticket_id,
        "phone_call_id": fold.phone_call_id,
        "merged_into": fold.merged_into,
        "opened_at": fold.opened_at,
        "started_at": episode.started if episode.amended_started is None else episode.amended_started,
        "restored_at": episode.restored if episode.amended_restored is None else episode.amended_restored,
        "ended_at": None if ending is None else ending.at,
        "responded_at": fold.answered_at,
        "updated_at": fold.updated_at,
        "clocks": [_clock(clock, fold) for clock in clocks],
        "clocks_omitted": fold.targeted - len(clocks),
        "next": _next(timeline, fold),
        "next_deadline": None if running is None else running.deadline,
    }
    name = output_id(TYPE, timeline.id, revision)
    return Output(TYPE, name, timeline.id, timeline.processed_until, data, fold.backfill)


def size_of(timeline: Timeline) -> int:
    """About how many bytes a state takes: most of those that vary are names of tenants."""
    fold = timeline.folded
    return _USUAL_BYTES if fold is None else _USUAL_BYTES + sum(map(len, fold.subject.tenant_ids))


def _waiting_on(fold: Fold) -> str | None:
    """The customer where the incident waits for both; None once it has ended."""
    if fold.ending is not None:
        return None
    return next((whom for whom in ("customer", "third_party") if whom in fold.waiting), None)


def _listed(fold: Fold) -> list[SlaClock]:
    """The clocks that have not ended, and of the others the last, by start: those that have or had a target."""
    current = (fold.response, fold.resolution, fold.window)
    listed = [clock for clock in current if clock is not None and clock.state == OPEN]
    for clock in reversed(fold.clocks):
        if len(listed) == MAX_CLOCKS:
            break
        if clock.state != OPEN and clock.target is not None:
            listed.append(clock)
    listed.sort(key=lambda clock: (clock.start, clock.instance, _ORDER[clock.metric]))
    return listed


def _clock(clock: SlaClock, fold: Fold) -> dict[str, object]:
    """One clock. Warnings and reminders only matter, and are only given, until it ends."""
    data: dict[str, object] = {
        "metric": clock.metric,
        "instance": clock.instance,
        "state": clock.state,
        "requested": clock.requested,
        "started_at": clock.start,
        "deadline": clock.deadline,
        "deadline_revision": clock.revision,
        "warn_at": [],
        "remind_at": None,
        "paused_since": None,
        "ended_at": clock.ended_at,
    }
    if clock.revision < 0:  # paused ever since it started
        data["deadline_revision"] = 0
    if clock.state != OPEN:
        return data
    data["state"] = "running"
    data["warn_at"] = _thresholds(clock.warnings)
    data["remind_at"] = clock.remind_at
    if fold.pauses.open:
        data["state"] = "paused"
        data["paused_since"] = max(fold.pauses.begins[-1], clock.start)
    return data


def _thresholds(warnings: tuple[tuple[int, Fraction], ...]) -> list[dict[str, object]]:
    return [{"threshold": _as_float(share), "at": at} for at, share in warnings]


_as_float = lru_cache(maxsize=256)(Fraction.__float__)


def _next(timeline: Timeline, fold: Fold) -> dict[str, object] | None:
    """The next timer and what it is for. Its instant is past when input came so late that it is due at once."""
    found: tuple[int, int, str, str, int] | None = None
    for breach in timeline.pending:
        metric, instance, _ = breach.key
        candidate = (breach.at, _ORDER[metric], "deadline", metric, instance)
        found = candidate if found is None or candidate < found else found
    if fold.ending is None:
        for clock in (fold.response, fold.resolution, fold.window):
            if clock is None or clock.state != OPEN or clock.deadline is None:
                continue
            notice = timeline.next_reminder(clock)
            kind = "deadline" if notice >= clock.deadline else "reminder" if clock.metric == UPDATE else "warning"
            candidate = (min(notice, clock.deadline), _ORDER[clock.metric], kind, clock.metric, clock.instance)
            found = candidate if found is None or candidate < found else found
    if found is None:
        return None
    at, _, what, metric, instance = found
    return {"what": what, "metric": metric, "instance": instance, "at": at}

"""Clocks for the slow model: one incident's facts, one by one in the order of meaning (R7, R8, R9, R11, R13–R17)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from slow_ruling import Judged, Ruling
from slow_time import Spans, deadline, text_of

from streams.sla.policy import Target

Line = dict[str, Any]
NEVER = 10**12


@dataclass
class Clock:
    """One instance of one metric, from its start until it is met, breached or cancelled."""

    metric: str
    instance: int
    start: int
    deadline: int = NEVER
    state: Literal["open", "met", "breached", "cancelled"] = "open"
    met_at: int | None = None
    reminder: int = NEVER
    """When `sla.update_due` is due, of an update window (R9)."""
    elapsed: bool = False
    """Whether time alone made it breached."""


@dataclass
class Clocks:
    """What stands of one incident: its clocks and its last classification."""

    judged: Judged
    counts: bool = False
    exhausted: bool = False
    """Whether it needs more update windows than it may have (R28)."""
    unknown_component: bool = False
    """Whether the policy does not name the component (R20)."""
    clocks: list[Clock] = field(default_factory=list)
    events: set[str] = field(default_factory=set)
    """What happened on the way that clocks don't tell, for `features`."""

    def breaches(self) -> set[tuple[str, int, str]]:
        return {(x.metric, x.instance, text_of(x.deadline)) for x in self.clocks if x.state == "breached"}

    def reminders(self) -> dict[tuple[int, str], str]:
        """When the reminder of each update window was due, by number and deadline."""
        return {
            (x.instance, text_of(x.deadline)): text_of(x.reminder)
            for x in self.clocks
            if x.metric == "update" and x.reminder < NEVER
        }

    def silent(self) -> set[tuple[int, str]]:
        """Update windows that ran out, by number and deadline."""
        return {
            (x.instance, text_of(x.deadline))
            for x in self.clocks
            if x.metric == "update" and x.elapsed and x.state == "breached"
        }

    def mets(self) -> set[tuple[str, int, str, str]]:
        return {
            (x.metric, x.instance, text_of(x.deadline), text_of(x.met_at)) for x in self.clocks if x.met_at is not None
        }


def fold(facts: list[Line], ruling: Ruling, until: int, max_windows: int) -> Clocks:
    """All of an incident's facts up to a minute, and all that elapses by then."""
    folding = Folding(facts[0], ruling, max_windows)
    for fact in facts:
        if fact["at"] <= until:
            folding.elapse(fact["at"] - 1)
            folding.apply(fact)
    folding.elapse(until)
    unknown = folding.state["component"] not in folding.policy.components
    return Clocks(folding.judged, folding.counts(), folding.exhausted, unknown, folding.clocks, folding.events)


class Folding:
    """The incident as it stands at `now`."""

    def __init__(self, opening: Line, ruling: Ruling, max_windows: int) -> None:
        self.max_windows = max_windows
        self.exhausted = False
        self.ruling = ruling
        self.now: int = opening["at"]
        self.policy = ruling.policy
        self.state: Line = dict(opening["data"])
        self.by_hand: str | None = None
        self.amended: bool | None = None
        self.judged = ruling.judge(self.policy, self.state, None)
        self.clocks: list[Clock] = []
        self.events: set[str] = set()
        self.response: Clock | None = None
        self.resolution: Clock | None = None
        self.window: Clock | None = None
        self.windows = 0
        self.episodes = 0
        self.responded = False
        self.over: Literal["resolved", "annulled"] | None = None
        self.waits: set[str] = set()
        self.pauses: Spans = []
        self.resting_since: int | None = None

    def apply(self, fact: Line) -> None:
        self.now = fact["at"]
        data = fact["data"]
        ended = self.over is not None
        self.events.add(f"{fact['type'].removeprefix('incident.')} {'an ended' if ended else 'an open'} incident")
        match fact["type"]:
            case "incident.opened":
                self.begin()
            case "incident.reopened" if self.over == "resolved":
                self.over = None
                self.begin()
            case "incident.reclassified":
                self.state = {**self.state, **data}
                self.judge_again()
            case "incident.severity_set":
                self.by_hand = data["severity"]
                self.judge_again()
            case "incident.policy_applied" if self.over is None:
                found = [x for x in self.ruling.policies.by_name[data["policy"]] if x.version == data["version"]]
                self.policy = found[0]
                self.judge_again()
            case "incident.amended" if "counts_as_downtime" in data:
                self.amended = data["counts_as_downtime"]
            case "incident.responded" | "incident.updated" if self.over is None:
                self.answered(fact)
            case "incident.waiting" if self.over is None:
                self.waits.add(data["on"])
                self.rest()
            case "incident.waiting_ended" if self.over is None:
                self.waits.discard(data["on"])
                self.rest()
            case "incident.update_requested" if self.over is None:
                updates = self.judged.targets.updates
                if updates is not None and updates.on_request and self.window is None:
                    self.open_window()
            case "incident.resolved" if self.over is None:
                if self.resolution is not None and self.resolution.state == "open":
                    self.meet(self.resolution)
                self.end()
            case "incident.merged" if self.over is None:
                self.end()
            case "incident.annulled":
                if self.over is None:
                    self.end()
                self.over = "annulled"
                for clock in self.clocks:
                    if clock.state == "breached":
                        clock.state = "cancelled"

    def begin(self) -> None:
        """An opening or reopening: response and resolution count from here, nobody is awaited (R7, R15)."""
        self.episodes += 1
        self.responded = False
        self.waits, self.pauses, self.resting_since = set(), [], None
        self.response = self.started("response", self.episodes)
        self.resolution = self.started("resolution", self.episodes)
        self.aim()

    def started(self, metric: str, instance: int) -> Clock:
        clock = Clock(metric, instance, self.now)
        self.clocks.append(clock)
        return clock

    def target(self, clock: Clock) -> Target | None:
        targets = self.judged.targets
        match clock.metric:
            case "response":
                return targets.response
            case "resolution":
                return targets.resolution
            case _:
                return targets.updates.target if targets.updates is not None else None

    def aim(self) -> None:
        """Give every clock that runs the deadline of the present target, and say which don't run."""
        for clock in (self.response, self.resolution, self.window):
            if clock is None or clock.state in {"met", "breached"}:
                continue
            if clock is self.response and clock.state == "cancelled" and self.responded:
                continue  # answered while nothing was promised: no verdict
            target = self.target(clock)
            if target is None:
                clock.state = "cancelled"
            else:
                clock.state = "open"
                clock.deadline = deadline(target, self.policy.calendar, clock.start, self.resting())
                clock.reminder = self.reminder(clock, target)

    def reminder(self, clock: Clock, target: Target) -> int:
        """R9: so long before the deadline as counts on the same clock; at once where an update was asked for."""
        updates = self.judged.targets.updates
        if clock.metric != "update" or updates is None:
            return NEVER
        if updates.on_request:
            return clock.start
        before = replace(target, within=(target.within or 0) - updates.remind_before)
        return deadline(before, self.policy.calendar, clock.start, self.resting())

    def resting(self) -> Spans:
        """Pauses so far; a pause that goes on is taken to go on for ever by `elapse`, which does not look at it."""
        return [*self.pauses, *([(self.resting_since, self.now)] if self.resting_since is not None else [])]

    def rest(self) -> None:
        """R14: clocks rest while one of the awaited is in `pause_on` of the present severity."""
        awaited = bool(self.judged.targets.pause_on & self.waits)
        if awaited and self.resting_since is None:
            self.resting_since = self.now
            self.events.add("a pause held clocks")
        elif not awaited and self.resting_since is not None:
            self.pauses.append((self.resting_since, self.now))
            self.resting_since = None
        self.aim()

    def judge_again(self) -> None:
        """R13: a change of severity, coverage or policy; only clocks neither met nor breached are re-aimed."""
        before = self.judged
        self.judged = self.ruling.judge(self.policy, self.state, self.by_hand)
        if self.over is not None or before[:3] == self.judged[:3]:
            return
        self.rest()
        regular = self.regular(self.judged)
        if self.window is not None and (self.judged.targets.updates is None or (self.regular(before) and not regular)):
            self.window.state = "cancelled"
            self.window = None
        self.aim()
        self.events.add("a change of what is promised")
        for clock in (self.response, self.resolution):
            if clock is not None and clock.state == "open" and clock.deadline <= self.now:
                self.events.add("a breach by reclassification")
                self.breach(clock)
        if self.window is not None and self.window.deadline <= self.now:
            self.events.add("a breach by reclassification")
            self.breach(self.window)
        if self.window is None and regular and self.response_over():
            self.open_window()

    @staticmethod
    def regular(judged: Judged) -> bool:
        updates = judged.targets.updates
        return updates is not None and not updates.on_request

    def response_over(self) -> bool:
        return self.responded or (self.response is not None and self.response.state in {"met", "breached"})

    def answered(self, fact: Line) -> None:
        """Support speaks: a first response, the end of an update window, or both when it was asked for (R7, R8)."""
        first = not self.responded and self.qualifies(fact)
        opened_by_it = False
        if first:
            self.responded = True
            if self.response is not None and self.response.state == "open":
                self.meet(self.response)
            if self.window is None and self.regular(self.judged):
                self.open_window()
                opened_by_it = True
        public = fact["type"] == "incident.updated" and fact["data"]["visibility"] == "public"
        by_support = fact["data"]["who"]["kind"] == "support"
        if public and by_support and self.window is not None and not opened_by_it and self.window.start < self.now:
            self.meet(self.window)
            self.window = None
            if self.regular(self.judged):
                self.open_window()

    def qualifies(self, fact: Line) -> bool:
        data = fact["data"]
        return any(
            each.event == fact["type"]
            and data["who"]["kind"] in each.who
            and (each.visibility is None or data.get("visibility") in each.visibility)
            for each in self.policy.responds
        )

    def open_window(self) -> None:
        """R28: not beyond the limit."""
        if self.windows == self.max_windows:
            self.exhausted = True
            return
        self.windows += 1
        self.window = self.started("update", self.windows)
        self.aim()

    def meet(self, clock: Clock) -> None:
        if self.resting_since is not None:
            self.aim()  # as if the pause ended here
        assert self.now <= clock.deadline
        clock.state, clock.met_at = "met", self.now

    def breach(self, clock: Clock) -> None:
        """Where it was silent too long the next window starts: at the deadline, or at a change that made it so."""
        clock.state = "breached"
        if clock is self.window:
            self.window = None
        if clock.metric != "resolution" and self.window is None and self.regular(self.judged):
            self.open_window()

    def elapse(self, last: int) -> None:
        """Deadlines up to a minute pass, unless the clocks rest."""
        while True:
            running = [clock for clock in self.clocks if clock.state == "open" and clock.deadline <= last]
            if self.resting_since is not None:
                running = [clock for clock in running if clock.deadline <= self.resting_since]
            if not running:
                return
            due = min(running, key=lambda clock: (clock.deadline, clock.metric))
            self.now = max(self.now, due.deadline)
            due.elapsed = True
            self.breach(due)

    def end(self) -> None:
        """R15: what is open ends without a verdict; verdicts stay."""
        for clock in self.clocks:
            if clock.state == "open":
                clock.state = "cancelled"
        self.window = None
        self.over = "resolved"

    def counts(self) -> bool:
        """Whether the incident is downtime as now reported, by its own policy."""
        if not self.policy.guarantees(self.state["component"]):
            return False
        return self.state["impact"] in self.policy.downtime_impacts if self.amended is None else self.amended

"""What must hold after any run, judged without the runtime: the pure core folds the accepted input anew (R32)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

from agents.incidents import IncidentsProcessor
from agents.ledger import LedgerProcessor
from cli.events.record_view import Undecodable, event_of
from cli.replay.outcome import Outcome, data_of, disagreements, outcome_of
from connect.kafka_io.reader import TopicRecord
from streams.kafka.partitioner import partition_of
from streams.policy.load import default_policies_dir, load_policies
from streams.replay.history import LOADED
from streams.replay.simulate import simulate
from streams.runtime.checkpoint import CHECKPOINT_KEY
from streams.runtime.ownership import OWNER_KEY
from streams.serde.cloudevents_json import format_line
from streams.sla.arrival import TimeLimits
from streams.sla.events import INCIDENT_RANK
from streams.sla.instants import SECOND, parse_rfc3339
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource

from .deployment import PARTITIONS, POLICY, PREFIX
from .evidence import TOPICS, Evidence, Place, doubled
from .worker import CRASHES

#: Outputs that follow from an incident alone: the same ids, no more and no fewer, however the run went.
EXACT = (
    *("incident.classified", "incident.closed", "incident.link_changed", "impact.changed"),
    *("sla.warning", "sla.update_due", "sla.breached", "sla.breach_retracted", "sla.met"),
)
HORIZONS = TimeLimits(backfill_quiet=6 * SECOND, pseudonym_key=b"faults")
_MOST = 5


class Verdict:
    """What was found wrong, and how much was looked at."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()

    def check(self, found: Iterable[str], what: str) -> None:
        """Every item is a problem."""
        items = list(found)
        shown = "; ".join(items[:_MOST]) + (f"; and {len(items) - _MOST} more" if len(items) > _MOST else "")
        if items:
            self.problems.append(f"{what}: {shown}")


def judge(
    evidence: Evidence, billed: Mapping[tuple[str, str], int] | None = None, *, held_back: bool = False
) -> Verdict:
    """Everything that the guarantees promise. `billed` is what a billing consumer's totals came to. Input that brokers
    have `held_back`, appended yet not to be read until lost replicas are given up, arrives when it can be read (R11):
    then a breach may have been said and taken back, and meaning alone is compared."""
    verdict = Verdict()
    verdict.counts["inputs"], verdict.counts["outputs"] = len(evidence.inputs), len(evidence.outputs)
    lines, unreadable, crashing = _lines(evidence.inputs)
    until = SystemTimeSource().now()
    policies = Policies.of(load_policies(default_policies_dir()), POLICY)
    told = list(simulate((line for line, _ in lines), policies, until=until, time_limits=HORIZONS, states=True))
    states = {each["subject"]: each["data"] for each in told if each["type"] == "incident.state"}
    told = [each for each in told if each["type"] != "incident.state"]
    refused = _refused(told, [place for _, place in lines]) | unreadable | crashing
    said = [each for each in told if each["type"] != "sla.rejected"]
    verdict.check(doubled(e for e in evidence.outputs if e["type"] not in EXACT), "written twice")
    if not held_back:
        verdict.check(_apart(said, evidence.outputs), "outputs differ from the fold's")
        verdict.check(state_differences(states, evidence.states), "states differ from the fold's")
    verdict.check(evidence.outdated_states, "states go back")
    verdict.counts["states"] = len(evidence.states)
    published = outcome_of(evidence.outputs)
    forget_taken_back(published, outcome_of(said))
    verdict.check(disagreements(outcome_of(said), published), "meaning differs from the fold's")
    verdict.check(_early(evidence.outputs), "too early")
    verdict.check(_rejects(refused, evidence.rejected), "rejects")
    verdict.check((f"{where} by {count}" for where, count in evidence.lag.items()), "not applied")
    verdict.check(evidence.undecided, "a transaction was left open")
    _check_state(verdict, evidence, policies, [json.loads(line) for line, place in lines if place not in refused])
    duplicates = _duplicates(evidence.inputs, set(refused))
    verdict.counts |= Counter(duplicates=duplicates, rejected=len(evidence.rejected))
    accounted = verdict.counts["applied"] + duplicates + verdict.counts["rejected"]
    if accounted != len(evidence.inputs):
        verdict.problems.append(f"{len(evidence.inputs)} inputs, but {accounted} applied, repeated or rejected")
    if billed is not None:
        expected = {key: amount for key, amount in outcome_of(said).issued.items() if amount}
        verdict.check(_differences(expected, billed), "billing's totals")
        verdict.counts["months billed"] = len(billed)
    return verdict


def forget_taken_back(published: Outcome, expected: Outcome) -> None:
    """A provisional statement may see an outage of loaded history whose end is read a moment later, while the fold has
    both in the past (R26, R32). The next one takes it back, and then says what no statement says: guarantee met, no
    credit."""
    for key in published.statements.keys() - expected.statements.keys():
        data = data_of(published.statements[key])
        if (
            data["status"] == "provisional"
            and data["guarantee_met"]
            and cast(Mapping[str, int], data["credit"])["amount_minor"] == 0
        ):
            del published.statements[key]


def _lines(inputs: list[TopicRecord]) -> tuple[list[tuple[str, Place]], dict[Place, str], dict[Place, str]]:
    """The inputs as simulation reads them (R30, R32), those that it would not refuse as a worker does, and those on
    which a decision crashes (worker.py)."""
    lines, refused, crashing = [], {}, {}
    for record in inputs:
        place = Place(record.topic.removeprefix(f"{PREFIX}."), record.partition, record.offset)
        try:
            event = dict(event_of(record))
        except Undecodable:
            refused[place] = ""
            continue
        if record.value is None:
            refused[place] = "undecodable"
            continue
        if (event["type"] in INCIDENT_RANK) != (place.topic == "incident-events"):
            refused[place] = "unknown_type"  # simulation has no topics
            continue
        if str(event["subject"]).encode().startswith(CRASHES) and event["type"] == "incident.updated":
            crashing[place] = "internal"
            continue
        if event.get("backfill"):
            # It arrives at its own time for its incident (R32), but may not lie ahead of its arrival on Kafka (R5).
            if parse_rfc3339(str(event["time"])) > record.arrival + HORIZONS.future_skew:
                refused[place] = "future"
                continue
            event.pop("receivedtime", None)
            event.pop(LOADED, None)
        lines.append((format_line(event), place))
    return lines, refused, crashing


def _refused(told: list[dict[str, Any]], places: list[Place]) -> dict[Place, str]:
    return {places[each["data"]["line"] - 1]: each["data"]["code"] for each in told if each["type"] == "sla.rejected"}


def _apart(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> Iterable[str]:
    """Of the outputs that follow from an incident alone: what one side has and the other has not, or more often. (A
    breach that is retracted and follows again is said twice: it is the same one.)"""
    known = {(e["type"], e["id"]): e for e in (*ours, *theirs)}
    mine, other = (Counter((e["type"], e["id"]) for e in side if e["type"] in EXACT) for side in (ours, theirs))
    for key in sorted((mine - other).keys()):
        yield f"lost {_short(known[key])}"
    for key in sorted((other - mine).keys()):
        yield f"{'doubled' if key in mine else 'made up'} {_short(known[key])}"


def state_differences(expected: Mapping[str, dict[str, Any]], found: Mapping[str, dict[str, Any]]) -> Iterable[str]:
    """The newest state of each incident is what its facts lead to. How many steps led to it may differ."""
    for incident in sorted(expected.keys() | found.keys()):
        ours, theirs = expected.get(incident), found.get(incident)
        if ours is None or theirs is None:
            yield f"{incident}: {'made up' if ours is None else 'lost'}"
            continue
        fields = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
        for name in sorted(set(fields) - {"revision"}):
            yield f"{incident}: {name} is {theirs.get(name)}, not {ours.get(name)}"


def _short(event: dict[str, Any]) -> str:
    data = {name: event["data"].get(name) for name in ("metric", "instance", "deadline", "severity", "cause", "flags")}
    return f"{event['type']} {event['subject']} at {event['time']} {json.dumps(data)}"


def _early(outputs: list[dict[str, Any]]) -> Iterable[str]:
    """Time-driven outputs whose record carries an instant before the one it is about (R11)."""
    for each in outputs:
        data = each["data"]
        due = data.get("due_at") if each["type"] in {"sla.update_due", "sla.warning"} else None
        if each["type"] == "sla.breached" and data["cause"] == "elapsed":
            due = data["deadline"]
        if due is not None and each["visible"] < parse_rfc3339(due) // 1_000 * 1_000:
            yield f"{each['type']} {each['subject']} due {due}"


def _rejects(expected: Mapping[Place, str], found: Mapping[Place, list[str]]) -> Iterable[str]:
    """Exactly one reject each; an empty code stands for any that says the bytes can't be read."""
    for place in sorted(expected.keys() - found.keys()):
        yield f"{place} should have been rejected {expected[place]}"
    for place, codes in sorted(found.items()):
        wanted = expected.get(place)
        if wanted is None:
            yield f"{place} was rejected {codes}"
        elif len(codes) > 1 or (wanted and codes != [wanted]):
            yield f"{place} was rejected {codes}, not {wanted or 'once'}"


def _duplicates(inputs: list[TopicRecord], refused: set[Place]) -> int:
    """Inputs that say again what an accepted one said (R1)."""
    seen: set[tuple[object, ...]] = set()
    count = 0
    for record in inputs:
        if Place(record.topic.removeprefix(f"{PREFIX}."), record.partition, record.offset) in refused:
            continue
        event = event_of(record)
        name = event["subject"], event["source"], event["id"]
        count += name in seen
        seen.add(name)
    return count


def _check_state(verdict: Verdict, evidence: Evidence, policies: Policies, events: list[dict[str, Any]]) -> None:
    """The changelogs hold each accepted input once, and say what the outputs said."""
    standing = {str(each["id"]): each for each in outcome_of(evidence.outputs).standing_breaches()}
    breached = {(e["subject"], e["data"]["metric"], e["data"]["instance"]) for e in standing.values()}
    kept: set[tuple[str, str, int]] = set()
    subjects: set[str] = set()
    applied = 0
    for (agent, partition), rows in sorted(evidence.rows.items()):
        live = {key: row for key, row in rows.items() if key not in {CHECKPOINT_KEY, OWNER_KEY}}
        if agent == "ledger":
            processor = LedgerProcessor(partition, TOPICS, policies, HORIZONS, clock=SystemTimeSource())
            applied += sum(_is_own(key, partition) for key in live)
            for key, row in live.items():
                processor.restore(key, row)
            applied += processor._early.inputs._subjects.total()  # own inputs that wait
        else:
            incidents = IncidentsProcessor(
                partition, TOPICS, policies, HORIZONS, clock=SystemTimeSource(), mark_every=SECOND
            )
            for key, row in live.items():
                incidents.restore(key, row)
            for subject in {*incidents._steps, *(subject for subject, _, _ in incidents._writer.buffered)}:
                each = incidents._store._state.cache.known(subject)
                incidents._store.trim_cache()
                subjects.add(subject)
                applied += len(each.timeline.facts) + len(each.buffered)
                kept |= {(subject, key.metric, key.instance) for key in each.timeline.published.breaches}
    # Loaded incidents that ended years ago are kept no more (R1); what they led to is.
    gone = {each["subject"] for each in events if each.get("backfill")} - subjects
    applied += len(
        {(e["subject"], e["source"], e["id"]) for e in events if e["subject"] in gone and e["type"] in INCIDENT_RANK}
    )
    verdict.counts["applied"] = applied
    breached = {one for one in breached if one[0] not in gone}
    verdict.check((f"{one} is said but not kept" for one in sorted(breached - kept)), "state")
    verdict.check((f"{one} is kept but not said" for one in sorted(kept - breached)), "state")


def _is_own(key: bytes, partition: int) -> bool:
    """Whether a ledger's fact is this partition's own input, not a copy of another's maintenance."""
    return key.startswith(b"e\x1f") and partition_of(key.split(b"\x1f")[1].decode(), PARTITIONS) == partition


def _differences(expected: Mapping[tuple[str, str], int], found: Mapping[tuple[str, str], int]) -> Iterable[str]:
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key, 0) != found.get(key, 0):
            yield f"{' '.join(key)}: {found.get(key, 0)} billed, {expected.get(key, 0)} due"

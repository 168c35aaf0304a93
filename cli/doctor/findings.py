"""What the doctor finds. Pure: judges what was read from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from cli.support.counts import are, counted, valid_files
from cli.support.open_transactions import blocked_text, describe_producers
from streams.sla.instants import SECOND, format_rfc3339
from streams.topics import TopicSpec
from streams.worker_progress import BlockedInput, WorkerProgress

Status = Literal["ok", "warn", "fail"]
#: Below these shares of a file system, and below this many free bytes, a directory is in danger.
_LITTLE, _ALMOST_NONE, _GIB = 0.10, 0.03, 1024**3
#: A broker's clock that is this far ahead of ours, in microseconds, is no matter of transport.
_SKEW = 2 * SECOND


class Diagnosis(NamedTuple):
    """One line: what was checked, how it is, and how to mend it where it is not well."""

    status: Status
    check: str
    what: str
    mend: str | None = None


def topic_findings(
    specs: Sequence[TopicSpec],
    partitions: Mapping[str, int],
    differing: Mapping[str, Sequence[tuple[str, str, str]]],
    hidden: Iterable[str] = (),
) -> list[Diagnosis]:
    """How topics are: `partitions` of those that exist, (setting, declared, actual) of each that differs, and those
    that this user may not see."""
    found = []
    hidden = set(hidden)
    for name in sorted(hidden):
        mend = "allow DESCRIBE and READ on it to this user; docs/topics.md lists who needs what"
        found.append(Diagnosis("fail", "access", f"{name}: this user is not authorized to see it", mend))
    missing = [spec.name for spec in specs if spec.name not in partitions and spec.name not in hidden]
    if missing:
        found.append(Diagnosis("fail", "topics", f"missing: {', '.join(missing)}", "create them: sla topics apply"))
    counts = sorted(set(partitions.values()))
    if len(counts) > 1:
        by_count = "; ".join(
            f"{count}: {', '.join(name for name, each in sorted(partitions.items()) if each == count)}"
            for count in counts
        )
        mend = "all topics need one partition count, fixed at creation; see docs/operations.md, A recreated topic"
        found.append(Diagnosis("fail", "partitions", f"topics have different partition counts: {by_count}", mend))
    elif counts:
        declared = specs[0].partitions
        if counts[0] == declared:
            found.append(Diagnosis("ok", "partitions", f"every topic has {declared}"))
        else:
            what = f"topics have {counts[0]} partitions, SLA_PARTITIONS is {declared}"
            found.append(Diagnosis("fail", "partitions", what, f"set SLA_PARTITIONS={counts[0]}"))
    for name, settings in sorted(differing.items()):
        for setting, declared_value, actual in settings:
            if setting in {"topic", "partitions"}:
                continue
            what = f"{name}: {setting} is {actual}, declared is {declared_value}"
            status: Status = "fail" if setting in {"cleanup.policy", "message.timestamp.type"} else "warn"
            mend = "sla topics apply"
            if setting == "replication":
                mend = "set SLA_REPLICATION to what is wanted, or move replicas with Kafka's own tools"
            found.append(Diagnosis(status, "topics", what, mend))
    if not any(each.check == "topics" for each in found) and not hidden:
        found.append(Diagnosis("ok", "topics", f"all {len(specs)} exist as declared"))
    return found


def leader_findings(leaderless: Iterable[tuple[str, int]]) -> list[Diagnosis]:
    """Partitions that no broker leads: nobody can write or read them."""
    mend = (
        "start the brokers that have their replicas; kafka-topics.sh --describe --unavailable-partitions lists them. "
        "What workers have done is not read until then"
    )
    by_topic: dict[str, list[str]] = {}
    for topic, partition in sorted(leaderless):
        by_topic.setdefault(topic, []).append(str(partition))
    return [
        Diagnosis("fail", "leaders", f"{topic}: no broker leads partition {', '.join(partitions)}", mend)
        for topic, partitions in by_topic.items()
    ]


def worker_findings(progress: WorkerProgress, group: str) -> list[Diagnosis]:
    """How workers are, and the partitions that statements wait for."""
    unread = sum(each.unread for each in progress.tasks)
    found = []
    if progress.workers is None:
        mend = f"allow DESCRIBE on the group {group} to this user"
        found.append(Diagnosis("warn", "workers", "the broker does not tell how many there are", mend))
    elif progress.workers == 0:
        what = f"no worker of {group} runs; {unread:,} inputs wait"
        found.append(Diagnosis("fail", "workers", what, "start one: sla worker"))
    else:
        found.append(Diagnosis("ok", "workers", f"{progress.workers} in the group {group}, {unread:,} inputs unread"))
    waited = [str(each.partition) for each in progress.partitions if each.waited_for]
    if waited:
        what = f"statements wait for partition {', '.join(waited)}"
        mend = "see its worker's log for task_halted, and docs/operations.md, A halted task"
        found.append(Diagnosis("fail", "progress", what, mend))
    else:
        found.append(
            Diagnosis("ok", "progress", f"none of {counted(len(progress.partitions), 'partition')} is waited for")
        )
    return found


def transaction_findings(found: Iterable[BlockedInput], now: int) -> list[Diagnosis]:
    """Input that nobody can read, although workers have no lag."""
    return [Diagnosis("fail", "transactions", blocked_text(each, now), describe_producers(each)) for each in found] or [
        Diagnosis("ok", "transactions", "none of another program keeps input away")
    ]


def clock_finding(newest: int | None, now: int) -> Diagnosis:
    """This clock against `newest`, the latest instant that a broker has stamped a record with; microseconds. Nothing
    is written, so a clock that is ahead of the brokers' can't be told from a topic without new records."""
    if newest is None:
        return Diagnosis("ok", "clock", "not compared: no broker has stamped a record yet")
    if newest - now > _SKEW:
        what = f"this clock is at least {(newest - now) / SECOND:.1f} s behind the brokers'"
        return Diagnosis("fail", "clock", what, "synchronise the clocks of this machine and of the brokers (NTP)")
    what = f"not behind the brokers', whose newest stamp is {format_rfc3339(newest)}; ahead can't be seen by reading"
    return Diagnosis("ok", "clock", what)


def policy_findings(count: int, seen: Iterable[tuple[str, str, str]]) -> list[Diagnosis]:
    """The versions that decisions used, as (policy, version, how deployed), against those deployed."""
    found = []
    used = list(seen)
    for policy, version, deployed in used:
        if deployed != "deployed":
            what = f"decisions used {policy} {version}, which is here with {deployed}"
            if deployed == "not deployed":
                what = f"decisions used {policy} {version}, which is not among the policies here"
            mend = "deploy the file as it was; a changed policy needs a new version"
            found.append(Diagnosis("fail", "policies", what, mend))
    if not found:
        found.append(
            Diagnosis(
                "ok",
                "policies",
                f"{valid_files(count)}, {counted(len(used), 'version')} in use {are(len(used))} deployed",
            )
        )
    return found


def disk_finding(path: str, free: int, total: int) -> Diagnosis:
    """The room for a directory's data, in bytes."""
    share = free / total if total else 1.0
    what = f"{path}: {free / _GIB:,.1f} GiB free of {total / _GIB:,.1f} GiB"
    if share < _ALMOST_NONE or free < _GIB:
        return Diagnosis("fail", "disk", what, "make room, or move the data to a larger disk")
    if share < _LITTLE:
        return Diagnosis("warn", "disk", what, "make room soon")
    return Diagnosis("ok", "disk", what)

"""GET /api/v1/system: how far the board and the workers have come, and what they work with."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from board.access.requirement import requires
from board.api.problems import described
from board.api.route import ApiRoute, json_response
from board.api.types import InstantText, instant_text
from board.dependencies import Context, ReadConnection
from board.queries.notifications import count_notifications
from board.queries.rejects import count_rejects
from board.queries.system import (
    TIMER_DELAY,
    overdue_by_partition,
    overdue_timers,
    read_position,
    read_progress,
    versions_in_use,
)
from board.workers import PartitionHealth, WorkersStatus, partition_health
from connect.actions.permissions import Permission
from streams.sla.instants import format_rfc3339
from streams.worker_progress import TaskProgress, statements_until

router = APIRouter(route_class=ApiRoute, tags=["system"], dependencies=[requires(Permission.READ_SYSTEM)])


class PartitionBody(BaseModel):
    """How far the read model has a partition; `topic` without prefix."""

    topic: str
    partition: int
    next_offset: int
    end_offset: int | None = Field(description="Null while it is not known.")
    lag: int | None = Field(description="Offsets that are not applied yet; null while it is not known.")


class IngestBody(BaseModel):
    """The thread that reads the topics."""

    failure: str | None = Field(description="Why nothing can be read or written now.")
    reached_end: bool = Field(description="False: the topics were not read to their end yet, so rows are missing.")
    lag: int = Field(description="Offsets that are not applied yet, in all partitions.")
    skipped: int = Field(description="Records that are no events of their topics, since the start.")
    applied_at: InstantText | None = Field(description="When the last transaction was committed.")
    partitions: list[PartitionBody]


class TimersBody(BaseModel):
    """Open incidents whose deadline, warning or reminder is overdue: workers are behind, or there are none."""

    overdue: int = Field(description="Without those of loaded history.")
    first: InstantText | None = Field(description="When the first of them was due.")
    waiting_for_backfill: int = Field(
        description="Open incidents of loaded history with such a timer: it waits for the end of the load."
    )


class PolicyVersionInUseBody(BaseModel):
    """A policy version that decided incidents or statements."""

    name: str
    version: str
    digest: str
    open_incidents: int
    incidents: int
    statements: int
    deployed: str = Field(description="As the board has it: deployed, other content, or not deployed.")


class NotificationCountBody(BaseModel):
    """What the notifier keeps for a destination."""

    destination: str
    kind: str = Field(description="page (open), pending, parked or retry.")
    count: int
    oldest: InstantText


class TaskBody(BaseModel):
    """One agent's task of a partition, from its latest transaction and the offsets of its consumer group."""

    reached: InstantText | None = Field(description="Stream time of the latest transaction; null before the first.")
    committed_at: InstantText | None = Field(description="When that was written.")
    unread: int = Field(description="Inputs that no worker has applied.")
    unread_internal: int = Field(description="Records from other partitions that no worker has applied.")
    stopped: bool = Field(description="Nothing is applied although input waits: halted, or on no worker.")


class WorkerPartitionBody(BaseModel):
    """One partition, as `sla partitions` shows it, and its tasks."""

    partition: int
    incidents: TaskBody | None
    ledger: TaskBody | None
    watermark: InstantText | None = Field(
        description="Everything that arrived by then is applied; null before the first."
    )
    awaited: InstantText | None = Field(description="The instant for which ledgers wait for this partition.")
    waited_for: bool = Field(description="It delays the statements of all tenants.")
    overdue_timers: int = Field(description="Timers that are due and have had no effect yet.")
    overdue_since: InstantText | None = Field(description="When the first of them was due.")


class WorkersBody(BaseModel):
    """The workers, as Kafka tells of them; read in the background."""

    failure: str | None = Field(description="Why the latest attempt to read this failed; the rest is then older.")
    read_at: InstantText | None = Field(description="When this was read; null while nothing is known.")
    workers: int | None = Field(description="Processes in the consumer group of the deployment; null: not known.")
    statements_until: InstantText | None = Field(description="Up to when statements can be published.")
    partitions: list[WorkerPartitionBody]


class SystemBody(BaseModel):
    """The state of the deployment as the board sees it."""

    position: int = Field(description="Grows with every transaction of the read model; the id of a change event.")
    ingest: IngestBody
    workers: WorkersBody
    timers: TimersBody
    policy_versions: list[PolicyVersionInUseBody]
    rejects: dict[str, int] = Field(description="How many there are by code.")
    notifications: list[NotificationCountBody]


@router.get("/system", response_model=SystemBody, responses=described(400), summary="Show the state of the system")
def system(context: Context, connection: ReadConnection) -> Response:
    """How far the read model is, overdue timers, policy versions in use, rejects and notifications."""
    due_before = context.time_source.now() - TIMER_DELAY
    status, timers = context.ingest(), overdue_timers(connection, due_before)
    partitions = []
    for each in read_progress(connection):
        end = status.ends.get((each.topic, each.partition))
        partitions.append(
            PartitionBody(
                topic=each.topic,
                partition=each.partition,
                next_offset=each.next_offset,
                end_offset=end,
                lag=None if end is None else max(end - each.next_offset, 0),
            )
        )
    return json_response(
        SystemBody(
            position=read_position(connection),
            ingest=IngestBody(
                failure=status.failure,
                reached_end=status.reached_end,
                lag=status.lag,
                skipped=status.skipped,
                applied_at=instant_text(status.applied_at),
                partitions=partitions,
            ),
            workers=_workers(context.workers(), overdue_by_partition(connection, due_before)),
            timers=TimersBody(
                overdue=timers.count, first=instant_text(timers.first), waiting_for_backfill=timers.backfill
            ),
            policy_versions=[
                PolicyVersionInUseBody(
                    name=each.policy,
                    version=each.version,
                    digest=each.digest,
                    open_incidents=each.open_incidents,
                    incidents=each.incidents,
                    statements=each.statements,
                    deployed=each.deployed,
                )
                for each in versions_in_use(connection, context.policies)
            ],
            rejects=count_rejects(connection),
            notifications=[
                NotificationCountBody(
                    destination=each.destination,
                    kind=each.kind,
                    count=each.count,
                    oldest=format_rfc3339(each.oldest),
                )
                for each in count_notifications(connection)
            ],
        )
    )


def _workers(status: WorkersStatus, overdue: dict[int, tuple[int, int]]) -> WorkersBody:
    progress = status.progress
    return WorkersBody(
        failure=status.failure,
        read_at=None if progress is None else format_rfc3339(progress.read_at),
        workers=None if progress is None else progress.workers,
        statements_until=None if progress is None else instant_text(statements_until(progress.partitions)),
        partitions=[_partition(each) for each in partition_health(status, overdue)],
    )


def _partition(health: PartitionHealth) -> WorkerPartitionBody:
    return WorkerPartitionBody(
        partition=health.partition,
        incidents=_task(health.incidents, health),
        ledger=_task(health.ledger, health),
        watermark=instant_text(health.watermark),
        awaited=instant_text(health.awaited),
        waited_for=health.waited_for,
        overdue_timers=health.overdue,
        overdue_since=instant_text(health.overdue_since),
    )


def _task(task: TaskProgress | None, health: PartitionHealth) -> TaskBody | None:
    if task is None:
        return None
    return TaskBody(
        reached=instant_text(task.reached),
        committed_at=instant_text(task.committed_at),
        unread=task.unread,
        unread_internal=task.unread_internal,
        stopped=task.agent in health.stopped,
    )

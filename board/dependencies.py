"""What endpoints receive from FastAPI: what all requests share, and a connection of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine

from board.access.identity import current_person
from board.actions.runner import ActionRunner
from board.background import Background
from board.changes import Change, Changes
from board.ingest.status import IngestStatus
from board.queries.tenant_scope import TenantScope
from board.recent_results import RecentResults
from board.settings import BoardSettings
from board.workers import WorkersStatus
from streams.serde.codec import Codec
from streams.settings import Settings
from streams.sla.policy import Policies
from streams.time_source import TimeSource


@dataclass(frozen=True, slots=True)
class BoardContext:
    """What every request shares. `kafka` are the settings of the deployment whose topics the read model keeps;
    `ingest` tells how far it has come, `workers` how far the workers have; `actions` is how people change things."""

    engine: Engine
    settings: BoardSettings
    kafka: Settings
    policies: Policies
    time_source: TimeSource
    changes: Changes
    codec: Codec
    ingest: Callable[[], IngestStatus]
    background: Background
    recent: RecentResults
    workers: Callable[[], WorkersStatus]
    actions: ActionRunner


async def board_context(request: Request) -> BoardContext:
    """The context that `create_app` was given. (A coroutine, so that it needs no thread.)"""
    found: BoardContext = request.app.state.context
    return found


async def tenant_scope(request: Request) -> TenantScope:
    """What the person of a request may see. (A coroutine, so that it needs no thread.)"""
    return TenantScope(current_person(request).tenants)


Scope = Annotated[TenantScope, Depends(tenant_scope)]
Context = Annotated[BoardContext, Depends(board_context)]


def read_connection(request: Request, context: Context) -> Iterator[Connection]:
    """A connection in one transaction, so that all reads of a request see the same state; nothing is written. A page
    follows the changes after `request.state.position`: what it shows has all changes up to there."""
    request.state.position = context.changes.position
    with context.engine.connect() as connection:
        yield connection


ReadConnection = Annotated[Connection, Depends(read_connection)]


def narrowing(context: BoardContext, scope: TenantScope) -> Callable[[Change], Change | None] | None:
    """What gives the part of a change that the scope has; None where that is everything."""
    if scope.tenants is None:
        return None

    def narrow(change: Change) -> Change | None:
        with context.engine.connect() as connection:
            return scope.change(connection, change)

    return narrow

"""Composes the board: the JSON API, the pages, and what protects the viewer's browser."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, FastAPI
from sqlalchemy import Engine
from starlette.routing import BaseRoute

from board import static_files
from board.access.audit import AuditLog
from board.access.enforce import AccessControl
from board.access.requirement import Addresses, open_to_all
from board.access.sign_in import SignIn
from board.actions import api as actions_api
from board.actions import other_api as other_actions_api
from board.actions.present import BoardPresent, SeenStates
from board.actions.runner import READ_BACK_S, ActionRunner
from board.api import attainment, changes, incidents, rejects, statements, tenants
from board.api import audit as audit_api
from board.api import policies as policies_api
from board.api import proposals as proposals_api
from board.api import system as system_api
from board.api.openapi import API_PREFIX, openapi_of
from board.background import Background
from board.changes import Changes
from board.dependencies import BoardContext
from board.error_responses import add_error_handlers, answer_to_bug
from board.health import health_router
from board.ingest.status import IngestStatus
from board.metrics import BoardMetrics
from board.pages import (
    audit,
    claim,
    contract_import,
    erasure,
    incident,
    incident_actions,
    live,
    maintenance,
    oidc,
    overview,
    policy,
    proposal_form,
    proposals,
    rejected,
    reports,
    retry,
    sign_in,
    system,
    tenant,
    what_if,
)
from board.recent_results import RecentResults
from board.request_metrics import RequestMetrics
from board.security import BrowserProtection
from board.settings import BoardSettings
from board.workers import WorkersStatus
from connect.actions.publish import EventPublisher
from connect.actions.service import ActionService
from streams.schema_registry.schema_source import reading_codec
from streams.settings import Settings
from streams.sla.policy import Policies
from streams.time_source import SystemTimeSource, TimeSource

_API: tuple[APIRouter, ...] = (
    actions_api.router,
    other_actions_api.router,
    attainment.router,
    audit_api.router,
    changes.router,
    incidents.router,
    policies_api.router,
    proposals_api.router,
    rejects.router,
    statements.router,
    system_api.router,
    tenants.router,
)
#: Each page's router; the live page is `/`.
_PAGES: tuple[APIRouter, ...] = (
    static_files.router,
    live.router,
    audit.router,
    incident_actions.router,
    incident.router,
    claim.router,
    contract_import.router,
    erasure.router,
    tenant.router,
    overview.router,
    proposal_form.router,
    proposals.router,
    reports.router,
    maintenance.router,
    policy.router,
    what_if.router,
    sign_in.router,
    oidc.router,
    retry.router,
    rejected.router,
    system.router,
)


def _routes() -> list[BaseRoute]:
    """The routes of the API and of the pages."""
    everything = APIRouter()
    for router in _API:
        everything.include_router(router, prefix=API_PREFIX)
    for router in _PAGES:
        everything.include_router(router, include_in_schema=False)
    return everything.routes


#: They hold no state, so applications share them: FastAPI takes 0.1 s to work out what they need.
_ROUTES = _routes()


def create_app(
    engine: Engine,
    settings: BoardSettings,
    *,
    kafka: Settings,
    policies: Policies,
    time_source: TimeSource | None = None,
    changes: Changes | None = None,
    metrics: BoardMetrics | None = None,
    ingest: Callable[[], IngestStatus] = lambda: IngestStatus(failure=None, reached_end=True),
    workers: Callable[[], WorkersStatus] = WorkersStatus,
    topics: Callable[[], str | None] = lambda: None,
    publisher: EventPublisher | None = None,
) -> FastAPI:
    """The application over a migrated database. It connects to nothing else. Raises ValueError when a route does not
    say who may use it.

    `changes` is where the ingest thread publishes; `metrics` is what `/metrics` shows; `ingest` gives the status of the
    ingest thread (without one, the database counts as complete), `workers` what is known of the workers, `topics` why
    the topics' shape loses records; `publisher` sends events (without one, the first action connects to Kafka).
    """
    app = FastAPI(
        title="SLA board",
        version="1",
        routes=_ROUTES,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    board_metrics = metrics or BoardMetrics()
    time_source = time_source or SystemTimeSource()
    seen = SeenStates()
    audit_log = AuditLog(engine, time_source, board_metrics)
    service = ActionService(
        kafka,
        BoardPresent(kafka, engine, seen),
        policies=policies,
        clock=time_source,
        publisher=publisher,
        read_back_s=READ_BACK_S,
    )
    app.state.context = BoardContext(
        engine,
        settings,
        kafka,
        policies,
        time_source,
        changes or Changes(),
        reading_codec(kafka.schema_registry()),
        ingest,
        Background.of(time_source, settings.job_memory_bytes),
        RecentResults(time_source),
        workers,
        ActionRunner(service, seen, audit_log, time_source),
    )
    app.include_router(health_router(engine, board_metrics, ingest, topics), include_in_schema=False)
    app.add_api_route(
        "/api/openapi.json", lambda: openapi_of(app), include_in_schema=False, dependencies=[open_to_all()]
    )
    add_error_handlers(app)
    app.state.sign_in = SignIn(engine, settings, time_source, audit_log)
    app.state.addresses = Addresses(app)
    app.add_middleware(AccessControl, addresses=app.state.addresses, sign_in=app.state.sign_in)
    app.add_middleware(BrowserProtection, settings=settings, on_error=answer_to_bug)
    app.add_middleware(RequestMetrics, metrics=board_metrics)
    return app

"""The HTTP shell: receives a request, has it translated, and responds once Kafka has acknowledged the events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import structlog
from aiohttp import web
from opentelemetry.trace import Tracer

from connect.intake import signatures, translate
from connect.intake.byte_budget import ByteBudget
from connect.intake.formats import cloudevents, rest
from connect.intake.formats.registry import format_of
from connect.intake.heartbeats.reader import HeartbeatReader
from connect.intake.heartbeats.service import Heartbeats
from connect.intake.kafka_time import ReceiptClock
from connect.intake.loaded_mapping import LoadedMapping
from connect.intake.mapping.rules import Source
from connect.intake.metrics import IntakeMetrics
from connect.intake.record_publisher import RecordPublisher
from connect.intake.settings import IntakeSettings
from connect.intake.web import responses
from connect.intake.web.body_reader import BodyReader
from connect.intake.web.body_threads import BodyThreads
from connect.intake.web.heartbeats import acknowledged, checked_monitor, forgotten
from connect.intake.web.mapping_in_force import MappingInForce
from connect.intake.web.openapi import encoded_document
from connect.intake.web.receiver import Receiver, named_headers
from connect.intake.web.recent_requests import RecentRequests
from connect.intake.web.replies import Post, Replies, post_reply
from connect.intake.web.responses import RequestRejected, retry_after, unauthorized
from streams.log_damper import CrashLog, LogDamper
from streams.service_process import health_routes
from streams.sla.arrival import TimeLimits
from streams.sla.instants import SECOND
from streams.time_source import PresentTime

#: What a request for the last requests gets without a `limit`.
_REQUESTS_AT_ONCE = 100
_LONGEST_NUMBER = 16
_SHARED = "a token says which source sends: the first that has it counts, with what it may publish; give each its own"
_SOURCE_REMOVED = "its requests are refused (404), and what would end its open incidents: resolve them by hand"
_SOURCE = web.RequestKey("source", str)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Intake:
    """One intake: its sources, limits and Kafka publisher."""

    def __init__(
        self,
        mapping: LoadedMapping,
        settings: IntakeSettings,
        publisher: RecordPublisher,
        clock: PresentTime,
        post: Post = post_reply,
        tracer: Tracer | None = None,
        reader: Callable[[], HeartbeatReader] | None = None,
        limits: TimeLimits = TimeLimits(),  # noqa: B008 -- it is frozen
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._clock = clock = ReceiptClock(clock, publisher.clock_ahead, limits.future_skew)
        self._reader = BodyReader(settings.max_body, ByteBudget(settings.max_in_flight), settings.body_timeout)
        self._log = structlog.get_logger("connect.intake")
        self._crashes = CrashLog(self._log, "request_failed")
        self.metrics = IntakeMetrics()
        self._threads = BodyThreads()
        self._replies = Replies(post, settings.retry_after, self._threads)
        self._recent = RecentRequests(settings.recent_requests, settings.recent_bytes)
        self._receiver = Receiver(
            self._reader,
            publisher,
            self.metrics,
            settings,
            clock,
            self._replies,
            self._recent,
            self._threads,
            limits,
            tracer,
        )
        self._damper = LogDamper(60 * SECOND)
        self.heartbeats: Heartbeats | None = None
        """What notices that a monitor is silent; None without a `reader` of its topic."""
        if reader is not None:
            seconds = lambda: asyncio.get_running_loop().time()  # noqa: E731
            self.heartbeats = Heartbeats(reader, publisher, self.metrics, seconds)
        self._mapping = MappingInForce.of(mapping, clock)
        self._mapping_problem: str | None = None
        self.use(mapping)
        self.stopping = False
        self._process = uuid4().hex
        self.metrics.clock_ahead.set_function(lambda: (publisher.clock_ahead() or 0) / SECOND)
        held_bytes = self.metrics.held_bytes
        held_bytes.labels("bodies").set_function(lambda: self._reader.budget.reserved + self._reader.unproven.reserved)
        held_bytes.labels("records").set_function(lambda: self._publisher.in_flight.reserved)
        held_bytes.labels("replies").set_function(lambda: self._replies.budget.reserved)
        held_bytes.labels("recent").set_function(lambda: self._recent.bytes_used)

    def use(self, mapping: LoadedMapping) -> None:
        """Receive later requests by this mapping. Those in progress end with the one that they began with."""
        for name in self._mapping.loaded.sources.keys() - mapping.sources.keys():
            self._log.warning("source_removed", source=name, advice=_SOURCE_REMOVED)
        self._mapping = MappingInForce.of(mapping, self._clock, self._mapping)
        self._mapping_problem = None
        self._receiver.serve(len(mapping.sources))
        if self.heartbeats is not None:
            self.heartbeats.use(mapping.sources)
        self._recent.switch(on=mapping.operator is not None)
        self.metrics.mapping_in_force(mapping.digest, self._clock.now())
        for source in mapping.sources.values():
            for warning in source.warnings:
                self._log.warning("mapping_warning", source=source.name, warning=warning)
        for names in mapping.shared:
            self._log.warning("secret_shared", sources=list(names), warning=_SHARED)

    def keep_mapping(self, problem: str) -> None:
        """Note that a newer mapping was refused, and why; `/ready` shows it."""
        self._mapping_problem = problem
        self.metrics.mapping_refused()

    def app(self) -> web.Application:
        """The addresses."""
        app = web.Application(middlewares=[self._respond])
        app.add_routes(
            [
                *health_routes(self.metrics.registry, self._unready, details=self._details),
                web.get("/openapi.json", self._openapi),
                web.get("/v1/requests", self._requests),
                web.post("/v1/hooks/{name}", self._hook),
                web.post("/v1/events", self._events),
                web.post("/v1/heartbeats/{monitor}", self._heartbeat),
                web.delete("/v1/heartbeats/{monitor}", self._heartbeat),
                *(web.post(route.path, self._plain(route)) for route in rest.ROUTES),
            ]
        )
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        await self._replies.close()
        self._threads.close()

    # -- requests of senders -------------------------------------------------------------------------------------------

    async def _hook(self, request: web.Request) -> web.Response:
        mapping = self._mapping
        source = mapping.loaded.sources.get(request.match_info["name"])
        if source is None or format_of(source).translate is None:
            raise RequestRejected(404, "there is no such source of webhooks; the mapping file names them")
        request[_SOURCE] = source.name
        headers = named_headers(request, source)
        return await self._receiver.receive(
            request,
            mapping,
            source,
            lambda sender, body, arrival: translate.webhook_outcomes(sender, body, arrival, headers),
        )

    async def _events(self, request: web.Request) -> web.Response:
        mapping = self._mapping
        source = self._caller(request, mapping.guard.caller(request, mapping.callers))
        media_type = request.content_type
        if media_type not in cloudevents.MEDIA_TYPES:
            raise RequestRejected(415, f"Content-Type: allowed: {', '.join(cloudevents.MEDIA_TYPES)}")
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            if headers.setdefault(name.lower(), value) != value and name.lower().startswith("ce-"):
                raise RequestRejected(400, f"{name}: this attribute has two values; allowed: one")
        return await self._receiver.receive(
            request, mapping, source, lambda _, body, __: translate.cloud_event_outcomes(media_type, headers, body)
        )

    def _plain(self, route: rest.RestRoute) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            mapping = self._mapping
            source = self._caller(request, mapping.guard.caller(request, mapping.callers))
            if request.content_type != "application/json":
                raise RequestRejected(415, "Content-Type: allowed: application/json")
            _check_address(request)
            path_id = request.match_info.get("id")
            return await self._receiver.receive(
                request,
                mapping,
                source,
                lambda sender, body, _: translate.plain_json_outcomes(sender, route, path_id, body),
            )

        return handle

    async def _heartbeat(self, request: web.Request) -> web.Response:
        mapping, heartbeats = self._mapping, self.heartbeats
        source = self._caller(request, mapping.guard.caller(request, mapping.heartbeat_callers))
        self._receiver.limit_rate(mapping, source)
        name, now = request.match_info["monitor"], self._clock.now()
        again_s = self._settings.retry_after
        checked = checked_monitor(source, name, now) if request.method == "POST" else None
        async with self._reader.receive(request, source.name, signed=False):
            if heartbeats is None:
                raise retry_after(503, "this intake hears no heartbeats", again_s)
            if checked is None:
                return await forgotten(heartbeats, source, name, again_s)
            response = await acknowledged(heartbeats, source, name, checked, again_s)
        # Not among the last requests: thousands of heartbeats would displace what somebody looks for there.
        self.metrics.heartbeats.labels(source.name).inc()
        return response

    def _caller(self, request: web.Request, source: Source) -> Source:
        request[_SOURCE] = source.name
        return source

    # -- state of the process ------------------------------------------------------------------------------------------

    def _unready(self) -> list[dict[str, object]]:
        trouble = "stopping" if self.stopping else self._publisher.unready()
        return [] if trouble is None else [{"reason": trouble}]

    def _details(self) -> dict[str, object]:
        found: dict[str, object] = {"digest": self._mapping.loaded.digest}
        details: dict[str, object] = {"mapping": found}
        if self._mapping_problem is not None:
            found["refused"] = self._mapping_problem
        if (ahead := self._clock.difference()) is not None:
            details["clock"] = {"ahead_of_kafka_s": round(ahead / SECOND)}
        if self.heartbeats is not None and self.heartbeats.wanted:
            details["heartbeats"] = {"problem": self.heartbeats.problem}
        return details

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=encoded_document(), content_type="application/json", charset="utf-8")

    async def _requests(self, request: web.Request) -> web.Response:
        """The last requests, for the operator alone: they contain what senders of every tenant wrote."""
        operator = self._mapping.loaded.operator
        if operator is None:
            raise RequestRejected(404, "this intake keeps no requests; set SLA_INTAKE_OPERATOR_TOKEN to keep the last")
        if not signatures.bearer((operator,), request.headers.get("Authorization")):
            raise unauthorized("the operator's token is missing or wrong; tokens of sources are not accepted here")
        after, limit = (_count(request, name, most) for name, most in (("after", 1 << 53), ("limit", 10_000)))
        listed = self._recent.after(after or 0, limit or _REQUESTS_AT_ONCE)
        body = b'{"process":"%s","requests":[%s]}' % (self._process.encode(), b",".join(listed))
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})

    def _log_rejection(self, source: str, error: RequestRejected) -> None:
        left_out = self._damper.admit((source, error.status), self._clock.now())
        if left_out is not None:
            self._log.warning(
                "request_rejected", source=source, status=error.status, reason=error.reason, left_out=left_out
            )

    @web.middleware
    async def _respond(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Every error response is JSON with a reason, and every request of a source is counted."""
        try:
            if len(request.headers.getall("Authorization", ())) > 1:  # a proxy may judge by another one of them
                raise RequestRejected(400, "Authorization: this header is there twice; allowed: once")
            response: web.StreamResponse = await handler(request)
        except RequestRejected as error:
            self._log_rejection(request.get(_SOURCE, "unknown"), error)
            if self._recent.on and request.method == "POST":
                source = request.get(_SOURCE, "unknown")
                self._recent.add_rejected(source, request.path, error.status, error.reason, self._clock.now())
            response = responses.rejection_response(error)
        except web.HTTPException as error:
            response = responses.rejection_response(RequestRejected(error.status, error.reason, _allowed(error)))
        except Exception as error:  # a defect: the sender may try again, and the log has the traceback
            if isinstance(error, ConnectionError):
                raise
            self._crashes.caught(error, path=request.match_info.route.resource and request.path[:80])
            response = responses.rejection_response(RequestRejected(500, "the intake failed; its log has the reason"))
        if request.method == "POST":
            self.metrics.requests.labels(request.get(_SOURCE, "unknown"), str(response.status)).inc()
        return response


def _check_address(request: web.Request) -> None:
    """Raises RequestRejected 400 for an address whose escapes are no UTF-8: aiohttp leaves them as they are, so that
    `caf%E9` of a sender that writes Latin-1 would be another incident than the `café` that it means."""
    try:
        unquote_to_bytes(request.rel_url.raw_path).decode()
    except UnicodeDecodeError as error:
        raise RequestRejected(400, "the address is not percent-encoded UTF-8") from error


def _count(request: web.Request, name: str, most: int) -> int | None:
    """A number of the query, where it is there. Raises RequestRejected 400."""
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > _LONGEST_NUMBER or int(text) > most:
        raise RequestRejected(400, f"{name}: expected a number, at most {most:,}")
    return int(text)


def _allowed(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}

"""The HTTP shell: receives a request, has it translated, and responds once Kafka has acknowledged the events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from connect.intake import translate
from connect.intake.byte_budget import ByteBudget
from connect.intake.formats import cloudevents, rest
from connect.intake.formats.registry import format_of
from connect.intake.kafka_producer import RecordPublisher, Unavailable
from connect.intake.kafka_records import reject_record
from connect.intake.mapping.rules import Source
from connect.intake.metrics import IntakeMetrics
from connect.intake.outcome import RejectedItem
from connect.intake.settings import IntakeSettings
from connect.intake.web import responses
from connect.intake.web.body_reader import BodyReader
from connect.intake.web.limits import RecentDigests, SourceRateLimits
from connect.intake.web.openapi import document
from connect.intake.web.request_guard import RequestGuard
from connect.intake.web.responses import RequestRejected, retry_after
from connect.intake.web.signatures import Secrets
from streams.service_process import health_routes
from streams.sla.instants import SECOND
from streams.time_source import TimeSource

_MAX_LOGGED_CHARACTERS = 256
_SOURCE = web.RequestKey("source", str)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Translate = Callable[[Source, bytes], translate.Translation]


class Intake:
    """One intake: its sources, limits and Kafka publisher."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        secrets: Secrets,
        settings: IntakeSettings,
        publisher: RecordPublisher,
        clock: TimeSource,
    ) -> None:
        self._sources = dict(sources)
        self._callers = [source for source in sources.values() if format_of(source).translate is None]
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        self._guard = RequestGuard(secrets, clock)
        self._reader = BodyReader(settings.max_body, ByteBudget(settings.max_in_flight), settings.body_timeout)
        self._rates = SourceRateLimits(sources, clock.now())
        self._recent_digests = RecentDigests()
        self._log = structlog.get_logger("connect.intake")
        self.metrics = IntakeMetrics()
        self.stopping = False
        held = self.metrics.held_bytes
        held.labels("bodies").set_function(lambda: self._reader.budget.reserved)
        held.labels("records").set_function(lambda: self._publisher.in_flight.reserved)

    def app(self) -> web.Application:
        """The addresses."""
        app = web.Application(middlewares=[self._respond])
        app.add_routes(
            [
                *health_routes(self.metrics.registry, self._unready),
                web.get("/openapi.json", self._openapi),
                web.post("/v1/hooks/{name}", self._hook),
                web.post("/v1/events", self._events),
                *(web.post(route.path, self._plain(route)) for route in rest.ROUTES),
            ]
        )
        return app

    # -- requests of senders -------------------------------------------------------------------------------------------

    async def _hook(self, request: web.Request) -> web.Response:
        source = self._sources.get(request.match_info["name"])
        if source is None or format_of(source).translate is None:
            raise RequestRejected(404, "there is no such source of webhooks; the mapping file names them")
        request[_SOURCE] = source.name
        return await self._receive(request, source, self._translate_webhook)

    def _translate_webhook(self, source: Source, content: bytes) -> translate.Translation:
        return translate.webhook(source, content, self._clock.now())

    async def _events(self, request: web.Request) -> web.Response:
        source = self._caller(request)
        media_type = request.content_type
        if media_type not in cloudevents.MEDIA_TYPES:
            raise RequestRejected(415, f"Content-Type: allowed: {', '.join(cloudevents.MEDIA_TYPES)}")
        headers = {name.lower(): value for name, value in request.headers.items()}
        return await self._receive(
            request, source, lambda sender, body: translate.cloud_events(sender, media_type, headers, body)
        )

    def _plain(self, route: rest.RestRoute) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            source = self._caller(request)
            if request.content_type != "application/json":
                raise RequestRejected(415, "Content-Type: allowed: application/json")
            path_id, trace = request.match_info.get("id"), request.headers.get("traceparent")
            headers = {} if trace is None else {"traceparent": trace}
            return await self._receive(
                request, source, lambda sender, body: translate.plain_json(sender, route, path_id, headers, body)
            )

        return handle

    def _caller(self, request: web.Request) -> Source:
        source = self._guard.caller(request, self._callers)
        request[_SOURCE] = source.name
        return source

    async def _receive(self, request: web.Request, source: Source, translate_body: _Translate) -> web.Response:
        """One request from its first byte to Kafka's acknowledgement. Raises RequestRejected."""
        self._guard.check_headers(request, source)
        proven = format_of(source).signature_header is None
        if proven:
            self._limit_rate(source)
        budget = self._reader.budget if proven else self._reader.unproven
        size = self._reader.reserve(request, budget)
        try:
            content = await self._reader.read(request)
            arrival = self._clock.now()
            if not proven:
                self._guard.check(request, source, content)
                self._limit_rate(source)
            translation = self._translate(translate_body, source, content)
            await self._publish(source, translation, request.content_type, content, arrival)
        finally:
            budget.release(size)
        return responses.translation_response(translation)

    def _translate(self, translate_body: _Translate, source: Source, content: bytes) -> translate.Translation:
        """The translation of a body. One that makes the code fail is rejected (R27), so it is not retried forever."""
        try:
            return translate_body(source, content)
        except Exception as error:
            self._log.exception("translation_failed", source=source.name)
            return translate.Translation(
                rejected=[RejectedItem("", "internal", f"the translation failed: {type(error).__name__}")]
            )

    def _limit_rate(self, source: Source) -> None:
        wait_s = self._rates.acquire(source.name, self._clock.now())
        if wait_s is not None:
            raise retry_after(429, f"{source.name} sends more than its rate allows", wait_s)

    async def _publish(
        self, source: Source, translation: translate.Translation, media_type: str, content: bytes, arrival: int
    ) -> None:
        """Publish everything, rejected items included. Raises RequestRejected 503."""
        records = [event.record for event in translation.events]
        digest = hashlib.blake2b(source.name.encode() + b"\0" + content, digest_size=16).digest()
        rejecting = bool(translation.rejected) and digest not in self._recent_digests
        if rejecting:
            records.append(reject_record(source.name, media_type, content, translation.rejected, arrival))
        if records:
            try:
                await self._publisher.publish(records)
            except Unavailable as error:
                reason = "Kafka has not acknowledged; send the same request again, it counts once"
                raise retry_after(503, reason, self._settings.retry_after) from error
        if rejecting:
            self._recent_digests.add(digest)
        self._count(source, translation, arrival)

    def _count(self, source: Source, translation: translate.Translation, arrival: int) -> None:
        metrics, name = self.metrics, source.name
        if translation.events:
            metrics.acknowledged_seconds.observe(max(self._clock.now() - arrival, 0) / SECOND)
        for event in translation.events:
            metrics.published.labels(name, event.event_type).inc()
        metrics.ignored.labels(name).inc(len(translation.ignored))
        for rejected in translation.rejected:
            metrics.refused.labels(name, rejected.code).inc()
        if translation.rejected:
            first = translation.rejected[0]
            fields = {
                "item": first.item,
                "reason": first.reason[:_MAX_LOGGED_CHARACTERS],
                "count": len(translation.rejected),
            }
            self._log.warning("items_rejected", source=name, code=first.code, **fields)
        if translation.truncated:
            metrics.truncated.labels(name).inc(translation.truncated)
            self._log.warning("alerts_truncated", source=name, count=translation.truncated, remedy="set max_alerts: 0")

    # -- state of the process ------------------------------------------------------------------------------------------

    def _unready(self) -> list[dict[str, object]]:
        trouble = "stopping" if self.stopping else self._publisher.unready()
        return [] if trouble is None else [{"reason": trouble}]

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response(document(), dumps=lambda value: json.dumps(value, indent=2))

    @web.middleware
    async def _respond(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Every error response is JSON with a reason, and every request of a source is counted."""
        try:
            response: web.StreamResponse = await handler(request)
        except RequestRejected as error:
            response = responses.rejection_response(error)
        except web.HTTPException as error:
            response = responses.rejection_response(RequestRejected(error.status, error.reason, _allowed(error)))
        except Exception as error:  # a defect: the sender may try again, and the log has the traceback
            if isinstance(error, ConnectionError):
                raise
            self._log.exception("request_failed", path=request.match_info.route.resource and request.path[:80])
            response = responses.rejection_response(RequestRejected(500, "the intake failed; its log has the reason"))
        if request.method == "POST":
            self.metrics.requests.labels(request.get(_SOURCE, "unknown"), str(response.status)).inc()
        return response


def _allowed(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}

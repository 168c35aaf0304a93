"""The HTTP shell: takes a request in, lets the core decide, and answers once Kafka has acknowledged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from connect.intake import translate
from connect.intake.formats import cloudevents, rest
from connect.intake.kafka_producer import Publisher, Unavailable
from connect.intake.kafka_records import reject_record
from connect.intake.mapping.rules import Source
from connect.intake.metrics import Metrics
from connect.intake.outcome import Refused
from connect.intake.settings import IntakeSettings
from connect.intake.web import responses
from connect.intake.web.limits import Budget, Ended, Rates, Recent
from connect.intake.web.openapi import document
from connect.intake.web.request_guard import Guard, Reader
from connect.intake.web.responses import RequestRejected, later
from connect.intake.web.signatures import Secrets
from streams.sla.instants import SECOND
from streams.time_source import TimeSource

_SHOWN_CHARACTERS = 256
_SOURCE = web.RequestKey("source", str)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Decide = Callable[[Source, bytes], translate.Decision]


class Intake:
    """One intake: its sources, its limits and its way to Kafka."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        secrets: Secrets,
        settings: IntakeSettings,
        publisher: Publisher,
        clock: TimeSource,
    ) -> None:
        self._sources = dict(sources)
        self._callers = [source for source in sources.values() if source.format == "api"]
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        self._guard = Guard(secrets, clock)
        self._reader = Reader(settings.max_body, Budget(settings.max_in_flight), settings.body_timeout)
        self._rates = Rates(sources, clock.now())
        self._recent = Recent()
        self._ended = Ended()
        self._log = structlog.get_logger("connect.intake")
        self.metrics = Metrics()
        self.stopping = False
        held = self.metrics.held_bytes
        held.labels("bodies").set_function(lambda: self._reader.budget.taken)
        held.labels("records").set_function(lambda: self._publisher.held.taken)

    def app(self) -> web.Application:
        """The addresses."""
        app = web.Application(middlewares=[self._answering])
        app.add_routes(
            [
                web.get("/healthz", self._live),
                web.get("/live", self._live),
                web.get("/ready", self._ready),
                web.get("/metrics", self._metrics),
                web.get("/openapi.json", self._openapi),
                web.post("/v1/hooks/{name}", self._hook),
                web.post("/v1/events", self._events),
                *(web.post(route.path, self._plain(route)) for route in rest.ROUTES),
            ]
        )
        return app

    # -- what is sent here ---------------------------------------------------------------------------------------------

    async def _hook(self, request: web.Request) -> web.Response:
        source = self._sources.get(request.match_info["name"])
        if source is None or source.format == "api":
            raise RequestRejected(404, "there is no such source of webhooks; the mapping file names them")
        request[_SOURCE] = source.name
        return await self._take(request, source, self._of_hook)

    def _of_hook(self, source: Source, content: bytes) -> translate.Decision:
        now = self._clock.now()
        return translate.hook(source, content, lambda subject: self._ended.going_on(subject, now))

    async def _events(self, request: web.Request) -> web.Response:
        source = self._caller(request)
        media_type = request.content_type
        if media_type not in cloudevents.MEDIA_TYPES:
            raise RequestRejected(415, f"Content-Type: allowed: {', '.join(cloudevents.MEDIA_TYPES)}")
        headers = {name.lower(): value for name, value in request.headers.items()}
        return await self._take(request, source, lambda who, body: translate.events(who, media_type, headers, body))

    def _plain(self, route: rest.Route) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            source = self._caller(request)
            if request.content_type != "application/json":
                raise RequestRejected(415, "Content-Type: allowed: application/json")
            path_id, trace = request.match_info.get("id"), request.headers.get("traceparent")
            headers = {} if trace is None else {"traceparent": trace}
            return await self._take(
                request, source, lambda who, body: translate.fact(who, route, path_id, headers, body)
            )

        return handle

    def _caller(self, request: web.Request) -> Source:
        source = self._guard.caller(request, self._callers)
        request[_SOURCE] = source.name
        return source

    async def _take(self, request: web.Request, source: Source, core: _Decide) -> web.Response:
        """One request from its first byte to Kafka's acknowledgement. Raises Turned."""
        by_token = source.format in {"alertmanager", "api"}
        if source.format == "alertmanager":
            self._guard.caller(request, [source])
        if by_token:
            self._pace(source)
        else:
            self._guard.may_be_signed(request, source)
        budget = self._reader.budget if by_token else self._reader.unproven
        size = self._reader.reserve(request, budget)
        try:
            content = await self._reader.read(request)
            arrival = self._clock.now()
            if not by_token:
                self._guard.signed(request, source, content)
                self._pace(source)
            decision = self._decided(core, source, content)
            await self._publish(source, decision, request.content_type, content, arrival)
        finally:
            budget.give(size)
        return responses.decided(decision)

    def _decided(self, core: _Decide, source: Source, content: bytes) -> translate.Decision:
        """What a body becomes; one that makes the code fail is kept as a reject (R27), not sent again for ever."""
        try:
            return core(source, content)
        except Exception as error:
            self._log.exception("a body can't be decided on", source=source.name)
            return translate.Decision(refused=[Refused("", "internal", f"the code failed: {type(error).__name__}")])

    def _pace(self, source: Source) -> None:
        wait_s = self._rates.take(source.name, self._clock.now())
        if wait_s is not None:
            raise later(429, f"{source.name} sends more than its rate allows", wait_s)

    async def _publish(
        self, source: Source, decision: translate.Decision, media_type: str, content: bytes, arrival: int
    ) -> None:
        """Everything acknowledged, rejects included. Raises Turned 503."""
        records = [ready.record for ready in decision.ready]
        digest = hashlib.blake2b(source.name.encode() + b"\0" + content, digest_size=16).digest()
        rejecting = bool(decision.refused) and digest not in self._recent
        if rejecting:
            records.append(reject_record(source.name, media_type, content, decision.refused, arrival))
        if records:
            try:
                await self._publisher.publish(records)
            except Unavailable as error:
                told = "Kafka has not acknowledged; send the same request again, it counts once"
                raise later(503, told, self._settings.retry_after) from error
        if rejecting:
            self._recent.add(digest)
        self._count(source, decision, arrival)

    def _count(self, source: Source, decision: translate.Decision, arrival: int) -> None:
        metrics, name = self.metrics, source.name
        if decision.ready:
            metrics.acknowledged_seconds.observe(max(self._clock.now() - arrival, 0) / SECOND)
        for ready in decision.ready:
            if ready.event_type == "incident.resolved":
                self._ended.add(ready.subject, ready.time, self._clock.now())
            metrics.published.labels(name, ready.event_type).inc()
        metrics.ignored.labels(name).inc(len(decision.ignored))
        for refused in decision.refused:
            metrics.refused.labels(name, refused.code).inc()
        if decision.refused:
            first = decision.refused[0]
            told = {"item": first.item, "reason": first.reason[:_SHOWN_CHARACTERS], "count": len(decision.refused)}
            self._log.warning("rejected", source=name, code=first.code, **told)
        if decision.truncated:
            metrics.truncated.labels(name).inc(decision.truncated)
            self._log.warning("Alertmanager left alerts out; set max_alerts: 0", source=name, count=decision.truncated)

    # -- how it is -----------------------------------------------------------------------------------------------------

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        trouble = "stopping" if self.stopping else self._publisher.unready()
        reasons = [] if trouble is None else [{"reason": trouble}]
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response(document(), dumps=lambda value: json.dumps(value, indent=2))

    @web.middleware
    async def _answering(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Every refusal is JSON with a reason, and every request of a source is counted."""
        try:
            answer: web.StreamResponse = await handler(request)
        except RequestRejected as why:
            answer = responses.turned(why)
        except web.HTTPException as error:
            answer = responses.turned(RequestRejected(error.status, error.reason, _allowed(error)))
        except Exception as error:  # a bug of ours: the sender may try again, and the log has where
            if isinstance(error, ConnectionError):
                raise
            self._log.exception("a request failed", path=request.match_info.route.resource and request.path[:80])
            answer = responses.turned(RequestRejected(500, "the intake failed at this; its log says more"))
        if request.method == "POST":
            self.metrics.requests.labels(request.get(_SOURCE, "unknown"), str(answer.status)).inc()
        return answer


def _allowed(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}

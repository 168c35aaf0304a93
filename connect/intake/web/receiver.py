"""One request from its first byte to Kafka's acknowledgement: read, prove, translate, publish, count."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import structlog
from aiohttp import web
from opentelemetry.trace import Tracer

from connect.intake import translate
from connect.intake.arrival_check import Arrival
from connect.intake.formats.registry import format_of, signature_header_of
from connect.intake.kafka_records import OutgoingRecord, reject_record
from connect.intake.mapping.headers import Headers
from connect.intake.mapping.rules import Source
from connect.intake.metrics import IntakeMetrics
from connect.intake.outcome import RejectedItem
from connect.intake.record_publisher import RecordPublisher, Unavailable
from connect.intake.settings import IntakeSettings
from connect.intake.translate import Outcomes, Translation
from connect.intake.web import responses
from connect.intake.web.body_reader import BodyReader
from connect.intake.web.body_threads import BodyThreads
from connect.intake.web.limits import RecentKeys
from connect.intake.web.mapping_in_force import MappingInForce
from connect.intake.web.parsed_memory import ParsedMemory
from connect.intake.web.recent_requests import RecentRequests
from connect.intake.web.replies import Replies
from connect.intake.web.responses import retry_after
from connect.intake.web.traces import RequestTrace, RequestTraces
from streams.log_damper import CrashLog, LogDamper
from streams.sla.arrival import TimeLimits
from streams.sla.instants import SECOND
from streams.time_source import PresentTime

_MAX_LOGGED_CHARACTERS = 256
#: Outcomes that are in memory at once of a request: each part is published before the next one is translated.
_PART = 100

#: Attributes of CloudEvents that are no part of the fact.
_CHANGING_ATTRIBUTES = frozenset({"ce-traceparent", "ce-tracestate"})

#: Translates a body of a source that arrived at an instant. It runs in any thread, so it reads no clock: that of Kafka
#: can be asked in the event loop alone.
TranslateBody = Callable[[Source, bytes, int], Outcomes]


class Receiver:
    """Receives requests whose address and source are known."""

    def __init__(
        self,
        reader: BodyReader,
        publisher: RecordPublisher,
        metrics: IntakeMetrics,
        settings: IntakeSettings,
        clock: PresentTime,
        replies: Replies,
        recent: RecentRequests,
        threads: BodyThreads,
        limits: TimeLimits,
        tracer: Tracer | None = None,
    ) -> None:
        self._traces = RequestTraces(tracer, clock)
        self._reader = reader
        self._publisher = publisher
        self._metrics = metrics
        self._settings = settings
        self._clock = clock
        self._replies = replies
        self._recent = recent
        self._threads = threads
        self._limits = limits
        self._recent_digests = RecentKeys()
        self._opened = RecentKeys()
        """Incidents that were opened by this process and not resolved by it."""
        self._parsed_memory = ParsedMemory(threads)
        self._log = structlog.get_logger("connect.intake")
        self._damper = LogDamper(60 * SECOND)
        self._crashes = CrashLog(self._log, "translation_failed")

    def serve(self, sources: int) -> None:
        """Share memory between so many sources from now on."""
        self._reader.serve(sources)
        self._parsed_memory.serve(sources)

    async def receive(
        self, request: web.Request, mapping: MappingInForce, source: Source, translate_body: TranslateBody
    ) -> web.Response:
        """The response once Kafka has acknowledged; `source` is one of the mapping. Raises RequestRejected."""
        mapping.guard.check_headers(request, source)
        signed = signature_header_of(source) is not None
        if not signed:
            self.limit_rate(mapping, source)
        started = self._clock.now()
        async with self._reader.receive(request, source.name, signed=signed) as body:
            arrival = self._clock.now()
            if signed:
                mapping.guard.check(request, source, body.content)
                self.limit_rate(mapping, source)
                await self._reader.prove(body)
            with self._threads.holding(body.size):
                with self._traces.of(request, source, started) as trace:
                    async with (
                        self._replies.about(source, body.content) as replying,
                        self._parsed_memory.hold(source.name, body.content),
                    ):
                        translation = await self._publish(request, source, translate_body, body.content, arrival, trace)
                        replying.translation = translation
                response = responses.translation_response(translation, format_of(source).answer_status)
                if self._recent.on:
                    remove_secrets = partial(format_of(source).without_secrets, body.content)
                    shown, media_type = await self._threads.run(body.size, remove_secrets), request.content_type
                    self._recent.add(
                        source.name,
                        request.path,
                        media_type,
                        shown,
                        response.status,
                        translation,
                        arrival,
                        named_headers(request, source),
                    )
        return response

    def limit_rate(self, mapping: MappingInForce, source: Source) -> None:
        """Raises RequestRejected 429 where the source sends more than its rate allows."""
        wait_s = mapping.rates.acquire(source.name, self._clock.now())
        if wait_s is not None:
            raise retry_after(429, f"{source.name} sends more than its rate allows", wait_s)

    async def _publish(
        self,
        request: web.Request,
        source: Source,
        translate_body: TranslateBody,
        content: bytes,
        arrival: int,
        trace: RequestTrace,
    ) -> Translation:
        """Publish everything, rejected items included; what the response lists. Raises RequestRejected 503."""
        listed, published = Translation(), Counter[str]()
        ignored = 0
        # Workers judge by Kafka's clock. Where it is not known now, the acknowledgement of the events tells it.
        checked, late = Arrival(self._publisher.kafka_time(), self._limits), Translation()
        parts = self._parts(source, partial(translate_body, source, content, arrival), trace, checked)
        while (part := await self._threads.run(len(content), partial(next, parts, None))) is not None:
            await self._acknowledged(source, [event.record for event in part.events])
            late.rejected += self._rejected_by_workers(part)
            published.update(event.event_type for event in part.events)
            ignored += len(part.ignored)
            self._report_unapplied(source, part)
            listed.add(part)
            del listed.events[responses.MAX_LISTED :], listed.ignored[responses.MAX_LISTED :]
        if listed.rejected:
            digest = await self._threads.run(len(content), partial(request_digest, source, request, content))
            if digest not in self._recent_digests:
                media_type, items = request.content_type, listed.rejected
                made = partial(_reject_record, source, media_type, content, items, arrival, digest)
                await self._acknowledged(source, [await self._threads.run(len(content), made)])
                self._recent_digests.add(digest)
        listed.add(late)  # workers keep these
        self._count(source, listed, published, ignored, arrival)
        trace.published(published.total(), len(listed.rejected))
        return listed

    def _parts(
        self,
        source: Source,
        translate_this: Callable[[], Outcomes],
        trace: RequestTrace,
        arrival: Arrival,
    ) -> Iterator[Translation]:
        """The translation of a body. One that makes the code fail is rejected (R27), so it is not retried forever."""
        try:
            yield from translate.in_parts(trace.join(translate_this()), source, _PART, arrival)
        except Exception as error:
            self._crashes.caught(error, source=source.name)
            reason = f"the translation failed: {type(error).__name__}"
            yield Translation(rejected=[RejectedItem("", "internal", reason)])

    def _rejected_by_workers(self, part: Translation) -> Iterator[RejectedItem]:
        """The events of a part that Kafka has now, and whose times could not be judged before, as far as workers
        reject them."""
        arrival = Arrival(self._publisher.kafka_time(), self._limits)
        for item, event in part.unjudged if arrival.at is not None else ():
            if (rejection := arrival.rejected_by_workers(event)) is not None:
                yield RejectedItem(item, rejection.code, rejection.message)

    async def _acknowledged(self, source: Source, records: Sequence[OutgoingRecord]) -> None:
        if not records:
            return
        try:
            await self._publisher.publish([record._replace(sender=source.name) for record in records])
        except Unavailable as error:
            again = "send the same request again, it counts once"
            raise responses.unacknowledged(error, again, self._settings.retry_after) from error

    def _report_unapplied(self, source: Source, part: Translation) -> None:
        for event in part.events:
            if event.event_type in ("incident.opened", "incident.reopened"):
                self._opened.add(event.subject.encode())
            elif event.event_type == "incident.resolved":
                self._opened.discard(event.subject.encode())
        for each in part.ignored:
            change = each.unapplied
            subject = b"" if each.subject is None else each.subject.encode(errors="replace")
            if change is None and each.if_open is not None and subject in self._opened:
                change = each.if_open
                self._opened.discard(subject)  # told once
            if change is not None:
                self._metrics.unapplied.labels(source.name, change).inc()
                self._log.warning(
                    "change_not_applied",
                    source=source.name,
                    change=change,
                    incident=each.subject,
                    reason=each.reason,
                )

    def _count(self, source: Source, listed: Translation, published: Counter[str], ignored: int, arrival: int) -> None:
        metrics, name = self._metrics, source.name
        if published:
            metrics.acknowledged_seconds.observe(max(self._clock.now() - arrival, 0) / SECOND)
        for event_type, count in published.items():
            metrics.published.labels(name, event_type).inc(count)
        metrics.ignored.labels(name).inc(ignored)
        for code, count in Counter(rejected.code for rejected in listed.rejected).items():
            metrics.refused.labels(name, code).inc(count)
        if listed.rejected:
            first = listed.rejected[0]
            left_out = self._damper.admit((name, first.code), self._clock.now())
            if left_out is not None:
                self._log.warning(
                    "items_rejected",
                    source=name,
                    code=first.code,
                    item=first.item,
                    reason=first.reason[:_MAX_LOGGED_CHARACTERS],
                    count=len(listed.rejected),
                    left_out=left_out,
                )
        if listed.truncated:
            metrics.truncated.labels(name).inc(listed.truncated)
            self._log.warning("alerts_truncated", source=name, count=listed.truncated, remedy="set max_alerts: 0")


def _reject_record(
    source: Source, media_type: str, content: bytes, items: list[RejectedItem], arrival: int, digest: bytes
) -> OutgoingRecord:
    retained = format_of(source).without_secrets(content)
    return reject_record(source.name, media_type, retained, items, arrival, digest)


def named_headers(request: web.Request, source: Source) -> Headers:
    """The headers of a request that the mapping of its source reads."""
    return {name: tuple(request.headers.getall(name)) for name in sorted(source.headers) if name in request.headers}


def request_digest(source: Source, request: web.Request, content: bytes) -> bytes:
    """Identifies what a request says: its source, path, media type, `ce-` headers, those that the mapping reads, and
    body. The only parameter of an address is the token of its sender, and headers such as `traceparent` change with
    every attempt."""
    attributes = sorted((name.lower(), value) for name, value in request.headers.items() if _is_attribute(name))
    named = named_headers(request, source)
    meaning = json.dumps([source.name, request.path, request.content_type, attributes, *([named] if named else [])])
    return hashlib.blake2b(meaning.encode() + b"\0" + content, digest_size=16).digest()


def _is_attribute(header: str) -> bool:
    name = header.lower()
    return name.startswith("ce-") and name not in _CHANGING_ATTRIBUTES

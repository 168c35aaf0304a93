"""One trace leads from the request that opens an incident over the decisions to the requests that tell people; spans
are collected in memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from agent_harness import Cluster
from aiohttp import web
from intake_bench import NOW, HeldPublisher, recorded, run, served, token
from notify_bench import destination
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, Tracer

from story import policies, run as simulated  # isort: skip

from connect.intake.kafka_records import OutgoingRecord
from connect.notify.destinations.http_sender import HttpSender
from connect.notify.destinations.kind import Secrets
from connect.notify.page import Page
from connect.notify.page_store_rows import StoredPages, pending_row
from connect.notify.triggers import PageTrigger, page_trigger
from streams.sla.instants import HOUR, MINUTE, parse_rfc3339
from streams.time_source import SystemTimeSource

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = 0x0AF7651916CD43DD8448EB211C80319C
OPENED = {
    "incident_id": "inc-1",
    "time": NOW,
    "scope": "platform",
    "component": "api",
    "impact": "complete_outage",
    "channel": "monitor",
}
RECEIVED = parse_rfc3339(NOW)


class Collector:
    """The spans that ended, as an exporter would get them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("test")

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, [span.name for span in self.spans]
        return found[0]


def span_id(traceparent: str) -> int:
    return int(traceparent.split("-")[2], 16)


def taken(body: object, path: str = "/v1/incidents", tracer: Tracer | None = None, **headers: str) -> OutgoingRecord:
    """The record that the intake writes for a request."""
    publisher = HeldPublisher()

    async def scenario() -> None:
        async with served(publisher, tracer=tracer) as bench:
            status, answer, _ = await bench.post(path, body, **token("services"), **headers)
            assert status == 202, answer

    run(scenario)
    return publisher.acknowledged[0]


def alerts_of(cluster: Cluster, record: OutgoingRecord, until: int) -> list[dict[str, Any]]:
    """What the workers publish after the record."""
    cluster.clock.instant = RECEIVED
    own = cluster.own(record.key)
    cluster.put(record.topic, own, record.value, RECEIVED, key=record.key.encode(), headers=record.headers)
    cluster.pass_time(until)
    return cluster.outputs()


def delivered(alert: dict[str, Any], tracer: Tracer | None, kind: str = "webhook", status: int = 202) -> dict[str, str]:
    """The headers that a destination gets with an alert, which was read from the rows of the notifier."""
    trigger = page_trigger(alert)
    assert isinstance(trigger, PageTrigger)
    to = destination(kind, allow_private=True)
    got: dict[str, str] = {}

    async def receive(request: web.Request) -> web.Response:
        got.update({name.lower(): value for name, value in request.headers.items()})
        return web.Response(status=status)

    async def scenario() -> None:
        app = web.Application()
        app.router.add_post("/", receive)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        sender = HttpSender(to, Secrets(address, ("whsec_" + "QUJD" * 8,)), SystemTimeSource(), tracer)
        stored = StoredPages(to.name)
        row = pending_row(to.name, "inc-1", Page("inc-1").apply(trigger, to, 0, busy=False).head)
        stored.read(row.key, row.value)
        try:
            await sender.send("inc-1", next(iter(stored.pages())).head)
        finally:
            await sender.close()
            await runner.cleanup()

    asyncio.run(scenario())
    return got


def test_one_trace_from_the_request_to_the_webhook() -> None:
    collector = Collector()
    record = taken(OPENED, traceparent=CALLER, tracer=collector.tracer)
    intake = collector.named("POST /v1/incidents")
    assert intake.parent is not None
    assert intake.parent.span_id == span_id(CALLER)

    cluster = Cluster(policies(), tracer=collector.tracer)
    outputs = alerts_of(cluster, record, RECEIVED + 2 * HOUR + MINUTE)
    decision = collector.named("decide incident.opened")
    assert decision.attributes is not None
    assert decision.attributes["sla.incident.id"] == "inc-1"

    breach = next(each for each in outputs if each["type"] == "sla.breached" and each["data"]["metric"] == "response")
    fired = [span for span in collector.spans if span.name == "decide timer"]
    breaching = next(span for span in fired if "sla.breached" in (span.attributes or {})["sla.outputs"])
    assert breaching.start_time == RECEIVED // 1_000_000 * 10**9 + 2 * 3600 * 10**9 + 60 * 10**9

    headers = delivered(breach, collector.tracer)
    delivery = collector.named("deliver webhook")
    assert span_id(headers["traceparent"]) == delivery.context.span_id
    for span in (decision, *fired, delivery):
        assert span.parent is not None
        assert span.parent.span_id == intake.context.span_id, span.name
    assert {span.context.trace_id for span in collector.spans} == {TRACE}
    assert {span.status.status_code for span in collector.spans} == {StatusCode.UNSET}


def test_the_intake_starts_a_trace_where_the_caller_has_none() -> None:
    collector = Collector()
    record = taken(OPENED, tracer=collector.tracer)
    span = collector.named("POST /v1/incidents")
    assert span.parent is None
    carried = dict(record.headers)["traceparent"].decode()
    assert carried.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/incidents",
        "sla.source": "services",
        "sla.events": 1,
        "sla.rejected": 0,
    }


def test_an_event_that_names_another_trace_keeps_it() -> None:
    own = "00-11111111111111111111111111111111-2222222222222222-01"
    for tracer in (None, Collector().tracer):
        record = taken({**OPENED, "traceparent": own}, tracer=tracer, traceparent=CALLER)
        assert dict(record.headers)["traceparent"] == own.encode()


def test_what_is_no_trace_context_counts_as_absent() -> None:
    collector = Collector()
    record = taken(OPENED, tracer=collector.tracer, traceparent="00-zz-01")
    span = collector.named("POST /v1/incidents")
    assert span.parent is None
    assert span_id(dict(record.headers)["traceparent"].decode()) == span.context.span_id


@pytest.mark.parametrize(("given", "carried"), [(CALLER, CALLER.encode()), (None, None), ("00-zz-01", None)])
def test_without_a_collector_events_of_webhooks_carry_the_callers_trace(
    given: str | None, carried: bytes | None
) -> None:
    publisher = HeldPublisher()

    async def scenario() -> None:
        body = recorded("alertmanager-firing")
        async with served(publisher) as bench:
            assert (await bench.hook("prometheus", body, **({"traceparent": given} if given else {})))[0] < 300

    run(scenario)
    assert publisher.acknowledged
    assert {dict(record.headers).get("traceparent") for record in publisher.acknowledged} == {carried}


def test_a_request_that_kafka_does_not_acknowledge_is_an_error_one_that_is_wrong_is_none() -> None:
    collector, publisher = Collector(), HeldPublisher()
    publisher.trouble = "away"

    async def scenario() -> None:
        async with served(publisher, tracer=collector.tracer) as bench:
            assert (await bench.post("/v1/incidents", OPENED, **token("services")))[0] == 503
            assert (await bench.post("/v1/incidents", OPENED, Authorization="Bearer nobody"))[0] == 401

    run(scenario)
    span = collector.named("POST /v1/incidents")  # strangers get no span
    assert span.status.status_code == StatusCode.ERROR
    assert (span.attributes or {})["http.response.status_code"] == 503


def test_a_failed_delivery_is_an_error_of_its_span() -> None:
    collector = Collector()
    alert = {**simulated_breach(), "traceparent": CALLER}
    delivered(alert, collector.tracer, status=500)
    span = collector.named("deliver webhook")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "HTTP 500")


def test_without_a_collector_webhooks_carry_the_alerts_trace_services_of_others_none() -> None:
    alert = {**simulated_breach(), "traceparent": CALLER}
    assert delivered(alert, None)["traceparent"] == CALLER
    assert "traceparent" not in delivered(alert, Collector().tracer, "slack")
    assert "traceparent" not in delivered(simulated_breach(), Collector().tracer)


def simulated_breach() -> dict[str, Any]:
    opening = {
        "specversion": "1.0",
        "id": "o",
        "type": "incident.opened",
        "source": "/t",
        "subject": "inc-1",
        "time": NOW,
    }
    data = {name: value for name, value in OPENED.items() if name not in ("incident_id", "time")}
    outputs = simulated(json.dumps({**opening, "time": NOW, "data": data}), until="2026-04-10T11:00:00Z")
    return next(each for each in outputs if each["type"] == "sla.breached")


def test_what_has_no_trace_has_no_span() -> None:
    collector = Collector()
    cluster = Cluster(policies(), tracer=collector.tracer)
    assert alerts_of(cluster, taken(OPENED), RECEIVED + 3 * HOUR)
    delivered(simulated_breach(), collector.tracer)
    assert collector.spans == []

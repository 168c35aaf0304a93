"""Whether spans are exported, as OpenTelemetry's standard variables say, and what is said where they can't be."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest
from aiohttp import web
from opentelemetry.trace import get_tracer
from structlog.testing import capture_logs

from streams.tracing.exporting import Traces, start_traces
from tests.waiting import TIMEOUT_S


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
    ],
)
def test_traces_are_off_unless_the_environment_asks_for_them(environment: dict[str, str]) -> None:
    with capture_logs() as logged:
        assert start_traces("sla-intake", environment).tracer is None
    assert logged == []


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin can't be used; allowed: otlp, none"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc can't be used; allowed: http/protobuf, at the collector's port 4318",
        ),
    ],
)
def test_what_can_not_be_exported_is_said_and_the_process_runs(environment: dict[str, str], reason: str) -> None:
    with capture_logs() as logged:
        assert start_traces("sla-intake", environment).tracer is None
    assert [(line["event"], line["reason"]) for line in logged] == [("traces_off", reason)]


def test_without_the_extra_the_log_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with capture_logs() as logged:
        assert start_traces("sla-worker", {"OTEL_TRACES_EXPORTER": "otlp"}).tracer is None
    assert [line["event"] for line in logged] == ["traces_off"]
    assert "pip install 'sla-clocks[otel]'" in logged[0]["reason"]


def test_spans_go_to_the_collector_at_the_latest_when_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bytes]] = []

    async def collect(request: web.Request) -> web.Response:
        received.append((request.path, await request.read()))
        return web.Response()

    async def scenario() -> None:
        app = web.Application()
        app.router.add_post("/v1/traces", collect)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with capture_logs() as logged:
            traces = start_traces("sla-intake", {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        assert [line["event"] for line in logged] == ["traces_on"]
        assert traces.tracer is not None
        traces.tracer.start_span("receive").end()
        await traces.stop(within_s=TIMEOUT_S)
        await runner.cleanup()

    asyncio.run(scenario())
    assert [path for path, _ in received] == ["/v1/traces"]
    assert b"sla-intake" in received[0][1]
    assert b"receive" in received[0][1]


def test_a_collector_that_is_away_does_not_delay_the_end() -> None:
    back = threading.Event()
    ended: list[bool] = []
    traces = Traces(get_tracer("away"), lambda: ended.append(back.wait(TIMEOUT_S)))
    asyncio.run(traces.stop(within_s=0.1))
    assert ended == [], "the process ends while the exporter still tries"
    back.set()

"""Starts the export of spans as OpenTelemetry's standard environment variables say, where the extra `otel` is
installed. Without them nothing is exported and no span is made."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import structlog
from opentelemetry.trace import Tracer

SCOPE = "sla-clocks"
#: How long the end of a process waits for the last spans to be exported.
FLUSH_S = 1.0
_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
#: The variables that an operator needs, and what for; the SDK reads most of them.
TRACE_VARIABLES: Final[Mapping[str, str]] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": (
        "Base of a collector's OTLP/HTTP address, such as `http://collector:4318`; turns traces on."
    ),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": (
        "The whole address for traces instead, such as `http://collector:4318/v1/traces`."
    ),
    "OTEL_EXPORTER_OTLP_HEADERS": "Headers of every request, such as `authorization=Bearer …`: a secret.",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "CA certificates of the collector, as PEM.",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "`http/protobuf`, which is the default, and the only one that is supported.",
    "OTEL_TRACES_EXPORTER": (
        "`otlp` turns traces on, with the collector at `http://localhost:4318` unless an address is set; `none` off."
    ),
    "OTEL_SDK_DISABLED": "`true` turns traces off.",
    "OTEL_SERVICE_NAME": "Name of the process in traces; default: `sla-intake`, `sla-worker`, `sla-notify`.",
    "OTEL_RESOURCE_ATTRIBUTES": "Further attributes of the process, such as `deployment.environment.name=prod`.",
    "OTEL_TRACES_SAMPLER": "Which traces are recorded; default: `parentbased_always_on`.",
    "OTEL_TRACES_SAMPLER_ARG": "The share for samplers by ratio, such as `0.1`.",
}
_DEFAULT_ENDPOINT = "http://localhost:4318"


class Traces(NamedTuple):
    """The tracer of a process, None while nothing is exported, and what ends it."""

    tracer: Tracer | None = None
    shut_down: Callable[[], None] = lambda: None

    async def stop(self, within_s: float = FLUSH_S) -> None:
        """Export what is left. What a collector that is away does not take in time is lost."""
        if self.tracer is None:
            return
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self.shut_down()
            with suppress(RuntimeError):  # too late: the loop is closed
                loop.call_soon_threadsafe(done.set)

        # Not a thread of the loop's executor, which the end of the process would wait for.
        threading.Thread(target=shut_down, name="traces", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await done.wait()


def start_traces(service: str, environment: Mapping[str, str]) -> Traces:
    """Start to export the spans of a process. `service` is its name unless OTEL_SERVICE_NAME has another. Where the
    variables ask for what there is not, the log says so, and the process runs without traces."""
    log = structlog.get_logger("streams.tracing")
    wanted, problem = _wanted(environment)
    if not wanted:
        return Traces()
    if problem is None:
        try:
            traces = _exporting(service, environment)
        except ImportError as error:
            missing = (error.name or "opentelemetry").partition(".")[0]
            problem = f"{missing} is not complete: install the extra otel, as with pip install 'sla-clocks[otel]'"
        except ValueError as error:
            problem = f"a variable OTEL_… can't be used: {error}"
    if problem is not None:
        log.warning("traces_off", reason=problem, remedy="mend it, or set OTEL_TRACES_EXPORTER=none")
        return Traces()
    endpoint = urlsplit(next((environment[name] for name in _ENDPOINTS if environment.get(name)), _DEFAULT_ENDPOINT))
    log.info("traces_on", service=service, collector=f"{endpoint.hostname}:{endpoint.port or endpoint.scheme}")
    return traces


def _wanted(environment: Mapping[str, str]) -> tuple[bool, str | None]:
    """Whether traces are asked for, and why they can't be exported as asked."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False, None
    exporters = [name.strip() for name in environment.get(_EXPORTER, "").split(",") if name.strip()]
    if not exporters:
        return any(environment.get(name) for name in _ENDPOINTS), _protocol_problem(environment)
    if exporters == ["none"]:
        return False, None
    if exporters != ["otlp"]:
        return True, f"{_EXPORTER}={','.join(exporters)[:80]} can't be used; allowed: otlp, none"
    return True, _protocol_problem(environment)


def _protocol_problem(environment: Mapping[str, str]) -> str | None:
    for name in _PROTOCOLS:
        if protocol := environment.get(name, "").strip():
            if protocol == "http/protobuf":
                return None
            return f"{name}={protocol[:80]} can't be used; allowed: http/protobuf, at the collector's port 4318"
    return None


def _exporting(service: str, environment: Mapping[str, str]) -> Traces:
    """Raises ImportError without the extra, ValueError for a value that the SDK refuses."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {"service.name": service})
    # Not the global one: libraries that instrument themselves would add spans of their own.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider.get_tracer(SCOPE), provider.shutdown)

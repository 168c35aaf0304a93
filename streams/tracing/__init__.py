"""Traces (W3C Trace Context, OpenTelemetry): spans that continue the trace of a `traceparent`."""

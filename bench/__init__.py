"""Benchmarks: `sla bench` measures the figures of docs/performance.md."""

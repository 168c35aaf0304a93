"""Benchmarks: the measured claims of the README and docs/performance.md, reproduced by `sla bench`."""

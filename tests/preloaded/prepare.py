"""What tests with Kafka need is made while tests are collected: brokers' startup cache, and templates of commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cli.embedded_kafka.startup_cache import make_startup_cache
from tests.preloaded.client import ROOT, have_template
from tests.preloaded.commands import IMPORTS


@contextmanager
def preparing() -> Iterator[None]:
    """A process that does it, besides this one; who comes too early waits for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.preloaded.prepare"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # it is said by the test that needs what could not be made
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    for imports in IMPORTS.values():
        have_template(imports)
    make_startup_cache()


if __name__ == "__main__":
    main()

"""`sla worker`: one worker process, configured by the environment."""

from __future__ import annotations

import typer

from cli.support.quick_imports import quick_imports


def worker() -> None:
    """Run a worker until SIGTERM or Ctrl-C: it finishes the open transaction and stops. Settings come from the
    environment, prefix SLA_. Exit code 2: a setting is wrong."""
    raise typer.Exit(run())


def run() -> int:
    """What `worker` does; its exit code."""
    with quick_imports():
        from agents.worker import main

    return main()

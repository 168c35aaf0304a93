"""`sla worker`: one worker process, configured by the environment."""

from __future__ import annotations

import typer


def worker() -> None:
    """Run a worker until SIGTERM or Ctrl-C: it finishes the open transaction and stops. Settings come from the
    environment, prefix SLA_. Exit code 2: a setting is wrong."""
    from agents.worker import main

    raise typer.Exit(main())

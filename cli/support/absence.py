"""Commands that follow topics say that Kafka is away, and that it is back."""

from __future__ import annotations

import typer

from streams.errors import SlaError


class Absence:
    """Tells each once on standard error."""

    def __init__(self) -> None:
        self._away = False

    def tell(self, problem: SlaError | None) -> None:
        """`problem` is why Kafka gives no answer now; None while it does."""
        if problem is not None and not self._away:
            typer.echo(f"waiting for Kafka: {problem}", err=True)
        elif problem is None and self._away:
            typer.echo("Kafka answers again", err=True)
        self._away = problem is not None

"""The contract facts that the topic holds now, read with a count on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import typer

from cli.support.progress import shown

if TYPE_CHECKING:
    from connect.contract_import.current_terms import ContractLog
    from streams.settings import Settings

Found = TypeVar("Found")


def contract_log(settings: Settings) -> ContractLog:
    """Raises BrokerProblem."""
    from connect.kafka_io.contract_topic import log_of

    return log_of(settings, shown("contract facts read"))


def applied_contract_log(settings: Settings) -> ContractLog:
    """The facts without those that workers rejected; with them, and a warning, where what they rejected can't be read.
    Raises BrokerProblem."""
    from connect.kafka_io.connection import BrokerProblem
    from connect.kafka_io.contract_topic import applied_log_of

    def warn(problem: BrokerProblem) -> None:
        typer.echo(f"warning: whether workers rejected a fact was not checked: {problem}", err=True)

    return applied_log_of(settings, warn, shown("contract facts and rejects read"))


def decided(
    settings: Settings, decide: Callable[[ContractLog], Found], unchanged: Callable[[Found], bool]
) -> tuple[ContractLog, Found]:
    """What a command is to do by the facts in the topic, and these. Where it would say that something is so already,
    workers may have rejected the fact for what the topic does not tell: what they rejected is looked up then, and
    only then, because that takes as long as there are rejects. Raises BrokerProblem."""
    log = contract_log(settings)
    found = decide(log)
    if unchanged(found):
        before, log = found, applied_contract_log(settings)
        found = decide(log)
        if found != before:
            typer.echo("it was said before, and workers rejected it: `sla rejected list` tells why", err=True)
    return log, found

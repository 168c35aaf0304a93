"""The contract facts that the topic holds now, read with a count on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.support.progress import shown

if TYPE_CHECKING:
    from connect.contract_import.current_terms import ContractLog
    from streams.settings import Settings


def contract_log(settings: Settings) -> ContractLog:
    """Raises BrokerProblem."""
    from connect.kafka_io.contract_topic import log_of

    return log_of(settings, shown("contract facts read"))

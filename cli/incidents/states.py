"""The present states of incidents for commands, read from their topic."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cli.support.progress import progress
from connect.actions.outcome import State
from connect.actions.present import TopicPresent
from connect.client.states import IncidentStates, Keep
from connect.kafka_io.connection import check_reachable
from connect.kafka_io.reader import SILENCE_LIMIT_S, sent_nothing
from streams.settings import Settings

_LOOK_S = 0.2


@contextmanager
def open_states(settings: Settings, keep: Keep | None = None) -> Iterator[IncidentStates]:
    """The states there are, followed until the end of the block; a count on standard error while they are read. `keep`
    tells which, by default all. Raises ClientError, BrokerProblem, SettingsError."""
    check_reachable(settings.bootstrap(), settings.aiokafka_security())
    with IncidentStates(
        ",".join(settings.bootstrap()),
        prefix=settings.topic_prefix,
        keep=keep,
        kafka=settings.client_security(),
        schema_registry=settings.schema_registry(),
    ) as states:
        with progress("incidents read") as done:
            read, since = 0, time.monotonic()
            while True:
                try:
                    states.wait_until_caught_up(_LOOK_S)
                    break
                except TimeoutError:
                    done(len(states))
                if states.records_read != read:
                    read, since = states.records_read, time.monotonic()
                elif time.monotonic() - since > SILENCE_LIMIT_S:
                    raise sent_nothing(settings.bootstrap())
        yield states


class CommandPresent(TopicPresent):
    """What actions of the command line look up."""

    def __init__(self, settings: Settings, states: IncidentStates) -> None:
        super().__init__(settings)
        self._states = states

    def incident(self, incident_id: str) -> State | None:
        """The data of the incident's state."""
        found = self._states.get(incident_id)
        return None if found is None else found.data

    def incident_at(self, incident_id: str, revision: int) -> State | None:
        """Earlier states are not in the topic."""
        return None

    def statement(self, tenant_id: str, month: str) -> Mapping[str, Any] | None:
        """The data of the month's statement. Raises BrokerProblem."""
        from cli.credits.months import months_in

        return next((each for each in months_in(self._settings, tenant_id, month)), None)

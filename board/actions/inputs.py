"""What the workers made of an input, asked for later."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, Field
from sqlalchemy import Engine, select

from board.actions.read_position import topic_ends, wait_until_applied
from board.ingest.records import REJECTED
from board.queries.rejects import latest_reject
from board.store.tables import entry
from connect.actions.build import as_json
from connect.actions.input_results import AGENT_OF
from connect.actions.person import Person
from connect.actions.service import BOARD_SOURCE
from connect.kafka_io.group_offsets import GroupOffsets
from streams.settings import Settings
from streams.sla.events import Position


def sent_by(engine: Engine, person: Person, place: Position) -> bool:
    """Whether a person sent an input through the board, as far as the read model has it. `place.topic` is without
    prefix. Nobody limited to tenants sends what concerns others, so nothing of others is in its result."""
    wanted = select(entry.c.data).where(
        entry.c.topic == place.topic,
        entry.c.partition == place.partition,
        entry.c.offset == place.offset,
        entry.c.source == BOARD_SOURCE,
    )
    with engine.connect() as connection:
        data = connection.execute(wanted).scalar()
    return data is not None and json.loads(data).get("who") == as_json(person.who)


class InputBody(BaseModel):
    """The result of an input."""

    outcome: Literal["accepted", "rejected", "not_read_yet"]
    code: str | None = Field(description="rejected: the code.")
    message: str | None = Field(description="rejected: why.")


def input_body(engine: Engine, settings: Settings, place: Position) -> InputBody:
    """The result of the input at a position; `place.topic` is without prefix. Raises BrokerProblem, ReadModelBehind,
    SQLAlchemyError.

    The offset of the workers is asked for first: they commit it together with the reject, which is then among what the
    read model must have applied.
    """
    where = (f"{settings.topic_prefix}.{place.topic}", place.partition)
    with GroupOffsets(settings) as groups:
        if groups.committed(AGENT_OF[place.topic], [where])[where] <= place.offset:
            return InputBody(outcome="not_read_yet", code=None, message=None)
    wait_until_applied(engine, REJECTED, topic_ends(settings, REJECTED))
    with engine.connect() as connection:
        found = latest_reject(connection, place, quarantines=False)
    if found is None:
        return InputBody(outcome="accepted", code=None, message=None)
    return InputBody(outcome="rejected", code=found.code, message=found.message)

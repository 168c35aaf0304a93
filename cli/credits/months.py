"""The latest statement of each tenant's month, from the topic of tenant-months."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import typer

from cli.support.progress import counting
from connect.kafka_io.reader import read_topics
from streams.schema_registry.schema_source import reading_codec
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import Fields
from streams.settings import Settings
from streams.sla.credits.submitted import SubmittedStatement, submitted_statement
from streams.sla.events import Rejection


class MonthStatement(NamedTuple):
    """One statement: `data` in the JSON form, `terms` for computing."""

    data: Mapping[str, Any]
    terms: SubmittedStatement


def months_in(settings: Settings, tenant: str | None = None, month: str | None = None) -> Iterator[Mapping[str, Any]]:
    """The data of the statements, by tenant and month. Raises BrokerProblem."""
    return (each.data for each in tenant_months(settings, tenant, month))


def tenant_months(settings: Settings, tenant: str | None = None, month: str | None = None) -> list[MonthStatement]:
    """The months of all tenants, or of one, by tenant and month. Raises BrokerProblem."""
    decode = reading_codec(settings.schema_registry()).decode
    found: dict[bytes, Fields] = {}
    undecodable: set[bytes] = set()
    topic = f"{settings.topic_prefix}.tenant-months"
    with counting("months read") as one:
        for record in read_topics(settings.bootstrap(), [topic], settings.aiokafka_security()):
            one()
            if record.key is None:
                continue
            undecodable.discard(record.key)
            decoded = None if record.value is None else decode(record.value, len(record.value))
            if decoded is None or isinstance(decoded, Rejection):
                found.pop(record.key, None)  # no longer retained, or not known as it is now
                if decoded is not None:
                    undecodable.add(record.key)
            elif tenant in {None, decoded[1]["tenant_id"]} and month in {None, decoded[1]["month"]}:
                found[record.key] = decoded[1]
    if undecodable:
        typer.echo(f"left out: {len(undecodable):,} months whose latest statement could not be decoded", err=True)
    made = [_month(fields) for fields in found.values()]
    return sorted(made, key=lambda each: (each.terms.tenant, each.terms.month))


def _month(fields: Fields) -> MonthStatement:
    data = to_json("credit.statement", fields)["data"]
    assert isinstance(data, dict)
    return MonthStatement(data, submitted_statement(fields, data))

"""An intake as a process of its own on a real broker: what tests of it share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from command_process import ROOT, CommandProcess

from connect.kafka_io.reader import TopicRecord, read_topics
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.sla.facts import to_event

MAPPING = ROOT / "examples" / "intake.yaml"
DATA = ROOT / "tests" / "data" / "intake"
SECRETS = {
    "SLA_INTAKE_PROMETHEUS_TOKEN": "prometheus-token-0001",
    "SLA_INTAKE_ZENDESK_SECRET": "zendesk-secret-00001",
    "SLA_INTAKE_JIRA_SECRET": "jira-secret-00000001",
    "SLA_INTAKE_BILLING_TOKEN": "billing-token-000001",
    "SLA_INTAKE_SERVICES_TOKEN": "services-token-00001",
}
SERVICES = {"Authorization": f"Bearer {SECRETS['SLA_INTAKE_SERVICES_TOKEN']}", "Content-Type": "application/json"}


class IntakeProcess(CommandProcess):
    """`sla intake`; a context manager."""

    def __init__(self, broker: str, prefix: str, log: Path, mapping: Path = MAPPING, **settings: str) -> None:
        environment = {
            **SECRETS,
            "SLA_BROKERS": broker,
            "SLA_TOPIC_PREFIX": prefix,
            "SLA_INTAKE_MAPPING": str(mapping),
            **{f"SLA_INTAKE_{name.upper()}": value for name, value in settings.items()},
        }
        super().__init__("intake", "SLA_INTAKE_PORT", log, environment)


def records(broker: str, prefix: str, suffix: str = "incident-events") -> list[TopicRecord]:
    """What lies in a topic."""
    return list(read_topics([broker], [f"{prefix}.{suffix}"]))


def accepted(found: list[TopicRecord]) -> Iterator[dict[str, Any]]:
    """The JSON form of records, each of which has to be one that the agents would accept."""
    for record in found:
        decoded = decode(record.value)
        assert not isinstance(decoded, Rejection), decoded
        event = to_event(*decoded)
        assert not isinstance(event, Rejection), event
        yield to_json(*decoded)

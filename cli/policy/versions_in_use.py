"""`sla policy seen`: the register of policy versions that decisions have used, compared with those deployed (R18)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from cli.support.exits import one_line
from cli.support.options import settings_of
from cli.support.progress import counting

if TYPE_CHECKING:
    from connect.kafka_io.reader import TopicRecord

#: How a recorded version compares with the policies deployed here.
SAME, DIFFERS, MISSING = "deployed", "other content", "not deployed"


class Seen(NamedTuple):
    """A version that decisions have used. `deployed` is SAME, DIFFERS or MISSING."""

    policy: str
    version: str
    digest: str
    deployed: str


def seen_versions(brokers: str | None, prefix: str | None, policies: Path | None) -> list[Seen]:
    """By name and version. Raises BrokerProblem and SettingsError."""
    from connect.kafka_io.reader import read_topics
    from streams.policy.load import default_policies_dir, load_policies

    settings = settings_of(brokers, prefix)
    deployed = load_policies(policies or settings.policies or default_policies_dir())
    ours = {(one.name, one.version): one.digest for one in deployed}
    # Every partition receives every version, but the partition that used it first records it first.
    topics = [f"{settings.topic_prefix}.{agent}-changelog" for agent in ("incidents", "ledger")]
    found: dict[tuple[str, str], str] = {}
    with counting("changelog rows read") as one:
        for record in read_topics(settings.bootstrap(), topics, settings.aiokafka_security()):
            one()
            found |= _version(record)
    return [
        Seen(*label, digest, MISSING if label not in ours else SAME if ours[label] == digest else DIFFERS)
        for label, digest in sorted(found.items())
    ]


def _version(record: TopicRecord) -> dict[tuple[str, str], str]:
    """The version that a changelog row is about; none for other rows."""
    from streams.serde.codec import decode
    from streams.sla.events import Rejection

    if record.key is None or not record.key.startswith(b"@policy") or record.value is None:
        return {}
    decoded = decode(record.value)
    if isinstance(decoded, Rejection):
        return {}
    row = decoded[1]
    return {(str(row["name"]), str(row["version"])): str(row["digest"])}


def print_seen(brokers: str | None, prefix: str | None, policies: Path | None, *, as_json: bool) -> bool:
    """Print the register; whether every version in it is deployed here as it was."""
    with one_line():
        found = seen_versions(brokers, prefix, policies)
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in found], indent=2))
    elif not found:
        typer.echo("no decision has used a policy yet")
    for one in () if as_json else found:
        typer.echo(f"{one.policy} {one.version}  {one.digest[:12]}  {one.deployed}")
    return all(one.deployed == SAME for one in found)

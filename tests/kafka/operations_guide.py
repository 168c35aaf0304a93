"""docs/operations.md, from an empty cluster to a verified breach, a backup and its restoration: run as written.

It takes a minute and more, so `make chaos` runs it, not `make test`: its name keeps it out of there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from guide import follow

from cli.embedded_kafka.node_files import free_port

pytestmark = pytest.mark.kafka

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
SECTIONS = ("From an empty cluster to a verified first breach", "Backup, restore, more partitions, another cluster")
SERVERS = {"sla worker": "$SLA_HEALTH_PORT/ready"}


def sections(text: str) -> str:
    """The two sections of the document."""
    found = {part.partition("\n")[0]: part for part in re.split(r"^## ", text, flags=re.MULTILINE)}
    return "\n".join(found[name] for name in SECTIONS)


def test_the_sections_can_be_followed(broker: str, prefix: str, tmp_path: Path) -> None:
    ports = {"8080": str(free_port()), "8081": str(free_port())}

    def own(text: str) -> str:
        text = text.replace("127.0.0.1:9092", broker)
        text = re.sub(r"(SLA_TOPIC_PREFIX|SLA_APP_ID)=(\w+)", rf"\1={prefix}\2", text)
        text = text.replace("SLA_PARTITIONS=", "SLA_MARK_EVERY=PT1S SLA_PARTITIONS=")  # statements come sooner
        return re.sub("|".join(ports), lambda found: ports[found[0]], text)

    follow(sections(OPERATIONS.read_text(encoding="utf-8")), tmp_path, SERVERS, own)

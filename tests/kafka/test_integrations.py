"""docs/integrations.md step by step, as written: its files are written, its commands run, what it says is shown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from guide import follow

from cli.embedded_kafka.node_files import free_port

GUIDE = Path(__file__).parents[2] / "docs" / "integrations.md"
SERVERS = {"sla up": "8088/ready", "prometheus-alertmanager": "9093/-/ready"}
PORTS = ("9092", "8088", "9093")
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        shutil.which("prometheus-alertmanager") is None or shutil.which("amtool") is None,
        reason="needs Alertmanager and amtool: the Debian package prometheus-alertmanager has both",
    ),
]


def test_the_guide_can_be_followed(tmp_path: Path) -> None:
    ports = {port: str(free_port()) for port in PORTS}

    def own(text: str) -> str:
        return re.sub("|".join(PORTS), lambda found: ports[found[0]], text)

    follow(GUIDE.read_text(encoding="utf-8"), tmp_path, SERVERS, own)

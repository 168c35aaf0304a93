"""R18 on the real broker: a worker whose policies are not those that the state was decided by does not start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from shared_stack import SharedStack
from typer.testing import CliRunner

from cli.events.publish_lines import publish_lines
from cli.kafka_io.follower import Follower
from cli.local.stack import StackError
from cli.main import app
from streams.policy.load import default_policies_dir
from streams.sla.instants import format_rfc3339
from streams.time_source import SystemTimeSource
from tests.waiting import wait

pytestmark = pytest.mark.kafka


def opened(at: str) -> str:
    data = {"scope": "platform", "component": "api", "impact": "complete_outage", "channel": "monitor"}
    event = {"specversion": "1.0", "id": "o-1", "type": "incident.opened", "source": "/m", "subject": "inc-1"}
    return json.dumps({**event, "time": at, "data": data})


def test_changed_content_under_a_known_label_stops_the_worker(
    broker: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = tmp_path / "policies"
    shutil.copytree(default_policies_dir(), policies)
    given = {"SLA_POLICIES": str(policies)}
    with SharedStack(broker, f"{prefix}sla", tmp_path, environment=given, partitions=2) as stack:
        stack.apply_topics()
        for name, value in stack.names.items():
            monkeypatch.setenv(name, value)
        stack.start_worker()
        publish_lines([opened(format_rfc3339(SystemTimeSource().now()))], [broker], stack.prefix)
        with Follower(broker, [stack.topic("incidents")]) as follower:
            wait(lambda: follower.poll(0.2), lambda: "the incident was not classified")
        assert stack.stop_worker() == 0
        words = ["policy", "seen", "--policies", str(policies)]
        said = CliRunner().invoke(app, words)
        assert (said.exit_code, said.stdout.split()[:2], said.stdout.split()[3:]) == (
            0,
            ["scalr-emergency", "1"],
            ["deployed"],
        )

        shipped = policies / "scalr-emergency" / "1.yaml"
        shipped.write_text(shipped.read_text().replace("within: PT2H", "within: PT3H"))
        said = CliRunner().invoke(app, words)
        assert (said.exit_code, said.stdout.split()[3:]) == (1, ["other", "content"])
        with pytest.raises(StackError, match="give the new content a version of its own"):
            stack.start_worker()
        shutil.rmtree(policies / "scalr-emergency")
        with pytest.raises(StackError, match=r"does not have|not among"):
            stack.start_worker()

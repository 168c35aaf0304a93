"""A real Alertmanager in front of the intake: firing, repeats, regrouping, resolving, firing anew, restarts."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from intake_process import SECRETS, IntakeProcess, accepted, records

from cli.embedded_kafka.node_files import free_port
from streams.sla.instants import SECOND
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S, wait

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
AMTOOL = shutil.which("amtool")
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        ALERTMANAGER is None or AMTOOL is None,
        reason="needs Alertmanager and amtool: the Debian package prometheus-alertmanager has both",
    ),
]

CONFIG = """\
route:
  receiver: sla
  group_by: {group_by}
  group_wait: 200ms
  group_interval: 1s
  repeat_interval: 2s
receivers:
  - name: sla
    webhook_configs:
      - url: {url}/v1/hooks/prometheus
        send_resolved: true
        max_alerts: 0
        http_config: {{authorization: {{credentials: {token}}}}}
"""
GATEWAY = ("alertname=GatewayDown", "severity=critical", "slo=availability", "service=gateway", "tenant=acme")
SLOW = ("alertname=GatewaySlow", "severity=warning", "service=gateway")


class Alertmanager:
    """The real one; a context manager."""

    def __init__(self, folder: Path, intake: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._intake = intake
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, group_by: str) -> None:
        config = self._folder / "am.yml"
        token = SECRETS["SLA_INTAKE_PROMETHEUS_TOKEN"]
        config.write_text(CONFIG.format(group_by=group_by, url=self._intake, token=token), encoding="utf-8")
        with (self._folder / "am.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(ALERTMANAGER),
                    f"--config.file={config}",
                    f"--storage.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--cluster.listen-address=",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait(self._answers, (self._folder / "am.log").read_text)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(TIMEOUT_S)
            self._process = None

    def add(self, labels: tuple[str, ...], start: float, end: float) -> None:
        """As Prometheus sends an alert: with its start, and an end that is ahead while it fires."""
        times = [f"--start={stamp(start)}", f"--end={stamp(end)}", f"--annotation=summary={labels[0]}"]
        where = f"--alertmanager.url=http://127.0.0.1:{self.port}"
        subprocess.run([str(AMTOOL), "alert", "add", where, *times, *labels], check=True, capture_output=True)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def seconds() -> float:
    return SystemTimeSource().now() / SECOND


def stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


@pytest.fixture
def intake(broker: str, topics: str, tmp_path: Path) -> Iterator[IntakeProcess]:
    with IntakeProcess(broker, topics, tmp_path / "intake.log", ack_timeout="PT5S") as process:
        yield process


def test_an_alert_is_one_incident_whatever_happens_to_its_notifications(
    intake: IntakeProcess, broker: str, topics: str, tmp_path: Path
) -> None:
    """R1: a retry, a repeat, another grouping or a restart is no second incident; firing anew is."""

    def events() -> list[dict[str, Any]]:
        return list(accepted(records(broker, topics)))

    def deliveries() -> int:
        name = 'sla_intake_requests_total{source="prometheus",status="202"} '
        lines = intake.get("/metrics")[1].splitlines()
        return next((int(float(line.removeprefix(name))) for line in lines if line.startswith(name)), 0)

    def more(count: int) -> None:
        target = deliveries() + count
        wait(lambda: deliveries() >= target, intake.log.read_text)

    def known() -> set[tuple[str, str]]:
        return {(event["type"].partition(".")[2], event["data"].get("summary", "")) for event in events()}

    now = seconds()
    first, far = now - 120, now + 3600
    with Alertmanager(tmp_path, intake.url) as alertmanager:
        alertmanager.start("[alertname]")
        # firing, and what follows by itself: repeats
        alertmanager.add(GATEWAY, first, far)
        more(3)
        assert known() == {("opened", "alertname=GatewayDown")}
        # another alert; then, after a restart, both in one group: Prometheus sends them again with their start
        alertmanager.add(SLOW, first + 60, far)
        wait(lambda: ("opened", "alertname=GatewaySlow") in known(), intake.log.read_text)
        alertmanager.stop()
        alertmanager.start("[service]")
        for labels, start in ((GATEWAY, first), (SLOW, first + 60)):
            alertmanager.add(labels, start, far)
        more(2)
        assert len({event["subject"] for event in events()}) == 2
        # one of the group is resolved while the intake is away: it is told when the intake is back
        intake.kill()
        ended = int(seconds()) - 1
        alertmanager.add(GATEWAY, first, ended)
        time.sleep(1.5)  # Alertmanager tries in vain meanwhile
        intake.start()
        wait(lambda: ("resolved", "") in known(), intake.log.read_text)
        assert len({event["subject"] for event in events()}) == 2
        # it fires anew: another episode, another incident
        alertmanager.add(GATEWAY, ended + 1, far)
        wait(lambda: len({event["subject"] for event in events()}) == 3, intake.log.read_text)
        more(2)
    found = events()
    content = {(event["source"], event["id"]): event for event in found}
    assert all(content[event["source"], event["id"]] == event for event in found)  # no conflict among repeats
    assert len(found) > len(content)
    told = sorted((event["type"], event["time"], event["data"].get("summary")) for event in content.values())
    assert told == [
        ("incident.opened", stamp(first), "alertname=GatewayDown"),
        ("incident.opened", stamp(first + 60), "alertname=GatewaySlow"),
        ("incident.opened", stamp(ended + 1), "alertname=GatewayDown"),
        ("incident.reopened", stamp(ended), None),
        ("incident.resolved", stamp(ended), None),
    ]

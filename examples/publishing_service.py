"""A publishing service: watches a health page, opens an incident when it fails and resolves it when it is back.

    python examples/publishing_service.py kafka:9092 http://127.0.0.1:8080/health api --state api-watch.json

Every event is written to disk before it is sent. After a crash it is sent again with the same ids and times, so it
counts once. Events that Kafka does not acknowledge are sent again until it does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from connect.client import Delivery, DeliveryFailed, IncidentPublisher, Who

MONITOR = Who("monitor", "health-watch")


def healthy(url: str) -> bool:
    """Whether the page answers 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


def surely(publisher: IncidentPublisher, delivery: Delivery) -> None:
    """Return when the event is acknowledged; the same event may be sent any number of times."""
    while True:
        try:
            delivery.result()
        except DeliveryFailed as failure:
            if not failure.retriable:
                raise
            delivery = publisher.publish(delivery.event)
        else:
            return


def publish_state(publisher: IncidentPublisher, component: str, outage: dict[str, str]) -> None:
    """Publish what is known of an outage; known events again, if need be."""
    incident = outage["incident"]
    opened = publisher.opened(
        incident,
        scope="platform",
        component=component,
        impact="complete_outage",
        channel="monitor",
        summary=f"{component} does not answer",
        event_id=f"{incident}-opened",
        time=outage["since"],
    )
    surely(publisher, opened)
    if "restored" in outage:
        at = outage["restored"]
        surely(publisher, publisher.resolved(incident, who=MONITOR, event_id=f"{incident}-resolved", time=at))


def watch(
    publisher: IncidentPublisher, url: str, component: str, state: Path, every_s: float, stop: threading.Event
) -> None:
    """Check at a fixed interval until stopped."""
    outage: dict[str, str] | None = json.loads(state.read_text()) if state.exists() else None
    if outage is not None:
        publish_state(publisher, component, outage)
    while not stop.wait(every_s):
        well, now = healthy(url), datetime.now(UTC)  # noqa: TID251 -- a service of its own has its own clock
        if outage is None and not well:
            outage = {"incident": f"{component}-{now:%Y%m%dT%H%M%S}", "since": now.isoformat()}
        elif outage is not None and well:
            outage |= {"restored": now.isoformat()}
        else:
            continue
        beside = state.with_suffix(".new")
        beside.write_text(json.dumps(outage))
        beside.replace(state)  # whole or not at all
        publish_state(publisher, component, outage)
        if "restored" in outage:
            state.unlink()
            outage = None


def main() -> None:
    """Read the command line and watch until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="Watch a health page and publish its outages.")
    parser.add_argument("brokers")
    parser.add_argument("url")
    parser.add_argument("component")
    parser.add_argument("--state", type=Path, default=Path("health-watch.json"))
    parser.add_argument("--every", type=float, default=5.0, help="seconds")
    parser.add_argument("--prefix", default="sla")
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with IncidentPublisher(given.brokers, "/examples/health-watch", prefix=given.prefix) as publisher:
        watch(publisher, given.url, given.component, given.state, given.every, stop)


if __name__ == "__main__":
    main()

"""An on-call consumer: pages for breaches and for updates that are due, and for breaches that are retracted.

    python examples/on_call.py kafka:9092

It pages at least once: after a crash an alert that was not committed comes again, and a pager that knows the id of the
alert (here: the first word of the line) shows it once. Nobody is paged for loaded history, nor for what is an hour old
because nobody was reading.
"""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import UTC, datetime, timedelta

from connect.client import ReceivedEvent, consume_alerts

STALE = timedelta(hours=1)


def page(alert: ReceivedEvent) -> None:
    """Stands for a call to a pager, which takes the id as its deduplication key."""
    data = alert.data
    whom = "everybody" if data["scope"] == "platform" else ", ".join(data["tenant_ids"])
    what = f"{alert.type} {data['severity']} {alert.subject}: {data['title']['en']} ({whom})"
    sys.stdout.write(f"{alert.id} {what}\n")
    sys.stdout.flush()


def worth_a_page(alert: ReceivedEvent, now: datetime) -> bool:
    """Breaches, what is due, and what takes a breach back; nothing about incidents that have ended already."""
    if alert.backfill or alert.incident_ended is not None or now - alert.time > STALE:
        return False
    return alert.type in {"sla.breached", "sla.update_due", "sla.breach_retracted"}


def main() -> None:
    """Read the command line and page until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="Page for alerts.")
    parser.add_argument("brokers")
    parser.add_argument("--group", default="on-call")
    parser.add_argument("--prefix", default="sla")
    given = parser.parse_args()
    with consume_alerts(given.brokers, group=given.group, prefix=given.prefix) as alerts:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: alerts.stop())
        for alert in alerts:
            if worth_a_page(alert, datetime.now(UTC)):  # noqa: TID251 -- a service of its own has its own clock
                page(alert)


if __name__ == "__main__":
    main()

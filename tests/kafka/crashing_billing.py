"""The billing example with a crash at a chosen moment: after the booking, before Kafka hears of it.

Its session is short, so that the group soon misses it.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing

from connect.client import consume_credits
from examples.billing import opened, record_credit

CRASHED = 70
SHORT_SESSION = {"session_timeout_ms": 2_000, "heartbeat_interval_ms": 500}


def main() -> None:
    """`crashing_billing BROKERS PREFIX BOOKS COUNT`: end without another word after so many bookings."""
    brokers, prefix, path, count = sys.argv[1:]
    left = int(count)
    with (
        closing(opened(path)) as books,
        consume_credits(brokers, group="billing", prefix=prefix, kafka=SHORT_SESSION) as credits_,
    ):
        for event in credits_:
            left -= record_credit(books, event)
            if left == 0:
                os._exit(CRASHED)


if __name__ == "__main__":
    main()

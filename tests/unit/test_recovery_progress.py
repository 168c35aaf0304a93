"""What an operator sees of a recovery that takes long."""

from __future__ import annotations

from structlog.testing import capture_logs

from streams.runtime.metrics import RECOVERY_LEFT
from streams.runtime.recovery_progress import Progress


def left() -> float:
    return RECOVERY_LEFT.labels("incidents", "3", "rows")._value.get()


def test_the_gauge_follows_and_the_log_tells_rate_and_eta_every_two_seconds() -> None:
    clock = [100.0]
    with capture_logs() as logs:
        progress = Progress("incidents", 3, "rows", 1_000, lambda: clock[0])
        assert left() == 1_000
        for clock[0], count in ((101.0, 100), (102.0, 200), (103.0, 300), (104.5, 900)):
            progress.done(count)
        assert left() == 100
        progress.done(1_000)
    assert left() == 0
    told = [(log["done"], log["of"], log["per_second"], log["eta_s"]) for log in logs]
    assert told == [(200, 1_000, 100, 8.0), (900, 1_000, 200, 0.5)]


def test_nothing_done_yet_has_no_eta() -> None:
    clock = [0.0]
    with capture_logs() as logs:
        progress = Progress("incidents", 3, "rows", 10, lambda: clock[0])
        clock[0] = 5.0
        progress.done(0)
    assert [(log["done"], log["eta_s"]) for log in logs] == [(0, None)]

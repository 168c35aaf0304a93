"""The metrics of tasks and their topics (streams/metrics.py defines them)."""

from __future__ import annotations

from streams import metrics

TOPICS_UNUSABLE = metrics.TOPICS_UNUSABLE.gauge()
UNDECIDED = metrics.UNDECIDED.gauge()
WITHOUT_LEADER = metrics.WITHOUT_LEADER.gauge()
RECORDS = metrics.TASK_RECORDS.counter()
TIMERS = metrics.TASK_TIMERS.counter()
WRITES = metrics.TASK_WRITES.counter()
COMMIT_SECONDS = metrics.TASK_COMMIT.histogram()
TRANSACTION_SECONDS = metrics.TASK_TRANSACTION.histogram()
ARRIVAL_TO_COMMIT_SECONDS = metrics.TASK_ARRIVAL_TO_COMMIT.histogram()
TIMER_LAG_SECONDS = metrics.TASK_TIMER_LAG.histogram()
RECOVERY_SECONDS = metrics.TASK_RECOVERY_SECONDS.gauge()
RECOVERY_LEFT = metrics.TASK_RECOVERY_LEFT.gauge()
LAG = metrics.TASK_LAG.gauge()
OPEN_TRANSACTION = metrics.TASK_OPEN_TRANSACTION.gauge()
QUEUED = metrics.TASK_QUEUED.gauge()
STALLED = metrics.TASK_STALLED.gauge()
TIMESTAMPS_IGNORED = metrics.TASK_TIMESTAMPS_IGNORED.counter()
WAITING = metrics.TASK_WAITING.gauge()
STATE = metrics.TASK_STATE.gauge()
FAILURES = metrics.TASK_FAILURES.counter()

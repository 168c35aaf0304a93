"""Has a consumer go on after Kafka refused its heartbeat, or to let it join its group.

aiokafka's coordinator stops at such an error until `getmany` is called, which also raises it. A heartbeat that was
refused once is never sent again: its task has ended, and each `getmany` raises the same error. Without this, a worker
whose right to use its group was withdrawn for a second is expelled and stays outside until its process restarts.
"""

from __future__ import annotations

from typing import Any, Final

from aiokafka.consumer.group_coordinator import GroupCoordinator

from streams.kafka.cancellation import end_of

#: Where one of these is gone the import fails, and the patch is skipped.
_NEEDED: Final = (
    GroupCoordinator.check_errors,
    GroupCoordinator.request_rejoin,
    GroupCoordinator._start_heartbeat_task,
    GroupCoordinator._push_error_to_user,
)


def end(consumer: Any) -> BaseException | None:
    """Why the consumer joins no group any more, whatever is done; None while it does, or is not connected yet."""
    coordinator = consumer._coordinator
    ended = coordinator is not None and coordinator._coordination_task.done()
    return end_of(coordinator._coordination_task) if ended else None


def go_on(consumer: Any) -> BaseException | None:
    """The error that the coordinator stopped at; it goes on. None while it has not stopped."""
    coordinator = consumer._coordinator
    if coordinator is None or coordinator._error_consumed_fut is None:
        return None
    try:
        coordinator.check_errors()
    except Exception as error:
        if coordinator._heartbeat_task is not None and coordinator._heartbeat_task.done():
            # Only Kafka knows whether it is still a member. So its partitions are not given up before Kafka says that
            # it is none: then it joins anew.
            coordinator._heartbeat_task = None
            coordinator._start_heartbeat_task()
        else:
            coordinator.request_rejoin()
        return error
    return None

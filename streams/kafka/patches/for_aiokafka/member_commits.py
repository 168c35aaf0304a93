"""Sends a commit only as the member, and in the generation, that the partitions were assigned to.

aiokafka puts the member and generation of the moment into each request. A member that Kafka has forgotten has none
until it has joined again: Kafka takes such a commit where the group is empty, as after its successor came and went. A
commit that has to be sent again after a rebalance counts as one of the new generation, whoever has the partition by
then. Both overwrite what a successor has committed; for a notifier also which rows count.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState
from aiokafka.errors import IllegalGenerationError

_send = GroupCoordinator._do_commit_offsets
_of_group = SubscriptionState.partitions_auto_assigned
#: By assignment that of its first commit. There is none before it in an older one: each rebalance makes an assignment.
_generations: WeakKeyDictionary[Assignment, int] = WeakKeyDictionary()


async def _send_in_its_generation(self: Any, assignment: Assignment, offsets: Any) -> None:
    if _of_group(self._subscription):
        now = self.generation
        if now < 0 or _generations.setdefault(assignment, now) != now:
            raise IllegalGenerationError(self.group_id)  # as Kafka says it
    await _send(self, assignment, offsets)


def apply() -> None:
    """Have every aiokafka consumer of this process commit so."""
    GroupCoordinator._do_commit_offsets = _send_in_its_generation

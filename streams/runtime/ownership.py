"""The owner of a deployment's topics: one app id for each prefix, kept in the changelog of every partition.

Two deployments on one prefix would each read every input and write every output twice; their transactions do not fence
each other, since transactional ids begin with the app id. One changelog partition decides for the whole prefix: if
every partition decided for itself, two deployments that start together could win some each, and neither could ever run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from streams.runtime.errors import TaskInterrupted, WorkerRefused
from streams.runtime.interfaces import TaskLog, Transactions
from streams.runtime.runtime_rows import RuntimeRow

Replay = Callable[[], AsyncIterator[Sequence[tuple[bytes, bytes | None]]]]

OWNER_KEY: Final = b"@owner"
_ROW: Final = RuntimeRow("owner", "state.owner.avsc")
#: The broker answers a commit before its markers make the rows visible.
_LOOKS, _LOOK_EVERY_S = 50, 0.1


def encode_owner(app_id: str) -> bytes:
    """The owner row."""
    return _ROW.encode({"app_id": app_id})


def decode_owner(row: bytes) -> str:
    """The app id of an owner row; ValueError for anything else."""
    return str(_ROW.decode(row)["app_id"])


class PrefixOwner:
    """Who owns the prefix: the first owner row of the changelog partition that decides, `name`.

    The tasks of a worker share it, so that they look once together and not each for itself.
    """

    def __init__(self, name: str, replay: Replay) -> None:
        self._missing = f"waiting until a worker has claimed the prefix in {name}"
        self._replay = replay
        self._looking: asyncio.Task[bytes] | None = None

    async def row(self) -> bytes:
        """The owner row. Raises TaskInterrupted if there is none within some seconds."""
        looking = self._looking
        if looking is None or (looking.done() and (looking.cancelled() or looking.exception() is not None)):
            looking = self._looking = asyncio.create_task(_first_owner(self._replay, self._missing))
        # A task that is stopped must not end the look of the others.
        return await asyncio.shield(looking)


def claim_for(
    app_id: str | None, log: TaskLog, transactions: Transactions, prefix_owner: PrefixOwner | None
) -> Callable[[Sequence[bytes]], Awaitable[None]] | None:
    """What checks the owner of the changelog, given its owner rows; None where ownership is not checked."""
    if app_id is None:
        return None
    return lambda owners: claim_ownership(owners, app_id, log, transactions, prefix_owner)


async def claim_ownership(
    owners: Sequence[bytes], app_id: str, log: TaskLog, transactions: Transactions, prefix_owner: PrefixOwner | None
) -> None:
    """Check the first of the owner rows of a changelog, or write one where there are none. Raises WorkerRefused, and
    TaskInterrupted while nobody has claimed the prefix.

    Without a `prefix_owner`, this changelog decides: if two deployments claim at the same time, the first row of the
    log counts. Any other changelog belongs to the owner of the prefix.
    """
    if owners:
        owner = owners[0]
    elif prefix_owner is None:
        await transactions.put_row(OWNER_KEY, encode_owner(app_id))
        owner = await _first_owner(log.replay, "the claim of the changelog is not visible yet")
        if decode_owner(owner) != app_id:
            await transactions.put_row(OWNER_KEY, owner)
    else:
        owner = await prefix_owner.row()
        if decode_owner(owner) == app_id:
            await transactions.put_row(OWNER_KEY, owner)
    if (other := decode_owner(owner)) != app_id:
        raise WorkerRefused(await _refusal(other, app_id, prefix_owner))
    if owners and owners[-1] != owner:
        # Another deployment claimed later, and ended before it could take that back: compaction keeps the last row.
        await transactions.put_row(OWNER_KEY, owner)


async def _refusal(other: str, app_id: str, prefix_owner: PrefixOwner | None) -> str:
    if prefix_owner is not None and decode_owner(await prefix_owner.row()) == app_id:
        return (
            f"the topics of this prefix belong to SLA_APP_ID={app_id}, but this partition was claimed by "
            f"SLA_APP_ID={other} when both started together on an earlier release: stop all workers of both, delete "
            "the changelog, internal and output topics and the consumer groups of both, run `sla topics apply`, and "
            f"start SLA_APP_ID={app_id} alone; it decides the records of the input topics anew"
        )
    return (
        f"the topics of this prefix belong to the deployment SLA_APP_ID={other}, this "
        f"worker has SLA_APP_ID={app_id}: give every worker of a deployment the same SLA_APP_ID, and every other "
        "deployment a SLA_TOPIC_PREFIX of its own"
    )


async def _first_owner(replay: Replay, missing: str) -> bytes:
    """The first owner row of a log, once it is visible. Raises TaskInterrupted, which says what is `missing`, if it is
    not within some seconds."""
    for _ in range(_LOOKS):
        first: bytes | None = None
        async for chunk in replay():  # to its end: the gauge of what is left to replay counts down to 0
            first = first or next((value for key, value in chunk if key == OWNER_KEY), None)
        if first is not None:
            return first
        await asyncio.sleep(_LOOK_EVERY_S)
    raise TaskInterrupted(missing)

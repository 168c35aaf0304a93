"""The owner of a deployment's topics: one app id for each prefix, kept in the changelog of every partition.

Two deployments on one prefix would each read every input and write every output twice; their transactions do not fence
each other, since transactional ids begin with the app id.
"""

from __future__ import annotations

import asyncio
from typing import Final

from streams.runtime.errors import TaskInterrupted, WorkerRefused
from streams.runtime.interfaces import TaskLog, Transactions
from streams.runtime.runtime_rows import RuntimeRow

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


async def claim_ownership(owner: bytes | None, app_id: str, log: TaskLog, transactions: Transactions) -> None:
    """Check the owner row of a changelog, or write it where there is none yet. Raises WorkerRefused.

    If two deployments claim at the same time, the first row of the log decides.
    """
    if owner is None:
        await transactions.put_row(OWNER_KEY, encode_owner(app_id))
        owner = await _first_owner(log)
        if decode_owner(owner) != app_id:
            await transactions.put_row(OWNER_KEY, owner)
    if (other := decode_owner(owner)) != app_id:
        raise WorkerRefused(
            f"the topics of this prefix belong to the deployment SLA_APP_ID={other}, this "
            f"worker has SLA_APP_ID={app_id}: give every worker of a deployment the same SLA_APP_ID, and every other "
            "deployment a SLA_TOPIC_PREFIX of its own"
        )


async def _first_owner(log: TaskLog) -> bytes:
    """The first owner row of the log, once it is visible. Raises TaskInterrupted if it is not within some seconds."""
    for _ in range(_LOOKS):
        async for chunk in log.replay():
            for key, value in chunk:
                if key == OWNER_KEY and value is not None:
                    return value
        await asyncio.sleep(_LOOK_EVERY_S)
    raise TaskInterrupted("the claim of the changelog is not visible yet")

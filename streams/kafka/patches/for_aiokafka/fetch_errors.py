"""Has a consumer look for the new leader when a broker says that it can't serve a partition from its disk.

After a log directory of a broker has failed, the broker answers every fetch of a partition in it with
KAFKA_STORAGE_ERROR, and another broker leads the partition. aiokafka logs such an answer and fetches again at once from
the same broker, until its metadata are five minutes old. Without the patch nobody reads the partition for so long, and
each consumer of it sends and logs as many fetches as the broker answers.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Final

from aiokafka import errors
from aiokafka.consumer.fetcher import Fetcher

#: As Kafka's own client has it: all of them mean that the leader may be another one.
_MOVED: Final = frozenset({errors.ReplicaNotAvailableError.errno, errors.KafkaStorageError.errno})


def _for_code(code: int) -> Any:
    return errors.NotLeaderForPartitionError if code in _MOVED else errors.for_code(code)


def apply() -> None:
    """Make every consumer of this process treat these answers as those of a broker that does not lead. Raises
    AttributeError where the fetcher has other parts."""
    fetcher: Any = sys.modules[Fetcher.__module__]
    _ = Fetcher._proc_fetch_request, fetcher.Errors.for_code
    seen = ModuleType(errors.__name__)
    vars(seen).update(vars(errors))
    seen.for_code = _for_code  # type: ignore[attr-defined]
    fetcher.Errors = seen

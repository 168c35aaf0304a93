"""The partition of a key: Kafka's default, murmur2 of the key's UTF-8 bytes, for writers that choose the partition
themselves."""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_LOW = 0xFFFFFFFF


@lru_cache(maxsize=65_536)
def partition_of(key: str, partitions: int) -> int:
    """The partition of `key` in a topic of `partitions`, as Kafka's Java clients choose it."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(key: str) -> int:
    """MurmurHash2, 32 bit, as in org.apache.kafka.common.utils.Utils.murmur2."""
    data = key.encode()
    length = len(data)
    mixed = _SEED ^ length
    for word in unpack_from(f"<{length // 4}I", data):
        part = word * _MIX & _LOW
        part = (part ^ part >> 24) * _MIX & _LOW
        mixed = mixed * _MIX & _LOW ^ part
    if rest := data[length & ~3 :]:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * _MIX & _LOW
    mixed = (mixed ^ mixed >> 13) * _MIX & _LOW
    return mixed ^ mixed >> 15

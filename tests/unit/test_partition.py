"""Our partitions are those of Kafka's default partitioner."""

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_python_murmur2

from streams.kafka.partitioner import partition_of


@given(st.text(max_size=70), st.integers(1, 1_000))
def test_equals_the_client_libraries(key: str, partitions: int) -> None:
    data = key.encode()
    expected = (kafka_python_murmur2(data) & 0x7FFFFFFF) % partitions
    assert partition_of(key, partitions) == expected
    assert (aiokafka_murmur2(data) & 0x7FFFFFFF) % partitions == expected


# Vectors of Apache Kafka's own UtilsTest.testMurmur2, as signed 32 bit numbers.
@pytest.mark.parametrize(
    ("key", "signed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_equals_kafkas_own_vectors(key: str, signed: int) -> None:
    assert partition_of(key, 0x7FFFFFFF) == (signed & 0x7FFFFFFF) % 0x7FFFFFFF

"""A client that knows only brokers that are gone goes back to the addresses it was given."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataResponse_v0

from cli.embedded_kafka.node_files import free_port
from streams.kafka.patches import AIOKAFKA

pytestmark = pytest.mark.kafka


def test_it_finds_the_cluster_again(broker: str) -> None:
    """As after an outage of all brokers but one, which then goes away while the others are back."""

    async def found() -> list[int]:
        client = AIOKafkaClient(bootstrap_servers=broker)
        try:
            await client.bootstrap()
            client.cluster.update_metadata(MetadataResponse_v0([(7, "127.0.0.1", free_port())], []))
            assert [each.nodeId for each in client.cluster.brokers()] == [7]
            assert await client.force_metadata_update()
            return [each.nodeId for each in client.cluster.brokers()]
        finally:
            await client.close()

    assert AIOKAFKA.applied("rebootstrap")
    assert asyncio.run(found()) == [1]


def test_while_nobody_answers_it_says_so_and_goes_on() -> None:
    async def updated() -> bool:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{free_port()}")
        try:
            return bool(await client._metadata_update(client.cluster, []))
        finally:
            await client.close()

    assert AIOKAFKA.applied("rebootstrap")
    assert asyncio.run(updated()) is False

"""Limits on connections, by a clock of the test: who is closed, when, and why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from streams.errors import SettingsError
from streams.http_connections import (
    MAX_HEAD_BYTES,
    ConnectionLimits,
    ConnectionTable,
    HttpMetrics,
    LimitedProtocol,
    OpenConnection,
)
from tests.waiting import until


class Opened:
    """A table with connections whose closing the test sees."""

    def __init__(self, total: int, per_address: int) -> None:
        self.registry = CollectorRegistry()
        limits = ConnectionLimits(total, per_address, head_s=10).fitting(1000)
        self.table = ConnectionTable(limits, 75, HttpMetrics(self.registry))
        self.closed: list[str] = []

    def open(self, name: str, address: str = "192.0.2.1", now: float = 0) -> OpenConnection | None:
        return self.table.open(address, lambda: self.closed.append(name), now)

    def closed_for(self, reason: str) -> float:
        return self.registry.get_sample_value("sla_http_connections_closed_total", {"reason": reason}) or 0


def test_the_connection_that_has_waited_longest_makes_place() -> None:
    opened = Opened(total=3, per_address=3)
    for number, name in enumerate("abcd"):
        assert opened.open(name, f"192.0.2.{number}") is not None
    assert opened.closed == ["a"]
    assert len(opened.table) == 3
    assert opened.registry.get_sample_value("sla_http_connections") == 3
    assert opened.closed_for("displaced") == 1


def test_an_address_that_has_its_share_displaces_its_own_connections_only() -> None:
    opened = Opened(total=4, per_address=2)
    opened.open("honest", "198.51.100.1")
    for name in "abcd":
        opened.open(name)
    assert opened.closed == ["a", "b"]
    opened.open("v6", "2001:db8::1"), opened.open("v6 of the same network", "2001:db8::2")
    assert opened.closed == ["a", "b", "honest"], "the oldest of all addresses, once the total is reached"
    opened.open("v6 again", "2001:db8::3")
    assert opened.closed == ["a", "b", "honest", "v6"]


def test_a_complete_request_is_never_closed_and_half_a_body_is() -> None:
    opened = Opened(total=2, per_address=2)
    first, second = opened.open("first"), opened.open("second")
    assert first is not None
    assert second is not None
    with opened.table.answering(first, lambda: True, lambda: 0):
        with opened.table.answering(second, lambda: True, lambda: 0):
            with capture_logs() as logs:
                assert opened.open("third") is None
                assert opened.open("fourth") is None
            opened.table.close_overdue(1e9)
            assert opened.closed == []
        assert [(entry["event"], entry["reason"]) for entry in logs] == [("connection_closed", "refused")]
        assert opened.closed_for("refused") == 2
    other = Opened(total=1, per_address=1)
    uploading = other.open("uploading")
    assert uploading is not None
    with other.table.answering(uploading, lambda: False, lambda: 0):
        assert other.open("next") is not None
        assert other.closed == ["uploading"]


def test_a_head_has_to_be_complete_in_time_however_many_bytes_arrive() -> None:
    opened = Opened(total=9, per_address=9)
    slow = opened.open("slow")
    assert slow is not None
    for second in range(10):
        opened.table.received(slow, second)
        opened.table.close_overdue(second)
    assert opened.closed == []
    opened.table.close_overdue(10)
    assert opened.closed == ["slow"]
    assert opened.closed_for("head_timeout") == 1
    opened.table.forget(slow)
    assert len(opened.table) == 0


def test_a_head_is_limited_and_what_follows_an_early_answer_is_no_head() -> None:
    opened = Opened(total=9, per_address=9)
    large, kept = opened.open("large"), opened.open("kept")
    assert large is not None
    assert kept is not None
    whole: list[bool] = []
    for _ in range(3):
        assert opened.table.received(kept, 0, MAX_HEAD_BYTES), "each request begins anew"
        whole.clear()
        with opened.table.answering(kept, lambda: bool(whole), lambda: 0):
            assert opened.table.received(kept, 0, 1_000_000)
        assert opened.table.received(kept, 0, 1_000_000), "the rest of its body"
        whole.append(True)
    assert opened.table.received(large, 0, MAX_HEAD_BYTES)
    assert not opened.table.received(large, 0, 1)
    assert opened.closed == ["large"]
    assert opened.closed_for("head_too_large") == 1


def test_what_arrives_beside_a_body_is_limited_like_a_head() -> None:
    """Trailers and extensions of chunks count, however long the body is, and before as after its answer."""
    opened = Opened(total=9, per_address=9)
    connection = opened.open("kept")
    assert connection is not None
    body = [0]
    with opened.table.answering(connection, lambda: body[0] == 99, lambda: 0, lambda: body[0]):
        for _ in range(9):
            body[0] += 1
            assert opened.table.received(connection, 0, MAX_HEAD_BYTES)
    body[0] += 1
    assert opened.table.received(connection, 0, MAX_HEAD_BYTES), "after an early answer"
    body[0] = 99
    assert opened.table.received(connection, 0, MAX_HEAD_BYTES), "the next head begins anew"
    body[0] = 0
    with opened.table.answering(connection, lambda: body[0] == 99, lambda: 0, lambda: body[0]):
        assert opened.table.received(connection, 0, MAX_HEAD_BYTES)
        assert not opened.table.received(connection, 0, 1)
    assert opened.closed == ["kept"]


def test_between_requests_a_connection_may_rest_until_the_next_one_begins() -> None:
    opened = Opened(total=9, per_address=9)
    kept, unread = opened.open("kept"), opened.open("unread")
    assert kept is not None
    assert unread is not None
    for connection in (kept, unread):
        with opened.table.answering(connection, lambda: True, lambda: 100):
            pass
    opened.table.close_overdue(170)
    assert opened.closed == []
    opened.table.received(kept, 170)
    opened.table.received(kept, 175)
    opened.table.close_overdue(176)
    assert opened.closed == ["unread"]
    opened.table.close_overdue(180)
    assert opened.closed == ["unread", "kept"]
    assert (opened.closed_for("answer_not_read"), opened.closed_for("head_timeout")) == (1, 1)


def test_an_answered_connection_is_the_last_to_make_place() -> None:
    opened = Opened(total=2, per_address=2)
    first = opened.open("first")
    opened.open("second")
    assert first is not None
    with opened.table.answering(first, lambda: True, lambda: 0):
        pass
    opened.open("third")
    assert opened.closed == ["second"]


@pytest.mark.parametrize(
    ("given", "open_files", "fitting"),
    [
        ((0, 0), 256, (128, 64)),
        ((0, 0), 1024, (512, 256)),
        ((0, 0), 1_048_576, (2048, 1024)),
        ((900, 900), 1024, (900, 900)),
        ((10, 500), 1024, (10, 10)),
    ],
)
def test_defaults_leave_files_to_others(given: Any, open_files: int, fitting: Any) -> None:
    limits = ConnectionLimits(*given).fitting(open_files)
    assert (limits.total, limits.per_address) == fitting


def test_more_connections_than_files_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"SLA_HTTP_MAX_CONNECTIONS is 1,000, but this process may open 1,024"):
        ConnectionLimits(1000).fitting(1024)


def test_a_little_is_read_of_a_connection_at_a_time() -> None:
    """A body in chunks of a byte each takes long to read: those of a few connections would keep all others waiting."""
    read: list[bytes] = []
    sent = bytes(number % 251 for number in range(30_000))

    class Inner(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            read.append(data)

    async def scenario() -> None:
        table = ConnectionTable(ConnectionLimits(2, 2), 75, HttpMetrics(CollectorRegistry()))
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: LimitedProtocol(table, Inner, {}, lambda inner, _: inner), "127.0.0.1"
        )
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(sent)
            await until(lambda: sum(map(len, read)) == len(sent))
            writer.close()

    asyncio.run(scenario())
    assert b"".join(read) == sent
    assert max(map(len, read)) <= 4096

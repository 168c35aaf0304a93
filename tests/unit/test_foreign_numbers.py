"""Numbers in headers and rows that anybody may have written are checked where they are read."""

from __future__ import annotations

import pytest

from connect.notify.page_store_rows import StoredPages, parked_at, read_parked
from streams.internal_topics import TO_LEDGER, unwrap, wrap
from streams.kafka.header_numbers import header_number
from streams.runtime import dead_letter
from streams.runtime.dead_letter import original_size, rejected, rejected_headers
from streams.runtime.processor import Record
from streams.sla.instants import LATEST

ORIGINAL = Record("sla.incident-events", 3, 2**40, 1_000_000, b"k", b"v", ())
NAMES = ("sla_origin_partition", "sla_origin_offset", "sla_origin_arrival")
OTHERS = [b"9" * 30, b"9" * 5_000, b"-5", b"1_0", b" 1", b"1.0", b"", b"\xd9\xa1", str(2**63).encode()]


def replaced(headers: list[tuple[str, bytes]], name: str, value: bytes) -> list[tuple[str, bytes]]:
    return [(each, value if each == name else old) for each, old in headers]


@pytest.mark.parametrize("value", OTHERS)
@pytest.mark.parametrize("name", NAMES)
def test_an_envelope_with_another_number_is_none(name: str, value: bytes) -> None:
    send = wrap(ORIGINAL, TO_LEDGER, b"copy", "sla.ledger-internal", 0)
    as_sent = Record(send.topic, 0, 0, 0, send.key, send.value, tuple(send.headers))
    assert unwrap(as_sent) is not None
    assert unwrap(as_sent._replace(headers=tuple(replaced(list(send.headers), name, value)))) is None


def test_the_range_of_each_number_of_an_envelope() -> None:
    for name, highest in zip(NAMES, (2**31 - 1, 2**63 - 1, LATEST), strict=True):
        send = wrap(ORIGINAL, TO_LEDGER, b"copy", "sla.ledger-internal", 0)
        for value, accepted in ((0, True), (highest, True), (highest + 1, False), (-1, False)):
            headers = tuple(replaced(list(send.headers), name, str(value).encode()))
            found = unwrap(Record(send.topic, 0, 0, 0, send.key, send.value, headers))
            assert (found is not None) is accepted, (name, value)


@pytest.mark.parametrize("value", OTHERS)
@pytest.mark.parametrize(
    "name", [dead_letter.PARTITION, dead_letter.OFFSET, dead_letter.TIMESTAMP, dead_letter.ATTEMPTS]
)
def test_a_rejected_record_with_another_number_is_none_of_ours(name: str, value: bytes) -> None:
    """R27."""
    headers = list(rejected(ORIGINAL, "invalid", "why", "sla.rejected", 0).headers)
    assert rejected_headers(headers) is not None
    assert rejected_headers(replaced(headers, name, value)) is None


def test_a_rejected_record_of_no_offset_is_ours() -> None:
    """A quarantined subject without an input has none."""
    record = ORIGINAL._replace(offset=-1, arrival=0)
    found = rejected_headers(rejected(record, "internal", "quarantined", "sla.rejected", 0).headers)
    assert found is not None
    assert (found.offset, found.arrived) == (-1, 0)


@pytest.mark.parametrize("value", OTHERS)
def test_a_size_that_is_no_number_is_none(value: bytes) -> None:
    assert original_size([(dead_letter.SIZE, value)]) is None
    assert original_size([(dead_letter.SIZE, b"300000")]) == 300_000


def test_a_number_out_of_range_says_so() -> None:
    with pytest.raises(ValueError, match="7 is not within 0 to 6"):
        header_number(b"7", 0, 6)


@pytest.mark.parametrize("value", [b'{"at": 1e999}', b'{"at": "x"}', b"[" * 100_000, b'{"open": {"a": 1e999}}'])
def test_a_row_of_the_notifier_that_nobody_wrote_is_unreadable(value: bytes) -> None:
    assert parked_at(value) == 0
    assert read_parked(b"pager\x1fparked\x1fx", value) is None
    pages = StoredPages("pager")
    for kind in (b"page", b"pending", b"retry"):
        pages.read(b"pager\x1f" + kind + b"\x1fx", value)
    assert pages.unreadable == 3

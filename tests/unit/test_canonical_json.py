"""RFC 8785: numbers as ECMAScript writes them, keys in the order of UTF-16, texts as they are."""

from __future__ import annotations

import json
import struct
from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sla.canonical_json import canonical_json
from streams.sla.credits.statement_record import digest
from streams.sla.credits.submitted import _digest_of_json
from streams.sla.credits.work_steps import finish

#: Appendix B of RFC 8785: the bits of a double and its form.
SAMPLES = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize("bits", SAMPLES)
def test_numbers_of_the_rfcs_table(bits: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(value) == SAMPLES[bits]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (5, "5"),
        (2**53, "9007199254740992"),
        (2**53 + 1, "9007199254740992"),
        (2**63 - 1, "9223372036854776000"),
        (-(2**63), "-9223372036854776000"),
        (0.00005, "0.00005"),
        (1e-06, "0.000001"),
        (Decimal("1.5"), "1.5"),
        (True, "true"),
        (None, "null"),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_numbers_that_statements_may_hold(value: object, form: str) -> None:
    assert canonical_json(value) == form


def test_keys_are_sorted_by_utf_16_and_texts_are_escaped_as_little_as_may_be() -> None:
    """Section 3.2.3 of the RFC: a key outside the basic plane sorts before U+FB33."""
    value = {"€": 1, "\r": 2, "\ufb33": 3, "1": 4, "😀": 5, "\x80": 6, "ö": 7}
    assert list(json.loads(canonical_json(value))) == ["\r", "1", "\x80", "ö", "€", "😀", "\ufb33"]
    assert canonical_json('€$\x0f\nA\'B"\\\\"/') == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_not_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="has no form in JSON"):
        canonical_json(value)


def test_a_type_that_json_has_not_is_an_error() -> None:
    with pytest.raises(TypeError, match="set has no form in JSON"):
        canonical_json({1})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_reads_back(value: float) -> None:
    assert float(canonical_json(value)) == value


def test_r26_a_digest_of_an_earlier_release_is_accepted() -> None:
    """Durations under 100 µs and integers above 2^53 were written as Python does."""
    data = {"downtime_s": 5e-05, "credit": {"amount_minor": 2**53 + 1}, "evidence": [], "digest": ""}
    earlier = '{"credit":{"amount_minor":9007199254740993},"downtime_s":5e-05,"evidence":[]}'
    now = '{"credit":{"amount_minor":9007199254740992},"downtime_s":0.00005,"evidence":[]}'
    digests = [sha256(text.encode()).hexdigest() for text in (earlier, now)]
    assert [_digest_of_json(data, stated) for stated in digests] == digests
    assert _digest_of_json(data, "other") == digests[1]
    avro = {"downtime_s": 50, "credit": {"amount_minor": 2**53 + 1}, "evidence": [], "digest": ""}
    assert finish(digest(avro)) == digests[1]

"""Which rows count by the claims of their owners."""

from __future__ import annotations

import pytest

from connect.notify.commit_texts import CommitText, commit_text, read_commit_text
from connect.notify.row_claims import MOST_CLAIMS, OWNER, RowClaim, RowClaims, read_claims, with_claims

CLAIMS = RowClaims(b"\1", (RowClaim(10, "a"), RowClaim(20, "b")))


@pytest.mark.parametrize(
    ("offset", "owner", "counts"),
    [
        (9, "x", True),  # before all claims
        (10, "a", True),
        (10, "b", False),
        (19, "a", True),
        (19, "x", False),
        (20, "a", False),
        (20, "b", True),
        (10**9, "b", True),
        (10**9, "a", False),
        (10**9, None, True),  # of a command, or of a release before
    ],
)
def test_a_row_counts_where_it_is_of_who_claimed_its_place(offset: int, owner: str | None, counts: bool) -> None:
    headers = () if owner is None else (("traceparent", b"b"), (OWNER, owner.encode()))
    assert CLAIMS.counts(offset, headers) is counts
    assert RowClaims().counts(offset, headers)


def test_a_claim_follows_those_before_it_and_replaces_those_that_begin_no_earlier() -> None:
    assert [each.owner for each in CLAIMS.followed_by(RowClaim(21, "c")).claims] == ["a", "b", "c"]
    assert [each.owner for each in CLAIMS.followed_by(RowClaim(20, "c")).claims] == ["a", "c"], "b has written nothing"
    assert [each.owner for each in CLAIMS.followed_by(RowClaim(0, "c")).claims] == ["c"], "rows are gone"
    assert CLAIMS.latest() == RowClaims(b"\1", (RowClaim(20, "b"),))


def test_claims_on_a_topic_that_was_made_anew_are_none_on_the_new_one() -> None:
    assert CLAIMS.of_topic(b"\2") == RowClaims(b"\2")
    assert CLAIMS.of_topic(b"\1") == CLAIMS.of_topic(b"") == CLAIMS, "where Kafka tells no id it counts as the same"
    assert RowClaims(b"", CLAIMS.claims).of_topic(b"\2") == RowClaims(b"\2", CLAIMS.claims)


def test_the_text_of_a_commit_says_what_it_said_before_and_which_rows_are_claimed() -> None:
    position = CommitText(b"\7" * 16, 2_000_000_000_000_000, 10**12)
    text = with_claims(commit_text(position), CLAIMS)
    assert (read_commit_text(text), read_claims(text)) == (position, CLAIMS)
    assert read_claims(with_claims(text, CLAIMS.latest())) == CLAIMS.latest()
    assert read_claims(with_claims("", CLAIMS)) == CLAIMS
    assert read_commit_text(with_claims("", CLAIMS)) is None


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "null", "7", "[" * 100_000, "{}", '{"rows": 1}', '{"rows": {"topic_id": "zz", "starts": []}}'],
)
def test_a_text_of_another_program_claims_nothing_and_can_be_claimed_on(text: str) -> None:
    """As of one that has set the offsets of the group."""
    assert read_claims(text) == RowClaims()
    assert read_claims(with_claims(text, CLAIMS)) == CLAIMS


def test_the_text_stays_within_what_kafka_takes() -> None:
    found = RowClaims(b"\1" * 16)
    for each in range(100):
        found = found.followed_by(RowClaim(10**15 + each, f"{each:016}"))
    assert len(found.claims) == MOST_CLAIMS
    assert [int(each.owner) for each in found.claims] == list(range(100 - MOST_CLAIMS, 100))
    assert len(with_claims(commit_text(CommitText(b"\1" * 16, 10**16, 10**15)), found)) < 4_096

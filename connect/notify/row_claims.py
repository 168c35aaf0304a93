"""Which rows of a destination count: those that the owner of its partitions wrote (ADR 33). Pure.

A row may land after another process has taken the partition over. So each load of a partition has an owner with a name
of its own, which its rows have in a header. Before one is written the owner commits its claim: the offset from which on
its rows count, and no others. Rows without the header are of commands and of releases before; they always count.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from connect.notify.page_store_rows import UNREADABLE

#: The header of a row that names its owner.
OWNER = "owner"
#: A claim is forgotten once what came late is repaired: only loads that fail again and again leave several. Kafka takes
#: texts of 4 KiB, unless it is configured otherwise.
MOST_CLAIMS = 20


class RowClaim(NamedTuple):
    """Rows from `start` on count if they are of this owner."""

    start: int
    owner: str


class RowClaims(NamedTuple):
    """The claims on the rows of one partition, by their starts. `topic_id` is that of the topic of rows; empty where it
    is not known."""

    topic_id: bytes = b""
    claims: tuple[RowClaim, ...] = ()

    def counts(self, offset: int, headers: Sequence[tuple[str, bytes]]) -> bool:
        """Whether a row is of who owned the partition at its offset, as far as is known."""
        if not self.claims or offset < self.claims[0].start:
            return True
        owner = owner_in(headers)
        return owner is None or owner == self.claims[bisect_right(self.claims, offset, key=_start) - 1].owner

    def followed_by(self, claim: RowClaim) -> RowClaims:
        """With one more. It replaces those that do not start before it: nothing was written between, or the topic was
        made anew."""
        before = tuple(each for each in self.claims if each.start < claim.start)
        return self._replace(claims=(*before[1 - MOST_CLAIMS :], claim))

    def latest(self) -> RowClaims:
        """With the last one only."""
        return self._replace(claims=self.claims[-1:])

    def of_topic(self, topic_id: bytes) -> RowClaims:
        """Without those on another topic: one that was made anew, or that a name leads to now."""
        other = topic_id and self.topic_id and topic_id != self.topic_id
        return RowClaims(topic_id or self.topic_id, () if other else self.claims)


def owner_in(headers: Sequence[tuple[str, bytes]]) -> str | None:
    """Who wrote a row; None where it names nobody."""
    found = next((value for name, value in headers if name == OWNER), None)
    return None if found is None else found.decode(errors="replace")


def with_claims(text: str, found: RowClaims) -> str:
    """The text of a commit of alerts, with the claims on the rows of their partition."""
    try:
        row = {**json.loads(text)}
    except UNREADABLE:  # none, or of another program, as of one that has set the offsets
        row = {}
    claims = {"topic_id": found.topic_id.hex(), "starts": [list(each) for each in found.claims]}
    return json.dumps({**row, "rows": claims})


def read_claims(text: str) -> RowClaims:
    """Those of the text of a commit; of none where it has none, as in commits of a release before."""
    try:
        row = json.loads(text)["rows"]
        claims = [RowClaim(int(start), str(owner)) for start, owner in row["starts"]]
        return RowClaims(bytes.fromhex(row["topic_id"]), tuple(sorted(claims, key=_start)))
    except UNREADABLE:
        return RowClaims()


def _start(claim: RowClaim) -> int:
    return claim.start

"""The text of a commit, which says which topic its offset is of: `{"topic_id": …, "at": …, "closings": …}`. Pure."""

from __future__ import annotations

import json
from typing import NamedTuple

from connect.notify.page_store_rows import UNREADABLE


class CommitText(NamedTuple):
    """`at` is when it was committed, in microseconds. `closings`: where closings are to be read again from if alerts
    are; None where that is not known, and in commits of closings."""

    topic_id: bytes
    at: int
    closings: int | None = None


def commit_text(given: CommitText) -> str:
    """Short: Kafka takes 4 KiB, unless it is configured otherwise."""
    row: dict[str, object] = {"topic_id": given.topic_id.hex(), "at": given.at}
    return json.dumps(row | ({} if given.closings is None else {"closings": given.closings}))


def read_commit_text(text: str) -> CommitText | None:
    """None for a commit of a release before, or of another program."""
    try:
        row = json.loads(text)
        closings = row.get("closings")
        found = CommitText(bytes.fromhex(row["topic_id"]), int(row["at"]), None if closings is None else int(closings))
    except UNREADABLE:
        return None
    return found if any(found.topic_id) else None

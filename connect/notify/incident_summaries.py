"""The summaries of incidents, for their pages. Alerts do not carry them.

The latest are held in memory, none is stored: a message has the summary that is known when it is sent. One of an
incident that was opened long ago, or whose tenant was erased (R29), has none.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from connect.notify.destinations.text import LONGEST_SUMMARY, plain
from connect.notify.message import Message
from streams.sla.erasure import ERASED

#: Incidents that are remembered, the latest.
MOST_INCIDENTS = 20_000
_PSEUDONYM = re.compile(rf"{ERASED}-[0-9a-f]{{32}}")


class IncidentSummaries:
    """Summaries by incident. The first opening of an incident counts, as in its timeline."""

    def __init__(self, most: int = MOST_INCIDENTS) -> None:
        self._most = most
        self._found: OrderedDict[str, str | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def known(self, incident: str) -> bool:
        return incident in self._found

    def add(self, incident: str, summary: object) -> None:
        if incident in self._found:
            return
        self._found[incident] = plain(summary, LONGEST_SUMMARY) if isinstance(summary, str) and summary else None
        if len(self._found) > self._most:
            self._found.popitem(last=False)

    def with_summary(self, message: Message) -> Message:
        """The message with `summary` in its data, where one is known and none of its tenants was erased."""
        event = message.event
        summary = self._found.get(str(event["subject"]))
        if summary is None or any(_PSEUDONYM.fullmatch(str(each)) for each in event["data"].get("tenant_ids", ())):
            return message
        return message._replace(event={**event, "data": {**event["data"], "summary": summary}})

    async def catch_up(self) -> None:
        """Return when everything that is written by now has been read, or it takes too long."""

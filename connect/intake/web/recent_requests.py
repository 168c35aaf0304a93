"""The last requests of this process and what became of each, for an operator who writes a mapping. In memory only."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import deque
from collections.abc import Iterable

from connect.intake.mapping.headers import NO_HEADERS, Headers
from connect.intake.translate import Translation
from connect.intake.web.responses import MAX_LISTED, rejected_items
from streams.sla.instants import format_rfc3339

#: Requests that were refused before their body counted: anybody can send them, so they displace only one another.
_MAX_REFUSED = 50
_MAX_REFUSED_BYTES = 64 * 1024
_LONGEST_TEXT = 300
#: Of the bytes, the share that one request may have.
_SHARE = 8


class RecentRequests:
    """Requests as encoded JSON objects, at most `limit` of them in at most `max_bytes` bytes, and a few that were
    refused. While `on` is false nothing is kept.

    Headers are kept only where the mapping reads them, and a body without what its format calls a secret.
    """

    def __init__(self, limit: int, max_bytes: int) -> None:
        self.on = False
        self._max_body = max_bytes // _SHARE
        self._accepted = _Ring(limit, max_bytes)
        self._refused = _Ring(_MAX_REFUSED, _MAX_REFUSED_BYTES)
        self._last = 0

    @property
    def bytes_used(self) -> int:
        """Bytes kept."""
        return self._accepted.size + self._refused.size

    def switch(self, *, on: bool) -> None:
        """Begin to keep requests, or stop and forget them."""
        self.on = on
        if not on:
            self._accepted.clear()
            self._refused.clear()

    def add(
        self,
        source: str,
        path: str,
        media_type: str,
        content: bytes,
        status: int,
        translation: Translation,
        now: int,
        headers: Headers = NO_HEADERS,
    ) -> None:
        """A request that was published or kept as rejected. `content` is its body without secrets, `headers` are those
        that its mapping reads."""
        outcome: dict[str, object] = {
            "published": [
                {"type": each.event_type, "id": each.event_id, "subject": each.subject} for each in translation.events
            ],
            "ignored": [{"item": each.item, "reason": each.reason} for each in translation.ignored[:MAX_LISTED]],
            "rejected": rejected_items(translation),
            "left_out_by_sender": translation.truncated,
        }
        request = self._request(source, path, status, now) | {"media_type": media_type, "bytes": len(content)}
        if headers:
            request["headers"] = {name: list(values) for name, values in headers.items()}
        body = _body(content) if len(content) <= self._max_body else {}
        if not self._accepted.add(self._last, _encoded(request | outcome | body)):
            self._accepted.add(self._last, _encoded(request))

    def add_rejected(self, source: str, path: str, status: int, reason: str, now: int) -> None:
        """A request that was refused, so that nothing of it is kept but the reason."""
        request = self._request(source, path[:_LONGEST_TEXT], status, now)
        self._refused.add(self._last, _encoded(request | {"error": reason[:_LONGEST_TEXT]}))

    def after(self, number: int, limit: int) -> list[bytes]:
        """The newest `limit` requests with a greater number, the oldest first: JSON objects."""
        found = sorted([*self._accepted.after(number), *self._refused.after(number)])
        return [encoded for _, encoded in found[-limit:]]

    def _request(self, source: str, path: str, status: int, now: int) -> dict[str, object]:
        self._last += 1
        return {
            "number": self._last,
            "received_at": format_rfc3339(now),
            "source": source,
            "path": path,
            "status": status,
        }


class _Ring:
    """Numbered objects, of which the oldest make room for new ones."""

    def __init__(self, limit: int, max_bytes: int) -> None:
        self.size = 0
        self._limit = limit
        self._max_bytes = max_bytes
        self._objects: deque[tuple[int, bytes]] = deque()

    def add(self, number: int, encoded: bytes) -> bool:
        """False where the object alone is too large; nothing changes then."""
        if len(encoded) > self._max_bytes // 2:
            return False
        self._objects.append((number, encoded))
        self.size += len(encoded)
        while self.size > self._max_bytes or len(self._objects) > self._limit:
            self.size -= len(self._objects.popleft()[1])
        return True

    def after(self, number: int) -> Iterable[tuple[int, bytes]]:
        return (each for each in self._objects if each[0] > number)

    def clear(self) -> None:
        self._objects.clear()
        self.size = 0


def _body(content: bytes) -> dict[str, object]:
    try:
        return {"body": content.decode()}
    except UnicodeDecodeError:
        return {"body_base64": b64encode(content).decode()}


def _encoded(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()  # ASCII, so lone surrogates do no harm

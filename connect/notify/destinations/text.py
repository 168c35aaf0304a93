"""Text for messages: on one line, without control characters, within a service's limits. Pure."""

from __future__ import annotations

import json
import re

from connect.notify.triggers import JsonObject

#: Headers of every request.
HEADERS = {"Content-Type": "application/json", "User-Agent": "sla-notify"}
#: Of an incident's summary.
LONGEST_SUMMARY = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def plain(text: object, longest: int) -> str:
    """One line without control characters, never empty; text that is too long ends with …."""
    return cut(_CONTROL.sub(" ", str(text)).strip() or "-", longest)


def cut(text: str, longest: int) -> str:
    """At most `longest` UTF-16 code units, as these services count."""
    if len(text) * 2 <= longest or len(text.encode("utf-16-le")) <= 2 * longest:
        return text
    return text.encode("utf-16-le")[: 2 * (longest - 1)].decode("utf-16-le", "ignore") + "…"


def json_body(body: JsonObject) -> bytes:
    """A request body."""
    return json.dumps(body, ensure_ascii=False).encode()

"""Text for messages: on one line, without control characters, within a service's limits. Pure."""

from __future__ import annotations

import json
import re

from connect.notify.triggers import JsonObject

#: Headers of every request.
HEADERS = {"Content-Type": "application/json", "User-Agent": "sla-notify"}
#: Of an incident's summary.
LONGEST_SUMMARY = 300
#: Control characters (C0, C1), other line ends, and characters that reorder text; half surrogates can't be encoded.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BIDI = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def plain(text: object, longest: int) -> str:
    """One line without control and bidirectional formatting characters, never empty; text that is too long ends
    with …."""
    return cut(_BIDI.sub("", _CONTROL.sub(" ", str(text))).strip() or "-", longest)


def cut(text: str, longest: int) -> str:
    """At most `longest` UTF-16 code units, as these services count."""
    if len(text) * 2 <= longest or len(text.encode("utf-16-le")) <= 2 * longest:
        return text
    return text.encode("utf-16-le")[: 2 * (longest - 1)].decode("utf-16-le", "ignore") + "…"


def json_body(body: JsonObject) -> bytes:
    """A request body."""
    return json.dumps(body, ensure_ascii=False).encode()

"""Removes what looks like secrets from bodies that are kept: monitors send their own settings along.

A body without such fields stays as it was sent, byte for byte.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

from connect.intake.formats.json_body import parse_with
from streams.serde.cloudevents_json import unique_object
from streams.sla.events import Rejection

REMOVED = "(removed)"
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api[_-]?key|private[_-]?key|tls[_-]?key|authorization|credential|cookie"
    r"|connection[_-]?string|session[_-]?id|^headers?$",
    re.IGNORECASE,
)
_ENCODER = json.JSONEncoder(ensure_ascii=False)


def without_secrets(body: bytes) -> bytes:
    """The body with the values of fields replaced whose names say that they are secret. What is no JSON is kept."""
    found = False

    def removing(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal found
        fields = unique_object(pairs)
        for name, value in pairs:
            if value and isinstance(value, str) and _is_secret(name):
                fields[name] = REMOVED
                found = True
        return fields

    payload = parse_with(body, removing, _number)
    if isinstance(payload, Rejection) or not found:
        return body
    # Piece by piece: `encode` lets no other thread run meanwhile.
    return "".join(_ENCODER.iterencode(payload)).encode(errors="replace")


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _number(text: str) -> float:
    return float(text)

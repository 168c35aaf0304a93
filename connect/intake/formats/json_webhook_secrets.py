"""Removes what looks like secrets from bodies that are kept: monitors send their own settings along.

A body without such fields stays as it was sent, byte for byte.
"""

from __future__ import annotations

import json
import re

from connect.intake.formats import json_body
from streams.sla.events import Rejection

REMOVED = "(removed)"
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api[_-]?key|private[_-]?key|tls[_-]?key|authorization|credential|cookie"
    r"|connection[_-]?string|session[_-]?id|^headers?$",
    re.IGNORECASE,
)


def without_secrets(body: bytes) -> bytes:
    """The body with the values of fields replaced whose names say that they are secret. What is no JSON is kept."""
    if isinstance(json_body.parse(body), Rejection):
        return body
    payload = json.loads(body.decode("utf-8-sig"))
    return json.dumps(payload, ensure_ascii=False).encode(errors="replace") if _remove(payload) else body


def _remove(payload: object) -> bool:
    """Replace the secrets within a value; whether there were any."""
    found, waiting = False, [payload]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            for name, value in one.items():
                if _SECRET_NAME.search(name) and isinstance(value, str) and value:
                    one[name] = REMOVED
                    found = True
                else:
                    waiting.append(value)
    return found

"""What `sla intake watch` shows of the last requests of an intake, and how it saves them for `sla intake test`."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cli.support.console import safe
from streams.errors import SlaError

#: Beside saved bodies: a JSON line for each, with what the body does not say.
INDEX = ".requests.jsonl"
_EVERY_S = 1.0
_ALL = 10_000
_TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 512 * 1024 * 1024

Request = dict[str, Any]


class WatchFailed(SlaError):  # noqa: N818 -- it names what happened
    """The intake does not answer, or not with its last requests."""


class Recorded(NamedTuple):
    """Answer of an intake: what identifies its process, and requests in the order of their numbers."""

    process: str
    requests: list[Request]


class IntakeRequests:
    """The last requests of the intake at an address, read with the operator's token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url.rstrip('/')}/v1/requests"
        self._token = token

    def read(self, after: int, limit: int) -> Recorded:
        """The newest `limit` requests with a number above `after`. Raises WatchFailed."""
        asked = urllib.request.Request(
            f"{self._url}?after={after}&limit={limit}", headers={"Authorization": f"Bearer {self._token}"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=_TIMEOUT_S) as answer:
                found = json.loads(answer.read(_MAX_ANSWER_BYTES))
            return Recorded(found["process"], found["requests"])
        except urllib.error.HTTPError as error:
            raise WatchFailed(f"{self._url} answers {error.code}: {_reason(error)}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise WatchFailed(f"{self._url} can't be read: {reason}; is the intake running there?") from None
        except (KeyError, TypeError):
            raise WatchFailed(f"{self._url} is no intake of this release") from None


def followed(
    requests: IntakeRequests, last: int, *, once: bool, wait: Callable[[float], None] = time.sleep
) -> Iterator[Request]:
    """The last requests, then later ones as they come; those of a restarted intake from its first. Raises
    WatchFailed."""
    process, after = "", 0
    while True:
        found = requests.read(after, _ALL if process else last)
        if process and found.process != process:
            found = requests.read(0, _ALL)
        process = found.process
        yield from found.requests
        after = found.requests[-1]["number"] if found.requests else after
        if once:
            return
        wait(_EVERY_S)


def lines(request: Request) -> list[str]:
    """A request for people: when, from whom, the status, and what became of each item."""
    size = f", {request['bytes']:,} bytes" if "bytes" in request else ""
    found = [f"{request['received_at']} {request['source']} {request['path']}: {request['status']}{size}"]
    if "error" in request:
        found.append(f"  refused: {request['error']}")
    found += [f"  publish {each['type']} of {each['subject']}" for each in request.get("published", ())]
    found += [f"  ignore {_item(each)}: {each['reason']}" for each in request.get("ignored", ())]
    found += [f"  reject {_item(each)} as {each['code']}: {each['reason']}" for each in request.get("rejected", ())]
    if request.get("left_out_by_sender"):
        found.append(f"  missing: the sender left {request['left_out_by_sender']} items out")
    return [safe(line) for line in found]


def save(request: Request, folder: Path) -> bool:
    """Write the body of a request into a folder; whether it has one. Raises OSError."""
    if "body" not in request and "body_base64" not in request:
        return False
    body = request["body"].encode() if "body" in request else b64decode(request["body_base64"])
    at, source = (re.sub(r"[^0-9A-Za-z-]", "", request[key]) for key in ("received_at", "source"))
    name = f"{at}-{int(request['number']):06d}-{source}.json"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(body)
    about = {"file": name, **{key: request[key] for key in ("source", "path", "media_type", "received_at")}}
    if "headers" in request:
        about["headers"] = request["headers"]
    with (folder / INDEX).open("a", encoding="utf-8") as index:
        index.write(json.dumps(about) + "\n")
    return True


def index_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What `save` noted about the files of a folder, by their names."""
    try:
        text = (folder / INDEX).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            about = json.loads(line)
            headers = {name: tuple(map(str, values)) for name, values in about.get("headers", {}).items()}
            found[str(about["file"])] = {key: str(about[key]) for key in ("source", "path")} | {"headers": headers}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise WatchFailed(f"{folder / INDEX}:{number}: is not a line of `sla intake watch --save`") from None
    return found


def _item(each: Request) -> str:
    return each.get("item") or "the request"


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(64 * 1024))["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(error.reason)

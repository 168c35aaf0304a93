"""A schema registry over HTTP in this process, as Confluent's interface has it, with everything that can go wrong."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote

from streams.schema_registry.client import SchemaRegistry
from tests.waiting import TIMEOUT_S

Trouble = Callable[["_Handler"], None]


class FakeRegistry:
    """Use as a context manager. `troubles` has what happens to the next requests, one each, None for an
    answer; `broken` what happens to all after them."""

    def __init__(self) -> None:
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, list[int]] = {}
        self.levels: dict[str, str] = {}
        self.inherited = "BACKWARD"
        self.incompatible = False
        self.troubles: deque[Trouble | None] = deque()
        self.broken: Trouble | None = None
        self.requests: list[tuple[str, str]] = []
        self.authorization: set[str | None] = set()
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/apis/ccompat/v7"

    def access(self, **more: Any) -> SchemaRegistry:
        return SchemaRegistry(self.url, **{"timeout_s": TIMEOUT_S, **more})

    def add(self, definition: object) -> int:
        """A schema of anybody's; its id."""
        text = definition if isinstance(definition, str) else json.dumps(definition)
        for schema_id, known in self.schemas.items():
            if known == text:
                return schema_id
        self.schemas[len(self.schemas) + 1] = text
        return len(self.schemas)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    registry: FakeRegistry

    def _serve(self) -> None:
        registry = self.registry
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        registry.requests.append((self.command, self.path))
        registry.authorization.add(self.headers.get("Authorization"))
        trouble = registry.troubles.popleft() if registry.troubles else registry.broken
        if trouble is not None:
            trouble(self)
            return
        path, _, query = self.path.removeprefix("/apis/ccompat/v7/").partition("?")
        parts = [unquote(each) for each in path.split("/")]
        match self.command, parts:
            case "GET", ["schemas", "ids", number]:
                text = registry.schemas.get(int(number))
                self.reply(*((404, _said(40403)) if text is None else (200, {"schema": text})))
            case "GET", ["config", subject]:
                level = registry.levels.get(subject, registry.inherited if query else None)
                self.reply(*((404, _said(40408)) if level is None else (200, {"compatibilityLevel": level})))
            case "PUT", ["config", subject]:
                registry.levels[subject] = body["compatibility"]
                self.reply(200, body)
            case "POST", ["subjects", subject]:
                found = [
                    each for each in registry.subjects.get(subject, []) if registry.schemas[each] == body["schema"]
                ]
                known = 40403 if subject in registry.subjects else 40401
                self.reply(*((200, {"id": found[0], "version": 1}) if found else (404, _said(known))))
            case "POST", ["subjects", subject, "versions"]:
                if registry.incompatible:
                    self.reply(409, {"error_code": 409, "message": "it takes a field away"})
                    return
                number = registry.add(body["schema"])
                registry.subjects.setdefault(subject, []).append(number)
                self.reply(200, {"id": number})
            case _:
                self.reply(404, {"title": "no such page"})

    do_GET = do_POST = do_PUT = _serve  # noqa: N815 -- http.server's names

    def reply(self, status: int, body: object, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def _said(code: int) -> dict[str, object]:
    return {"error_code": code, "message": "there is none"}


def status(code: int, body: object = b"", **headers: str) -> Trouble:
    return lambda handler: handler.reply(code, body, **headers)


def hang(handler: _Handler) -> None:
    handler.registry.released.wait(TIMEOUT_S)


def drop(handler: _Handler) -> None:
    handler.close_connection = True


TROUBLES: dict[str, Trouble] = {
    "500": status(500, {"error_code": 50001, "message": "the store is away"}),
    "503 of a proxy": status(503, b"<html>away</html>"),
    "404 of a proxy": status(404, b"<html>no such service</html>"),
    "404 of another server": status(404, {"title": "no such page"}),
    "429": status(429, {"error_code": 429}),
    "garbage": status(200, b"<html>{"),
    "no object": status(200, [1, 2]),
    "other object": status(200, {"id": "seven", "schema": 7, "compatibilityLevel": None}),
    "too much": status(200, b" " * (1024 * 1024 + 2)),
    "redirect": status(302, b"", Location="http://127.0.0.1:1/"),
    "401": status(401, {"error_code": 40101, "message": "who are you?"}),
    "hang": hang,
    "drop": drop,
}

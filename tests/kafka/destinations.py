"""PagerDuty, Slack and a webhook consumer on this machine: they refuse what the real ones would refuse."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

from command_process import CommandProcess
from standardwebhooks import Webhook

ROUTING_KEY = "R0123456789abcdef0123456789abcde"
SIGNING_KEY = "whsec_" + "QUJD" * 8
SLACK_PATH = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
KINDS = ("pager", "room", "hook")
_PATHS = {"/v2/enqueue": "pager", SLACK_PATH: "room", "/hook/0123456789": "hook"}


class Heard(NamedTuple):
    """One request that was taken."""

    kind: str
    key: str
    """What a repeat has again: dedup key and action, or `webhook-id`; of Slack the text."""
    body: dict[str, Any]


class Destinations:
    """Serves all three; a context manager. `answer` may say another status for a kind."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.wrong: list[str] = []
        self.answer: Callable[[str], int] = lambda _: 202
        self.tries: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.takes_s = 0.0
        server = self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.port: int = server.server_address[1]

    def environment(self) -> dict[str, str]:
        """The secrets of a routing file for these."""
        base = f"http://127.0.0.1:{self.port}"
        hook = next(path for path, kind in _PATHS.items() if kind == "hook")
        return {
            "PAGER_KEY": ROUTING_KEY,
            "ROOM_URL": base + SLACK_PATH,
            "HOOK_URL": base + hook,
            "HOOK_KEY": SIGNING_KEY,
        }

    def routing(self, *kinds: str, give_up_after: str = "PT6H") -> str:
        """A routing file that leads everything to these kinds."""
        # Within a minute answers the busiest machine: an answer that came too late would be asked for again.
        common = f"allow_private: true, timeout: PT1M, give_up_after: {give_up_after}"
        api = f"http://127.0.0.1:{self.port}/v2/enqueue"
        paged = f"{common}, pages_per_minute: 6000"
        lines = {
            "pager": f"{{kind: pagerduty, routing_key: {{env: PAGER_KEY}}, api: '{api}', {paged}}}",
            "room": f"{{kind: slack, url: {{env: ROOM_URL}}, language: ja, {paged}}}",
            "hook": f"{{kind: webhook, url: {{env: HOOK_URL}}, secrets: [{{env: HOOK_KEY}}], {common}}}",
        }
        chosen = "".join(f"  {kind}: {lines[kind]}\n" for kind in kinds)
        return f"version: 1\ndestinations:\n{chosen}routes: [{{to: [{', '.join(kinds)}]}}]\n"

    def keys(self, kind: str) -> list[str]:
        return [each.key for each in list(self.heard) if each.kind == kind]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class NotifyProcess(CommandProcess):
    """`sla notify` to such destinations; a context manager. One that stands still for longer than `session_s`, as on a
    machine under load, connects anew; the group misses one that is killed for as long."""

    def __init__(
        self, broker: str, prefix: str, folder: Path, to: Destinations, *kinds: str, name: str = "", session_s: int = 30
    ) -> None:
        routing = folder / f"notify{name}.yaml"
        routing.write_text(to.routing(*kinds), encoding="utf-8")
        environment = {
            **to.environment(),
            "SLA_BROKERS": broker,
            "SLA_TOPIC_PREFIX": prefix,
            "SLA_NOTIFY_ROUTES": str(routing),
            "SLA_SESSION_TIMEOUT": f"PT{session_s}S",
        }
        super().__init__("notify", "SLA_NOTIFY_PORT", folder / f"notify{name}.log", environment)

    def measured(self, metric: str, destination: str) -> float:
        """A metric's value."""
        start = f'{metric}{{destination="{destination}"}} '
        text = self.get("/metrics")[1]
        return next((float(line[len(start) :]) for line in text.splitlines() if line.startswith(start)), 0.0)

    def resident_mib(self) -> float:
        """Memory of the process."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _handler(to: Destinations) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            kind = _PATHS.get(self.path, self.path)
            to.tries[kind] = to.tries.get(kind, 0) + 1
            status = to.answer(kind)
            time.sleep(to.takes_s)
            if status == 202:
                try:
                    to.heard.append(_checked(kind, dict(self.headers), content))
                except Exception as error:
                    to.wrong.append(f"{kind}: {error!r}: {content[:500]!r}")
                    status = 400
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    return Handler


def _checked(kind: str, headers: dict[str, str], content: bytes) -> Heard:
    """Raises what is wrong with a request."""
    body = json.loads(content)
    assert headers["Content-Type"] == "application/json"
    if kind == "pager":
        return _pagerduty(body, content)
    if kind == "room":
        return _slack(body, content)
    Webhook(SIGNING_KEY).verify(content, headers)
    assert set(body) == {"type", "timestamp", "data"}
    return Heard(kind, headers["webhook-id"], body)


def page_of(body: dict[str, Any]) -> str:
    """The page that an event is about: its dedup key without the deployment."""
    return str(body["dedup_key"]).partition("/")[2]


def _pagerduty(body: dict[str, Any], content: bytes) -> Heard:
    """As Events API v2 checks them."""
    assert body["routing_key"] == ROUTING_KEY
    assert body["event_action"] in {"trigger", "acknowledge", "resolve"}
    assert 0 < len(body["dedup_key"].encode()) <= 255
    assert len(content) <= 512 * 1024
    if body["event_action"] == "trigger":
        payload = body["payload"]
        assert 0 < len(payload["summary"]) <= 1024
        assert payload["source"]
        assert payload["severity"] in {"critical", "error", "warning", "info"}
        assert payload["timestamp"].endswith("Z")
        assert isinstance(payload["custom_details"], dict)
    return Heard("pager", f"{body['event_action']} {page_of(body)}", body)


def _slack(body: dict[str, Any], content: bytes) -> Heard:
    """As incoming webhooks check them."""
    assert body["text"]
    assert 0 < len(body["blocks"]) <= 50
    for block in body["blocks"]:
        assert block["type"] in {"header", "section"}
        longest = 150 if block["type"] == "header" else 3000
        assert block["text"]["type"] == "plain_text"  # nothing in an alert is markup
        assert 0 < len(block["text"]["text"]) <= longest
    assert len(content.decode()) < 10_000
    return Heard("room", body["text"], body)

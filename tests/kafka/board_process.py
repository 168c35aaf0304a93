"""`sla board` as a process on a real broker and worker, and the people who use it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from command_process import CommandProcess
from typer.testing import CliRunner

from board.access.tokens import add_token
from cli.main import app
from connect.actions.person import Person, Role
from streams.sla.instants import DAY, format_rfc3339, parse_rfc3339
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S, wait

#: Workers on a busy machine may need longer to read an event than people are to wait for an answer.
_PATIENT = (
    "from board.actions import runner; runner.READ_BACK_S = 60.0; "
    "runner.ActionRunner.__init__.__kwdefaults__['answer_s'] = 90.0; "
)


class BoardProcess(CommandProcess):
    """A board that reads the deployment's topics into a database in `directory`."""

    def __init__(self, directory: Path, deployment: Mapping[str, str]) -> None:
        self._tokens = directory / "tokens.json"
        self._clients: list[httpx.Client] = []
        own = {
            "SLA_BOARD_TOKENS": str(self._tokens),
            "SLA_BOARD_DATABASE_URL": f"sqlite:///{directory}/board.db",
        }
        super().__init__("board", "SLA_BOARD_PORT", directory / "board.log", {**deployment, **own}, first=_PATIENT)

    def token(self, name: str, *roles: Role) -> str:
        """A new token of a person."""
        person, now = Person(name, name.title(), frozenset(roles)), SystemTimeSource().now()
        return add_token(self._tokens, person, now, name=f"{name}-{uuid.uuid4().hex[:8]}")

    def person(self, name: str, *roles: Role) -> httpx.Client:
        """Requests to the API with a token."""
        return self._client(headers={"Authorization": f"Bearer {self.token(name, *roles)}"})

    def browser(self, name: str, *roles: Role) -> httpx.Client:
        """The browser of a person who has signed in."""
        client = self._client()
        assert client.post("/sign-in", data={"token": self.token(name, *roles)}).status_code == 303
        return client

    def _client(self, **options: Any) -> httpx.Client:
        self._clients.append(httpx.Client(base_url=self.url, timeout=TIMEOUT_S, **options))
        return self._clients[-1]

    def __exit__(self, *_: object) -> None:
        for each in self._clients:
            each.close()
        try:
            assert self.stop() == 0, self.log.read_text()
        finally:
            self.kill()


def until(client: httpx.Client, path: str, wanted: Callable[[Any], bool]) -> Any:
    """The answer, once it is as wanted: the read model follows the topics by a moment."""
    answers: list[httpx.Response] = []

    def come() -> bool:
        answers.append(client.get(path))
        return bool(answers[-1].status_code == 200 and wanted(answers[-1].json()))

    wait(come, lambda: answers[-1].text)
    return answers[-1].json()


def publish(lines: str, *options: str) -> None:
    """Send events as `sla publish` does, and wait until a worker has applied them."""
    ended = CliRunner().invoke(app, ["publish", "-", "--wait", *options], input=lines)
    assert ended.exit_code == 0, ended.output


def event(kind: str, subject: str, at: int, data: Mapping[str, object]) -> str:
    """A line for `publish`."""
    named = {"specversion": "1.0", "id": f"{kind}-{subject}", "type": kind, "source": "/desk", "subject": subject}
    return json.dumps({**named, "time": format_rfc3339(at), "data": data})


def opened(incident: str, at: int, tenant: str = "initech", channel: str = "phone") -> str:
    """A complete outage of a tenant."""
    whom = {"scope": "tenants", "tenant_ids": [tenant]}
    data = {**whom, "component": "api", "impact": "complete_outage", "channel": channel}
    return event("incident.opened", incident, at, data)


def contract(tenant: str, plan: str) -> str:
    """Terms that began four months ago."""
    charge = {"amount_minor": 100_000, "currency": "USD"}
    start = SystemTimeSource().now() - 120 * DAY
    terms = {"tenant_id": tenant, "valid_from": format_rfc3339(start), "plan": plan, "monthly_charge": charge}
    return event("contract.set", tenant, start, {**terms, "emergency_member": True})


def unique(name: str) -> str:
    """An id that no other test of the deployment has."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def last_month() -> tuple[str, int]:
    """The month before this one, as YYYY-MM, and its tenth day."""
    this = parse_rfc3339(format_rfc3339(SystemTimeSource().now())[:8] + "01T00:00:00Z")
    month = format_rfc3339(this - DAY)[:7]
    return month, parse_rfc3339(f"{month}-10T00:00:00Z")

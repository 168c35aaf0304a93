"""`sla incidents` and `sla credits` against a real broker and worker: from an opened incident to a resolved one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.incidents.states import CommandPresent, open_states
from cli.main import app
from connect.actions.outcome import Accepted, Invalid, Unchanged
from connect.actions.person import Person, Role
from connect.actions.service import ActionService
from connect.kafka_io.reader import read_topics
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.settings import read_settings
from streams.sla.events import Rejection
from streams.sla.instants import DAY, MINUTE, format_rfc3339
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

CONTRACT = {"plan": "scalr-emergency", "monthly_charge": {"amount_minor": 100_000, "currency": "USD"}}


@pytest.fixture
def sla(deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "SLA_WHO"):
        monkeypatch.delenv(name, raising=False)
    for name, value in deployment.items():
        monkeypatch.setenv(name, value)

    def call(*words: object, stdin: bytes | None = None) -> Result:
        result: Result = CliRunner().invoke(app, list(map(str, words)), input=stdin)
        return result

    return call


def opened(incident: str, **changed: object) -> bytes:
    now = SystemTimeSource().now()
    data = {"scope": "tenants", "tenant_ids": ["acme"], "component": "api", "impact": "complete_outage"}
    event = {"specversion": "1.0", "id": f"open-{incident}", "type": "incident.opened", "source": "/desk"}
    event |= {"subject": incident, "time": format_rfc3339(now - 5 * MINUTE)}
    return json.dumps({**event, "data": {**data, "channel": "phone", **changed}}).encode()


def shown(sla: Callable[..., Result], incident: str) -> dict[str, Any]:
    found = sla("incidents", "show", incident, "--json")
    assert found.exit_code == 0, found.stderr
    state: dict[str, Any] = json.loads(found.stdout)
    return state


def until(sla: Callable[..., Result], incident: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The state, once it is as wanted: it follows the acknowledgement by a moment."""
    states: list[dict[str, Any]] = []

    def come() -> bool:
        states.append(shown(sla, incident))
        return wanted(states[-1])

    wait(come, lambda: states[-1])
    return states[-1]


def test_an_incident_is_worked_on(sla: Callable[..., Result], broker: str, deployment: dict[str, str]) -> None:
    assert sla("publish", "-", "--wait", stdin=opened("inc-1")).exit_code == 0
    assert sla("publish", "-", "--wait", stdin=opened("inc-2", component="ui", impact="cosmetic")).exit_code == 0
    kim = ("--who", "support:kim", "--wait")
    seen = until(sla, "inc-2", lambda state: bool(state["clocks"])) and shown(sla, "inc-1")["revision"]
    done = sla("incidents", "respond", "inc-1", "--revision", seen, *kim)
    assert (done.exit_code, done.stdout) == (0, "inc-1: response recorded: accepted\n"), done.stderr
    state = until(sla, "inc-1", lambda state: state.get("responded_at") is not None)
    assert state["clocks"][0]["state"] == "met"

    # Somebody else saw the incident before.
    late = sla("incidents", "resolve", "inc-1", "--revision", seen, "--who", "support:lee")
    assert late.exit_code == 1
    assert late.stderr.startswith(f"inc-1 changed since revision {seen}, it is at {state['revision']}; nothing was")

    update = ("incidents", "update", "inc-1", "--public", "--text", "-")
    assert sla(*update, "--preview", "--who", "support:kim", stdin="修正中\n".encode()).stdout.splitlines() == [
        "Public update: P2 API: complete outage",
        "公開の更新: P2 API: 全面停止",
        "  修正中",
    ]
    assert sla(*update, *kim, stdin="修正中\n".encode()).exit_code == 0
    for words in (
        ("wait", "inc-1", "--on", "third_party"),
        ("link", "inc-1", "--ticket", "SUP-1"),
        ("reclassify", "inc-1", "--impact", "material_aspect", "--tenant", "acme", "--tenant", "globex"),
        ("set-severity", "inc-1", "P3", "--reason", "few users"),
        ("merge", "inc-2", "inc-1"),
        ("resolve", "inc-1"),
        ("reopen", "inc-1", "--reason", "it is back"),
    ):
        if words[0] == "reopen":
            until(sla, "inc-1", lambda state: state["status"] == "resolved")
        acted = sla("incidents", *words, *kim)
        assert acted.exit_code == 0, (words, acted.stderr)
        assert acted.stdout.endswith(": accepted\n")
    state = until(sla, "inc-1", lambda state: state["status"] == "open" and state["severity"] == "P3")
    assert (state["tenant_ids"], state["ticket_id"], state["impact"]) == (
        ["acme", "globex"],
        "SUP-1",
        "material_aspect",
    )

    # Every event names who caused it.
    records = read_topics([broker], [f"{deployment['SLA_TOPIC_PREFIX']}.incident-events"])
    events = [found for record in records if not isinstance(found := decode(record.value), Rejection)]
    mine = [each for each in events if each[1]["source"] == "/sla/cli" and each[1]["subject"] in {"inc-1", "inc-2"}]
    people = [to_json(*each)["data"]["who"] for each in mine]  # type: ignore[index]
    assert len(people) == 9
    assert people.count({"kind": "support", "id": "kim"}) == 9

    listed = sla("incidents", "list", "--status", "all", "--tenant", "acme")
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert [(row[0], row[2]) for row in rows] == [("incident", "status"), ("inc-1", "open"), ("inc-2", "merged")]
    assert (
        sla("incidents", "watch", "--once", "--tenant", "acme").stdout.splitlines()[1].startswith("inc-1\tP3\topen\t")
    )
    assert sla("incidents", "list", "--severity", "P1", "--tenant", "acme").stderr == "there are no such incidents\n"


def test_what_is_wrong_is_said_and_not_published(sla: Callable[..., Result]) -> None:
    assert sla("publish", "-", "--wait", stdin=opened("inc-9")).exit_code == 0
    for words, message in (
        (("respond", "nowhere"), "nowhere: there is no incident nowhere\n"),
        (("reopen", "inc-9"), "inc-9: the incident is open\n"),
        (("update", "inc-9", "--public", "--text", "x" * 5000), "--text: has 5,000 bytes; at most 4,096 are allowed\n"),
        (
            ("resolve", "inc-9", "--restored-at", "2999-01-01T00:00:00Z"),
            "--restored-at: 2999-01-01T00:00:00Z is after ",
        ),
        (("reclassify", "inc-9", "--component", "apj"), "--component: apj is not allowed; allowed: ui, api, "),
        (("set-severity", "inc-9", "P2"), "--reason: is missing\n"),
    ):
        ended = sla("incidents", *words, "--who", "support:kim", "--wait")
        assert ended.exit_code == 2, words
        assert ended.stderr.startswith(message), ended.stderr
        assert ended.stderr.endswith("nothing was published\n")
    # The same attempt, sent again by another process, counts once.
    words = ("incidents", "respond", "inc-9", "--who", "support:kim", "--wait", "--action-id", "a-1")
    assert sla(*words).stdout == "inc-9: response recorded: accepted\n"
    again = sla(*words)
    assert (again.exit_code, again.stdout) == (
        0,
        "this was sent before; what arrived first counts; nothing was published\n",
    )


def test_a_watch_that_is_piped_ends_with_0_at_ctrl_c(sla: Callable[..., Result]) -> None:
    assert sla("publish", "-", "--wait", stdin=opened("inc-7")).exit_code == 0
    # A shell starts background jobs with SIGINT ignored, and children inherit that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heed}; from cli.main import main; main()"
    command = [sys.executable, "-c", program, "incidents", "watch", "--text", "inc-7"]
    root = Path(__file__).parents[2]
    watching = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with watching, ExitStack() as ending:
        ending.callback(watching.kill)
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("incident\tseverity\t")
        assert watching.stdout.readline().startswith("inc-7\tP2\topen\t")
        assert sla("incidents", "respond", "inc-7", "--who", "support:kim").exit_code == 0
        assert watching.stdout.readline().split("\t")[4] == "update 1"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(TIMEOUT_S) == 0
        assert watching.stderr is not None
        assert watching.stderr.read() == ""


def test_months_are_listed_and_their_arithmetic_is_shown(sla: Callable[..., Result]) -> None:
    now = SystemTimeSource().now()
    terms = {"tenant_id": "acme", "valid_from": format_rfc3339(now - 70 * DAY), "emergency_member": True, **CONTRACT}
    assert sla("contracts", "import", "-", "--yes", "--wait", stdin=json.dumps(terms).encode()).exit_code == 0

    def finals() -> list[str]:
        listed: str = sla("credits", "list", "--status", "final", "--tenant", "acme").stdout
        return listed.splitlines()[1:]

    wait(finals, lambda: "no final statement appeared")
    rows = finals()
    tenant, month, status, _, _, _, credit, currency, until_ = rows[0].split("\t")
    assert (tenant, status, credit, currency) == ("acme", "final", "0", "USD")
    assert sla("credits", "list", "--with-credit", "--tenant", "acme").stderr == "there are no such months\n"
    detail = sla("credits", "show", "acme", month)
    assert detail.exit_code == 0, detail.stderr
    assert "    $1,000.00 × 0 ÷ 100 = 0 = $0.00" in detail.stdout.splitlines()
    assert detail.stdout.splitlines()[-1] == f"claimable until {until_}"
    assert json.loads(sla("credits", "show", "acme", month, "--json").stdout)["claimable_until"] == until_
    for words in (("acme", "2020-01"), ("nobody", month), ("acme", "May")):
        assert sla("credits", "show", *words).exit_code == 2


def test_the_service_performs_what_is_about_no_incident(sla: Callable[..., Result]) -> None:
    """As the board does: one long-lived service, the facts read from topics."""
    settings = read_settings()
    now = SystemTimeSource().now
    ada = Person("ada", "Ada", frozenset({Role.ADMIN}))
    month = format_rfc3339(now())[:7]  # not over, so that no statement says that it is zero
    window = {
        "scope": "platform",
        "components": ["api"],
        "start": "2099-06-07T01:00:00Z",
        "end": "2099-06-07T03:00:00Z",
    }
    names = "tenant_id,valid_from,plan,amount_minor,currency,emergency_member"
    terms = {"terms": f"{names}\nglobex,2026-01-01T00:00:00Z,scalr-emergency,100000,USD,yes"}
    # One event is rejected first, so that there is something to retry.
    old = json.loads(opened("inc-5")) | {"id": "old", "time": format_rfc3339(now() - 40 * DAY)}
    assert sla("publish", "-", "--wait", "--no-check-time", stdin=json.dumps(old).encode()).exit_code == 1
    *_, reject = [json.loads(line) for line in sla("rejected", "list", "--json").stdout.splitlines()]
    original = f"{reject['topic']}/{reject['partition']}/{reject['offset']}"
    corrected = {"corrected": json.dumps(json.loads(opened("inc-5")) | {"id": "new"})}
    with (
        open_states(settings) as states,
        closing(ActionService(settings, CommandPresent(settings, states), read_back_s=TIMEOUT_S)) as service,
    ):
        for action, subject, form, outcome in (
            ("import-contracts", "", terms, Accepted),
            ("import-contracts", "", terms, Unchanged),
            ("schedule-maintenance", "move", window, Accepted),
            ("edit-maintenance", "move", window, Unchanged),
            ("edit-maintenance", "move", window | {"components": ["ui"]}, Accepted),
            ("cancel-maintenance", "move", {}, Accepted),
            ("claim-credit", "globex", {"month": month}, Accepted),
            ("claim-credit", "globex", {"month": month}, Unchanged),
            ("retry-rejected", original, {}, Invalid),
            ("retry-rejected", original, corrected, Accepted),
            ("erase-tenant", "globex", {"reason": "asked", "confirm_tenant": "globex"}, Accepted),
        ):
            done = service.perform(ada, action, subject, form, action_id=str(uuid.uuid4()), now=now())
            assert isinstance(done, outcome), (action, done)
        wait(lambda: "inc-5" in states)
        assert states["inc-5"].data["status"] == "open"

"""R1, R2: webhooks of a ticket or a status page, repeated and in any order, give the outage that their sender had."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Line, contract, opened, run

from connect.intake import translate
from connect.intake.mapping_file import load_mapping
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.sla.instants import HOUR, MINUTE, SECOND, format_rfc3339, parse_rfc3339

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "intake"
SOURCES = load_mapping(ROOT / "examples" / "intake.yaml")
for each in ("statuspage", "feedback"):
    SOURCES |= load_mapping(ROOT / "examples" / "intake" / f"{each}.yaml")
START = parse_rfc3339("2026-04-10T08:00:00Z")
#: What happens to a ticket: to which status it goes; None: a public comment.
STEPS = ("open", "waiting", "vendor", "done", None)


class Step(NamedTuple):
    """What happens at an instant, in microseconds."""

    at: int
    status: str | None


def recorded(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def zendesk(steps: Sequence[Step]) -> Iterator[Any]:
    names = {"open": "open", "waiting": "pending", "vendor": "hold", "done": "solved"}
    status = "open"
    yield recorded("zendesk-created") | {"time": format_rfc3339(START)}
    for number, step in enumerate(steps):
        body = recorded("zendesk-created") | {"id": f"change-{number}", "time": format_rfc3339(step.at)}
        if step.status is None:
            comment = {"body": "we are on it", "is_public": True, "author": {"id": "9", "is_staff": True}}
            body |= {"type": "zen:event-type:ticket.comment_added", "event": {"comment": comment}}
        else:
            change = {"previous": names[status], "current": names[step.status]}
            body |= {"type": "zen:event-type:ticket.status_changed", "event": change}
            status = step.status
        body["detail"] |= {"status": names[status], "updated_at": format_rfc3339(step.at)}
        yield body


def jira(steps: Sequence[Step]) -> Iterator[Any]:
    names = {"open": "Open", "waiting": "Waiting for customer", "vendor": "Waiting for vendor", "done": "Shipped"}
    status, created = "open", recorded("jira-created")
    yield created
    for number, step in enumerate(steps):
        body = copy.deepcopy(created) | {"webhookEvent": "jira:issue_updated", "timestamp": step.at // 1000}
        fields, items = body["issue"]["fields"], []
        if step.status is None:
            comment = {"id": str(number), "body": "we are on it", "jsdPublic": True, "created": format_rfc3339(step.at)}
            author = {"author": {"accountId": "ann", "accountType": "atlassian"}}
            body |= {"webhookEvent": "comment_created", "comment": comment | author}
        else:
            items = [{"field": "status", "fromString": names[status], "toString": names[step.status]}]
            if "done" in (status, step.status) and status != step.status:
                set_or_cleared = {"to": "1"} if step.status == "done" else {"from": "1"}
                items.append({"field": "resolution", **set_or_cleared})
            status = step.status
        key = "done" if status == "done" else "indeterminate"
        fields |= {
            "status": {"name": names[status], "statusCategory": {"key": key}},
            "updated": format_rfc3339(step.at),
        }
        yield body | {"changelog": {"id": str(number), "items": items}}


def statuspage(steps: Sequence[Step]) -> Iterator[Any]:
    names = {"open": "identified", "waiting": "monitoring", "vendor": "investigating", "done": "resolved", None: None}
    begin = format_rfc3339(START)
    incident = {"id": "page1", "name": "API down", "impact": "critical", "created_at": begin, "started_at": begin}
    components, posts, status = [{"id": "c1", "name": "API"}], [], "investigating"
    for number, step in enumerate([Step(START, "vendor"), *steps]):
        at, status = format_rfc3339(step.at), names[step.status] or status
        posts.append(
            {"id": f"u{number}", "status": status, "body": f"post {number}", "created_at": at, "display_at": at}
        )
        snapshot = {"status": status, "updated_at": at, "components": components, "incident_updates": list(posts)}
        yield {"page": {"id": "p"}, "incident": incident | snapshot}


def people(steps: Sequence[Step]) -> Iterator[tuple[str, Any]]:
    """What people do about an incident of another source: in Slack what it has a button for, else in PagerDuty."""
    kinds = {"open": "reopened", "waiting": "resolved-by-notifier", "vendor": "acknowledged", "done": "resolved"}
    for number, step in enumerate(steps):
        if number % 2 and step.status in ("vendor", "done", None):
            body = recorded("slack/press")
            action = {"vendor": "acknowledge", "done": "resolve", None: "update"}[step.status]
            body["actions"][0] |= {"action_id": action, "action_ts": f"{step.at / SECOND:.6f}"}
            yield "slack", body
        else:
            name = "note" if step.status is None else kinds[step.status]
            body = recorded(f"pagerduty-{name}")
            body["event"] |= {"id": f"event-{number}", "occurred_at": format_rfc3339(step.at)}
            yield "pagerduty", body


def events(source: str, body: Any, received_at: int) -> list[Line]:
    content = json.dumps(body)
    if source == "slack":
        content = urlencode({"payload": content})
    translation = translate.webhook(SOURCES[source], content.encode(), received_at)
    assert not translation.rejected
    decoded = [decode(each.record.value) for each in translation.events]
    assert not any(isinstance(each, Rejection) for each in decoded)
    return [to_json(*each) for each in decoded]  # type: ignore[misc]


def outage(steps: Sequence[Step]) -> list[list[str | None]]:
    """From when to when the sender says that it lasts, told second by second by nothing but the statuses."""
    spans: list[list[str | None]] = [[format_rfc3339(START), None]]
    for step in steps:
        is_over, at = spans[-1][1] is not None, format_rfc3339(step.at)
        if step.status == "done" and not is_over:
            spans[-1][1] = at
        elif step.status not in ("done", None) and is_over:
            spans.append([at, None])
    return spans


def reported(lines: Sequence[Line]) -> list[list[str | None]]:
    """The intervals that were reported last."""
    outputs = run(contract("2026-04-01T00:00:00Z"), *lines, until="2026-04-12T00:00:00Z")
    found = [each["data"]["intervals"] for each in outputs if each["type"] == "impact.changed"]
    return [[each["start"], each["end"]] for each in found[-1]]


@pytest.mark.parametrize(("source", "sent"), [("zendesk", zendesk), ("jira", jira), ("status", statuspage)])
@settings(max_examples=6)
@given(data=st.data())
def test_any_order_and_any_repeats_give_the_outage_of_the_sender(
    source: str, sent: Callable[[Sequence[Step]], Iterator[Any]], data: st.DataObject
) -> None:
    gaps = data.draw(st.lists(st.sampled_from((SECOND, 7 * MINUTE, 3 * HOUR)), min_size=1, max_size=5), "gaps")
    instants = [START + sum(gaps[: number + 1]) for number in range(len(gaps))]
    steps = [Step(at, data.draw(st.sampled_from(STEPS), "step")) for at in instants]
    bodies = list(sent(steps))
    assert reported([line for body in bodies for line in events(source, body, instants[-1])]) == outage(steps)
    order = data.draw(st.permutations([*bodies, *data.draw(st.lists(st.sampled_from(bodies), max_size=3), "repeats")]))
    received_at = [instants[-1] + number * MINUTE for number in range(len(order))]
    lines = [line for body, at in zip(order, received_at, strict=True) for line in events(source, body, at)]
    contents = {(line["source"], line["id"]): line for line in lines}
    assert all(contents[line["source"], line["id"]] == line for line in lines), "an id has one content"
    assert reported(lines) == outage(steps)


@settings(max_examples=10)
@given(data=st.data())
def test_any_order_and_any_repeats_of_what_people_do_give_the_same_outage_and_breaches(data: st.DataObject) -> None:
    """In PagerDuty and in Slack, about one incident. What the notifier resolves by itself changes nothing."""
    gaps = data.draw(st.lists(st.sampled_from((SECOND, 7 * MINUTE, 3 * HOUR)), min_size=1, max_size=6), "gaps")
    instants = [START + sum(gaps[: number + 1]) for number in range(len(gaps))]
    steps = [Step(at, data.draw(st.sampled_from(STEPS), "step")) for at in instants]
    sent = list(people(steps))
    begin = opened(format_rfc3339(START), of="inc-42")

    def breaches(lines: Sequence[Line]) -> set[tuple[str, int, str]]:
        found: set[tuple[str, int, str]] = set()
        for each in run(begin, *lines, until="2026-04-12T00:00:00Z"):
            change = {"sla.breached": found.add, "sla.breach_retracted": found.discard}.get(each["type"])
            if change is not None:
                change((each["data"]["metric"], each["data"]["instance"], each["data"]["deadline"]))
        return found

    expected = outage([step for step in steps if step.status in ("open", "done")])
    in_order = [line for source, body in sent for line in events(source, body, instants[-1])]
    assert reported([begin, *in_order]) == expected
    order = data.draw(st.permutations([*sent, *data.draw(st.lists(st.sampled_from(sent), max_size=3), "repeats")]))
    lines = [line for source, body in order for line in events(source, body, instants[-1])]
    assert reported([*lines, begin]) == reported([begin, *lines]) == expected
    assert breaches(lines) == breaches(in_order)

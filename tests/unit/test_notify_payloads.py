"""Requests: what each kind of destination is sent, in both languages, within its limits; nothing else gets in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from connect.notify.destinations.answers import Delivered, Failed, Undeliverable, judge_status
from connect.notify.destinations.kind import Destination, Secrets
from connect.notify.destinations.pagerduty import PAGERDUTY
from connect.notify.destinations.registry import DESTINATION_KINDS
from connect.notify.destinations.slack import SLACK
from connect.notify.destinations.ssrf_guard import refusal
from connect.notify.destinations.text import cut, plain
from connect.notify.destinations.webhook import WEBHOOK
from connect.notify.digest import digest_page, fold
from connect.notify.page import Page
from connect.secret_refs import SecretRef
from streams.sla.instants import SECOND, parse_rfc3339
from streams.time_source import SystemTimeSource
from tests.page_triggers import trigger

REF = SecretRef("env", "X")
PAGER = Destination("pager", PAGERDUTY, REF)
ROOM = Destination("room", SLACK, REF, language="ja", zone="Asia/Tokyo")
HOOK = Destination("hook", WEBHOOK, REF)
OLD, NEW = "whsec_" + "QUJD" * 8, "whsec_" + "REVG" * 8
SECRETS = Secrets("https://hooks.example/T1", (NEW, OLD))
NOW = parse_rfc3339("2026-01-31T11:00:00.9Z")


def said(destination: Destination, *names: str, now: int = NOW, **data: Any) -> tuple[str, dict[str, str], Any]:
    """URL, headers and body of the last message that notices lead to."""
    page = Page("inc-1")
    for name in names:
        page = page.apply(trigger(name, **data), destination, 0, busy=bool(page.pending))
    request = destination.kind.prepare(destination, SECRETS, "inc-1", page.pending[-1], now)
    return request.url, dict(request.headers), json.loads(request.body)


def test_pagerduty_is_sent_an_event_of_its_events_api() -> None:
    url, headers, body = said(PAGER, "breached")
    assert url == "https://events.pagerduty.com/v2/enqueue"
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "routing_key": SECRETS.main,
        "event_action": "trigger",
        "dedup_key": "sla/inc-1/response/1",
        "payload": {
            "summary": "P1 on API · inc-1",
            "source": "inc-1",
            "severity": "critical",
            "timestamp": "2026-01-31T09:00:00Z",
            "component": "api",
            "group": "scalr-emergency",
            "class": "sla.breached",
            "custom_details": {
                "Severity": "P1",
                "Component": "api",
                "Incident": "inc-1",
                "Clock": "response 1",
                "Deadline": "2026-01-31 11:00 UTC",
                "At": "2026-01-31 09:00 UTC",
                "Tenants": "acme",
                "Policy": "scalr-emergency 1",
            },
        },
        "client": "sla",
    }


def test_the_title_of_a_digest_counts_its_incidents_once() -> None:
    page = Page("inc-1").apply(trigger("breached"), PAGER, 0, busy=False)
    folded = fold(digest_page("pages"), [page], PAGER, NOW, busy=False, due=0)
    [message] = folded.digest.pending
    request = PAGERDUTY.prepare(PAGER, SECRETS, folded.digest.incident, message, NOW)
    assert json.loads(request.body)["payload"]["summary"] == "1 incidents, 1 alerts"


@pytest.mark.parametrize("ending", ["met", "retracted", "closed"])
def test_a_page_ends_with_the_key_it_began_with(ending: str) -> None:
    assert said(PAGER, "breached", ending)[2] == {
        "routing_key": SECRETS.main,
        "event_action": "resolve",
        "dedup_key": "sla/inc-1/response/1",
    }


def test_slack_is_sent_blocks_in_its_language_and_zone() -> None:
    url, _, body = said(ROOM, "due")
    assert url == SECRETS.main
    assert body["text"] == "🔔 API の P1 障害"
    header, section = body["blocks"]
    assert header == {"type": "header", "text": {"type": "plain_text", "text": body["text"], "emoji": False}}
    assert section["text"]["text"].splitlines() == [
        "重要度: P1",
        "コンポーネント: api",
        "インシデント: inc-1",
        "計測: 状況更新 3",
        "期限: 2026-01-31 20:00 JST",
        "日時: 2026-01-31 18:00 JST",
        "対象テナント: acme",
        "ポリシー: scalr-emergency 1",
    ]
    closed = said(ROOM, "due", "closed")[2]
    assert closed["text"] == "✅ API の P1 障害 (解決)"


def test_nothing_in_an_alert_becomes_a_mention_or_a_link() -> None:
    title = {"en": "x", "ja": "<!here> *z*"}
    body = said(ROOM, "breached", component="<!channel> & <http://x|y>\n*z* _a_ `b` ~c~", title=title)[2]
    header, section = (each["text"] for each in body["blocks"])
    assert "<!channel> & <http://x|y> *z* _a_ `b` ~c~" in section["text"]
    assert {header["type"], section["type"]} == {"plain_text"}  # which has no markup
    assert (header["emoji"], section["emoji"]) == (False, False)
    assert (body["text"], body["mrkdwn"]) == ("🚨 &lt;!here&gt; *z*", False)


def test_what_may_be_told_again_after_it_was_taken_back_has_the_record_in_its_webhook_id() -> None:
    """A consumer ignores an id that it knows, and a breach that is back has its id again (R3)."""
    names = []
    causes = [("breached", "elapsed"), ("retracted", "amended"), ("breached", "late_evidence")]
    for name, cause in [*causes, ("breached", "reclassified")]:  # which says the same each time it is back (R13)
        page = Page("inc-1", open={"response/1": 0})
        made = replace(trigger(name, id_="e1", cause=cause, metric="response", instance=1), at=7)
        names.append(HOOK.kind.prepare(HOOK, SECRETS, "inc-1", page.apply(made, HOOK, 0, busy=False).head, 0))
    assert [each.headers["webhook-id"] for each in names] == ["e1", "e1-7", "e1-7", "e1-7"]


def test_a_webhook_is_a_standard_webhook_that_verifies_with_each_key() -> None:
    now = SystemTimeSource().now()
    page = Page("inc-1").apply(trigger("breached", id_="e1"), HOOK, 0, busy=False)
    first, later = (HOOK.kind.prepare(HOOK, SECRETS, "inc-1", page.head, at) for at in (now, now + 7 * SECOND))
    assert first.body == later.body
    assert first.headers["webhook-id"] == later.headers["webhook-id"] == "e1"
    assert first.headers["webhook-signature"] != later.headers["webhook-signature"]
    for key in (OLD, NEW):
        found = Webhook(key).verify(first.body, dict(first.headers))
        assert (found["type"], found["timestamp"]) == ("sla.breached", "2026-01-31T09:00:00Z")
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "eHh4" * 8).verify(first.body, dict(first.headers))
    assert found["data"] | {"action": "trigger", "dedup_key": "sla/inc-1/response/1", "event_id": "e1"} == found["data"]
    assert found["data"]["title"] == {"en": "P1 on API", "ja": "API の P1 障害"}


def test_a_webhook_about_all_clocks_has_no_key_of_one() -> None:
    body = said(HOOK, "breached", "closed")[2]
    assert body["type"] == "incident.closed"
    assert "dedup_key" not in body["data"]
    assert len(body["data"]["clocks"]) == 2


HUGE: dict[str, Any] = {
    "title": {"en": "🚨" * 5_000, "ja": "障害" * 5_000},
    "component": "c\x00" * 5_000,
    "tenant_ids": [f"tenant-{number:0>120}" for number in range(1_000)],
    "policy": {"name": "p" * 5_000, "version": "v" * 5_000, "digest": "d"},
}


@pytest.mark.parametrize("name", ["warning", "due", "breached"])
def test_what_is_huge_is_cut_to_the_limits(name: str) -> None:
    body = said(PAGER, name, **HUGE)[2]
    payload = body["payload"]
    assert len(payload["summary"].encode("utf-16-le")) // 2 <= 1024
    assert all(len(value) <= 1024 for value in payload["custom_details"].values())
    assert len(json.dumps(body)) < 512 * 1024
    slack = said(ROOM, name, **HUGE)[2]
    header, section = slack["blocks"]
    assert len(header["text"]["text"].encode("utf-16-le")) // 2 <= 150
    assert len(section["text"]["text"]) <= 3000
    assert len(json.dumps(slack, ensure_ascii=False)) < 10_000
    assert "ほか980件" not in section["text"]["text"]  # the names themselves are cut before that


def test_the_end_of_time_is_shown_as_it_is() -> None:
    body = said(ROOM, "breached", deadline="9999-12-31T23:59:59Z")[2]
    assert "期限: 9999-12-31T23:59:59Z" in body["blocks"][1]["text"]["text"]


def test_many_tenants_are_counted() -> None:
    body = said(PAGER, "breached", tenant_ids=[f"t{number}" for number in range(30)])[2]
    assert body["payload"]["custom_details"]["Tenants"].endswith("t19 and 10 more")
    everyone = said(ROOM, "breached", scope="platform", tenant_ids=[])[2]
    assert "対象テナント: すべて" in everyone["blocks"][1]["text"]["text"]


@pytest.mark.parametrize(
    ("text", "longest", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("🚨🚨", 4, "🚨🚨"), ("🚨🚨🚨", 5, "🚨🚨…"), ("🚨🚨", 3, "🚨…")],
)
def test_texts_are_cut_between_characters(text: str, longest: int, shown: str) -> None:
    assert cut(text, longest) == shown


def test_a_text_has_no_control_characters_and_is_never_empty() -> None:
    assert plain(" a\r\n\x1b[31mb ", 99) == "a [31mb"
    assert plain("\x00\n", 99) == "-"
    assert plain("a\x85b\x9bc\u2028d\u2029e\ud800f", 99) == "a b c d e f"
    assert plain("\u202e\u2066txt.exe\u2069\u200f", 99) == "txt.exe"
    assert plain("👩‍🚒 日本", 99) == "👩‍🚒 日本"


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "outcome"),
    [
        ("pagerduty", 202, Delivered()),
        ("slack", 200, Delivered()),
        ("webhook", 204, Delivered()),
        ("webhook", 301, Failed("HTTP 301: a redirect, which is not followed")),
        ("pagerduty", 400, Undeliverable("HTTP 400")),
        ("slack", 404, Undeliverable("HTTP 404")),
        ("slack", 410, Undeliverable("HTTP 410")),
        ("webhook", 410, Undeliverable("HTTP 410", gone=True)),
        ("pagerduty", 408, Failed("HTTP 408")),
        ("pagerduty", 429, Failed("HTTP 429", rate_limited=True)),
        ("webhook", 500, Failed("HTTP 500")),
        ("webhook", 101, Failed("HTTP 101")),
    ],
)
def test_what_an_answer_means(kind: Any, status: int, outcome: object) -> None:
    assert DESTINATION_KINDS[kind].judge(status, None, "", 0) == outcome


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("7", 7 * SECOND),
        ("0", 0),
        ("Sat, 31 Jan 2026 11:00:10 GMT", 10 * SECOND - SECOND * 9 // 10),
        ("Sat, 31 Jan 2026 10:00:00 GMT", 0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
        ("Sat, 99 Jan 2026 11:00:10 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(given: str, asked: int | None) -> None:
    assert WEBHOOK.judge(503, given, "", NOW) == Failed("HTTP 503", asked)


def test_what_an_answer_says_is_told_on_one_line() -> None:
    assert judge_status(400, None, '{"errors":\n["x"]}' + "y" * 999, 0) == Undeliverable(
        "HTTP 400: " + ('{"errors": ["x"]}' + "y" * 999)[:199] + "…"
    )


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("8.8.8.8", None),
        ("2606:4700:4700::1111", None),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::808:808", None),
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("fd00::1", "private"),
        ("100.64.0.1", "not public"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a00:1::", "private"),
        ("::7f00:1", "reserved"),
        ("fec0::1", "site-local"),
        ("feff:ffff::1", "site-local"),
        ("192.0.0.1", "private"),
        ("192.0.0.9", "not public"),
        ("192.0.0.170", "private"),
        ("192.88.99.1", "not public"),
        ("192.0.2.7", "private"),
        ("198.18.0.1", "private"),
        ("240.0.0.1", "private"),
        ("3fff::1", "not public"),
        ("3fff:fff::1", "not public"),
        ("3ffe:ffff::1", None),
        ("64:ff9b:1::1", "reserved"),
        ("100::1", "private"),
        ("5f00::1", "reserved"),
        ("4000::1", "reserved"),
        ("2001:db8::1", "private"),
        ("2001:4860:4860::8888", None),
        ("2002:c000:1::", "private"),
        ("::ffff:192.0.0.9", "not public"),
        ("localhost", "no IP address"),
        ("", "no IP address"),
    ],
)
def test_which_addresses_are_refused(address: str, why: str | None) -> None:
    assert refusal(address) == why

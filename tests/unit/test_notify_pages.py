"""Pages: what waits after each notice, at whom people read and at webhooks; rows that keep it; when to try again."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from connect.notify.destinations.kind import Destination
from connect.notify.destinations.pagerduty import PAGERDUTY
from connect.notify.destinations.phrases import title
from connect.notify.destinations.registry import DESTINATION_KINDS
from connect.notify.destinations.slack import SLACK, post_body
from connect.notify.destinations.webhook import RETRY_SCHEDULE, WEBHOOK
from connect.notify.message import Message, dedup_key, digest_key, unnamed_dedup_key
from connect.notify.page import Page, folded
from connect.notify.page_store_rows import (
    Parked,
    StoredPages,
    changes,
    discard_row,
    parked_row,
    prefix_of,
    read_key,
    read_parked,
    retried_row,
    retry_rows,
    unparked_row,
)
from connect.notify.parked_retry import not_retried, requeued, why_not_retried
from connect.notify.recovery import recovered
from connect.notify.retry_policy import CircuitBreaker, next_try
from connect.notify.triggers import page_trigger
from connect.secret_refs import SecretRef
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND
from tests.page_triggers import event, trigger

REF = SecretRef("env", "X")
PAGER, ROOM, HOOK = (
    Destination("pager", PAGERDUTY, REF),
    Destination("room", SLACK, REF),
    Destination("hook", WEBHOOK, REF, give_up_after=4 * DAY),
)


def after(destination: Destination, *story: str, busy: bool = False) -> Page:
    """The page after notices such as `warning response/1`, none of which was delivered; while `busy` its first message
    is on its way."""
    page = Page("inc-1")
    for at, words in enumerate(story):
        name, _, clock = words.partition(" ")
        metric, _, instance = (clock or "response/1").partition("/")
        data = {} if name in {"due", "closed"} else {"metric": metric}
        made = trigger(name, id_=f"{at}", **data, **({} if name == "closed" else {"instance": int(instance)}))
        page = page.apply(made, destination, at, busy=busy and bool(page.pending))
    return page


def shown(page: Page) -> list[str]:
    return [f"{each.id} {each.action} {each.clock}".strip() for each in page.pending]


STORIES: list[tuple[list[str], list[str], list[str], list[str]]] = [
    # story, at PagerDuty, in Slack, at a webhook
    (["warning"], ["0 trigger response/1"], ["0 trigger response/1"], ["0 trigger response/1"]),
    (
        ["warning", "breached"],
        ["1 trigger response/1"],
        ["1 trigger response/1"],
        ["0 trigger response/1", "1 trigger response/1"],
    ),
    # What nobody was told of has no end.
    (["breached", "met"], [], [], ["0 trigger response/1", "1 resolve response/1"]),
    (["met"], [], [], []),
    (["closed"], [], [], []),
    (["breached", "met", "closed"], [], [], ["0 trigger response/1", "1 resolve response/1"]),
    (
        ["breached", "due update/1", "closed"],
        [],
        [],
        ["0 trigger response/1", "1 trigger update/1", "2 resolve"],
    ),
    (
        ["breached", "retracted", "breached"],
        ["2 trigger response/1"],
        ["2 trigger response/1"],
        ["0 trigger response/1", "1 resolve response/1", "2 trigger response/1"],
    ),
    (
        ["breached", "warning update/1", "retracted"],
        ["1 trigger update/1"],
        ["1 trigger update/1"],
        ["0 trigger response/1", "1 trigger update/1", "2 resolve response/1"],
    ),
]


@pytest.mark.parametrize(("story", "pager", "room", "hook"), STORIES, ids=lambda given: "-".join(given) or "nothing")
def test_what_waits(story: list[str], pager: list[str], room: list[str], hook: list[str]) -> None:
    assert shown(after(PAGER, *story)) == pager
    assert shown(after(ROOM, *story)) == room
    assert shown(after(HOOK, *story)) == hook


def test_what_is_on_its_way_stays_first() -> None:
    assert shown(after(PAGER, "warning", "met", busy=True)) == ["0 trigger response/1", "1 resolve response/1"]


@pytest.mark.parametrize("end", ["met", "closed"])
@pytest.mark.parametrize("to", [PAGER, ROOM], ids=["pager", "room"])
def test_what_may_have_been_sent_has_its_end_and_what_was_not_has_none(to: Destination, end: str) -> None:
    page = after(to, "breached")
    ended = trigger(end, id_="end", metric="response", instance=1)
    assert page.apply(ended, to, 9, busy=False).over
    name = "end/response/1" if (to, end) == (PAGER, "closed") else "end"
    resolve = f"{name} resolve" if (to, end) == (ROOM, "closed") else f"{name} resolve response/1"
    started = page.started()
    assert shown(started.apply(ended, to, 9, busy=True)) == ["0 trigger response/1", resolve]  # in flight
    assert shown(started.apply(ended, to, 9, busy=False)) == [resolve]  # a crash: the outcome is not known
    assert shown(started.failed(7).apply(ended, to, 9, busy=False)) == [resolve]
    assert shown(started.delivered().apply(ended, to, 9, busy=False)) == [resolve]
    retried = requeued(started.delivered(), page.head, to, 8)
    assert shown(retried.apply(ended, to, 9, busy=False)) == [resolve]  # parked, and an operator retries it
    again = trigger("breached", id_="again", metric="response", instance=1)
    newer = started.failed(7).apply(again, to, 8, busy=False)
    assert shown(newer.apply(ended, to, 9, busy=False)) == [resolve]  # replaced by a newer alert


def test_an_end_that_was_not_delivered_is_not_lost_with_the_alert_that_followed_it() -> None:
    page = after(PAGER, "breached").started().delivered()
    page = page.apply(trigger("met", id_="1", metric="response", instance=1), PAGER, 1, busy=False).started()
    page = page.apply(trigger("breached", id_="2", metric="response", instance=1), PAGER, 2, busy=True)
    page = page.failed(9)
    assert shown(page) == ["1 resolve response/1", "2 trigger response/1"]
    page = page.apply(trigger("met", id_="3", metric="response", instance=1), PAGER, 3, busy=False)
    assert shown(page) == ["3 resolve response/1"]


def test_an_alert_that_replaces_an_undelivered_end_keeps_the_key_of_its_page() -> None:
    page = replace(after(PAGER, "breached").started().delivered(), keys={"response/1": "old/key"})
    page = page.apply(trigger("met", id_="1", metric="response", instance=1), PAGER, 1, busy=False)
    page = page.apply(trigger("breached", id_="2", metric="response", instance=1), PAGER, 2, busy=False)
    assert page.head.key == page.keys["response/1"] == "old/key"


def test_a_closing_read_again_after_a_crash_ends_what_the_crash_has_left_open() -> None:
    page = after(PAGER, "breached").started().delivered()
    closed = trigger("closed", id_="end")
    stored = replace(page, pending=page.apply(closed, PAGER, 1, busy=False).pending)  # the page's row was not written
    page = stored.apply(closed, PAGER, 2, busy=False)
    assert shown(page) == ["end/response/1 resolve response/1"]
    assert page.delivered().over


def test_an_alert_that_a_crash_has_left_beside_its_successor_opens_the_page_once() -> None:
    """Both rows say that they open the page; once the first is sent the second only updates it."""
    first, second = after(PAGER, "warning").head, after(PAGER, "warning", "breached").head
    page = replace(after(PAGER, "warning"), pending=(first, second._replace(seq=first.seq + 1)))
    page = page.started().delivered()
    assert [each.opens for each in page.pending] == [False]
    page = page.apply(trigger("met", id_="end", metric="response", instance=1), PAGER, 9, busy=False)
    assert shown(page) == ["end resolve response/1"]


def test_an_alert_whose_page_has_an_older_row_after_a_crash_is_not_ended_by_an_earlier_closing() -> None:
    first, again = (replace(trigger("breached", id_=f"{at}", metric="response", instance=1), at=at) for at in (2, 7))
    page = Page("inc-1").apply(first, PAGER, 2, busy=False)
    after_crash = replace(page, pending=page.apply(again, PAGER, 7, busy=False).pending)  # the page's row is of before
    assert after_crash.open == {"response/1": 2}
    page = recovered([after_crash], PAGER, 9)[0].page
    assert page.apply(again, PAGER, 9, busy=False) == page  # read again
    assert page.apply(replace(trigger("closed"), at=5), PAGER, 9, busy=False) == page


def test_what_a_closing_or_an_alert_had_replaced_is_not_sent_after_a_crash_left_its_row() -> None:
    page = after(ROOM, "breached response/1").started()
    unsent = page.apply(trigger("breached", id_="1", metric="update", instance=1), ROOM, 1, busy=True).pending[-1]
    closed = page.apply(trigger("closed", id_="end"), ROOM, 2, busy=True)
    left = replace(closed, pending=(closed.pending[0], unsent, closed.pending[1]._replace(seq=9)))
    assert shown(recovered([left], ROOM, 9)[0].page) == ["0 trigger response/1", "end resolve"]

    page = after(PAGER, "breached").started()
    ended = page.apply(trigger("met", id_="end", metric="response", instance=1), PAGER, 2, busy=True)
    again = ended.apply(trigger("breached", id_="2", metric="response", instance=1), PAGER, 3, busy=True)
    left = replace(again, pending=(*ended.pending, again.pending[-1]))
    assert (
        shown(recovered([left], PAGER, 9)[0].page) == shown(again) == ["0 trigger response/1", "2 trigger response/1"]
    )


def test_an_end_that_was_being_sent_in_a_crash_and_an_alert_behind_it_leave_no_page_open() -> None:
    """Alerts are read again from further back then: the alert is followed by the end once more."""
    page = after(PAGER, "breached").started().delivered()
    met = trigger("met", id_="end", metric="response", instance=1)
    page = page.apply(met, PAGER, 1, busy=False)
    page = page.apply(trigger("breached", id_="0", metric="response", instance=1), PAGER, 2, busy=True)
    assert shown(page) == ["end resolve response/1", "0 trigger response/1"]
    page = recovered([page], PAGER, 3)[0].page
    page = page.apply(met, PAGER, 4, busy=False)
    assert shown(page) == ["end resolve response/1"]


def test_a_page_that_an_alert_before_a_crash_may_have_opened_is_ended() -> None:
    """A crash has left an alert and the newer one in its place, another one the first of the rows of an attempt."""
    first = after(PAGER, "breached").started().pending[0]
    newer = first._replace(id="1", seq=1, attempted=False, record_at=1)
    left = replace(after(PAGER, "breached"), pending=(first, newer))
    closing = replace(trigger("closed", id_="end"), at=2)
    page = recovered([left], PAGER, 9)[0].page.started().apply(closing, PAGER, 9, busy=True)
    assert shown(page) == ["0 trigger response/1", "end/response/1 resolve response/1"]
    ended = first._replace(id="end", action="resolve", key="other", seq=1, attempted=False, opens=False)
    reopened = replace(left, pending=(first, ended, newer._replace(seq=2)))
    assert [each.opens for each in recovered([reopened], PAGER, 9)[0].page.pending] == [True, False, True]


def test_the_page_of_a_parked_end_that_is_not_sent_is_ended_with_the_alert_that_was_never_sent() -> None:
    """The alert was taken for one that would open the page, which the parked end had left open."""
    end = after(PAGER, "breached").started().delivered().apply(trigger("closed", id_="e"), PAGER, 3, busy=False).head
    again = replace(trigger("breached", id_="again", metric="response", instance=1), at=5)
    closing = replace(trigger("closed", id_="end"), at=7)
    page = Page("inc-1").apply(again, PAGER, 5, busy=False)
    assert page.apply(closing, PAGER, 7, busy=False).pending == ()
    assert why_not_retried(end, page, PAGER) is not None
    page = not_retried(page, end).apply(closing, PAGER, 7, busy=False)
    assert shown(page) == ["end/response/1 resolve response/1"]


def test_a_retried_post_of_an_end_is_not_the_last_word_though_the_alert_of_the_reopening_was_never_sent() -> None:
    end = after(ROOM, "breached").started().delivered().apply(trigger("closed", id_="e"), ROOM, 3, busy=False).head
    again = replace(trigger("breached", id_="again", metric="response", instance=1), at=5)
    page = requeued(Page("inc-1").apply(again, ROOM, 5, busy=False), end, ROOM, 6)
    assert title(page.pending[-1].event, "en").endswith(", reopened since)")
    page = page.apply(replace(trigger("closed", id_="end"), at=7), ROOM, 7, busy=False)
    assert shown(page) == ["e resolve", "end resolve"]


def test_a_retried_post_of_an_end_says_that_a_digest_tells_of_the_reopening() -> None:
    end = after(ROOM, "breached").started().delivered().apply(trigger("closed", id_="e"), ROOM, 3, busy=False).head
    again = replace(trigger("breached", id_="again", metric="response", instance=1), at=5)
    page = folded(Page("inc-1").apply(again, ROOM, 5, busy=False), "digest")
    assert title(requeued(page, end, ROOM, 9).head.event, "en").endswith(", reopened since)")


def test_an_alert_of_a_reopening_takes_no_place_before_the_closing() -> None:
    """The post of the closing would be the last one, though the incident is open."""
    page = after(ROOM, "breached").started()
    page = page.apply(trigger("closed", id_="end"), ROOM, 1, busy=True)
    again = replace(trigger("breached", id_="2", metric="response", instance=1), at=5)
    page = page.apply(again, ROOM, 2, busy=True).failed(9, latest_only=True)
    assert shown(page) == ["0 trigger response/1", "end resolve", "2 trigger response/1"]


def test_a_late_closing_ends_neither_pages_nor_digests_of_a_reopened_incident() -> None:
    page = Page("inc-1").apply(replace(trigger("breached", metric="response", instance=1), at=7), PAGER, 7, busy=False)
    page = folded(page, "sla/digest/1")
    page = page.apply(replace(trigger("breached", metric="update", instance=1), at=8), PAGER, 8, busy=False)
    late, last = (replace(trigger("closed", id_=f"c{at}"), at=at) for at in (6, 9))
    assert page.apply(late, PAGER, 9, busy=False) == page
    assert page.apply(last, PAGER, 9, busy=False).over


def test_a_post_of_a_late_closing_says_that_the_incident_was_reopened_since() -> None:
    """People read the last post as the state of the incident."""
    page = Page("inc-1").apply(replace(trigger("breached", metric="response", instance=1), at=5), ROOM, 5, busy=False)
    page = page.apply(replace(trigger("breached", metric="update", instance=1), at=8), ROOM, 8, busy=False)
    page = page.started().delivered().started().delivered()
    late, last = (replace(trigger("closed", id_=f"c{at}", reason="resolved"), at=at) for at in (6, 9))
    page = page.apply(late, ROOM, 9, busy=False)
    assert list(page.open) == ["update/1"]
    assert title(page.head.event, "en").endswith(" (resolved, reopened since)")
    assert title(page.head.event, "ja").endswith(", その後再開)")
    page = page.delivered().apply(last, ROOM, 10, busy=False)
    assert title(page.head.event, "en").endswith(" (resolved)")
    assert page.delivered().over


@pytest.mark.parametrize(
    ("names", "clock", "open_after"),
    [
        (["warning", "breached"], "response/1", []),
        (["breached"], "response/2", ["response/2"]),
        (["breached"], "update/7", ["update/7"]),
        (["due", "breached"], "update/7", ["update/7"]),
        (["due"], "update/7", []),
        (["breached", "retracted"], "update/7", []),
        (["breached", "retracted", "due"], "update/7", []),
        (["warning"], "response/2", []),
    ],
    ids=[
        "the closing lists it", "paged after the reopening", "a window of the reopening",
        "with its reminder", "perhaps a window that a late resolution took back", "certainly one",
        "perhaps one, with another deadline", "perhaps a response that a new severity took back",
    ],
)  # fmt: skip
def test_a_closing_and_an_alert_of_one_transaction(names: list[str], clock: str, open_after: list[str]) -> None:
    """They carry one timestamp, which does not tell which came first."""
    metric, _, instance = clock.partition("/")
    page = Page("inc-1")
    for name in names:
        alert = replace(trigger(name, metric=metric, instance=int(instance)), at=8)
        page = page.apply(alert, PAGER, 8, busy=False)
    listed = [{**trigger("closed").data["clocks"][0], "metric": "response", "instance": 1}]
    closed = replace(trigger("closed", clocks=listed), at=8)
    assert [*page.apply(closed, PAGER, 9, busy=False).open] == open_after
    in_digest = folded(page, "sla/digest/1").apply(closed, PAGER, 9, busy=False)
    assert [*in_digest.folded] == open_after


def test_a_page_whose_end_was_not_delivered_is_updated_by_the_next_alert_of_its_clock() -> None:
    """Otherwise that alert could be folded into a digest, and the page would stay open for ever."""
    page = after(PAGER, "breached").delivered()
    page = page.apply(trigger("retracted", id_="1", metric="response", instance=1), PAGER, 1, busy=False).failed(9)
    page = page.apply(trigger("breached", id_="2", metric="response", instance=1), PAGER, 2, busy=False)
    assert [(each.id, each.action, each.opens) for each in page.pending] == [("2", "trigger", False)]


def test_rows_are_deleted_after_the_rows_that_replace_them() -> None:
    """Rows are written one by one: a crash between two must not lose an alert."""
    before = after(PAGER, "warning")
    later = before.apply(trigger("breached", id_="1", metric="response", instance=1), PAGER, 1, busy=False)
    deleted = [row.value is None for row in changes("pager", before, later)]
    assert deleted == sorted(deleted)
    assert True in deleted
    assert False in deleted


def test_the_same_notice_again_adds_nothing() -> None:
    page = after(PAGER, "breached")
    again = trigger("breached", id_="0", metric="response", instance=1)
    assert page.apply(again, PAGER, 9, busy=False) is page


@pytest.mark.parametrize("to", [PAGER, ROOM, HOOK])
@pytest.mark.parametrize("busy", [False, True])
def test_a_breach_that_was_taken_back_and_is_back_again_keeps_its_page(to: Destination, busy: bool) -> None:
    """Late evidence retracts it and later evidence brings it back with its id (R3), all while the destination waits."""
    page, log = Page("inc-1"), dict[bytes, bytes | None]()
    breach = trigger("breached", id_="b", metric="response", instance=1)
    story = [breach, trigger("retracted", id_="r", metric="response", instance=1), replace(breach, at=2)]
    for now, each in enumerate(story):
        before, page = page, page.apply(each, to, now, busy=busy and now > 0)
        log |= dict(changes(to.name, before, page))
        if busy and now == 0:
            before, page = page, page.started()
            log |= dict(changes(to.name, before, page))
    kept = StoredPages(to.name)
    for key, value in log.items():
        kept.read(key, value)
    assert list(kept.pages()) == [page]
    assert list(page.open) == ["response/1"]
    assert page.pending[-1].action == "trigger"
    actions = [each.action for each in page.pending]
    assert actions == (["trigger", "resolve", "trigger"] if to is HOOK else ["trigger", "trigger"][: 1 + busy])
    assert len({each.id for each in page.pending}) == len(actions)


def test_an_end_goes_where_the_page_is_whatever_it_says_now() -> None:
    """Severity and tenants may have changed since: routes are not asked."""
    page = after(PAGER, "breached").started().delivered()
    page = page.apply(trigger("met", severity="P4", tenant_ids=["other"]), PAGER, 9, busy=False)
    assert shown(page) == ["met-inc-1-- resolve response/1"]
    assert page.delivered().over


def test_a_closing_that_ends_many_pages_is_kept_lean() -> None:
    page = after(PAGER, "breached").started().delivered()
    (message,) = page.apply(trigger("closed"), PAGER, 9, busy=False).pending
    assert {"clocks", "tenant_ids"}.isdisjoint(message.event["data"])
    assert "clocks" in after(HOOK, "breached", "closed").pending[-1].event["data"]


def test_loaded_history_and_what_is_no_alert_ask_for_nothing() -> None:
    for name in ("warning", "due", "breached"):
        assert page_trigger(event(name, backfill=True)) == "it follows from loaded history"
    paged = after(PAGER, "breached").started().delivered()
    assert shown(paged.apply(trigger("closed", backfill=True), PAGER, 9, busy=False))  # yet it ends pages
    assert page_trigger({"type": "impact.changed"}) == "impact.changed is not an alert"


@pytest.mark.parametrize(
    ("incident", "key"), [("inc-1", "inc-1/update/3"), ("日本", "日本/update/3"), ("x" * 246, "x" * 246 + "/update/3")]
)
def test_the_dedup_key_of_earlier_releases_names_incident_metric_and_instance(incident: str, key: str) -> None:
    assert unnamed_dedup_key(incident, "update/3") == key


def test_a_long_dedup_key_of_earlier_releases_is_a_digest() -> None:
    keys = {
        unnamed_dedup_key("x" * 247, "update/3"),
        unnamed_dedup_key("x" * 247, "update/4"),
        unnamed_dedup_key("x" * 248, "update/3"),
    }
    assert {len(key) for key in keys} == {64}
    assert len(keys) == 3


@pytest.mark.parametrize("incident", ["inc-1", "日本", "日" * 78, "日" * 79, "x" * 242, "x" * 243])
def test_a_dedup_key_names_the_deployment_and_fits_whether_bytes_or_characters_are_counted(incident: str) -> None:
    keys = {dedup_key(prefix, incident, clock) for prefix in ("eu", "us") for clock in ("update/3", "update/4")}
    assert len(keys) == 4
    for key in keys:
        assert key.startswith(("eu/", "us/"))
        assert len(key.encode()) <= 255
    whole = f"eu/{incident}/update/3"
    assert (whole in keys) is (len(whole.encode()) <= 255)
    assert len(dedup_key("p" * 249, incident, "update/3").encode()) <= 255


@pytest.mark.parametrize("deployment", ["eu", "p" * 249, "東" * 100, "🚨" * 100])
def test_no_key_is_longer_than_pagerduty_allows_whatever_the_deployment_is_called(deployment: str) -> None:
    keys = {
        *(dedup_key(deployment, incident, "update/3") for incident in ("inc-1", "x" * 999, "日" * 999)),
        *(digest_key(deployment, name * 32) for name in "ab"),
    }
    assert len(keys) == 5
    assert max(len(key.encode()) for key in keys) <= 255


def test_a_page_of_an_earlier_release_is_told_of_and_resolved_by_its_own_key() -> None:
    """What `sla.notifications` has of the release before: pages and messages without keys."""
    clocks = {"response/1": 0}
    rows = {
        b"pager\x1fpage\x1finc-1": {"incident": "inc-1", "open": clocks, "language": None},
        b"pager\x1fpending\x1finc-1\x1fe0": {
            "incident": "inc-1", "id": "e0", "action": "trigger", "clock": "response/1", "event": event("warning"),
            "seq": 0, "since": 0, "due": 0, "tries": 0, "language": None,
        },
    }  # fmt: skip
    stored = StoredPages("pager")
    for key, row in rows.items():
        stored.read(key, json.dumps(row).encode())
    assert stored.unreadable == 0
    (page,) = stored.pages()
    keys = []
    for number, (name, clock) in enumerate([("breached", 1), ("breached", 2), ("met", 1), ("breached", 1)]):
        made = trigger(name, id_=f"e{number + 1}", instance=clock)
        page = page.apply(made, PAGER, number, busy=False, deployment="eu")
        keys.append(page.pending[-1].dedup_key("inc-1"))
        while page.pending:
            page = page.started().delivered()
    assert keys == ["inc-1/response/1", "eu/inc-1/response/2", "inc-1/response/1", "eu/inc-1/response/1"]
    page = page.apply(replace(trigger("closed"), at=9), PAGER, 9, busy=False, deployment="us")
    assert [each.dedup_key("inc-1") for each in page.pending] == ["eu/inc-1/response/1", "eu/inc-1/response/2"]


# -- rows ------------------------------------------------------------------------------------------------------------


def test_rows_give_the_page_back_and_end_with_it() -> None:
    log: dict[bytes, bytes | None] = {}
    page = Page("inc-1")
    for step in ("breached", "due", "met", "closed"):
        taken = page.apply(trigger(step), HOOK, 5, busy=False)
        log |= dict(changes("hook", page, taken))
        page = taken
    page, before = page.failed(77), page
    log |= dict(changes("hook", before, page))
    kept = StoredPages("hook")
    for key, value in log.items():
        kept.read(key, value)
    assert list(kept.pages()) == [page]
    while page.pending:
        before, page = page, page.delivered()
        log |= dict(changes("hook", before, page))
    assert page.over
    assert set(log.values()) == {None}


def test_a_page_that_a_route_opened_in_a_language_ends_in_it_after_a_restart_too() -> None:
    opened = Page("inc-1").apply(trigger("breached"), ROOM, 5, busy=False, language="ja")
    assert [each.language for each in opened.pending] == ["ja"]
    kept = StoredPages("room")
    for key, value in [*changes("room", None, opened), *changes("room", opened, opened.delivered())]:
        kept.read(key, value)
    (page,) = kept.pages()
    assert page == opened.delivered()
    ended = page.apply(trigger("met"), ROOM, 6, busy=False).head
    assert (ended.action, ended.language) == ("resolve", "ja")
    assert title(ended.event, "ja") in post_body(ROOM, ended)["text"]


def test_rows_of_others_and_rubbish_are_passed_over() -> None:
    kept = StoredPages("hook")
    message = after(HOOK, "breached").head
    for row in changes("old", None, after(HOOK, "breached")):
        kept.read(*row)
    parked = Parked("hook", "inc-1", message, "HTTP 404", 5)
    kept.read(*parked_row(parked))
    for key, value in [
        (None, b"{}"),
        (b"\xff", b"{}"),
        (b"hook", b"{}"),
        (prefix_of("hook") + b"what\x1fx", b"{}"),
        (prefix_of("hook") + b"page\x1fx", b"[]"),
        (prefix_of("hook") + b"page\x1fx", b"\xff"),
        (prefix_of("hook") + b"pending\x1fx\x1fy", b'{"incident": "x"}'),
    ]:
        kept.read(key, value)
    assert list(kept.pages()) == []
    assert kept.unreadable == 7
    assert {name: len(keys) for name, keys in kept.others.items()} == {"old": 2}


def test_a_parked_message_and_the_request_to_try_it_again() -> None:
    parked = Parked("hook", "inc-1", after(HOOK, "breached").head, "HTTP 404", 5)
    row = parked_row(parked)
    assert read_parked(*row) == parked
    assert read_parked(row.key, b"{}") is None
    (asked,) = retry_rows(parked)
    assert unparked_row("hook", parked.message) == discard_row(parked) == (row.key, None)
    kept = StoredPages("hook")
    kept.read(*asked)
    assert kept.retries == {parked.message.id: ("inc-1", parked.message)}
    kept.read(*retried_row("hook", parked.message))
    assert kept.retries == {}
    found = read_key(asked.key)
    assert found is not None
    assert found.kind == "retry"


# -- patience ----------------------------------------------------------------------------------------------------------


def message(tries: int = 0, since: int = 0) -> Message:
    return Message("m1", "trigger", "response/1", {}, 0, since, since, tries)


def tries(destination: Destination, since: int = 0) -> list[int]:
    """The instants of all tries of a message that always fails."""
    found, at, count = [since], since, 0
    while (due := next_try(destination, message(count, since), at)) is not None:
        found.append(due)
        at, count = due, count + 1
    return found


def test_webhooks_are_tried_by_the_published_schedule() -> None:
    waits = [later - earlier for earlier, later in pairwise(tries(HOOK))]
    assert waits == list(RETRY_SCHEDULE)
    assert [wait // SECOND for wait in waits] == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]


@pytest.mark.parametrize("kind", ["pagerduty", "slack"])
def test_others_are_tried_ever_more_rarely_with_jitter_until_it_is_too_late(kind: str) -> None:
    destination = Destination("d", DESTINATION_KINDS[kind], REF, give_up_after=6 * HOUR)
    instants = tries(destination)
    waits = [later - earlier for earlier, later in pairwise(instants)]
    for count, wait in enumerate(waits[:-1]):
        longest = min(SECOND << count, 5 * MINUTE)
        assert longest // 2 <= wait < longest
    assert instants[-1] == 6 * HOUR
    assert instants == tries(destination)  # jitter is the same in every run
    assert instants != tries(Destination("other", DESTINATION_KINDS[kind], REF, give_up_after=6 * HOUR))


@pytest.mark.parametrize(
    ("asked", "wait"), [(None, 5 * SECOND), (SECOND, 5 * SECOND), (MINUTE, MINUTE), (10**15, HOUR)]
)
def test_retry_after_is_honoured_within_reason(asked: int | None, wait: int) -> None:
    assert next_try(HOOK, message(), 0, asked) == wait


def test_a_breaker_opens_after_five_failures_and_probes_more_rarely() -> None:
    breaker = CircuitBreaker()
    assert [breaker.failed(0) for _ in range(4)] == [0] * 4
    assert not breaker.open
    assert [breaker.failed(0) // SECOND for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert breaker.open
    breaker.succeeded()
    assert not breaker.open

"""Alerts that were published only after their incident had ended: people see them, and no page stays open (R12)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connect.notify.destination_pages import DestinationPages
from connect.notify.destinations.kind import Destination
from connect.notify.destinations.pagerduty import PAGERDUTY, event_body
from connect.notify.destinations.slack import SLACK, post_body
from connect.notify.destinations.webhook import WEBHOOK, body_of, webhook_id
from connect.notify.dry_run import DryRun
from connect.notify.message import Message
from connect.notify.page import Page
from connect.notify.page_store_rows import StateRow, StoredPages, pending_row
from connect.notify.parked_retry import requeued
from connect.notify.pending_pages import PageKey
from connect.notify.routing.rules import Match, Route, Routing
from connect.notify.triggers import PageTrigger
from connect.secret_refs import SecretRef
from streams.serde.cloudevents_headers import INCIDENT_ENDED
from streams.sla.instants import DAY
from tests.page_triggers import trigger

ENDED = "2026-01-31T15:00:00Z"
REF = SecretRef("env", "X")
PAGER = Destination("pager", PAGERDUTY, REF)
ROOM = Destination("room", SLACK, REF, buttons=("resolve",))
HOOK = Destination("hook", WEBHOOK, REF, give_up_after=4 * DAY)
KEY = PageKey(0, "inc-1")
EACH = pytest.mark.parametrize("to", [PAGER, ROOM, HOOK], ids=["pager", "room", "hook"])


def late(clock: str = "response/1", id_: str = "late", incident: str = "inc-1") -> PageTrigger:
    metric, _, instance = clock.partition("/")
    made = trigger("breached", incident, id_, metric=metric, instance=int(instance))
    return replace(made, event={**made.event, INCIDENT_ENDED: ENDED}, at=5)


def ordinary(name: str, clock: str = "response/1", id_: str | None = None) -> PageTrigger:
    metric, _, instance = clock.partition("/")
    given = {} if name in {"due", "closed"} else {"metric": metric}
    return trigger(name, id_=id_ or name, **given, **({} if name == "closed" else {"instance": int(instance)}))


def after(to: Destination, *story: PageTrigger) -> Page:
    """The page after triggers of which no message was sent."""
    page = Page("inc-1")
    for at, each in enumerate(story):
        page = page.apply(each, to, at, busy=False)
    return page


def sent(page: Page) -> list[Message]:
    """The messages that follow, all of them delivered."""
    found = []
    while page.pending:
        found.append(page.head)
        page = page.started().delivered()
    return found


def actions(page: Page) -> list[str]:
    return [f"{each.action} {each.event['type']}" for each in page.pending]


PAIR = ["trigger sla.breached", "resolve sla.page_ended"]


def test_the_page_is_opened_and_ended_at_pagerduty() -> None:
    page = after(PAGER, late())
    opened, ended = (event_body(PAGER, "key", "inc-1", each) for each in sent(page))
    assert (opened["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == ended["dedup_key"] == "sla/inc-1/response/1"
    assert "the incident had already ended" in opened["payload"]["summary"]
    assert opened["payload"]["custom_details"]["Incident ended"] == "2026-01-31 15:00 UTC"
    assert "tenant_ids" not in page.pending[1].event["data"]
    assert not page.open


def test_slack_gets_one_post_that_says_it() -> None:
    (message,) = sent(after(ROOM, late()))
    post = post_body(replace(ROOM, language="ja"), message)
    assert "インシデントは終了済み" in post["text"]
    assert "インシデントの終了日時: 2026-01-31 15:00 UTC" in post["blocks"][1]["text"]["text"]
    assert [each["type"] for each in post["blocks"]] == ["header", "section"]  # no buttons


def test_webhooks_get_the_alert_and_its_end_each_with_an_id_of_its_own() -> None:
    opened, ended = sent(after(HOOK, late()))
    bodies = [body_of(HOOK, "inc-1", each) for each in (opened, ended)]
    assert [each["type"] for each in bodies] == ["sla.breached", "sla.page_ended"]
    assert [each["data"]["action"] for each in bodies] == ["trigger", "resolve"]
    assert [each["data"]["event_id"] for each in bodies] == ["late", "late-ended"]
    assert {each["data"]["dedup_key"] for each in bodies} == {"sla/inc-1/response/1"}
    assert {each["data"]["incident_ended_at"] for each in bodies} == {ENDED}
    assert [webhook_id(each) for each in (opened, ended)] == ["late", "late-ended"]
    ordinary_body = body_of(HOOK, "inc-1", sent(after(HOOK, ordinary("breached")))[0])
    assert "incident_ended_at" not in ordinary_body["data"]


@EACH
def test_a_closing_that_is_read_after_it_leaves_it(to: Destination) -> None:
    page = after(to, ordinary("warning"), late(), ordinary("closed"))
    found = [f"{each.action} {each.event['type']}" for each in sent(page)]
    if to is HOOK:  # which receives every event
        assert found == ["trigger sla.warning", *PAIR, "resolve incident.closed"]
    else:
        assert found == (PAIR if to is PAGER else PAIR[:1])


def test_a_reminder_in_slack_still_has_its_closing() -> None:
    page = after(ROOM, ordinary("warning")).started().delivered()
    page = page.apply(late(), ROOM, 1, busy=False).apply(ordinary("closed"), ROOM, 2, busy=False)
    assert actions(page) == ["trigger sla.breached", "resolve incident.closed"]
    assert sent(page)
    assert not page.open


@pytest.mark.parametrize("to", [PAGER, ROOM], ids=["pager", "room"])
def test_one_that_is_taken_back_before_it_was_sent_is_not_sent(to: Destination) -> None:
    assert after(to, late(), ordinary("retracted")).over
    started = after(to, late()).started()
    if to is PAGER:
        assert actions(started.apply(ordinary("retracted"), to, 2, busy=True)) == [
            "trigger sla.breached", "resolve sla.breach_retracted",
        ]  # fmt: skip
        delivered = started.delivered().apply(ordinary("retracted"), to, 2, busy=False)
        assert [each.key for each in delivered.pending] == ["sla/inc-1/response/1"]
    assert actions(started.failed(7).apply(ordinary("retracted"), to, 2, busy=False)) == [
        "resolve sla.breach_retracted"
    ]


def test_its_end_does_not_take_its_place_while_the_destination_fails() -> None:
    page = after(PAGER, late()).started().failed(7, latest_only=True)
    assert actions(page) == PAIR
    assert page.head.tries == 1


@EACH
def test_one_that_is_read_again_is_not_doubled(to: Destination) -> None:
    page = after(to, late())
    assert page.apply(late(), to, 9, busy=False) == page
    if to is not ROOM:
        rest = page.started().delivered()
        assert rest.apply(late(), to, 9, busy=False) == rest


@EACH
def test_rows_keep_it_and_a_restart_does_not_open_it(to: Destination) -> None:
    pages, stored = DestinationPages(to, "sla"), StoredPages(to.name)
    rows = pages.apply(0, late(), None, 1).rows
    for row in rows:
        stored.read(row.key, row.value)
    again = DestinationPages(to, "sla")
    assert again.load(0, stored.pages(), 2).rows == []
    page = again.queue.get(PageKey(0, "inc-1"))
    assert page is not None
    assert not page.open
    assert actions(page) == (PAIR[:1] if to is ROOM else PAIR)


def test_a_retraction_that_comes_again_while_the_first_waits_has_a_row_of_its_own() -> None:
    """Both have one id (R3). A webhook gets every event, in its order, after a restart too."""
    first, back = ordinary("breached"), replace(ordinary("breached"), at=3)
    taken_back = [replace(ordinary("retracted"), at=at) for at in (2, 4)]
    pages, stored, key = DestinationPages(HOOK, "sla"), StoredPages(HOOK.name), PageKey(0, "inc-1")
    rows = []
    for now, each in enumerate((first, taken_back[0], back, *taken_back[1:], *taken_back[1:]), 1):
        rows += pages.apply(0, each, None, now).rows
    pages.start(key)
    rows += pages.delivered(key, 9)
    for row in rows:
        stored.read(row.key, row.value)
    again = DestinationPages(HOOK, "sla")
    again.load(0, stored.pages(), 10)
    for found in (pages, again):
        page = found.queue.get(key)
        assert page is not None
        assert actions(page) == ["resolve sla.breach_retracted", "trigger sla.breached", "resolve sla.breach_retracted"]


def test_what_is_read_again_after_every_crash_leaves_no_page_open() -> None:
    """A webhook is down for most of the time. Each message has a row of its own, however often its id waits."""
    rows = list[StateRow]()
    story = (replace(ordinary("warning"), at=1), replace(ordinary("closed"), at=2))
    for now, delivered in enumerate((1, 0, 1), 1):
        pages = restarted(rows)
        for each in story:
            rows += pages.apply(0, each, None, now).rows
        page = pages.queue.get(KEY)
        assert page is not None
        assert len({each.id for each in page.pending}) == len(page.pending)
        for _ in range(delivered):
            pages.start(KEY)
            rows += pages.delivered(KEY, now)
    found = restarted(rows).queue.get(KEY)
    assert found is not None
    assert not found.open
    assert sent(found)[-1].action == "resolve"


def test_an_end_that_a_release_before_has_named_by_its_record_is_known() -> None:
    closed = replace(ordinary("closed"), at=2)
    pages = DestinationPages(HOOK, "sla")
    rows = pages.apply(0, ordinary("breached"), None, 1).rows + pages.apply(0, closed, None, 2).rows
    page = pages.queue.get(KEY)
    assert page is not None
    before = page.pending[-1]._replace(id=f"{closed.id}/2")
    rows = [row for row in rows if closed.id not in str(row.key)] + [pending_row(HOOK.name, "inc-1", before)]
    again = restarted(rows)
    again.apply(0, closed, None, 3)
    found = again.queue.get(KEY)
    assert found is not None
    assert [each.id for each in found.pending] == ["breached", f"{closed.id}/2"]


def restarted(rows: list[StateRow]) -> DestinationPages:
    """The pages of a webhook after a restart."""
    stored, pages = StoredPages(HOOK.name), DestinationPages(HOOK, "sla")
    for row in rows:
        stored.read(row.key, row.value)
    rows += pages.load(0, stored.pages(), 10).rows
    return pages


@EACH
def test_a_crash_between_its_rows_loses_neither_it_nor_its_end(to: Destination) -> None:
    """Rows are written one by one, and the alert is read again afterwards."""
    rows = DestinationPages(to, "sla").apply(0, late(), None, 1).rows
    for written in range(len(rows) + 1):
        stored, again = StoredPages(to.name), DestinationPages(to, "sla")
        for row in rows[:written]:
            stored.read(row.key, row.value)
        again.load(0, stored.pages(), 2)
        again.apply(0, late(), None, 3)
        page = again.queue.get(PageKey(0, "inc-1"))
        assert page is not None
        assert actions(page) == (PAIR[:1] if to is ROOM else PAIR)


def test_an_earlier_update_gives_way_with_its_end_unless_it_may_be_open() -> None:
    page = after(PAGER, late("update/1", "one"), late("update/2", "two"))
    assert [each.clock for each in page.pending] == ["update/2", "update/2"]
    page = after(PAGER, late("update/1", "one")).started().delivered()
    page = page.apply(late("update/2", "two"), PAGER, 3, busy=False)
    assert [f"{each.action} {each.clock}" for each in page.pending] == [
        "resolve update/1", "trigger update/2", "resolve update/2",
    ]  # fmt: skip


@EACH
def test_a_parked_one_that_is_retried_has_its_end_again(to: Destination) -> None:
    parked = after(to, late()).head
    page = requeued(Page("inc-1"), parked, to, 8)
    assert actions(page) == (PAIR[:1] if to is ROOM else PAIR)


class Digests:
    """The pages of one destination, and the rows that were written."""

    def __init__(self) -> None:
        self.pages = DestinationPages(PAGER, "sla")
        self.rows: dict[bytes, bytes | None] = {}

    def write(self, rows: list[StateRow]) -> None:
        self.rows |= {row.key: row.value for row in rows}

    def fold(self, *triggers: PageTrigger) -> PageKey:
        keys = [PageKey(0, each.incident) for each in triggers]
        for each in triggers:
            self.write(self.pages.apply(0, each, None, 1).rows)
        assert self.pages.foldable(keys) == keys
        digest = self.pages.digest_of(0, keys)
        self.write(self.pages.fold(digest, keys, 2, 3).change.rows)
        return digest

    def restarted(self) -> Digests:
        again, stored = Digests(), StoredPages(PAGER.name)
        again.rows = dict(self.rows)
        for row in self.rows.items():
            stored.read(*row)
        again.write(again.pages.load(0, stored.pages(), 4).rows)
        return again

    def deliver(self, key: PageKey) -> list[str]:
        found = []
        while (page := self.pages.queue.get(key)) is not None and page.pending:
            assert page.head.key is not None, "its end would have another one"
            found.append(page.head.action)
            self.write(self.pages.start(key))
            self.write(self.pages.delivered(key, 5))
            self.pages.in_flight.discard(key)
        return found

    @property
    def left(self) -> list[bytes]:
        return [key for key, value in self.rows.items() if value is not None]


@pytest.mark.parametrize("restart", [False, True])
def test_a_digest_of_late_alerts_is_sent_and_ended(restart: bool) -> None:
    digests = Digests()
    digest = digests.fold(late(incident="a"), late(incident="b"))
    assert digests.pages.queue.get(PageKey(0, "a")) is None
    if restart:
        digests = digests.restarted()
    assert digests.deliver(digest) == ["trigger", "resolve"]
    assert digests.left == []


def test_a_digest_of_late_alerts_that_a_crash_left_in_part_is_sent_and_ended() -> None:
    digests, alerts = Digests(), [late(incident="a"), late(incident="b")]
    for each in alerts:
        digests.write(digests.pages.apply(0, each, None, 1).rows)
    keys = [PageKey(0, "a"), PageKey(0, "b")]
    digest = digests.pages.digest_of(0, keys)
    rows = digests.pages.fold(digest, keys, 2, 3).change.rows
    before = dict(digests.rows)
    for written in range(1, len(rows) + 1):
        digests.rows = dict(before)
        digests.write(rows[:written])
        again = digests.restarted()
        assert again.deliver(digest) == ["trigger", "resolve"]
        assert all(again.deliver(key) in ([], ["trigger", "resolve"], ["resolve"]) for key in keys)
        assert again.left == []


def test_a_digest_with_a_late_alert_ends_with_the_others_but_not_unseen() -> None:
    digests = Digests()
    other = trigger("breached", "b", metric="response", instance=1)
    digest = digests.fold(late(incident="a"), other)
    digests.write(digests.pages.apply(0, trigger("met", "b", metric="response", instance=1), None, 3).rows)
    assert digests.deliver(digest) == ["trigger", "resolve"]
    assert digests.left == []


def test_a_dry_run_knows_a_late_breach_by_the_closing_before_it() -> None:
    run = DryRun(Routing({"pager": PAGER}, (Route(Match(), ("pager",)),)))
    clocks = [{"metric": "response", "instance": 1, "verdict": "breached"}]
    closing = trigger("closed", clocks=clocks, closed_at=ENDED)
    assert list(run.apply(closing)) == []
    found = list(run.apply(ordinary("breached")))
    assert [each.message.action for each in found] == ["trigger", "resolve"]
    assert b"the incident had already ended" in found[0].request.body
    assert [each.message.action for each in run.apply(ordinary("breached", "response/2"))] == ["trigger"]

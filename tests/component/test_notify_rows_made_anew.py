"""What a destination knows is written again where the topic of its rows was made anew."""

from __future__ import annotations

import pytest
from notify_bench import play
from notify_desk import ALERTS, INCIDENTS, Desk, waiting_page
from structlog.testing import capture_logs

from connect.notify.page import Page
from connect.notify.page_store_rows import (
    StoredPages,
    changes,
    pending_row,
)
from connect.notify.retained_pages import RetainedPages
from streams.errors import SlaError
from tests.page_triggers import event, value_of


@pytest.mark.parametrize("anew", [True, False], ids=["made-anew", "the-same"])
def test_what_a_destination_knows_is_written_again_where_the_topic_of_rows_was_made_anew(anew: bool) -> None:
    """What waited was lost at the next reconnect, and open pages were never ended. In a topic that is the same a row
    that is gone was deleted by another notifier."""

    async def scenario() -> None:
        topic_id = b"1"

        async def ask() -> bytes:
            if topic_id is None:
                raise SlaError("no answer")
            return topic_id

        desk = Desk(retained=RetainedPages("d", ask))
        await desk.start()
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-open", "e-open")))
        await desk.until(lambda: desk.heard == ["e-open"])
        desk.bench.sender.open.clear()
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-waits", "e-waits")))
        await desk.until(lambda: desk.heard == ["e-open", "e-waits"])
        await desk.bench.delivery.suspend(0)  # as when its partitions are revoked
        before, desk.bench.store.log = desk.bench.store.log[0], {}
        desk.bench.sender.open.set()
        topic_id = None
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
        with pytest.raises(SlaError, match="no answer"):
            await desk.until(lambda: False)
        topic_id = b"2" if anew else b"1"
        with capture_logs() as logs:
            await desk.reconnect()
        assert [each["pages"] for each in logs if each["event"] == "rows_written_again"] == [2] * anew
        desk.kafka.put(INCIDENTS, value_of(event("closed", "inc-open", "c-open")), at=9)
        await desk.until(lambda: desk.kafka.committed_at.get(INCIDENTS) == 1)
        await desk.until(lambda: desk.bench.delivery.pending == 0)
        actions = [(each.id, each.action) for each in desk.bench.sender.messages[2:]]
        assert sorted(actions) == ([("c-open/response/1", "resolve"), ("e-waits", "trigger")] if anew else [])
        left = desk.bench.store.left()
        assert left == [key for key in before if b"page\x1finc-waits" in key] * anew

    play(scenario)


@pytest.mark.parametrize("owner", ["me", "another"])
def test_what_was_written_to_the_new_topic_before_it_was_noticed_hides_nothing_that_waits(owner: str) -> None:
    """Messages of an incident that has a row there were lost. What another notifier wrote meanwhile holds."""

    async def scenario() -> None:
        ids = iter([b"1", b"2"])

        async def ask() -> bytes:
            return next(ids)

        page = waiting_page("inc-1")
        messages = page.pending
        retained, stored = RetainedPages("d", ask), StoredPages("d")
        await retained.begin("me")
        retained.keep({0: [page]})
        await retained.begin("me later")
        for row in (pending_row("d", "inc-1", messages[1]), pending_row("d", "inc-2", messages[0])):
            stored.read(row.key, row.value, owner)
        rows = retained.restore(0, stored)
        found = {each.incident: each for each in stored.pages()}
        if owner == "me":
            assert found == {"inc-1": page}
            assert pending_row("d", "inc-1", messages[1]) not in rows, "it is there"
        else:
            assert (rows, sorted(found)) == ([], ["inc-1", "inc-2"])

    play(scenario)


def test_what_another_notifier_has_ended_in_the_new_topic_is_not_open_again() -> None:
    """It had the partition in between, and read what was written before the topic was noticed."""

    async def scenario() -> None:
        ids = iter([b"1", b"2"])

        async def ask() -> bytes:
            return next(ids)

        theirs, mine, unknown = (Page(f"inc-{number}", open={"response/1": 1}) for number in range(3))
        retained, stored = RetainedPages("d", ask), StoredPages("d")
        await retained.begin("me")
        retained.keep({0: [theirs, mine, unknown]})
        await retained.begin("me later")
        for page, owner in ((theirs, "another"), (mine, "me")):
            for row in changes("d", None, page):
                stored.read(row.key, row.value, "me")
            for row in changes("d", page, Page(page.incident)):
                stored.read(row.key, row.value, owner)
        retained.restore(0, stored)
        assert sorted(each.incident for each in stored.pages()) == ["inc-1", "inc-2"]

    play(scenario)


def test_a_client_that_says_nothing_of_the_topic_of_rows_does_not_hold_alerts_up_for_good() -> None:
    async def scenario() -> None:
        answers: list[bytes | None] = [b"1", *[None] * 6, b"2", *[None] * 3]

        async def ask() -> bytes:
            if (answer := answers.pop(0)) is None:
                raise SlaError("no answer")
            return answer

        retained = RetainedPages("d", ask)
        await retained.begin("me")
        retained.keep({0: [Page("inc-1", open={"response/1": 1})]})
        for _ in range(5):
            with pytest.raises(SlaError):
                await retained.begin("me")
        await retained.begin("me")
        assert retained.restore(0, StoredPages("d")) == []
        await retained.begin("me")
        assert [row.key for row in retained.restore(0, StoredPages("d"))] == [b"d\x1fpage\x1finc-1"]
        retained.loaded()
        await retained.begin("me")  # nothing to lose
        assert retained.topic_id == b"2"

    play(scenario)

"""The alert consumer over a fake Kafka: bad records, the order of two topics, backpressure, rebalances, retries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError, KafkaTimeoutError
from aiokafka.structs import TopicPartition
from notify_bench import destination, play
from notify_desk import ALERTS, INCIDENTS, ROWS, Desk, Record
from structlog.testing import capture_logs

from connect.notify import alert_consumer, delivery_queue, parked_upkeep, row_feed
from connect.notify.alert_consumer import PARKED_RETENTION
from connect.notify.commit_texts import CommitText, commit_text, read_commit_text
from connect.notify.destinations.answers import Undeliverable
from connect.notify.incident_summaries import IncidentSummaries
from connect.notify.message import Message
from connect.notify.metrics import NotifyMetrics
from connect.notify.page import Page
from connect.notify.page_store_rows import (
    Parked,
    StateRow,
    StoredPages,
    changes,
    discard_row,
    parked_row,
    pending_row,
    retry_rows,
)
from connect.notify.parked_messages import NO_DESTINATION, ParkedMessages
from connect.notify.read_positions import Committed, ReadPositions
from connect.notify.read_records import ReadRecords
from connect.notify.retained_pages import RetainedPages
from connect.notify.routing.rules import Routing
from connect.notify.row_feed import RowFeed
from connect.notify.trigger_reader import TriggerReader
from schemas import registry
from streams.errors import SlaError
from streams.runtime.processor import RetryLater
from streams.serde.codec import SINGLE_OBJECT_HEAD, Codec, confluent_head, encode
from streams.sla.instants import DAY, HOUR, SECOND
from tests.page_triggers import event, trigger, value_of

MIB = 1024 * 1024


def test_rows_are_kept_before_offsets_are_committed() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.bench.sender.open.clear()
        desk.kafka.put(ALERTS, value_of(event("breached")))
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-2", severity="P3")))  # no route leads it here
        await desk.start()
        await desk.until(lambda: desk.kafka.committed_at.get(ALERTS) == 2)
        assert desk.kafka.steps == ["rows", "commit"]
        await desk.until(lambda: desk.heard)
        assert desk.heard == ["breached-inc-1--"]
        assert desk.ready == 1

    play(scenario)


def test_a_member_that_reads_back_for_long_is_not_expelled_and_may_lose_its_partitions_meanwhile() -> None:
    """aiokafka sends no heartbeats before the callbacks return. With many rows it was expelled again and again."""

    async def scenario() -> None:
        desk = Desk()
        desk.kafka.put(ALERTS, value_of(event("breached")))
        stored, begun, over = desk.kafka.stored_pages, asyncio.Event(), asyncio.Event()

        async def slow(*given: Any) -> Any:
            begun.set()
            await over.wait()
            return await stored(*given)

        desk.kafka.stored_pages = slow  # type: ignore[method-assign]
        desk.bench.running = asyncio.create_task(desk.bench.delivery.run())
        desk.reading = asyncio.create_task(desk.consumer.run())
        for _ in range(2):
            begun.clear()
            await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
            await begun.wait()
            await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
        assert (desk.ready, desk.heard, desk.kafka.at[ALERTS]) == (0, [], 0)
        over.set()
        await desk.until(lambda: desk.heard)
        assert (desk.ready, desk.heard) == (1, ["breached-inc-1--"])
        await desk.consumer.stop_loading()

    play(scenario)


def test_rubbish_is_counted_told_with_its_place_and_passed_over() -> None:
    async def scenario() -> None:
        desk = Desk()
        with capture_logs() as logs:
            await desk.start()
            good = value_of(event("breached"))
            state = encode("state.quiet", {"until": 1})
            for value in (None, b"", b"\xff" * 9, good[:-1], good + b"x", b"\x00\x00\x00\x00\x07x", state):
                desk.kafka.put(ALERTS, value)
                desk.kafka.put(INCIDENTS, value)
            desk.kafka.put(ROWS, b"\xff", key=b"d\x1fretry\x1fx")
            desk.kafka.put(ROWS, b"\xff", key=b"\xff")
            desk.kafka.put(ROWS, None, key=None)
            desk.kafka.put(INCIDENTS, value_of(event("closed", "inc-9")))
            desk.kafka.put(ALERTS, good)
            await desk.until(lambda: desk.heard == ["breached-inc-1--"])
            await desk.until(lambda: desk.kafka.committed_at == {ALERTS: 8, INCIDENTS: 8})
            await desk.until(lambda: desk.unreadable() == 15)
        assert {log["where"] for log in logs if "where" in log} >= {"sla.alerts/0/0", "sla.incidents/0/6"}

    play(scenario)


def test_an_alert_whose_rows_could_not_be_written_is_passed_over() -> None:
    """Kafka refuses a row of more than 5 MiB: the worker would read the same alert again for ever. Nothing that the
    workers write comes near; JSON has six bytes for a control character."""

    async def scenario() -> None:
        desk = Desk()
        with capture_logs() as logs:
            await desk.start()
            desk.kafka.put(ALERTS, value_of(event("breached", component="\x01" * MIB)))
            desk.kafka.put(ALERTS, value_of(event("breached", "i" * MIB)))
            desk.kafka.put(ALERTS, value_of(event("breached", "inc-2", component="c" * MIB)))
            message = Message("m", "trigger", "response/1", event("breached", "inc-3", summary="m" * 5 * MIB), 0, 0, 0)
            row = pending_row("d", "inc-3", message)
            desk.kafka.put(ROWS, row.value, key=b"d\x1fretry\x1fm")
            await desk.until(lambda: desk.heard == ["breached-inc-2--"])
            await desk.until(lambda: desk.unreadable() == 3)
        reasons = [str(log["reason"]) for log in logs if log["event"] == "record_unreadable"]
        assert any("bytes; at most 2,097,152 are allowed" in each for each in reasons)
        assert any("incident's id has 1,048,576 characters; at most 1,024 are allowed" in each for each in reasons)
        stored = StoredPages("d")
        stored.read(row.key, row.value)
        assert (stored.unreadable, list(stored.pages())) == (1, [])

    play(scenario)


def test_a_topic_full_of_rubbish_is_counted_and_does_not_fill_the_log() -> None:
    metrics = NotifyMetrics()
    reader = TriggerReader("d", Codec(), metrics)
    with capture_logs() as logs:
        for offset in range(2_500):
            assert reader.trigger(Record("sla.alerts", 0, offset, 0, b"k", b"\xff")) is None
    assert metrics.registry.get_sample_value("sla_notify_unreadable_total", {"destination": "d"}) == 2_500
    assert [log["skipped"] for log in logs] == [*range(1, 21), 1_000, 2_000]


def test_alerts_that_kafka_deleted_before_they_were_read_are_told_and_counted() -> None:
    """The client of Kafka goes on at the first record that is left, and says nothing."""

    async def scenario() -> None:
        desk = Desk()
        for number in range(30):
            desk.kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")))
        desk.kafka.committed_at[ALERTS], desk.kafka.first[ALERTS] = 5, 20
        with capture_logs() as logs:
            await desk.start()
            await desk.until(lambda: len(desk.heard) == 10)
            await desk.until(lambda: any(log["event"] == "records_expired" for log in logs))
        told = [log for log in logs if log["event"] == "records_expired"]
        assert [(log["topic"], log["partition"], log["first"], log["next"]) for log in told] == [
            ("sla.alerts", 0, 5, 20)
        ]
        count = desk.bench.metrics.registry.get_sample_value("sla_notify_expired_total", {"destination": "d"})
        assert count == 15

    play(scenario)


class Awaited:
    """A schema registry that answers when it is told to."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def schema_for(self, schema_id: int) -> object | None:
        if not self.answered.done():
            raise RetryLater(f"schema id {schema_id} is not known yet", self.answered)
        return registry.load().latest["sla.breached"].definition if schema_id == 7 else None


def test_an_alert_whose_schema_the_registry_has_not_told_yet_is_waited_for_and_lets_partitions_move() -> None:
    async def scenario() -> None:
        schemas = Awaited()
        desk = Desk(codec=Codec(schemas))
        good = value_of(event("breached"))
        desk.kafka.put(ALERTS, confluent_head(7) + good[SINGLE_OBJECT_HEAD:])
        desk.kafka.put(ALERTS, confluent_head(8) + good[SINGLE_OBJECT_HEAD:])
        await desk.start()
        await desk.until(lambda: desk.kafka.at[ALERTS] == 2)
        await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
        assert (desk.heard, desk.kafka.committed_at, desk.unreadable()) == ([], {}, None)
        schemas.answered.set_result(None)
        await desk.until(lambda: desk.kafka.committed_at.get(ALERTS) == 2)
        await desk.until(lambda: desk.heard == ["breached-inc-1--"])
        assert desk.unreadable() == 1  # the registry has no id 8

    play(scenario)


def test_an_alert_is_told_with_the_summary_of_an_opening_that_is_read_only_then() -> None:
    class Late(IncidentSummaries):
        async def catch_up(self) -> None:
            self.add("inc-1", "Login fails")

    async def scenario() -> None:
        desk = Desk(summaries=Late())
        desk.kafka.put(ALERTS, value_of(event("breached")), key=b"inc-1")
        await desk.start()
        await desk.until(lambda: desk.heard)
        assert desk.bench.sender.messages[0].event["data"]["summary"] == "Login fails"

    play(scenario)


def test_a_closing_waits_for_the_alerts_that_were_published_before_it() -> None:
    """The alerts' partition is read more slowly: the end must not overtake the page."""

    async def scenario() -> None:
        desk = Desk()
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-1")), at=5)
        desk.kafka.put(ALERTS, value_of(event("breached", "inc-2")), at=6)
        desk.kafka.put(INCIDENTS, value_of(event("closed", "inc-1")), at=6)
        desk.kafka.visible[ALERTS] = 0
        await desk.start()
        await desk.until(lambda: INCIDENTS in desk.kafka.held)
        assert desk.kafka.committed_at == {}
        desk.kafka.visible[ALERTS] = 1
        await desk.until(lambda: desk.heard == ["breached-inc-1--"])
        await desk.until(lambda: desk.kafka.committed_at == {ALERTS: 1})
        del desk.kafka.visible[ALERTS]
        await desk.until(lambda: len(desk.heard) == 3)
        assert set(desk.heard) == {"breached-inc-1--", "breached-inc-2--", "closed-inc-1--/response/1"}
        await desk.until(lambda: INCIDENTS not in desk.kafka.held)
        await desk.until(lambda: desk.kafka.committed_at == {ALERTS: 2, INCIDENTS: 1})

    play(scenario)


@pytest.mark.parametrize("seen", ["all at once", "closing first", "alerts first"])
def test_in_a_backlog_a_closing_does_not_end_the_page_of_a_reopened_incident(seen: str) -> None:
    async def scenario() -> None:
        desk = Desk("webhook")
        desk.kafka.put(ALERTS, value_of(event("breached", id_="before")), at=5)
        desk.kafka.put(ALERTS, value_of(event("breached", id_="after", instance=2)), at=7)
        desk.kafka.put(INCIDENTS, value_of(event("closed", id_="end")), at=6)
        if seen != "all at once":
            desk.kafka.visible[ALERTS if seen == "closing first" else INCIDENTS] = seen == "closing first"
        await desk.start()
        if seen == "alerts first":
            await desk.until(lambda: len(desk.heard) == 2)
        elif seen == "closing first":
            await desk.until(lambda: INCIDENTS in desk.kafka.held)
        desk.kafka.visible.clear()
        await desk.until(lambda: len(desk.heard) == 3)
        assert desk.heard == (["before", "after", "end"] if seen == "alerts first" else ["before", "end", "after"])
        await desk.until(lambda: desk.bench.delivery.open_pages == 1)  # of the incident as it was reopened

    play(scenario)


def test_a_worker_that_is_full_takes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_queue, "MOST_PENDING", 20)
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        desk.bench.sender.open.clear()
        for number in range(200):
            desk.kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")))
        await desk.start()
        await desk.until(lambda: desk.kafka.held == desk.kafka.assignment())
        measured, of = desk.bench.metrics.registry.get_sample_value, {"destination": "d"}
        await desk.until(lambda: measured("sla_notify_behind_records", of) == 180)
        assert desk.bench.delivery.pending == 20
        assert desk.kafka.committed_at[ALERTS] == 20
        desk.bench.sender.open.set()
        await desk.until(lambda: len(desk.heard) == 200)
        assert desk.bench.sender.most_at_once == 4

    play(scenario)


def test_partitions_that_another_program_of_the_group_has_are_a_problem() -> None:
    """Its alerts would be read by nobody who delivers them, and nobody would know."""

    async def scenario() -> None:
        desk = Desk()
        await desk.start()
        assert desk.problem is None
        del desk.kafka.logs[ALERTS], desk.kafka.at[ALERTS]  # the position of a partition of others raises
        await desk.consumer.on_partitions_assigned([INCIDENTS, ROWS])
        await desk.until(lambda: desk.problem is not None)
        assert desk.problem is not None
        assert "(sla.alerts 0): their alerts are not delivered" in desk.problem
        desk.kafka.put(INCIDENTS, value_of(event("closed")))
        await desk.until(lambda: INCIDENTS in desk.kafka.held)
        assert desk.reading is not None
        assert not desk.reading.done(), "other partitions are served"
        await desk.consumer.on_partitions_assigned([])
        await desk.until(lambda: desk.problem is None)  # another notifier has them all

    play(scenario)


@pytest.mark.parametrize("topic", [ALERTS, INCIDENTS, ROWS], ids=lambda each: each.topic)
def test_a_topic_that_was_deleted_ends_the_connection_until_it_is_there_again(topic: TopicPartition) -> None:
    """The member had joined its group without the topic, and looked for it after five minutes only. Its page of health
    said that another program had the partitions."""

    async def scenario() -> None:
        desk = Desk()
        await desk.start()
        desk.kafka.unknown = topic.topic
        await desk.consumer.on_partitions_assigned([each for each in (ALERTS, INCIDENTS, ROWS) if each != topic])
        with pytest.raises(SlaError, match=f"there is no topic {topic.topic}; `sla topics apply`"):
            await desk.until(lambda: desk.ready > 1)
        assert (desk.ready, desk.problem) == (1, None)

    play(scenario)


def test_partitions_that_come_while_a_member_leaves_its_group_are_not_loaded() -> None:
    """Such loads outlived their connections, and each kept those of all destinations of the process waiting until it
    had given up: a hundred that reconnected at once stood still for many minutes."""

    async def scenario() -> None:
        desk = Desk()
        await desk.start()
        await desk.consumer.stop_loading()
        others = asyncio.all_tasks()
        await desk.consumer.on_partitions_assigned([ALERTS, INCIDENTS, ROWS])
        assert asyncio.all_tasks() == others
        assert desk.ready == 1

    play(scenario)


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

        messages = [
            Message(f"e{number}", "trigger", "response/1", {"id": f"e{number}", "data": {}}, number, 1, 1)
            for number in range(3)
        ]
        page = Page("inc-1", open={"response/1": 1}, pending=tuple(messages))
        retained, stored = RetainedPages("d", ask), StoredPages("d")
        await retained.begin("me")
        retained.keep({0: [page]})
        await retained.begin("me later")
        for row in (pending_row("d", "inc-1", messages[1]), pending_row("d", "inc-2", messages[0])):
            stored.read(row.key, row.value)
        stored.owners.add(owner)
        rows = retained.restore(0, stored)
        found = {each.incident: each for each in stored.pages()}
        if owner == "me":
            assert found == {"inc-1": page}
            assert pending_row("d", "inc-1", messages[1]) not in rows, "it is there"
        else:
            assert (rows, sorted(found)) == ([], ["inc-1", "inc-2"])

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


def test_a_broker_that_says_nothing_of_the_end_of_a_partition_delays_no_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """One partition without a leader ended the connections of all destinations, again and again, before they had read
    anything."""
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        kafka, asked = desk.kafka, asyncio.Event()

        async def never(_: object) -> Any:
            asked.set()
            await asyncio.Event().wait()

        known_ends = kafka.known_ends
        kafka.known_ends = never  # type: ignore[method-assign]
        kafka.put(ALERTS, value_of(event("breached")))
        await desk.start()
        await asked.wait()
        await desk.until(lambda: desk.heard == ["breached-inc-1--"])
        desk.consumer._lag.stop()

        kafka.known_ends = known_ends  # type: ignore[method-assign]
        kafka.leaderless = {ALERTS}
        kafka.put(INCIDENTS, value_of(event("closed")), at=5)
        await desk.until(lambda: INCIDENTS in kafka.held)
        assert kafka.committed_at == {ALERTS: 1}, "nobody knows whether alerts before it are left"
        kafka.leaderless = set()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 1, INCIDENTS: 1})

        async def away(_: object) -> Any:
            raise KafkaTimeoutError("no answer")

        kafka.known_ends = away  # type: ignore[method-assign]
        assert desk.reading is not None
        with pytest.raises(KafkaTimeoutError, match="no answer"):
            await desk.reading

    play(scenario)


def test_a_destination_that_is_gone_stops_its_worker() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.bench.delivery.health.disabled = "HTTP 410"
        desk.kafka.put(ALERTS, value_of(event("breached")))
        await desk.start()
        await desk.until(lambda: desk.kafka.held == desk.kafka.assignment())
        assert desk.heard == []

    play(scenario)


def test_records_of_partitions_that_moved_meanwhile_are_left_to_their_owner() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.start()
        desk.bench.sender.open.clear()
        desk.kafka.put(ALERTS, value_of(event("breached")))
        await desk.until(lambda: desk.bench.sender.at_once)
        desk.bench.sender.open.set()
        await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        assert desk.bench.delivery.open_pages == 0
        desk.kafka.put(ALERTS, value_of(event("met")))
        await asyncio.sleep(0.01)
        assert desk.heard == ["breached-inc-1--"]
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())  # they come back, with what was kept
        await desk.until(lambda: desk.heard == ["breached-inc-1--", "met-inc-1--"])
        await desk.until(lambda: desk.bench.store.left() == [])

    play(scenario)


def test_a_commit_that_comes_too_late_is_no_trouble() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.kafka.refuses = CommitFailedError()
        desk.kafka.put(ALERTS, value_of(event("breached")))
        await desk.start()
        await desk.until(lambda: desk.heard == ["breached-inc-1--"])
        desk.kafka.refuses = None
        desk.kafka.put(ALERTS, value_of(event("met")))
        await desk.until(lambda: desk.kafka.committed_at.get(ALERTS) == 2)

    play(scenario)


def test_what_can_t_be_read_back_makes_the_worker_reconnect() -> None:
    async def scenario() -> None:
        desk = Desk()

        async def away(*_: object) -> Any:
            raise OSError("no broker")

        desk.kafka.stored_pages = away  # type: ignore[method-assign]
        await desk.start()
        assert desk.reading is not None
        with pytest.raises(OSError, match="no broker"):
            await desk.reading

    play(scenario)


@pytest.mark.parametrize("release", ["present", "before"])
@pytest.mark.parametrize("running", [True, False], ids=["running", "later"])
def test_a_parked_message_is_tried_again_when_an_operator_asks(running: bool, release: str) -> None:
    """The command of a release before has ended the parked row itself."""

    async def scenario() -> None:
        desk = Desk()
        page = Page("inc-1").apply(trigger("breached", id_="e1"), desk.bench.to, 0, busy=False)
        parked = Parked("d", "inc-1", page.head, "HTTP 400", 0)
        await desk.bench.store.write(0, [parked_row(parked)])
        asked = [*retry_rows(parked), *([discard_row(parked)] if release == "before" else [])]
        if not running:
            await desk.bench.store.write(0, asked)
        await desk.start()
        if running:
            await desk.bench.store.write(0, asked)
            for row in asked:
                desk.kafka.put(ROWS, row.value, key=row.key)
        await desk.until(lambda: desk.heard == ["e1"])
        await desk.until(lambda: desk.bench.store.left() == [])
        await desk.until(lambda: desk.bench.store.parked() == [])

    play(scenario)


def test_a_message_that_fails_again_while_an_operator_asks_for_more_stays_parked() -> None:
    """The command may be held between its rows, and an answer that is final comes within milliseconds."""

    async def scenario() -> None:
        desk = Desk()
        desk.bench.sender.always = lambda _: Undeliverable("HTTP 404")
        await desk.bench.store.write(0, [parked_row(parked_at(0, "e1"))])
        await desk.start()
        for row in retry_rows(parked_at(0, "e1")):
            await desk.bench.store.write(0, [row])
            desk.kafka.put(ROWS, row.value, key=row.key)
            await desk.until(lambda: desk.heard == ["e1"])
            await desk.until(lambda: [each.reason for each in desk.bench.store.parked()] == ["HTTP 404"])
        assert len(desk.bench.store.parked()) == 1

    play(scenario)


def parked_at(at: int, id_: str, to: str = "d") -> Parked:
    page = Page("inc-1").apply(trigger("breached", id_=id_), destination("pagerduty"), 0, busy=False)
    return Parked(to, "inc-1", page.head, "HTTP 400", at)


def test_parked_messages_are_discarded_after_their_retention_also_those_of_former_destinations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        clock, store = desk.bench.clock, desk.bench.store
        clock.at = now = PARKED_RETENTION + 100
        kept = HOUR + 100
        await store.write(0, [parked_row(parked_at(at, f"e{at}")) for at in (99, kept)])
        await store.write(0, [parked_row(parked_at(99, "f", "former"))])

        async def found_at(instant: int | None) -> None:
            await desk.until(lambda: desk.consumer._parked.too_old_since == instant)

        with capture_logs() as logs:
            await desk.start()
            await found_at(now)
            clock.at = 50  # it was ahead, and is set right before an hour is over
            await found_at(None)
            clock.at = now
            await found_at(now)
            assert len(store.parked()) == 3
            clock.at = now = now + HOUR
            await desk.until(lambda: [each.message.id for each in store.parked()] == [f"e{kept}"])
            later = parked_row(parked_at(kept + 1, "later"))  # parked meanwhile, then retried
            await store.write(0, [later])
            desk.kafka.put(ROWS, later.value, key=later.key)
            desk.kafka.put(ROWS, None, key=parked_row(parked_at(kept, f"e{kept}")).key)
            await desk.until(lambda: desk.kafka.at[ROWS] == len(desk.kafka.logs[ROWS]))
            await found_at(None)
            assert {each.message.id for each in store.parked()} == {f"e{kept}", "later"}
            clock.at = now = now + 2
            await found_at(now)
            clock.at = now + HOUR
            await desk.until(lambda: [each.message.id for each in store.parked()] == [f"e{kept}"])
        told = [log["count"] for log in logs if log["event"] == "parked_messages_too_old"]
        assert told == [2, 2, 1], "once each time"
        assert [log["count"] for log in logs if log["event"] == "parked_messages_discarded"] == [2, 1]
        assert desk.bench.metrics.registry.get_sample_value("sla_notify_discarded_total", {"destination": "d"}) == 3

    play(scenario)


def test_parked_messages_are_looked_at_one_by_one_only_once_some_are_too_old() -> None:
    """They are looked at every two seconds, and a hundred destinations may have ten thousand each."""
    parked = ParkedMessages(lambda _: True, 10)
    rows = {f"d\x1fparked\x1f{number}".encode(): b'{"at":%d}' % (100 + number) for number in range(3)}
    for key, value in rows.items():
        parked.read(0, key, value)
    looked: list[int] = []

    class Watched(dict[bytes, int]):
        def values(self) -> Any:
            looked.append(len(self))
            return super().values()

    parked._parked[0, "d"] = Watched(parked._parked[0, "d"])
    assert [parked.look(now) for now in (0, 50, 110)] == [0, 0, 0]
    assert parked.discard(110, too_old=False) == {}
    assert looked == []
    assert parked.look(112) == 2
    assert [row.key for row in parked.discard(112)[0]] == list(rows)[:2]
    assert [parked.look(now) for now in (112, 112, 113)] == [0, 0, 1]
    assert looked == [3, 1, 1]


def test_beyond_a_number_the_oldest_parked_messages_are_discarded() -> None:
    parked = ParkedMessages(lambda name: name == "d", 1_000, most=3)
    for at in (5, 3, 9, 7, 1):
        row = parked_row(parked_at(at, f"e{at}"))
        parked.read(0, row.key, row.value)
    parked.read(1, b"d\x1fparked\x1fe1", b"\xff")  # can't be read: as old as can be
    parked.read(0, b"other\x1fparked\x1fe1", b"{}")
    assert len(parked) == 6
    rows = parked.discard(500)
    assert [row.key for row in rows[0]] == [b"d\x1fparked\x1fe1", b"d\x1fparked\x1fe3"]
    assert parked.discard(1_001)[1] == [StateRow(b"d\x1fparked\x1fe1", None)]
    assert len(parked) == 3


def test_a_closing_above_the_size_of_inputs_ends_its_pages() -> None:
    """An incident with thousands of update windows: every clock is listed."""

    async def scenario(kind: str) -> None:
        desk = Desk(kind)
        closed = event("closed")
        closed["data"]["clocks"] = [{**closed["data"]["clocks"][0], "instance": number} for number in range(15_000)]
        value = value_of(closed)
        assert len(value) > 256 * 1024
        desk.kafka.put(ALERTS, value_of(event("breached")), at=5)
        await desk.start()
        await desk.until(lambda: desk.heard)
        desk.kafka.put(INCIDENTS, value, at=6)
        desk.bench.clock.move(2 * SECOND)  # Slack takes one message a second
        await desk.until(lambda: desk.heard[-1].startswith("closed-inc-1"))
        assert desk.unreadable() is None
        await desk.until(lambda: desk.bench.delivery.open_pages == 0)

    for kind in ("pagerduty", "slack", "webhook"):
        play(lambda kind=kind: scenario(kind))  # type: ignore[misc]
    many = replace(trigger("closed", clocks=[{"instance": number} for number in range(1_500)]), at=1)
    page = Page("inc-1").apply(trigger("breached"), destination("webhook"), 0, busy=False)
    data = page.apply(many, destination("webhook"), 0, busy=False).pending[-1].event["data"]
    assert (len(data["clocks"]), data["clocks"][-1], data["clocks_left_out"]) == (1_000, {"instance": 1_499}, 500)


def test_what_waits_for_a_destination_that_is_no_more_is_told() -> None:
    async def scenario() -> None:
        desk = Desk()
        page = Page("inc-1").apply(trigger("breached"), desk.bench.to, 0, busy=False)
        await desk.bench.store.write(0, changes("former", None, page))
        with capture_logs() as logs:
            await desk.start()
        (shown,) = [log for log in logs if "absent" in log]
        assert (shown["absent"], shown["count"]) == ("former", 2)

    play(scenario)


def test_a_backlog_is_read_with_pauses_for_the_heartbeats_of_all_destinations() -> None:
    """Thirty destinations that each decoded hundreds of records in one go held the loop up for so long that Kafka took
    them all for dead, again and again."""

    async def scenario() -> None:
        desk = Desk(severities=frozenset({"P4"}))  # routed elsewhere, as most are
        for number in range(200):
            desk.kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        pauses, longest, before = 0, 0, 0
        read = desk.consumer._reader.trigger
        decoded = 0

        def counted(record: Any) -> Any:
            nonlocal decoded
            decoded += 1
            return read(record)

        desk.consumer._reader.trigger = counted  # type: ignore[method-assign]
        await desk.start()
        while decoded < 200:
            await asyncio.sleep(0)
            pauses, longest, before = pauses + 1, max(longest, decoded - before), decoded
        assert longest <= 40
        await desk.until(lambda: desk.kafka.committed_at.get(ALERTS) == 200)

    play(scenario)


def test_a_record_is_decoded_once_for_all_destinations() -> None:
    shared, metrics = ReadRecords(most=4_000), NotifyMetrics()
    readers = [TriggerReader(name, Codec(), metrics, shared) for name in ("a", "b")]
    record = Record("sla.alerts", 0, 7, 5, b"inc-1", value_of(event("breached")))
    first = readers[0].trigger(record)
    assert first is not None
    assert readers[1].trigger(record) is first
    assert readers[1].trigger(record._replace(offset=8)) is not first
    wrong = record._replace(offset=9, value=b"rubbish")
    for reader in readers:
        assert reader.trigger(wrong) is None
    for name in ("a", "b"):  # each destination says that it has skipped it
        assert metrics.registry.get_sample_value("sla_notify_unreadable_total", {"destination": name}) == 1
    for offset in range(6_000):
        readers[0].trigger(record._replace(offset=offset))
    assert 2_000 <= len(shared._short) <= 4_000
    assert len(shared._whole) <= 5_000
    assert shared.in_short(record._replace(offset=5_999)) is not None
    anew = record._replace(offset=5_999, timestamp=6)  # of a topic that was made anew
    assert (shared.in_short(anew), shared.whole(anew)) == (None, None)


@pytest.mark.parametrize("framed", [False, True], ids=["plain", "registry"])
def test_what_does_not_concern_a_destination_is_passed_over_undecoded(framed: bool) -> None:
    """Another destination of the process has read it: with many destinations few alerts concern each. What is routed
    here is delivered, and an end where there is a page, also one that an alert behind it has opened meanwhile."""

    class Known:
        def schema_for(self, schema_id: int) -> object | None:
            return registry.load().latest[("sla.breached", "sla.met", "incident.closed")[schema_id]].definition

    def framed_value(name: str, incident: str, **data: Any) -> bytes:
        value = value_of(event(name, incident, **data))
        number = ("breached", "met", "closed").index(name)
        return confluent_head(number) + value[SINGLE_OBJECT_HEAD:] if framed else value

    async def scenario() -> None:
        codec = Codec(Known()) if framed else Codec()
        desk = Desk("webhook", codec)
        known, routing = ReadRecords(), desk.consumer._routing
        reader = TriggerReader("d", codec, desk.bench.metrics, known)
        desk.consumer._reader = reader
        for number in range(10):
            severity = "P1" if number == 3 else "P3"
            desk.kafka.put(ALERTS, framed_value("breached", f"inc-{number}", severity=severity), at=5)
        for number in range(10):
            desk.kafka.put(ALERTS, framed_value("met", f"inc-{number}"), at=6)
        for number in (3, 4):
            desk.kafka.put(INCIDENTS, framed_value("closed", f"inc-{number}"), at=7)
        other = TriggerReader("other", codec, NotifyMetrics(), known)
        for where in (ALERTS, INCIDENTS):
            for record in desk.kafka.logs[where]:
                found = other.trigger(record)
                assert found is not None
                if found.action == "trigger":
                    routing.destinations_for(found, 0, record.offset)
        known._whole.clear()
        decoded = list[int]()
        decode = codec.decode
        codec.decode = lambda *given: decoded.append(1) or decode(*given)  # type: ignore[assignment,method-assign,func-returns-value]
        await desk.start()
        await desk.until(lambda: desk.kafka.committed_at == {ALERTS: 20, INCIDENTS: 2})
        await desk.until(lambda: desk.heard == ["breached-inc-3--", "met-inc-3--"])
        assert len(decoded) == (13 if framed else 3)  # of values with a schema's id also the ends

    play(scenario)


def test_parked_messages_of_a_destination_that_is_removed_while_it_runs_are_discarded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parked_upkeep, "_RETAINED_LONGER", 0)
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        routing = desk.consumer._routing
        alone = routing.routing
        routing.routing = Routing({**alone.destinations, "former": destination("webhook", "former")}, alone.routes)
        store = desk.bench.store
        desk.bench.clock.move(PARKED_RETENTION + 100)
        await store.write(0, [parked_row(parked_at(99, "f", "former")), parked_row(parked_at(100, "g", "former"))])
        await desk.start()
        await asyncio.sleep(0.01)
        assert len(store.parked()) == 2, "its own worker looks after them"
        routing.use(alone, {})
        await desk.until(lambda: [each.message.id for each in store.parked()] == ["g"])

    play(scenario)


def test_what_is_left_of_a_removed_destination_is_discarded_after_the_retention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pages by their latest alert, waiting messages by when they began to wait."""
    monkeypatch.setattr(parked_upkeep, "_RETAINED_LONGER", 0)
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    def rows_of(name: str, incident: str, at_s: int, *, waits: bool) -> list[StateRow]:
        alert = replace_at(trigger("breached", incident, f"e-{incident}"), at_s * 1_000)
        page = Page(incident).apply(alert, destination("webhook", name), at_s * SECOND, busy=False)
        return list(changes(name, None, page if waits else page.delivered()))

    def replace_at(given: Any, at: int) -> Any:
        return replace(given, at=at)

    async def scenario() -> None:
        desk = Desk("webhook")
        store = desk.bench.store
        desk.bench.clock.move(PARKED_RETENTION + 100 * SECOND)
        for name, rows in {
            "kept": rows_of("former", "inc-1", 101, waits=True),
            "old": rows_of("former", "inc-2", 99, waits=True) + rows_of("former", "inc-3", 99, waits=False),
            "mine": rows_of("d", "inc-4", 99, waits=False),
        }.items():
            assert rows, name
            await store.write(0, rows)
        await store.write(0, [StateRow(b"former\x1fpending\x1finc-5\x1fe", b"rubbish")])
        with capture_logs() as logs:
            await desk.start()
            await desk.until(lambda: len(store.left()) <= 3)
            await desk.until(lambda: any(log["event"] == "removed_destination_discarded" for log in logs))
        assert {(each.split(b"\x1f")[0], each.split(b"\x1f")[2]) for each in store.left()} == {
            (b"former", b"inc-1"), (b"d", b"inc-4")
        }  # fmt: skip
        told = next(log for log in logs if log["event"] == "removed_destination_discarded")
        assert (told["absent"], told["count"]) == (["former"], 4)

    play(scenario)


@pytest.mark.parametrize("running", [True, False], ids=["running", "later"])
def test_a_retry_at_a_destination_that_is_no_more_stays_parked(monkeypatch: pytest.MonkeyPatch, running: bool) -> None:
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        asked = retry_rows(parked_at(0, "f", "former"))
        await desk.bench.store.write(0, [parked_row(parked_at(0, "f", "former"))])
        if running:
            await desk.start()
        await desk.bench.store.write(0, asked)
        if running:
            for row in asked:
                desk.kafka.put(ROWS, row.value, key=row.key)
        else:
            await desk.start()
        await desk.until(lambda: [each.reason for each in desk.bench.store.parked()] == [NO_DESTINATION])
        assert not [key for key in desk.bench.store.left() if b"retry" in key]

    play(scenario)


class FeedDesk(Desk):
    """Its rows come from the feed of the process."""

    def __init__(self) -> None:
        self.feed = RowFeed("sla", lambda: None)
        self.feed._started.set()
        super().__init__(feed=self.feed)

    async def written(self, *rows: StateRow) -> None:
        """By an operator, or another process."""
        for row in rows:
            self.kafka.put(ROWS, row.value, key=row.key)
        await self.bench.store.write(0, rows)
        await self.feed.put(self.kafka.logs[ROWS][-len(rows) :])


def test_retries_and_parked_messages_come_from_one_reader_of_the_rows_of_all_destinations() -> None:
    async def scenario() -> None:
        desk = FeedDesk()
        before = parked_at(0, "before")
        await desk.written(*retry_rows(before))  # read back
        await desk.start()
        await desk.until(lambda: desk.heard == ["before"])
        await desk.until(lambda: ROWS in desk.kafka.held)
        await desk.written(*retry_rows(parked_at(0, "e1")), *retry_rows(parked_at(0, "e2", "other")))
        await desk.until(lambda: desk.heard == ["before", "e1"])
        await desk.consumer.on_partitions_revoked(desk.kafka.assignment())
        await desk.written(*retry_rows(parked_at(0, "e3")))  # while another process has the partition, or none
        assert desk.feed._fed == {}
        await desk.consumer.on_partitions_assigned(desk.kafka.assignment())
        await desk.until(lambda: desk.heard == ["before", "e1", "e3"])
        desk.consumer.close()
        assert desk.feed._fed == {}

    play(scenario)


def test_requests_wait_while_a_destination_takes_no_more_and_those_beyond_a_number_in_kafka(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_feed, "_MOST_RETAINED", 5)

    async def scenario() -> None:
        desk = FeedDesk()
        await desk.start()
        await desk.until(lambda: ROWS in desk.kafka.held)
        desk.bench.delivery.health.disabled = "HTTP 410"
        for number in range(4):
            await desk.written(retry_rows(parked_at(0, f"e{number}"))[0])
        fed = desk.feed._fed["d"]
        await desk.until(lambda: ALERTS in desk.kafka.held)
        assert (len(fed._rows), fed.overrun) == (4, False)
        for number in range(4, 20):
            await desk.written(retry_rows(parked_at(0, f"e{number}"))[0])
        assert (len(fed._rows), fed.overrun) == (0, True)
        assert desk.heard == []
        desk.bench.delivery.health.disabled = None
        desk.bench.delivery.resume()
        await desk.until(lambda: len(desk.heard) == 20)
        await desk.written(retry_rows(parked_at(0, "later"))[0])
        await desk.until(lambda: desk.heard[20:] == ["later"])
        assert set(desk.heard) == {f"e{number}" for number in range(20)} | {"later"}

    play(scenario)


def test_the_number_of_parked_messages_is_limited_for_each_destination() -> None:
    parked = ParkedMessages(lambda _: True, 1_000, most=2)
    for name in ("d", "former"):
        for at in range(3):
            row = parked_row(parked_at(at, f"e{at}", name))
            parked.read(0, row.key, row.value)
    assert [row.key for row in parked.discard(10)[0]] == [b"d\x1fparked\x1fe0", b"former\x1fparked\x1fe0"]


def test_a_closing_that_waits_for_alerts_of_a_topic_that_was_made_anew_waits_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its barrier is an offset that the new topic may never have."""
    monkeypatch.setattr(alert_consumer, "_MEASURE_S", 0.0)

    async def scenario() -> None:
        desk = Desk()
        for number in range(3):
            desk.kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        desk.kafka.put(INCIDENTS, value_of(event("closed", "inc-0")), at=6)
        desk.kafka.visible[ALERTS] = 1
        await desk.start()
        await desk.until(lambda: desk.heard == ["breached-inc-0--"] and INCIDENTS in desk.kafka.held)
        desk.kafka.logs[ALERTS] = []
        desk.kafka.at[ALERTS] = 0
        await desk.until(lambda: desk.heard[1:] == ["closed-inc-0--/response/1"])

    play(scenario)


@pytest.mark.parametrize("seen", ["from the middle", "from its beginning", "nothing"])
def test_a_topic_of_alerts_that_was_made_anew_is_read_from_its_beginning_with_the_closings_since(seen: str) -> None:
    """A process that was stopped meanwhile asks for the offset of before, which the new topic may have."""

    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"old-{number}")), at=5)
            kafka.put(INCIDENTS, value_of(event("closed", f"old-{number}")), at=6)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, INCIDENTS: 3})
        desk.positions.same_topics(0)
        kafka.logs[ALERTS] = []
        for number in range(5):
            kafka.put(ALERTS, value_of(event("breached", f"new-{number}")), at=8)
        kafka.put(INCIDENTS, value_of(event("closed", "new-0")), at=9)
        kafka.at[ALERTS] = {"from the middle": 3, "from its beginning": 0, "nothing": 9}[seen]
        end = {"from the middle": 5, "from its beginning": 5, "nothing": 3}[seen]
        await desk.until(lambda: kafka.committed_at == {ALERTS: end, INCIDENTS: 4})
        desk.positions.made_anew("sla.alerts")
        desk.positions.same_topics(0)
        await desk.until(lambda: not desk.positions.begins_anew and kafka.committed_at == {ALERTS: 5, INCIDENTS: 4})
        await desk.until(lambda: desk.bench.delivery.open_pages == 4 and desk.bench.delivery.pending == 0)
        ended = {"breached-new-0--", "closed-new-0--/response/1"}  # not sent where both are read at once
        heard = [each for each in desk.heard if "new" in each and each not in ended]
        assert set(heard) == {f"breached-new-{number}--" for number in range(1, 5)}
        if seen == "from its beginning":
            assert len(heard) == 4, "nothing is read twice"

    play(scenario)


@pytest.mark.parametrize("meanwhile", ["nothing", "reconnected", "killed"])
def test_a_partition_of_a_topic_that_was_made_anew_which_nobody_leads_holds_up_no_other(meanwhile: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        other, its_closings = (TopicPartition(each.topic, 1) for each in (ALERTS, INCIDENTS))
        for where in (other, its_closings, TopicPartition(ROWS.topic, 1)):
            kafka.logs[where], kafka.at[where] = [], 0
        kafka.ids = {"sla.alerts": b"1", "sla.incidents": b"3"}
        for where in (ALERTS, other):
            for number in range(3):
                kafka.put(where, value_of(event("breached", f"old-{where.partition}-{number}")), at=5)
        kafka.put(its_closings, value_of(event("closed", "old-1-0")), at=6)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, other: 3, its_closings: 1})
        for _ in range(2):
            desk.positions.same_topics(0)
        for where in (ALERTS, other):
            kafka.logs[where] = []
            for number in range(5):
                kafka.put(where, value_of(event("breached", f"new-{where.partition}-{number}")), at=8)
        kafka.put(its_closings, value_of(event("closed", "new-1-0")), at=9)
        kafka.leaderless = {other}
        desk.positions.made_anew("sla.alerts", b"2")
        kafka.ids["sla.alerts"] = b"2"
        await desk.until(lambda: not desk.positions._anew and kafka.committed_at[ALERTS] == 5)
        await desk.until(lambda: {f"breached-new-0-{number}--" for number in range(5)} <= set(desk.heard))
        assert {other, its_closings} <= kafka.held, "what is read of it would be of the middle"
        if meanwhile == "reconnected":
            await desk.consumer.on_partitions_revoked(kafka.assignment())
            await desk.consumer.on_partitions_assigned(kafka.assignment())
        elif meanwhile == "killed":
            assert desk.reading is not None
            desk.reading.cancel()
            before, desk = desk, Desk(store=desk.bench.store)
            for name in ("logs", "committed_at", "texts", "ids", "leaderless"):
                setattr(desk.kafka, name, getattr(kafka, name))
            kafka = desk.kafka
            kafka.at = dict.fromkeys(kafka.logs, 0)
            await desk.start()
            desk.bench.sender.heard = before.bench.sender.heard
        await desk.until(lambda: {other, its_closings} <= kafka.held)
        assert desk.positions.begins_anew
        kafka.leaderless.clear()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 5, other: 5, its_closings: 2})
        assert not desk.positions.begins_anew
        ended = {"breached-new-1-0--", "closed-new-1-0--/response/1"}
        await desk.until(lambda: {f"breached-new-1-{number}--" for number in range(1, 5)} <= set(desk.heard))
        await desk.until(lambda: desk.bench.delivery.pending == 0)
        assert ended <= set(desk.heard) or not ended & set(desk.heard)
        assert all(
            (text := read_commit_text(kafka.texts[where])) is not None and text.topic_id == b"2"
            for where in (ALERTS, other)
        )

    play(scenario)


def test_closings_of_a_topic_that_was_made_anew_are_read_from_its_beginning() -> None:
    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        kafka.put(INCIDENTS, value_of(event("closed", "inc-0")), at=6)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, INCIDENTS: 1})
        desk.positions.same_topics(0)
        kafka.logs[INCIDENTS] = []
        kafka.put(INCIDENTS, value_of(event("closed", "inc-1")), at=9)
        kafka.put(INCIDENTS, value_of(event("closed", "inc-2")), at=9)
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, INCIDENTS: 2})
        desk.positions.made_anew("sla.incidents")
        await desk.until(lambda: desk.bench.delivery.open_pages == 0)

    play(scenario)


def test_partitions_that_are_assigned_anew_while_a_topic_is_read_again_are_read_again_too() -> None:
    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3})
        desk.positions.same_topics(0)
        kafka.logs[ALERTS] = []
        for number in range(4):
            kafka.put(ALERTS, value_of(event("breached", f"new-{number}")), at=8)
        kafka.refuses = CommitFailedError()
        desk.positions.made_anew("sla.alerts")
        await desk.until(lambda: kafka.at[ALERTS] == 4)
        kafka.refuses = None
        await desk.consumer.on_partitions_revoked(kafka.assignment())
        await desk.consumer.on_partitions_assigned(kafka.assignment())
        await desk.until(lambda: not desk.positions.begins_anew and kafka.committed_at[ALERTS] == 4)
        await desk.until(lambda: {f"breached-new-{number}--" for number in range(4)} <= set(desk.heard))

    play(scenario)


def test_a_topic_of_another_cluster_is_not_read_from_its_beginning() -> None:
    """It has another id too: everything that Kafka keeps of it would be sent again, and pages that ended long ago would
    stay open."""

    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"inc-{number}")), at=5)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3})
        desk.positions.same_topics(2 * DAY)
        desk.positions.made_anew("sla.alerts")
        await desk.until(lambda: not desk.positions.begins_anew)
        kafka.put(ALERTS, value_of(event("breached", "inc-4")), at=2 * DAY // 1_000)
        await desk.until(lambda: kafka.committed_at == {ALERTS: 4})
        await desk.until(lambda: len(desk.heard) == 4)

    play(scenario)


@pytest.mark.parametrize("other", [False, True], ids=["made-anew", "another-cluster"])
def test_a_notifier_that_was_killed_soon_after_its_topic_was_made_anew_loses_none_of_its_alerts(other: bool) -> None:
    """It had read on from the middle of the new topic, and committed that. The next one began there."""

    async def scenario() -> None:
        desk = Desk()
        kafka = desk.kafka
        kafka.ids = {"sla.alerts": b"1", "sla.incidents": b"3"}
        for number in range(3):
            kafka.put(ALERTS, value_of(event("breached", f"old-{number}")), at=5)
            kafka.put(INCIDENTS, value_of(event("closed", f"old-{number}")), at=6)
        await desk.start()
        await desk.until(lambda: kafka.committed_at == {ALERTS: 3, INCIDENTS: 3})
        for _ in range(2):
            desk.positions.same_topics(0)
        desk.bench.clock.move(3 * DAY)
        kafka.logs[ALERTS] = []
        for number in range(5):
            written = 5 if other and number == 0 else 3 * DAY // 1_000
            kafka.put(ALERTS, value_of(event("breached", f"new-{number}")), at=written)
        kafka.put(INCIDENTS, value_of(event("closed", "new-0")), at=3 * DAY // 1_000)
        await desk.until(lambda: kafka.committed_at == {ALERTS: 5, INCIDENTS: 4})
        if other:
            await desk.until(lambda: desk.bench.delivery.pending == 0)  # the next one would send it
        assert desk.reading is not None
        desk.reading.cancel()

        after = Desk(store=desk.bench.store)
        for name in ("logs", "committed_at", "texts"):
            setattr(after.kafka, name, getattr(kafka, name))
        after.kafka.ids = {"sla.alerts": b"2", "sla.incidents": b"3"}
        after.bench.clock.move(4 * DAY)
        with capture_logs() as logs:
            await after.start()
            await after.until(lambda: after.kafka.at[ALERTS] == 5 and not after.positions.begins_anew)
            await after.until(lambda: after.bench.delivery.pending == 0)
        told = {log["event"]: log for log in logs}
        if other:
            assert told["topic_not_read_again"]["partitions"] == [0]
            assert after.heard == []
            return
        assert told["topic_read_again"]["offsets"] == {"sla.alerts/0": 0, "sla.incidents/0": 3}
        await after.until(lambda: after.kafka.committed_at == {ALERTS: 5, INCIDENTS: 4})
        sent = set(desk.heard) | set(after.heard)
        assert {f"breached-new-{number}--" for number in range(1, 5)} <= sent  # the other has ended meanwhile
        assert after.bench.delivery.open_pages == 4
        again = Desk(store=after.bench.store)
        for name in ("logs", "committed_at", "texts", "ids"):
            setattr(again.kafka, name, getattr(after.kafka, name))
        await again.start()
        assert not again.positions.begins_anew

    play(scenario)


def test_what_others_wrote_into_a_commit_is_ignored() -> None:
    for text in ("", "rubbish", "[]", "null", "{}", '{"topic_id": "x", "at": 1}', '{"topic_id": "01", "at": 1e999}'):
        assert read_commit_text(text) is None
        positions = ReadPositions()
        positions.resumed(Committed({ALERTS: text}, {"sla.alerts": b"1"}))
        assert not positions.begins_anew
    given = CommitText(b"\x01\xff" * 8, 7, 9)
    assert read_commit_text(commit_text(given)) == given
    assert len(commit_text(CommitText(b"\xff" * 16, 2**63, 2**63))) < 150


def test_a_topic_that_is_made_anew_soon_after_its_first_record_was_read_is_read_again() -> None:
    positions = ReadPositions()
    positions.same_topics(0)
    positions.read(ALERTS, 0, 0)
    positions.made_anew("sla.alerts")
    assert positions.places([ALERTS], "sla.alerts", "sla.incidents") == {ALERTS: 0}
    positions.read(ALERTS, 0, 0)
    assert positions.places([ALERTS], "sla.alerts", "sla.incidents") == {}

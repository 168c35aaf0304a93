"""The notifier on a real broker: kill -9 under load, a burst with a dead destination, two at once, parked messages."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from destinations import ROUTING_KEY, SIGNING_KEY, SLACK_PATH, Destinations, NotifyProcess, page_of
from kafka import KafkaProducer
from on_kafka import PARTITIONS, Run

from cli.kafka_io.topic_admin import apply_topics
from cli.local.stack import Stack
from connect.client import IncidentPublisher, Who
from connect.kafka_io.reader import read_topics
from streams.kafka.partitioner import partition_of
from streams.topics import declared
from tests.faults.network import proxied
from tests.page_triggers import event, value_of
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka
ROWS = (b"page", b"pending", b"parked")


@pytest.fixture
def destinations() -> Iterator[Destinations]:
    with Destinations() as found:
        yield found
    assert found.wrong == []


class EventWriter:
    """Publishes alerts as the incidents agent does: each in the partition of its incident."""

    def __init__(self, broker: str, prefix: str) -> None:
        self._prefix = prefix
        self._producer = KafkaProducer(bootstrap_servers=broker, linger_ms=5)

    def say(self, name: str, incident: str, id_: str | None = None, **data: object) -> None:
        topic = "incidents" if name == "closed" else "alerts"
        value = value_of(event(name, incident, id_, **data))
        where = partition_of(incident, PARTITIONS)
        self._producer.send(f"{self._prefix}.{topic}", key=incident.encode(), value=value, partition=where)

    def flush(self) -> None:
        self._producer.flush(TIMEOUT_S)

    def close(self) -> None:
        self._producer.close()


@pytest.fixture
def publisher(broker: str, topics: str) -> Iterator[EventWriter]:
    found = EventWriter(broker, topics)
    yield found
    found.close()


def rows_left(broker: str, prefix: str, kinds: Iterable[bytes]) -> list[bytes]:
    """Keys of rows that have a value."""
    found: dict[bytes | None, bytes | None] = {}
    for record in read_topics([broker], [f"{prefix}.notifications"]):
        found[record.key] = record.value
    return [key for key, value in found.items() if key and value is not None and key.split(b"\x1f")[1] in kinds]


@pytest.mark.chaos
def test_kill_9_under_load_skips_nothing_and_repeats_the_same_keys(
    broker: str, topics: str, publisher: EventWriter, destinations: Destinations, tmp_path: Path
) -> None:
    """Each page that is sent is ended by its closing; twice the notifier is killed meanwhile."""
    incidents = [f"inc-{number}" for number in range(120)]
    destinations.takes_s = 0.01
    with NotifyProcess(broker, topics, tmp_path, destinations, "pager", "hook", session_s=6) as notifier:
        for incident in incidents:
            publisher.say("breached", incident)
        publisher.flush()
        for share in (0.3, 0.6):
            least = share * len(incidents)
            wait(lambda least=least: len(set(destinations.keys("hook"))) >= least, notifier.log.read_text)
            notifier.kill()
            notifier.start()
        for incident in incidents:
            publisher.say("closed", incident)
        publisher.flush()
        wanted = {f"{name}-{incident}--" for incident in incidents for name in ("breached", "closed")}
        wait(lambda: set(destinations.keys("hook")) >= wanted, lambda: str(wanted - set(destinations.keys("hook"))))
        for kind in ("pager", "hook"):  # a page that was never sent needs no end
            wait(lambda kind=kind: notifier.measured("sla_notify_open_pages", kind) == 0, notifier.log.read_text)
        assert notifier.stop() == 0
    assert set(destinations.keys("hook")) == wanted
    bodies = {(each.key, json.dumps(each.body)) for each in destinations.heard if each.kind == "hook"}
    assert len(bodies) == len(wanted)  # a repeat says the same
    last = {page_of(each.body): each.body["event_action"] for each in destinations.heard if each.kind == "pager"}
    assert set(last.values()) == {"resolve"}
    assert rows_left(broker, topics, ROWS) == []
    log = notifier.log.read_text()
    assert not [secret for secret in (ROUTING_KEY, SIGNING_KEY, SLACK_PATH) if secret in log]


@pytest.mark.chaos
def test_thousands_of_alerts_at_once_with_a_dead_destination(
    broker: str, topics: str, publisher: EventWriter, destinations: Destinations, tmp_path: Path
) -> None:
    """What is dead costs a few tries, holds a bounded number of messages, and delays nobody."""
    destinations.answer = lambda kind: 500 if kind == "hook" else 202
    with NotifyProcess(broker, topics, tmp_path, destinations, "pager", "hook") as notifier:
        before, began = notifier.resident_mib(), time.monotonic()
        for number in range(4_000):  # ten revisions of each deadline: one page
            publisher.say("breached", f"inc-{number % 400}", f"e{number}")
        publisher.flush()
        wanted = {f"trigger inc-{number}/response/1" for number in range(400)}

        def become(metric: str, kind: str, holds: Callable[[float], bool]) -> None:
            def told() -> str:
                return f"{metric} of {kind} is {notifier.measured(metric, kind)}: {notifier.log.read_text()}"

            wait(lambda: holds(notifier.measured(metric, kind)), told)

        wait(lambda: set(destinations.keys("pager")) == wanted, notifier.log.read_text)
        become("sla_notify_behind_records", "pager", lambda count: count == 0)
        become("sla_notify_up", "pager", lambda up: up == 1)
        become("sla_notify_up", "hook", lambda up: up == 0)
        become("sla_notify_pending", "hook", lambda count: count >= 1_000)  # now it reads no more
        become("sla_notify_behind_records", "hook", lambda count: 2_000 < count <= 3_000)
        assert 1_000 <= notifier.measured("sla_notify_pending", "hook") < 1_500
        assert notifier.measured("sla_notify_up", "hook") == 0
        tries, took = destinations.tries["hook"], time.monotonic() - began
        assert tries < 5 + 8 + took + 10
        assert notifier.resident_mib() - before < 100
        assert notifier.stop() == 0


def test_parked_messages_are_listed_and_tried_again_while_it_runs(
    broker: str, topics: str, publisher: EventWriter, destinations: Destinations, run: Run, tmp_path: Path
) -> None:
    destinations.answer = lambda _: 400
    with NotifyProcess(broker, topics, tmp_path, destinations, "pager", "hook") as notifier:
        assert run("notify", "parked", "list").stdout == "nothing is parked\n"
        publisher.say("breached", "inc-1", "e1")
        publisher.flush()
        wait(lambda: notifier.measured("sla_notify_parked_total", "hook") == 1, notifier.log.read_text)
        wait(lambda: notifier.measured("sla_notify_parked_total", "pager") == 1, notifier.log.read_text)
        listed = run("notify", "parked", "list", "--json")
        found = {each["destination"]: each for each in map(json.loads, listed.stdout.splitlines())}
        assert set(found) == {"pager", "hook"}
        assert (found["hook"]["id"], found["hook"]["reason"], found["hook"]["tries"]) == ("e1", "HTTP 400", 1)
        assert "HTTP 400" in run("notify", "parked", "list", "--destination", "pager").stdout
        destinations.answer = lambda _: 202
        assert run("notify", "parked", "retry", "nobody").exit_code == 2
        retried = run("notify", "parked", "retry", "e1", "--destination", "hook", "--json")
        assert json.loads(retried.stdout) == {"queued_again": ["e1"]}
        wait(lambda: destinations.keys("hook") == ["e1"], notifier.log.read_text)
        assert run("notify", "parked", "retry", "--all").stdout == "1 queued again\n"
        wait(lambda: destinations.keys("pager") == ["trigger inc-1/response/1"], notifier.log.read_text)
        assert run("notify", "parked", "list").stdout == "nothing is parked\n"
        publisher.say("met", "inc-1")
        publisher.flush()
        wait(lambda: destinations.keys("pager")[1:] == ["resolve inc-1/response/1"], notifier.log.read_text)
        destinations.answer = lambda _: 400
        publisher.say("breached", "inc-2", "e2")
        publisher.flush()
        wait(lambda: notifier.measured("sla_notify_parked_total", "pager") == 2, notifier.log.read_text)
        wait(lambda: notifier.measured("sla_notify_parked_total", "hook") == 2, notifier.log.read_text)
        assert run("notify", "parked", "discard").exit_code == 2
        assert run("notify", "parked", "discard", "nobody").exit_code == 2
        discarded = run("notify", "parked", "discard", "e2", "--destination", "hook", "--json")
        assert json.loads(discarded.stdout) == {"discarded": ["e2"]}
        assert '"destination": "pager"' in run("notify", "parked", "list", "--json").stdout
        assert run("notify", "parked", "discard", "--all").stdout == "1 discarded\n"
        assert run("notify", "parked", "list").stdout == "nothing is parked\n"
        assert notifier.stop() == 0


@pytest.mark.chaos
def test_two_notifiers_share_the_work_and_one_takes_over(
    broker: str, topics: str, publisher: EventWriter, destinations: Destinations, tmp_path: Path
) -> None:
    first, second = (NotifyProcess(broker, topics, tmp_path, destinations, "hook", name=name) for name in ("", "-2"))
    incidents = [f"inc-{number}" for number in range(60)]
    with first, second:
        for incident in incidents:
            publisher.say("breached", incident)
        publisher.flush()
        opened = {f"breached-{incident}--" for incident in incidents}
        wait(lambda: set(destinations.keys("hook")) == opened, second.log.read_text)

        def pages() -> list[float]:
            return [each.measured("sla_notify_open_pages", "hook") for each in (first, second)]

        def shared() -> bool:
            found = pages()
            return sum(found) == len(incidents) and min(found) > 0

        wait(shared, lambda: str(pages()))
        assert first.stop() == 0
        wait(lambda: second.measured("sla_notify_open_pages", "hook") == len(incidents), second.log.read_text)
        for incident in incidents:
            publisher.say("met", incident)
        publisher.flush()
        ended = {f"met-{incident}--" for incident in incidents}
        wait(lambda: set(destinations.keys("hook")) == opened | ended, second.log.read_text)
    assert max(Counter(destinations.keys("hook")).values()) == 1  # an orderly hand-over repeats nothing


@pytest.mark.chaos
def test_a_notifier_that_stood_still_writes_nothing_when_it_goes_on(
    broker: str, topics: str, publisher: EventWriter, destinations: Destinations, tmp_path: Path
) -> None:
    """It finds alerts that had been on their way to it; its successor has long told of them, and of their end."""
    first = NotifyProcess(broker, topics, tmp_path, destinations, "hook", session_s=4)
    second = NotifyProcess(broker, topics, tmp_path, destinations, "hook", name="-2")
    incidents = [f"inc-{number}" for number in range(30)]
    with first, second:
        wait(lambda: first.log.read_text().count("partitions_assigned") > 1, first.log.read_text)
        os.kill(first.pid, signal.SIGSTOP)
        for incident in incidents:
            publisher.say("breached", incident)
        publisher.flush()
        opened = {f"breached-{incident}--" for incident in incidents}
        wait(lambda: set(destinations.keys("hook")) == opened, second.log.read_text)
        for incident in incidents:
            publisher.say("closed", incident)
        publisher.flush()
        ended = {f"closed-{incident}--" for incident in incidents}
        wait(lambda: set(destinations.keys("hook")) == opened | ended, second.log.read_text)
        os.kill(first.pid, signal.SIGCONT)
        wait(lambda: first.log.read_text().count("partitions_assigned") > 2, first.log.read_text)
        assert (first.stop(), second.stop()) == (0, 0)
    assert rows_left(broker, topics, ROWS) == []
    assert len(destinations.keys("hook")) == 60


@pytest.mark.chaos
def test_rows_of_a_notifier_that_was_cut_off_arrive_late_and_have_no_effect(
    destinations: Destinations, tmp_path: Path
) -> None:
    """The network holds its outcomes back until its successor has ended all pages."""
    incidents = [f"inc-{number}" for number in range(60)]
    destinations.takes_s = 0.2
    with proxied(tmp_path) as nodes:
        apply_topics(nodes.direct, declared("sla", PARTITIONS))
        publisher = EventWriter(nodes.direct, "sla")
        first = NotifyProcess(nodes.bootstrap, "sla", tmp_path, destinations, "pager", "hook", session_s=4)
        second = NotifyProcess(nodes.direct, "sla", tmp_path, destinations, "pager", "hook", name="-2")
        third = NotifyProcess(nodes.direct, "sla", tmp_path, destinations, "pager", "hook", name="-3")
        with first:
            wait(lambda: first.log.read_text().count("partitions_assigned") > 1, first.log.read_text)
            for incident in incidents:
                publisher.say("breached", incident)
            publisher.flush()
            wait(lambda: len(set(destinations.keys("hook"))) > 10, first.log.read_text)
            nodes.proxy.stall(1)
            for incident in incidents:
                publisher.say("closed", incident)
            publisher.flush()
            destinations.takes_s = 0.0
            with second:
                wait(lambda: second.log.read_text().count("partitions_assigned") > 1, second.log.read_text)
                for kind in ("pager", "hook"):
                    wait(lambda kind=kind: not second.measured("sla_notify_behind_records", kind), second.log.read_text)
                    wait(lambda kind=kind: not second.measured("sla_notify_open_pages", kind), second.log.read_text)
                nodes.proxy.resume()
                wait(lambda: "late_rows_repaired" in second.log.read_text(), second.log.read_text)
                wait(second.ready, second.log.read_text)
                assert second.stop() == 0
            first.kill()
        publisher.close()
        with third:
            wait(third.ready, third.log.read_text)
            for kind in ("pager", "hook"):
                wait(lambda kind=kind: not third.measured("sla_notify_open_pages", kind), third.log.read_text)
            assert third.stop() == 0
        assert rows_left(nodes.direct, "sla", ROWS) == []
    last = {page_of(each.body): each.body["event_action"] for each in destinations.heard if each.kind == "pager"}
    assert set(last.values()) <= {"resolve"}
    assert set(destinations.keys("hook")) >= {f"closed-{incident}--" for incident in incidents}


QUICK = """\
policy: quick
version: "1"
title: {en: Quick, ja: 迅速}
components:
  api: {title: {en: API, ja: API}, covered: true, guaranteed: true}
severities:
  P1: {response: {within: PT10S}, updates: {every: PT10S, remind_before: PT8S}, warn_at: [0.2], channels: [phone]}
  P2: {response: {within: PT8H}, updates: {every: PT24H}, channels: [ticket]}
  P3: {response: {within: PT8H}, updates: {every: PT24H}, channels: [ticket]}
  P4: {response: {within: PT8H}, updates: {every: PT24H}, channels: [ticket]}
rules:
  - {name: outage, when: {impact: [complete_outage]}, severity: P1}
default_severity: P2
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product with a policy of seconds, and a broker of its own."""
    folder = tmp_path_factory.mktemp("stack")
    policy = folder / "policies" / "quick" / "1.yaml"
    policy.parent.mkdir(parents=True)
    policy.write_text(QUICK, encoding="utf-8")
    settings = {"SLA_POLICIES": str(folder / "policies"), "SLA_DEFAULT_POLICY": "quick"}
    with Stack(folder / "data", environment=settings, partitions=PARTITIONS) as found:
        found.apply_topics()
        found.start_worker()
        yield found


def test_an_incident_published_with_the_client_becomes_a_page_its_reminder_and_its_end(
    stack: Stack, destinations: Destinations, tmp_path: Path
) -> None:
    """The whole product: client, worker, notifier; PagerDuty, Slack and a webhook."""

    def all_told(*names: str) -> bool:
        shown = {(each.kind, _said(each.body)) for each in list(destinations.heard)}
        return shown >= {(kind, name) for kind in ("pager", "room", "hook") for name in names}

    with NotifyProcess(stack.bootstrap, "sla", tmp_path, destinations, "pager", "room", "hook") as notifier:
        with IncidentPublisher(stack.bootstrap, "/monitors/eu") as client:
            opened = {"scope": "platform", "component": "api", "impact": "complete_outage", "channel": "monitor"}
            client.opened("inc-43", summary="Login fails", **opened).result(TIMEOUT_S)  # type: ignore[arg-type]
            wait(lambda: all_told("warning", "breached", "due"), notifier.log.read_text)
            client.responded("inc-43", who=Who("support", "kim")).result(TIMEOUT_S)
            client.resolved("inc-43").result(TIMEOUT_S)
        wait(lambda: all_told("ended"), notifier.log.read_text)
        wait(lambda: notifier.measured("sla_notify_open_pages", "pager") == 0, notifier.log.read_text)
        assert notifier.stop() == 0
    last = {page_of(each.body): each.body["event_action"] for each in destinations.heard if each.kind == "pager"}
    assert {"inc-43/response/1", "inc-43/update/1"} <= set(last)
    assert set(last.values()) == {"resolve"}
    first = next(each for each in destinations.heard if each.kind == "room")
    assert first.body["text"] == "⏳ P1 API: 初回応答の期限が近づいています"
    pages = [
        each.body for each in destinations.heard if each.kind == "pager" and each.body["event_action"] == "trigger"
    ]
    assert all(page["payload"]["summary"].endswith(" · Login fails · inc-43") for page in pages)
    assert all(page["dedup_key"].startswith("sla/inc-43/") for page in pages)
    assert all(each.body["data"]["summary"] == "Login fails" for each in destinations.heard if each.kind == "hook")


@pytest.mark.chaos
def test_kafka_may_go_away_and_come_back(stack: Stack, destinations: Destinations, tmp_path: Path) -> None:
    stack.stop_worker()
    with NotifyProcess(stack.bootstrap, "sla", tmp_path, destinations, "pager") as notifier:
        publisher = EventWriter(stack.bootstrap, "sla")
        publisher.say("breached", "inc-1")
        publisher.flush()
        wait(lambda: destinations.keys("pager") == ["trigger inc-1/response/1"], notifier.log.read_text)
        stack.broker.kill()
        publisher.close()
        stack.broker.restart()
        publisher = EventWriter(stack.bootstrap, "sla")
        publisher.say("closed", "inc-1")
        publisher.say("breached", "inc-2")
        publisher.flush()
        publisher.close()
        wanted = {"resolve inc-1/response/1", "trigger inc-2/response/1"}
        wait(lambda: wanted <= set(destinations.keys("pager")), notifier.log.read_text)
        wait(notifier.ready, notifier.log.read_text)
        stack.broker.kill()
        assert notifier.stop() == 0  # it ends in time with Kafka away


def _said(body: dict[str, object]) -> str:
    """`warning`, `breached`, `due` or `ended`, in whichever format."""
    if "routing_key" in body:
        payload = body.get("payload")
        name = payload["class"] if isinstance(payload, dict) else "ended"
    elif "text" in body:
        name = {"⏳": "sla.warning", "🔔": "sla.update_due", "🚨": "sla.breached"}.get(str(body["text"])[0], "ended")
    else:
        name = str(body["type"])
    return {"sla.warning": "warning", "sla.update_due": "due", "sla.breached": "breached"}.get(str(name), "ended")

"""The intake under load: large groups in bounded memory, refusals that are seen, senders that prove nothing."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import threading
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from intake_bench import ROOT, Bench, HeldPublisher, recorded, run, served, token, types
from structlog.testing import capture_logs
from typer.testing import CliRunner

from cli.main import app
from connect.intake import translate
from connect.intake.formats import json_body, slack
from connect.intake.kafka_records import OutgoingRecord
from connect.intake.kafka_time import KafkaTime
from connect.intake.mapping.headers import Headers
from connect.intake.mapping.rules import Source
from connect.intake.web import body_reader, parsed_memory
from connect.intake.web.body_threads import BodyThreads
from connect.intake.web.openapi_examples import STRUCTURED_EXAMPLE
from connect.intake.web.parsed_memory import LARGEST, MOST_IN_A_ROW, parsed_size
from streams.http_connections import network_of
from streams.runtime import dead_letter
from streams.sla.instants import SECOND
from streams.time_source import SystemTimeSource
from tests.waiting import TIMEOUT_S, until

KIB = 1024


def group(size: int, **labels: str) -> bytes:
    """A notification about ordinary alerts of Kubernetes, about 700 bytes each."""
    summary = "Pod is crash looping: it is in waiting state (reason: CrashLoopBackOff) on cluster prod-eu-central-1"
    alert: dict[str, Any] = {
        "status": "firing",
        "labels": {
            "alertname": "KubePodCrashLooping",
            "container": "app",
            "namespace": "team-7",
            "service": "gateway",
            "severity": "critical",
            "tenant": "acme",
            "cluster": "prod-eu-central-1",
            "prometheus": "monitoring/k8s",
            **labels,
        },
        "annotations": {"summary": summary, "runbook_url": "https://runbooks.example/kubepodcrashlooping"},
        "startsAt": "2026-04-10T07:59:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://prometheus.example/graph?g0.expr=" + "x" * 100,
    }
    alerts = [alert | {"fingerprint": f"{number:016x}"} for number in range(size)]
    return json.dumps({"version": "4", "truncatedAlerts": 0, "status": "firing", "alerts": alerts}).encode()


class CountingPublisher(HeldPublisher):
    """Remembers how many records each call had."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        self.calls.append(len(records))
        await super().publish(records)


@pytest.mark.parametrize("size", [2_000, 10_000])
def test_a_large_group_is_published_in_parts(size: int) -> None:
    async def scenario() -> None:
        publisher = CountingPublisher()
        async with served(publisher) as bench:
            body = group(size)
            assert len(body) > 700 * size
            status, answer, _ = await bench.hook("prometheus", body)
            assert (status, len(answer["published"])) == (202, 100)  # type: ignore[arg-type]
            assert len({record.key for record in publisher.acknowledged}) == len(publisher.acknowledged) == size
            assert max(publisher.calls) <= 100
            async with bench.client.get("/metrics") as metrics:
                counted = 'sla_intake_published_total{source="prometheus",type="incident.opened"} ' + f"{size}.0"
                assert counted in await metrics.text()

    run(scenario)


def test_what_fails_halfway_is_sent_again_and_counts_once() -> None:
    async def scenario() -> None:
        class Failing(CountingPublisher):
            async def publish(self, records: Sequence[OutgoingRecord]) -> None:
                self.trouble = "away" if len(self.calls) == 2 else None
                await super().publish(records)

        publisher = Failing()
        async with served(publisher) as bench:
            body = group(2_000)
            assert (await bench.hook("prometheus", body))[0] == 503
            assert len(publisher.acknowledged) == 200
            assert (await bench.hook("prometheus", body))[0] == 202
            assert len(publisher.acknowledged) == 2_200
            assert len({(record.key, record.value) for record in publisher.acknowledged}) == 2_000

    run(scenario)


def test_others_are_served_while_a_large_group_is_published() -> None:
    async def scenario() -> None:
        async with served() as bench:
            bench.publisher.open.clear()
            large = asyncio.create_task(bench.hook("prometheus", group(2_000)))
            while not bench.publisher.given:
                await asyncio.sleep(0)
            small = asyncio.create_task(bench.hook("prometheus", recorded("alertmanager-watchdog")))
            assert (await small)[0] == 202
            assert not large.done()
            bench.publisher.open.set()
            assert (await large)[0] == 202

    run(scenario)


@pytest.mark.parametrize(("size", "others"), [(1_000, (1, 20)), (20, (1,))])
def test_a_body_that_takes_long_to_translate_delays_no_smaller_one(
    monkeypatch: pytest.MonkeyPatch, size: int, others: tuple[int, ...]
) -> None:
    """It is translated in a thread: of 10,000 alerts that takes seconds, in which others got no answer."""
    release, large, outcomes = threading.Event(), group(size), translate.webhook_outcomes

    def waiting(source: Source, content: bytes, received_at: int, headers: Headers) -> translate.Outcomes:
        if content == large:
            assert release.wait(TIMEOUT_S)
        return outcomes(source, content, received_at, headers)

    monkeypatch.setattr(translate, "webhook_outcomes", waiting)

    async def scenario() -> None:
        async with served() as bench:
            slow = asyncio.create_task(bench.hook("prometheus", large))
            try:
                for number in others:
                    assert (await bench.hook("prometheus", group(number, container=f"of {number}")))[0] == 202
                assert not slow.done()
            finally:
                release.set()
            assert (await slow)[0] == 202
            assert len(bench.publisher.acknowledged) == size + sum(others)

    run(scenario)


@pytest.mark.parametrize("size", [1, 20, 300])
def test_bodies_of_every_size_are_translated_once_an_acknowledgement_has_told_the_time_of_kafka(size: int) -> None:
    """Large ones are translated in a thread, and Kafka's clock can be asked in the event loop alone."""

    class TellsTime(HeldPublisher):
        def __init__(self) -> None:
            super().__init__()
            self.machine = SystemTimeSource()
            self.time = KafkaTime(self.machine)

        async def publish(self, records: Sequence[OutgoingRecord]) -> None:
            await super().publish(records)
            self.time.appended(self.machine.now(), ("incident-events", 0), self.machine.now())

        def clock_ahead(self) -> int | None:
            return self.time.machine_ahead()

    async def scenario() -> None:
        async with served(TellsTime()) as bench:
            assert (await bench.hook("prometheus", group(1, container="first")))[0] == 202
            status, answer, _ = await bench.hook("prometheus", group(size))
            assert (status, answer.get("rejected")) == (202, None), answer
            assert types(bench) == ["incident.opened"] * (1 + size)

    run(scenario)


def test_a_long_row_of_plain_values_is_refused_because_it_is_parsed_in_one_go() -> None:
    async def scenario() -> None:
        async with served() as bench:
            few, many = ([{}, *["x"] * size, {}] for size in (MOST_IN_A_ROW - 1, MOST_IN_A_ROW + 1))
            for row, expected in ((few, 202), (many, 413)):
                payload = {**json.loads(group(1)), "x": row}
                status, answer, _ = await bench.hook("prometheus", json.dumps(payload).encode())
                assert status == expected, answer
            assert "more than 100,000 values or commas without an object between them" in str(answer["error"])

    run(scenario)


def test_large_bodies_keep_no_garbage_from_being_collected() -> None:
    """Each closed connection leaves cycles. While large bodies come all the time they are collected now and then."""

    class Cycle:
        def __init__(self) -> None:
            self.me = self

    async def scenario() -> None:
        seconds = 0.0
        threads = BodyThreads(lambda: seconds)
        with threads.holding(1_000_000):
            assert not gc.isenabled()
            garbage = weakref.ref(Cycle())
            seconds = 30.0
            await threads.run(1_000_000, str)
            assert garbage() is not None
            with threads.holding(2_000_000):
                seconds = 31.0
                await threads.run(1_000_000, str)
                assert garbage() is None
            assert not gc.isenabled()
        assert gc.isenabled()
        with threads.holding(1_000):
            assert gc.isenabled()
        threads.close()

    run(scenario)


def test_a_large_body_stops_the_garbage_collector_only_until_its_end() -> None:
    async def scenario() -> None:
        frozen = gc.get_freeze_count()
        async with served() as bench:
            assert (await bench.hook("prometheus", group(1_000)))[0] == 202
            assert (await bench.hook("prometheus", b"{" * 200_000))[0] == 422
            assert (gc.isenabled(), gc.get_freeze_count()) == (True, frozen)

    run(scenario)


def test_a_body_that_is_too_large_to_be_kept_is_kept_as_a_digest() -> None:
    """R27, R28: no record can exceed its topic's limit; the good alerts are published."""

    async def scenario() -> None:
        async with served() as bench:
            payload = json.loads(group(8_000))
            payload["alerts"][1_500]["labels"]["service"] = "printer"
            body = json.dumps(payload).encode()
            assert len(body) > dead_letter.MAX_ORIGINAL_BYTES
            status, answer, _ = await bench.hook("prometheus", body)
            assert (status, answer["rejected"][0]["item"]) == (422, "alerts[1500]")  # type: ignore[index]
            (kept,) = [each for each in bench.publisher.acknowledged if each.topic == "rejected"]
            assert len(bench.publisher.acknowledged) == 8_000
            assert kept.value == b""
            headers = dict(kept.headers)
            assert headers[dead_letter.SHA256] == hashlib.sha256(body).hexdigest().encode()
            assert int(headers[dead_letter.SIZE]) >= len(body)
            assert headers[dead_letter.MESSAGE].startswith(b"alerts[1500]: component: labels.service is 'printer'")
            assert 0 < int(headers[dead_letter.OFFSET]) < 1 << 48, "a digest of the request, as of a small one"

    run(scenario)


def test_a_refusal_is_logged_and_counted_and_does_not_flood_the_log() -> None:
    async def scenario() -> None:
        async with served(max_body=10_000) as bench:
            with capture_logs() as logs:
                for _ in range(30):
                    assert (await bench.hook("prometheus", group(20)))[0] == 413
                bench.clock.at += 60 * SECOND
                assert (await bench.hook("prometheus", group(20)))[0] == 413
            first, second = (entry for entry in logs if entry["event"] == "request_rejected")
            assert (first["source"], first["status"], first["left_out"]) == ("prometheus", 413, 0)
            assert "at most 10,000 are allowed" in first["reason"]
            assert second["left_out"] == 29
            async with bench.client.get("/metrics") as metrics:
                assert 'sla_intake_requests_total{source="prometheus",status="413"} 31.0' in await metrics.text()

    run(scenario)


def test_the_dry_run_applies_the_servers_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dry_run(body: bytes) -> tuple[int, str]:
        file = tmp_path / "body.json"
        file.write_bytes(body)
        words = ["intake", "test", str(file), "--mapping", str(ROOT / "examples" / "intake.yaml")]
        done = CliRunner().invoke(app, words)
        return done.exit_code, done.output

    assert dry_run(group(2_000))[0] == 0
    monkeypatch.setenv("SLA_INTAKE_MAX_BODY", "1048576")
    code, output = dry_run(group(2_000))
    assert (code, "refuse the request (413): the body has" in output) == (1, True)
    assert "at most 1,048,576 are allowed" in output
    monkeypatch.delenv("SLA_INTAKE_MAX_BODY")
    ticket = json.loads(recorded("zendesk-created")) | {"padding": "x" * (4 * KIB * KIB)}
    code, output = dry_run(json.dumps(ticket).encode())
    assert (code, "at most 4,194,304 are allowed" in output) == (1, True), "signed bodies are smaller"


# -- senders that prove nothing ----------------------------------------------------------------------------------------


SIGNATURES = {"X-Hub-Signature": "sha256=00", "X-Zendesk-Webhook-Signature": "AAAA"}


class Sockets:
    """Connections that begin a webhook and never end it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def begin(
        self, source: str, address: str, declared: int, sent: int, proof: Mapping[str, str] = SIGNATURES
    ) -> asyncio.StreamReader:
        server = self._bench.client.server
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0))
        headers = {
            "Host": "intake",
            "Content-Type": "application/json",
            "Content-Length": str(declared),
            **proof,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"POST /v1/hooks/{source} HTTP/1.1\r\n{head}\r\n".encode() + b" " * sent)
        await writer.drain()
        self._open.append((reader, writer))
        return reader

    def close(self) -> None:
        for _, writer in self._open:
            writer.close()


@asynccontextmanager
async def attacked(**settings: object) -> AsyncIterator[tuple[Bench, Sockets]]:
    async with served(**settings) as bench:
        sockets = Sockets(bench)
        try:
            yield bench, sockets
        finally:
            sockets.close()


async def reserved(bench: Bench, at_least: int) -> None:
    await until(lambda: bench.intake._reader.unproven.reserved >= at_least)


def test_a_declared_length_takes_no_memory() -> None:
    async def scenario() -> None:
        async with attacked() as (bench, sockets):
            for _ in range(40):
                await sockets.begin("jira", "127.0.0.1", declared=4 * KIB * KIB, sent=10)
            await reserved(bench, 400)
            assert bench.intake._reader.unproven.reserved == 400
            for name in ("jira", "zendesk"):
                assert (await bench.hook(name, recorded(f"{name}-created")))[0] == 202

    run(scenario)


def test_one_address_cannot_take_the_memory_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reader, "_EVICT_AFTER_S", 60)

    async def scenario() -> None:
        # Unproven bodies: 256 KiB, 128 of one source, 64 of one address.
        async with attacked(max_body=64 * KIB, max_in_flight=1024 * KIB) as (bench, sockets):
            await sockets.begin("jira", "127.0.0.2", declared=64 * KIB, sent=64 * KIB - 1)
            await reserved(bench, 64 * KIB - 1)
            for _ in range(10):
                refused = await sockets.begin("jira", "127.0.0.2", declared=64 * KIB, sent=2 * KIB)
                assert b" 503 " in await refused.readline()
            assert (await bench.hook("jira", recorded("jira-created")))[0] == 202

    run(scenario)


def test_one_source_cannot_take_the_memory_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reader, "_EVICT_AFTER_S", 60)

    async def scenario() -> None:
        async with attacked(max_body=64 * KIB, max_in_flight=1024 * KIB) as (bench, sockets):
            for address in ("127.0.0.2", "127.0.0.3"):
                await sockets.begin("jira", address, declared=64 * KIB, sent=64 * KIB - 1)
            await reserved(bench, 2 * (64 * KIB - 1))
            assert (await bench.hook("jira", recorded("jira-created")))[0] == 503
            assert (await bench.hook("zendesk", recorded("zendesk-created")))[0] == 202
            sockets.close()
            await until(lambda: bench.intake._reader.unproven.reserved == 0)
            assert (await bench.hook("jira", recorded("jira-created")))[0] == 202
            assert not len(bench.intake._reader._addresses)
            assert not len(bench.intake._reader._sources)

    run(scenario)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        (None, ""),
    ],
)
def test_an_address_of_ipv6_counts_by_its_network(address: str | None, network: str) -> None:
    """A sender with a /64 has more addresses than there are bytes."""
    assert network_of(address) == network


def test_a_body_that_stalls_makes_room_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends from the same address, or many addresses together: a signed webhook arrives in no time."""
    monkeypatch.setattr(body_reader, "_EVICT_AFTER_S", 0)

    async def scenario() -> None:
        async with attacked(max_body=64 * KIB, max_in_flight=1024 * KIB) as (bench, sockets):
            stalled = []
            for source, addresses in (("jira", "12"), ("zendesk", "34")):
                for number in addresses:
                    reader = await sockets.begin(source, f"127.0.0.{number}", declared=64 * KIB, sent=64 * KIB - 1)
                    stalled.append(reader)
            await reserved(bench, 4 * (64 * KIB - 1))
            for name in ("jira", "zendesk", "jira"):
                assert (await bench.hook(name, recorded(f"{name}-created")))[0] == 202
            assert b" 408 " in await stalled[0].readline()
            assert bench.intake._reader.budget.reserved == 0

    run(scenario)


async def slow_bodies(bench: Bench, sockets: Sockets) -> list[asyncio.StreamReader]:
    """Bodies of a sender with a token that fill its share of the memory."""
    readers = []
    for number in range(1, 9):
        address = f"127.0.0.{number}"
        readers.append(await sockets.begin("prometheus", address, 64 * KIB, 64 * KIB - 1, token("prometheus")))
    await until(lambda: bench.intake._reader.budget.reserved >= 8 * (64 * KIB - 1))
    return readers


def test_slow_bodies_of_one_sender_with_a_token_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reader, "_EVICT_AFTER_S", 60)

    async def scenario() -> None:
        async with attacked(max_body=64 * KIB, max_in_flight=1024 * KIB) as (bench, sockets):
            await slow_bodies(bench, sockets)
            assert (await bench.hook("prometheus", recorded("alertmanager-firing")))[0] == 503
            assert (await bench.hook("uptime-kuma", b"{}", **token("uptime-kuma")))[0] != 503
            assert (await bench.hook("jira", recorded("jira-created")))[0] == 202
            sockets.close()
            await until(lambda: bench.intake._reader.budget.reserved == 0)
            assert not len(bench.intake._reader._proven_sources)

    run(scenario)


async def complete_bodies(bench: Bench) -> list[asyncio.Task[int]]:
    """Bodies of two senders with a token that wait for Kafka, as many as they get memory for."""
    bench.publisher.open.clear()

    async def sent(name: str) -> int:
        path, body, media = f"/v1/hooks/{name}", group(1), "application/json"
        if name == "services":
            path, body, media = "/v1/events", json.dumps(STRUCTURED_EXAMPLE).encode(), "application/cloudevents+json"
        return (await bench.post(path, body.ljust(64 * KIB), Content_Type=media, **token(name)))[0]

    waiting = [asyncio.create_task(sent(name)) for name in ("prometheus", "services") * 10]
    await until(lambda: any(each.done() for each in waiting[::2]) and any(each.done() for each in waiting[1::2]))
    await until(lambda: bench.intake._reader.budget.reserved == 64 * KIB * sum(not each.done() for each in waiting))
    assert {each.result() for each in waiting if each.done()} == {503}
    return waiting


@pytest.mark.parametrize(
    ("name", "body"),
    [("pagerduty", "pagerduty-acknowledged"), ("jira", "jira-created"), ("zendesk", "zendesk-created")],
)
def test_senders_whose_bodies_wait_for_kafka_leave_every_other_one_its_minimum(name: str, body: str) -> None:
    """Whatever address all of them send from."""

    async def scenario() -> None:
        async with served(max_body=64 * KIB, max_in_flight=1024 * KIB) as bench:
            waiting = await complete_bodies(bench)
            before = len(bench.publisher.given)
            asked = asyncio.create_task(bench.hook(name, recorded(body)))
            await until(lambda: len(bench.publisher.given) > before or asked.done())
            assert not asked.done(), asked.result()
            bench.publisher.open.set()
            assert (await asked)[0] == 202
            await asyncio.gather(*waiting)
            assert bench.intake._reader.budget.reserved == 0

    run(scenario)


def test_a_proven_body_takes_the_place_of_one_that_still_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow bodies of senders with a token never keep out a signed one that is complete."""
    monkeypatch.setattr(body_reader, "_EVICT_AFTER_S", 0)
    monkeypatch.setattr(body_reader, "_MINIMUM", 0)

    async def scenario() -> None:
        async with attacked(max_body=64 * KIB, max_in_flight=1024 * KIB) as (bench, sockets):
            stalled = await slow_bodies(bench, sockets)
            for _ in range(8):
                await sockets.begin("uptime-kuma", "127.0.0.9", 64 * KIB, 64 * KIB - 1, token("uptime-kuma"))
            await until(lambda: bench.intake._reader.budget.reserved == 16 * (64 * KIB - 1))
            assert (await bench.hook("jira", recorded("jira-created")))[0] == 202
            assert b" 408 " in await stalled[0].readline()

    run(scenario)


def test_a_body_of_a_sender_with_a_token_that_stalls_makes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reader, "_EVICT_AFTER_S", 0)

    async def scenario() -> None:
        async with attacked(max_body=64 * KIB, max_in_flight=1024 * KIB) as (bench, sockets):
            stalled = await slow_bodies(bench, sockets)
            assert (await bench.hook("prometheus", recorded("alertmanager-firing")))[0] == 202
            assert b" 408 " in await stalled[0].readline()

    run(scenario)


def test_a_proven_body_makes_room_for_those_that_are_not_proven_yet() -> None:
    async def scenario() -> None:
        async with served() as bench:
            bench.publisher.open.clear()
            asked = asyncio.create_task(bench.hook("jira", recorded("jira-created")))
            while not bench.publisher.given:
                await asyncio.sleep(0)
            reader = bench.intake._reader
            assert (reader.unproven.reserved, reader.budget.reserved) == (0, len(recorded("jira-created")))
            bench.publisher.open.set()
            assert (await asked)[0] == 202
            assert reader.budget.reserved == 0

    run(scenario)


@pytest.mark.parametrize(
    "piece",
    [b"{}", b"[]", b'{"":0}', b'{"":{}}', b'"ab"', b"1.5", b"12345", b'"\xf0\x9f\x9a\xa8"', b"encoded"],
)
def test_the_memory_of_parsed_json_is_estimated_from_above(piece: bytes) -> None:
    if piece == b"encoded":
        body = b"payload=" + quote_plus(b"[" + b",".join([b"{}"] * 20_000) + b"]").encode()
        parse = slack.parse
    else:
        body, parse = b"[" + b",".join([piece] * 20_000) + b"]", json_body.parse
    tracemalloc.start()
    try:
        parsed = parse(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(parsed, list)
    assert peak < parsed_size(body) < 12 * peak


def test_a_usual_group_of_ten_thousand_alerts_is_no_memory_too_much() -> None:
    assert parsed_size(group(10_000)) < LARGEST / 2


def test_a_body_that_would_take_too_much_memory_is_refused_before_it_is_parsed() -> None:
    """16 MiB of empty objects take half a gigabyte: any sender with a token could end the intake."""

    async def scenario() -> None:
        async with served() as bench:
            body = b'{"version": "4", "alerts": [], "x": [' + b",".join([b"{}"] * 1_000_000) + b"]}"
            status, answer, _ = await bench.post("/v1/hooks/prometheus", body, **token("prometheus"))
            assert status == 413
            assert "MiB of memory as JSON; at most 192 are allowed" in str(answer["error"])
            assert not bench.publisher.given

    run(scenario)


def test_small_bodies_that_are_parsed_and_wait_for_kafka_leave_room_for_other_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parsed_memory, "_ALL_SMALL", 1024 * KIB)

    async def scenario() -> None:
        async with served() as bench:
            bench.publisher.open.clear()
            small = bench.intake._receiver._parsed_memory._small

            async def sent(name: str) -> int:
                path, body, media = f"/v1/hooks/{name}", group(1), "application/json"
                if name == "services":
                    path, body = "/v1/events", json.dumps(STRUCTURED_EXAMPLE).encode()
                    media = "application/cloudevents+json"
                return (await bench.post(path, body.ljust(50 * KIB), Content_Type=media, **token(name)))[0]

            waiting = [asyncio.create_task(sent(name)) for name in ("prometheus", "services") * 10]
            await until(lambda: small.whole.reserved > 700 * KIB and len(small) == 2)
            assert parsed_size(recorded("pagerduty-acknowledged")) <= small.minimum
            before = len(bench.publisher.given)
            other = asyncio.create_task(bench.hook("pagerduty", recorded("pagerduty-acknowledged")))
            await until(lambda: "pagerduty" in str(bench.publisher.given[before:]))
            bench.publisher.open.set()
            assert {await each for each in [*waiting, asyncio.create_task(status_of(other))]} == {202}
            assert small.whole.reserved == 0

    run(scenario)


async def status_of(asked: asyncio.Task[tuple[int, dict[str, object], dict[str, str]]]) -> int:
    return (await asked)[0]


def test_large_bodies_wait_for_memory_and_small_ones_do_not_wait_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    large = group(2_000)
    monkeypatch.setattr(parsed_memory, "LARGEST", parsed_size(large) * 3 // 2)

    async def scenario() -> None:
        async with served() as bench:
            bench.publisher.open.clear()
            waiting = [asyncio.create_task(bench.hook("prometheus", large)) for _ in range(3)]
            while not bench.publisher.given:
                await asyncio.sleep(0.01)
            before = len(bench.publisher.given)
            small = asyncio.create_task(bench.hook("pagerduty", recorded("pagerduty-acknowledged")))
            while len(bench.publisher.given) == before:
                await asyncio.sleep(0.01)
            assert len(bench.publisher.given) == before + 1
            bench.publisher.open.set()
            assert [(await each)[0] for each in [*waiting, small]] == [202] * 4

    run(scenario)


def test_a_large_body_waits_for_at_most_one_of_each_other_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a source sends, and though Kafka is slow."""
    monkeypatch.setattr(parsed_memory, "LARGEST", 10 * KIB)
    monkeypatch.setattr(parsed_memory, "_SMALL", 0)
    monkeypatch.setattr(parsed_memory, "check_parsed_size", len)

    async def scenario() -> None:
        memory, held, ends = parsed_memory.ParsedMemory(BodyThreads()), list[str](), asyncio.Semaphore(0)

        async def body(source: str, kibibytes: int) -> None:
            async with memory.hold(source, b" " * kibibytes * KIB):
                held.append(source)
                await ends.acquire()

        loud = [asyncio.create_task(body("loud", 3)) for _ in range(9)]
        await until(lambda: held == ["loud"])
        others = [asyncio.create_task(body(name, 3)) for name in ("one", "two")]
        await until(lambda: held == ["loud", "one", "two"])
        largest = asyncio.create_task(body("three", 10))
        await until(memory._large._line.locked)
        for _ in range(3):
            ends.release()
        await until(lambda: "three" in held)
        assert held.count("loud") <= 2
        for _ in range(20):
            ends.release()
        await asyncio.gather(*loud, *others, largest)

    run(scenario)

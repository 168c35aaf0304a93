"""The HTTP server that worker, intake and notifier share, over real sockets: limits, and what is no valid HTTP."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from intake_bench import ROOT, SECRETS, HandClock, HeldPublisher, recorded, run, signed, token
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from connect.intake.loaded_mapping import LoadedMapping
from connect.intake.mapping_file import load_mapping
from connect.intake.settings import IntakeSettings
from connect.intake.signatures import read_secrets
from connect.intake.web.app import Intake
from streams.http_connections import READ_AHEAD_BYTES, ConnectionLimits, HttpMetrics
from streams.service_process import HttpServer, health_app
from tests.waiting import TIMEOUT_S, until

JIRA = "/v1/hooks/jira"
STOP_S = 0.5
HALF_HEAD = b"POST /v1/hooks/jira HTTP/1.1\r\nHost: x\r\nX-"
NO_BODY = b"POST /v1/hooks/jira HTTP/1.1\r\nHost: x\r\nX-Hub-Signature: sha256=00\r\nContent-Length: 50\r\n\r\n"


class Listening:
    """An intake behind the server of its process."""

    def __init__(self, intake: Intake, clock: HandClock, server: HttpServer) -> None:
        self.intake = intake
        self._clock = clock
        self.port = int(server.address.rpartition(":")[2])
        self._server = server

    @property
    def answers(self) -> bool:
        """Whether a request has begun."""
        return any(each.complete is not None for each in self._server._connections.values())

    async def stop(self) -> None:
        await self._server.__aexit__(None, None, None)

    async def connect(self, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        return reader, writer

    async def ask(self, sent: bytes) -> tuple[int, bytes]:
        """Status and everything that follows it, until the server closes the connection."""
        reader, writer = await self.connect(sent)
        answer = await reader.read()
        writer.close()
        return int(answer.split(b" ", 2)[1]), answer

    async def signed_webhook(self) -> int:
        body = recorded("jira-created")
        self._clock.at += 1_000_000
        return (await self.ask(post(JIRA, body, Connection="close", **signed("jira", body, 0))))[0]

    def metric(self, name: str, **labels: str) -> float:
        return self.intake.metrics.registry.get_sample_value(name, labels) or 0


def post(path: str, body: bytes, *, length: int | None = None, **headers: str) -> bytes:
    named = {"Host": "x", "Content-Type": "application/json"} | headers
    if "Transfer_Encoding" not in named:
        named["Content-Length"] = str(len(body) if length is None else length)
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


@asynccontextmanager
async def listening(*, settings: IntakeSettings | None = None, **limits: float) -> AsyncIterator[Listening]:
    sources = load_mapping(ROOT / "examples" / "intake.yaml")
    mapping = LoadedMapping(sources, read_secrets(sources.values(), SECRETS))
    clock = HandClock()
    intake = Intake(mapping, settings or IntakeSettings(), HeldPublisher(), clock)
    given = ConnectionLimits(**limits)  # type: ignore[arg-type]
    server = HttpServer(
        intake.app(), "127.0.0.1", 0, measured=intake.metrics.http, limits=given, shutdown_timeout_s=STOP_S
    )
    async with server:
        yield Listening(intake, clock, server)


@pytest.mark.parametrize("half", [b"", HALF_HEAD, NO_BODY], ids=["nothing", "half a head", "no body"])
def test_half_requests_keep_no_webhook_waiting(half: bytes) -> None:
    async def scenario() -> None:
        async with listening(total=10, head_s=60) as server:
            held = [await server.connect(half) for _ in range(60)]
            for _ in range(3):
                async with asyncio.timeout(TIMEOUT_S):
                    assert await server.signed_webhook() == 202
            assert server.metric("sla_http_connections_closed_total", reason="displaced") >= 50
            assert server.metric("sla_http_connections") <= 5
            for _, writer in held:
                writer.close()

    run(scenario)


def test_a_head_that_does_not_end_closes_its_connection() -> None:
    async def scenario() -> None:
        async with listening(head_s=0.1) as server:
            reader, writer = await server.connect(HALF_HEAD)
            assert await reader.read() == b""
            assert server.metric("sla_http_connections_closed_total", reason="head_timeout") == 1
            writer.close()

    run(scenario)


def test_a_kept_connection_and_pipelined_requests_are_answered() -> None:
    async def scenario() -> None:
        async with listening(total=10) as server:
            reader, writer = await server.connect()
            for _ in range(3):
                writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"200" in await reader.readline()
                length = 0
                while (line := await reader.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length"):
                        length = int(line.split(b":")[1])
                await reader.readexactly(length)
            live = b"GET /live HTTP/1.1\r\nHost: x\r\n"
            writer.write((live + b"\r\n") * 20 + live + b"Connection: close\r\n\r\n")
            assert (await reader.read()).count(b"HTTP/1.1 200") == 20 + 1
            writer.close()

    run(scenario)


@pytest.mark.parametrize("requests", [1, 3])
@pytest.mark.parametrize("in_one_piece", [True, False])
def test_a_client_that_sends_nothing_more_gets_its_answers(requests: int, *, in_one_piece: bool) -> None:
    """`shutdown(SHUT_WR)` after the request, as `nc -N` and some HTTP clients do: Kafka acknowledges later."""

    async def scenario() -> None:
        async with listening(total=10) as server:
            publisher = server.intake._publisher
            assert isinstance(publisher, HeldPublisher)
            publisher.open.clear()
            sent = post("/v1/hooks/prometheus", recorded("alertmanager-firing"), **token("prometheus"))
            reader, writer = await server.connect(sent * requests if in_one_piece else sent[:100])
            if not in_one_piece:
                writer.write(sent[100:] + sent * (requests - 1))
            writer.write_eof()
            await until(lambda: bool(publisher.given))
            publisher.open.set()
            assert (await reader.read()).count(b"HTTP/1.1 202") == requests
            await until(lambda: not server.metric("sla_http_connections"))
            writer.close()

    run(scenario)


@pytest.mark.parametrize(
    "sent",
    [b"", HALF_HEAD, post("/v1/hooks/prometheus", b"{", length=50, **token("prometheus"))],
    ids=["nothing", "half a head", "half a body"],
)
def test_the_connection_of_a_client_that_sends_nothing_more_is_closed_where_nothing_is_answered(sent: bytes) -> None:
    async def scenario() -> None:
        async with listening(total=10) as server:
            reader, writer = await server.connect(sent)
            writer.write_eof()
            assert await reader.read() == b""
            await until(lambda: not server.metric("sla_http_connections"))
            assert server.metric("sla_http_connections_closed_total", reason="head_timeout") == 0
            writer.close()

    run(scenario)


def head(*headers: bytes, path: bytes = b"/live") -> bytes:
    return b"".join([b"GET ", path, b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", *headers, b"\r\n"])


LARGE_HEADS = {
    "65 headers": head(*(b"X-%d: 1\r\n" % number for number in range(63))),
    "a header of 5 KiB": head(b"X-Long: " + b"x" * 5_000 + b"\r\n"),
    "a path of 9 KiB": head(path=b"/live?" + b"x" * 9_000),
}


@pytest.mark.parametrize("sent", LARGE_HEADS.values(), ids=LARGE_HEADS)
def test_a_large_head_is_refused(sent: bytes) -> None:
    async def scenario() -> None:
        async with listening() as server:
            assert (await server.ask(sent))[0] == 400
            assert server.metric("sla_http_requests_malformed_total") == 1

    run(scenario)


def test_the_largest_head_is_read_and_a_larger_one_closes_its_connection() -> None:
    async def scenario() -> None:
        async with listening() as server:
            largest = head(*(b"X-%02d: %s\r\n" % (number, b"x" * 4_000) for number in range(8)))
            assert (await server.ask(largest))[0] == 200
            reader, writer = await server.connect(head(*(b"X-%02d: %s\r\n" % (n, b"x" * 4_000) for n in range(9)))[:-2])
            with suppress(ConnectionError):
                assert await reader.read() == b""
            assert server.metric("sla_http_connections_closed_total", reason="head_too_large") == 1
            writer.close()

    run(scenario)


def test_a_body_that_follows_its_answer_is_no_head() -> None:
    """A sender whose token is wrong is told so before its body has arrived; the connection is kept."""

    async def scenario() -> None:
        async with listening() as server:
            reader, writer = await server.connect(post("/v1/incidents", b"", length=200_000))
            assert b"401" in await reader.readline()
            writer.write(b" " * 200_000 + head())
            assert (await reader.read()).count(b"HTTP/1.1 200") == 1
            writer.close()

    run(scenario)


@pytest.mark.parametrize("path", [JIRA, "/nowhere"], ids=["a body that is read", "a body that nobody wants"])
@pytest.mark.parametrize(
    "beside", [b"0\r\n" + b"T: %s\r\n" % (b"x" * 4_000) * 9, b"1;" + b"x" * 36_000], ids=["trailers", "an extension"]
)
def test_what_comes_beside_the_chunks_of_a_body_is_limited(path: str, beside: bytes) -> None:
    """aiohttp keeps trailers as it keeps headers; what a connection takes is unknown to every budget."""

    async def scenario() -> None:
        async with listening() as server:
            body = b"186a0\r\n" + b" " * 100_000 + b"\r\n"
            sent = post(path, body + beside, Transfer_Encoding="chunked", X_Hub_Signature="sha256=00")
            reader, writer = await server.connect(sent)
            with suppress(ConnectionError):
                await reader.read()
            assert server.metric("sla_http_connections_closed_total", reason="head_too_large") == 1
            writer.close()

    run(scenario)


def test_a_body_that_nobody_reads_yet_is_not_read_ahead_by_much() -> None:
    """Anybody may open connections: what they send before it is asked for is counted by no budget."""
    asked: list[web.Request] = []
    answer = asyncio.Event()

    async def never_reading(request: web.Request) -> web.Response:
        asked.append(request)
        await answer.wait()
        return web.Response()

    async def scenario() -> None:
        app = web.Application()
        app.router.add_post("/", never_reading)
        server = HttpServer(app, "127.0.0.1", 0, measured=HttpMetrics(CollectorRegistry()))
        async with server:
            _, writer = await asyncio.open_connection("127.0.0.1", int(server.address.rpartition(":")[2]))
            writer.write(post("/", b" " * 1_000_000))
            await until(lambda: asked and asked[0].transport is not None and not asked[0].transport.is_reading())
            assert 0 < asked[0].content.total_bytes <= 3 * READ_AHEAD_BYTES
            answer.set()
            writer.close()

    run(scenario)


MALFORMED = [
    post("/v1/hooks/prometheus", b"zz\r\n{}", Transfer_Encoding="chunked", **token("prometheus")),
    post("/v1/hooks/prometheus", b"f" * 40 + b"\r\n{}", Transfer_Encoding="chunked", **token("prometheus")),
    b"POST /v1/hooks/jira HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/hooks/jira HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /v1/hooks/jira HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    b"\x16\x03\x01\x02\x00\r\n\r\n",
]


@pytest.mark.parametrize("sent", MALFORMED)
def test_what_is_no_http_is_400_and_no_traceback(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with listening() as server:
            with capture_logs() as logs:
                for _ in range(3):
                    assert (await server.ask(sent))[0] == 400
            assert len([each for each in logs if each["event"] == "http_request_malformed"]) <= 1
            assert not [each for each in logs if "exc_info" in each]
            assert not caplog.records
            assert await server.signed_webhook() == 202

    run(scenario)


@pytest.mark.parametrize("address", ["/v1/hooks/status?token=SECRET", "/v1/hooks/status?a=1&Token=SECRET"])
def test_a_malformed_request_is_logged_without_the_token_of_its_address(address: str) -> None:
    """Statuspage sets no header: its token is in the address."""

    async def scenario() -> None:
        async with listening() as server:
            with capture_logs() as logs:
                line = f"POST {address.replace('SECRET', 'statuspage-token-001')} HTTP/x".encode()
                assert (await server.ask(line + b"\r\nHost: x\r\n\r\n"))[0] == 400
            (entry,) = [each for each in logs if each["event"] == "http_request_malformed"]
            assert "statuspage-token-001" not in str(entry)

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"POST /v1/events HTTP/1.1\nHost: x\nAuthorization: Bearer SECRET\n\n", "Expected CRLF after version"),
        (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer SECRET\r\n\r\n", "Invalid header token"),
        (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer SECRET\0\r\n\r\n", "Invalid header value char"),
        (
            b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Token: SECRET" + b"x" * 5_000 + b"\r\n\r\n",
            "more than 4096 bytes",
        ),
    ],
    ids=["line-ends", "space", "character", "length"],
)
def test_a_malformed_request_is_logged_without_what_it_says(sent: bytes, reason: str) -> None:
    """The parser quotes the line that it stopped at, which may hold the sender's token or what people wrote."""

    async def scenario() -> None:
        async with listening() as server:
            with capture_logs() as logs:
                assert (await server.ask(sent))[0] == 400
            (entry,) = [each for each in logs if each["event"] == "http_request_malformed"]
            assert "SECRET" not in str(entry)
            assert reason in entry["reason"]

    run(scenario)


def test_a_body_that_follows_in_bad_chunks_is_408(caplog: pytest.LogCaptureFixture) -> None:
    """aiohttp does not tell the reader of a body that its framing has failed: the time for the body ends it."""

    async def scenario() -> None:
        async with listening(settings=IntakeSettings().model_copy(update={"body_timeout": 100_000})) as server:
            with capture_logs() as logs:
                reader, writer = await server.connect(
                    post("/v1/hooks/prometheus", b"1\r\n{\r\n", Transfer_Encoding="chunked", **token("prometheus"))
                )
                while not server.intake._reader.budget.reserved:
                    await asyncio.sleep(0)
                writer.write(b"zz\r\n")
                assert b"408" in await reader.readline()
                writer.close()
            assert not [each for each in logs if "exc_info" in each]
            assert not caplog.records

    run(scenario)


def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with listening() as server:
            with capture_logs() as logs:
                _, writer = await server.connect(post("/v1/hooks/prometheus", b"{", length=50, **token("prometheus")))
                while not server.intake._reader.budget.reserved:
                    await asyncio.sleep(0)
                writer.transport.abort()
                while server.metric("sla_http_connections"):
                    await asyncio.sleep(0)
                for _ in range(10):
                    await asyncio.sleep(0)
            assert not [each for each in logs if "exc_info" in each]
            assert not caplog.records

    run(scenario)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
def test_a_compressed_body_is_415_and_never_decompressed(coding: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with listening() as server:
            for body in (b"no such coding", gzip.compress(b"{}")):
                sent = post(
                    "/v1/hooks/prometheus", body, Content_Encoding=coding, Connection="close", **token("prometheus")
                )
                assert (await server.ask(sent))[0] == 415
                two = sent.replace(b"Content-Encoding", b"Content-Encoding: identity\r\nContent-Encoding", 1)
                assert (await server.ask(two))[0] in (400, 415)
            assert not caplog.records

    run(scenario)


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate, chunked", "identity, chunked", "GZIP,chunked"])
@pytest.mark.parametrize("path", ["/v1/hooks/prometheus", "/v1/hooks/nobody", "/live"])
def test_other_transfer_codings_are_501(coding: str, path: str) -> None:
    async def scenario() -> None:
        async with listening() as server:
            body = chunked(recorded("alertmanager-firing"))
            status, answer = await server.ask(post(path, body, Transfer_Encoding=coding, **token("prometheus")))
            assert status == 501
            assert b"only chunked" in answer
            plain = post(
                "/v1/hooks/prometheus", body, Transfer_Encoding="Chunked", Connection="close", **token("prometheus")
            )
            assert (await server.ask(plain))[0] == 202

    run(scenario)


@pytest.mark.parametrize("path", ["/v1/hooks/prometheus", "/v1/incidents", "/v1/heartbeats/backup"])
def test_of_two_tokens_none_counts(path: str) -> None:
    async def scenario() -> None:
        async with listening() as server:
            sent = post(path, b"{}", **token("prometheus"), authorization="Bearer another", Connection="close")
            status, answer = await server.ask(sent)
            assert status == 400
            assert b"Authorization: this header is there twice" in answer

    run(scenario)


def test_a_defect_of_a_page_is_logged_with_its_traceback() -> None:
    def failing() -> list[dict[str, object]]:
        raise KeyError("a defect")

    async def scenario() -> None:
        registry = CollectorRegistry()
        server = HttpServer(health_app(registry, failing), "127.0.0.1", 0, measured=HttpMetrics(registry))
        async with server:
            with capture_logs() as logs:
                reader, writer = await asyncio.open_connection("127.0.0.1", int(server.address.rpartition(":")[2]))
                writer.write(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"500" in await reader.readline()
                writer.close()
        (entry,) = logs
        assert entry["event"] == "http_request_failed"
        assert isinstance(entry["exc_info"], KeyError)

    run(scenario)


def test_requests_whose_bodies_are_on_their_way_are_answered_at_a_stop() -> None:
    """Also those that a kept connection begins meanwhile; then it is closed."""

    async def scenario() -> None:
        body = recorded("jira-created")
        whole = post(JIRA, body, **signed("jira", body, 0))
        async with listening() as server:
            reader, writer = await server.connect(whole[:-20])
            kept_reader, kept_writer = await server.connect()
            kept_writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
            await kept_reader.readuntil(b"}")
            stopping = asyncio.create_task(server.stop())
            await asyncio.sleep(0)  # it has begun
            with pytest.raises(OSError, match="Connect"):
                await server.connect()
            kept_writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"Connection: close" in await kept_reader.read()
            writer.write(whole[-20:])
            assert b" 202 " in await reader.readline()
            assert b"Connection: close" in await reader.read()
            await stopping

    run(scenario)


def test_a_body_that_does_not_end_keeps_a_stop_waiting_for_the_timeout_only() -> None:
    async def scenario() -> None:
        async with listening() as server:
            reader, writer = await server.connect(NO_BODY)
            while not server.answers:
                await asyncio.sleep(0)
            begun = asyncio.get_running_loop().time()
            async with asyncio.timeout(TIMEOUT_S):
                await server.stop()
            assert asyncio.get_running_loop().time() - begun >= STOP_S, "it had its time"
            assert await reader.read() == b""
            writer.close()

    run(scenario)

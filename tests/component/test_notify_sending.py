"""Tries against real local servers: every way to answer or not; private addresses; nothing secret shows."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from notify_bench import destination, play

from connect.notify.destinations import name_lookups
from connect.notify.destinations.answers import Delivered, Failed, Outcome, Undeliverable
from connect.notify.destinations.http_sender import HttpSender
from connect.notify.destinations.kind import Destination, Secrets
from connect.notify.message import Message
from connect.notify.page import Page
from streams.sla.instants import SECOND
from streams.time_source import SystemTimeSource
from tests.page_triggers import trigger
from tests.standard_modules import altered
from tests.waiting import until

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SIGNING = "whsec_" + "QUJD" * 8


def answer(status: str, body: bytes = b"", *headers: str) -> Answer:
    async def give(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return give


async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 500 Slow" * 100:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        await writer.drain()


def dripping(status: str, *headers: str) -> Answer:
    """A status at once, and a body that never ends."""

    async def give(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 100", *headers, "", ""]).encode())
        for _ in range(100):
            writer.write(b"x")
            await asyncio.sleep(0.02)

    return give


async def broken_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad\r\nContent-Length: 100\r\n\r\nno")
    await writer.drain()


async def taken_and_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n")
    await asyncio.sleep(60)


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def rubbish(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff" * 100 + b"\r\n\r\n")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says again what it was sent: path, signing key and all."""
    await answer("400 Bad Request", f"no /hook/secret-path, no {SIGNING}".encode())(reader, writer)


class Server:
    """Requests that came, by their heads."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.port = 0


@asynccontextmanager
async def serving(give: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    found = Server()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            found.heads.append(await reader.readuntil(b"\r\n\r\n"))
            await give(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    tasks: set[asyncio.Task[None]] = set()
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def tried(to: Destination, url: str, message: Message | None = None) -> Outcome:
    sender = HttpSender(to, Secrets(url, (SIGNING,)), SystemTimeSource())
    try:
        page = Page("inc-1").apply(trigger("breached"), to, 0, busy=False)
        return await sender.send("inc-1", message or page.head)
    finally:
        await sender.close()


def hook(**changed: Any) -> Destination:
    return destination("webhook", **({"allow_private": True, "timeout": 60 * SECOND} | changed))


@pytest.mark.parametrize(
    ("give", "outcome"),
    [
        (answer("202 Accepted"), Delivered()),
        (taken_and_silent, Delivered()),
        (answer("410 Gone"), Undeliverable("HTTP 410", gone=True)),
        (answer("429 Too Many", b"", "Retry-After: 7"), Failed("HTTP 429", 7 * SECOND, rate_limited=True)),
        (answer("500 Oops", b"stack\ntrace"), Failed("HTTP 500: stack trace")),
        (answer("302 Found", b"", "Location: /elsewhere"), Failed("HTTP 302: a redirect, which is not followed")),
        (answer("400 Bad", b"\x1f\x8b\x00", "Content-Encoding: gzip"), Undeliverable("HTTP 400: ")),
        (hang, Failed("no answer within 0.5 s")),
        (drip, Failed("no answer within 0.5 s")),
        (reset, Failed("the connection broke")),
        (rubbish, Failed("the connection broke (ClientResponseError)")),
        (endless, Failed("HTTP 503: " + "x" * 199 + "…")),
        (echo, Undeliverable("HTTP 400: no ***, no ***")),
        (dripping("410 Gone"), Undeliverable("HTTP 410: x", gone=True)),
        (dripping("400 Bad"), Undeliverable("HTTP 400: x")),
        (dripping("503 Busy", "Retry-After: 7"), Failed("HTTP 503: x", 7 * SECOND)),
        (broken_off, Undeliverable("HTTP 400: no")),
    ],
    ids=[
        "202",
        "202-silent",
        "410",
        "429",
        "500",
        "302",
        "gzip",
        "hang",
        "drip",
        "reset",
        "rubbish",
        "endless",
        "echo",
        "410-drip",
        "400-drip",
        "503-drip",
        "400-broken-off",
    ],
)
def test_each_way_to_answer_or_not(give: Answer, outcome: Outcome) -> None:
    async def scenario() -> None:
        async with serving(give) as server:
            slow = outcome == Failed("no answer within 0.5 s")
            url = f"http://127.0.0.1:{server.port}/hook/secret-path"
            found = await tried(hook(timeout=SECOND // 2) if slow else hook(), url)
            assert type(found) is type(outcome)
            if isinstance(found, Failed | Undeliverable) and isinstance(outcome, Failed | Undeliverable):
                assert found.reason.startswith(outcome.reason)
                assert replace(found, reason="") == replace(outcome, reason="")
                assert SIGNING not in found.reason
            await until(lambda: server.heads)
            assert len(server.heads) == 1  # no redirect is followed, nothing is tried twice in secret
            assert server.heads[0].startswith(b"POST /hook/secret-path HTTP/1.1")

    play(scenario)


@pytest.mark.parametrize(
    ("give", "outcome"),
    [
        (answer("200 OK", b"ok"), Delivered()),
        (answer("200 OK"), Delivered()),
        (answer("200 OK", b"[" * 4_000), Delivered()),
        (answer("200 OK", b'{"ok": true}'), Delivered()),
        (
            answer("200 OK", b'{"ok": false, "error": "is_archived"}'),
            Failed('HTTP 200: {"ok": false, "error": "is_arc'),
        ),
        (dripping("200 OK"), Delivered()),
    ],
    ids=["ok", "empty", "no-json", "true", "false", "drip"],
)
def test_slack_may_refuse_a_post_with_200(give: Answer, outcome: Outcome) -> None:
    async def scenario() -> None:
        async with serving(give) as server:
            to = destination("slack", allow_private=True, timeout=60 * SECOND)
            found = await tried(to, f"http://127.0.0.1:{server.port}/hook/secret-path")
            assert type(found) is type(outcome)
            assert not isinstance(outcome, Failed) or str(found).startswith(str(outcome)[:40])

    play(scenario)


SIGN_IN = b"\r\n<!DOCTYPE html><html><title>Sign in</title></html>"


@pytest.mark.parametrize(
    ("kind", "give", "reason"),
    [
        ("pagerduty", answer("202 Accepted", b'{"status": "success", "dedup_key": "x"}'), None),
        ("pagerduty", answer("202 Accepted", b"{}"), None),
        ("pagerduty", answer("202 Accepted", b'{"status": "ok"}'), None),
        ("pagerduty", answer("200 OK", b'{"status": "invalid event"}'), 'HTTP 200: {"status": "invalid event"}'),
        ("pagerduty", answer("200 OK", SIGN_IN), "a page instead of an answer of PagerDuty, HTTP 200: <!DOCTYPE"),
        ("pagerduty", dripping("202 Accepted"), None),
        ("slack", answer("200 OK", SIGN_IN, "Content-Type: text/html"), "a page instead of an answer of Slack, HTTP"),
        ("slack", answer("200 OK", "\ufeff<html>".encode()), "a page instead of an answer of Slack, HTTP"),
        ("slack", answer("200 OK", b"ok", "Content-Type: text/html"), None),
        ("webhook", answer("200 OK", SIGN_IN), None),
    ],
)
def test_a_page_for_people_is_no_answer_of_a_service(kind: str, give: Answer, reason: str | None) -> None:
    async def scenario() -> None:
        async with serving(give) as server:
            url = f"http://127.0.0.1:{server.port}/hook/secret-path"
            api = url if kind == "pagerduty" else None
            found = await tried(destination(kind, allow_private=True, timeout=60 * SECOND, api=api), url)
            if reason is None:
                assert found == Delivered()
            else:
                assert isinstance(found, Failed)
                assert found.reason.startswith(reason)
            assert b"Accept-Encoding: identity" in server.heads[0]  # nobody packs what is to be looked at

    play(scenario)


def test_nobody_there() -> None:
    async def scenario() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            found = await tried(hook(), f"http://127.0.0.1:{free.getsockname()[1]}/secret")
        assert found == Failed("no connection (ConnectionRefusedError)")
        assert await tried(hook(timeout=60 * SECOND), "http://no-such-host.invalid/x") == Failed(
            "its name does not resolve"
        )
        for host in ("a" * 70 + ".example", "a..example"):  # no name can be so
            assert await tried(hook(), f"http://{host}/x") == Failed("its address can't be used")

    play(scenario)


def test_why_there_is_no_tls_connection_is_told(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip

    async def scenario() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        async with serving(answer("202 Accepted"), context) as server:
            found = await tried(hook(), f"https://localhost:{server.port}/secret")
            assert found == Failed("its TLS certificate is not accepted: it is self-signed")

        async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(5)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(no_tls, "127.0.0.1", 0)
        async with server:
            url = f"https://localhost:{server.sockets[0].getsockname()[1]}/secret"
            assert await tried(hook(), url) == Failed("no TLS connection (WRONG_VERSION_NUMBER)")

    play(scenario)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0.0.0.0"]
)
def test_private_addresses_are_refused_whatever_they_look_like(host: str) -> None:
    async def scenario() -> None:
        async with serving(answer("202 Accepted")) as server:
            found = await tried(hook(allow_private=False, timeout=60 * SECOND), f"http://{host}:{server.port}/secret")
            assert isinstance(found, Failed)
            refusals = "it leads to an address that is", "its address can't be used"
            assert found.reason.startswith(refusals), found.reason
            assert server.heads == []

    play(scenario)


def test_a_name_that_turns_private_after_it_was_checked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that is connected to is looked at, not one that the name had before."""

    async def scenario() -> None:
        async with serving(answer("202 Accepted")) as server:

            def resolved(*_: object, **__: object) -> list[tuple[object, ...]]:
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

            monkeypatch.setattr(name_lookups, "socket", altered(socket, getaddrinfo=resolved))
            url = f"http://hooks.example.com:{server.port}/x"
            found = await tried(hook(allow_private=False, timeout=60 * SECOND), url)
            assert found == Failed("it leads to an address that is loopback; allow_private: true allows that")
            assert server.heads == []
            assert await tried(hook(), url) == Delivered()

    play(scenario)


def test_names_that_do_not_resolve_in_time_keep_no_other_destination_from_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loop has a few threads for lookups, which all of its clients share."""
    usual, over, asked = socket.getaddrinfo, threading.Event(), list[str]()

    def look_up(host: str, *more: Any, **named: Any) -> Any:
        asked.append(host)
        if host != "localhost":
            over.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return usual(host, *more, **named)

    monkeypatch.setattr(name_lookups, "socket", altered(socket, getaddrinfo=look_up))

    async def scenario() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        async with serving(answer("202 Accepted")) as server:
            others = [
                asyncio.create_task(tried(hook(timeout=60 * SECOND), f"http://{name}.example/x")) for name in "abc"
            ]
            await until(lambda: len(asked) == 3)
            found = await tried(hook(timeout=60 * SECOND), f"http://localhost:{server.port}/x")
            waiting = [each.daemon for each in threading.enumerate() if each.name == "name-lookup"]
            over.set()
            assert found == Delivered()
            assert waiting[:3] == [True] * 3, "the end of the process does not wait for them"
            assert set(await asyncio.gather(*others)) == {Failed("its name does not resolve")}

    try:
        play(scenario)
    finally:
        over.set()


def test_a_name_that_no_thread_could_look_up_is_looked_up_at_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = list[str]()

    class Thread(threading.Thread):
        def start(self) -> None:
            if len(refused) < 3:
                refused.append(self.name)
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(name_lookups, "threading", altered(threading, Thread=Thread))

    async def scenario() -> None:
        async with serving(answer("202 Accepted")) as server:
            to = hook(timeout=60 * SECOND)
            sender = HttpSender(to, Secrets(f"http://localhost:{server.port}/x", (SIGNING,)), SystemTimeSource())
            message = Page("inc-1").apply(trigger("breached"), to, 0, busy=False).head
            found = [await sender.send("inc-1", message) for _ in range(4)]
            await sender.close()
            assert found == [*[Failed("its name does not resolve")] * 3, Delivered()]

    play(scenario)


def test_an_id_that_is_no_header_is_final_and_smuggles_nothing() -> None:
    async def scenario() -> None:
        async with serving(answer("202 Accepted")) as server:
            page = Page("inc-1").apply(trigger("breached", id_="e1\r\nX-Evil: 1"), hook(), 0, busy=False)
            found = await tried(hook(), f"http://127.0.0.1:{server.port}/x", page.head)
            assert found == Undeliverable("internal error: ValueError")
            assert not [head for head in server.heads if b"X-Evil" in head]

    play(scenario)

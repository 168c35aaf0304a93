"""A TCP proxy before a broker, in a thread of its own: it delays, stalls and resets, and loses answers to EndTxn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from random import Random  # noqa: TID251 -- seeded

from cli.embedded_kafka.node_files import HOST, free_port
from tests.waiting import TIMEOUT_S

END_TXN = 26
_Frame = tuple[float, bytes]
"""When it may go on, and its bytes."""


class Link:
    """A client's connection and the one to the broker that stands for it. Frames keep their order."""

    def __init__(self, proxy: Proxy, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._proxy = proxy
        self._client, self._broker = writers
        self._unanswered: set[int] = set()
        """Correlation ids of requests whose answers get lost."""
        self._deaf = False
        self.open = asyncio.Event()
        self.open.set()

    async def run(self, client: asyncio.StreamReader, broker: asyncio.StreamReader) -> None:
        """Until either side closes."""
        pumps = [
            asyncio.create_task(self._pump(client, self._broker, self._on_request)),
            asyncio.create_task(self._pump(broker, self._client, self._on_answer)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for writer in (self._client, self._broker):
            writer.close()

    def reset(self) -> None:
        """Both sides get a RST, or see an end."""
        for writer in (self._client, self._broker):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[bytes], bool]
    ) -> None:
        frames: asyncio.Queue[_Frame] = asyncio.Queue(1_000)
        forwarding = asyncio.create_task(self._forward(frames, writer))
        try:
            due = 0.0
            while not forwarding.done():
                size = await reader.readexactly(4)
                frame = await reader.readexactly(int.from_bytes(size))
                if look(frame):
                    due = max(due, asyncio.get_running_loop().time() + self._proxy.latency())
                    await frames.put((due, size + frame))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            forwarding.cancel()

    async def _forward(self, frames: asyncio.Queue[_Frame], writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, frame = await frames.get()
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                await self.open.wait()
                writer.write(frame)
                await writer.drain()

    def _on_request(self, frame: bytes) -> bool:
        key, _, correlation = struct.unpack_from(">hhi", frame)
        if key == END_TXN and self._proxy.to_lose > 0:
            self._proxy.to_lose -= 1
            self._unanswered.add(correlation)
        return True

    def _on_answer(self, frame: bytes) -> bool:
        if int.from_bytes(frame[:4]) in self._unanswered:
            self._proxy.lost += 1
            if self._proxy.silently:
                self._deaf = True
            else:
                self.reset()
        return not self._deaf


class Proxy:
    """Clients connect to `port`, it connects to `target`. What it does to them may be changed at any time."""

    def __init__(self, target: int, random: Random) -> None:
        self.port = free_port()
        self.delays: tuple[float, float] | None = None
        self.to_lose = 0
        """How many more answers to EndTxn get lost: the broker has decided, the client is not told."""
        self.lost = 0
        self.silently = False
        """Whether the connection stays open after such a loss, with nothing ever coming from it."""
        self._target = target
        self._random = random
        self._stalls_new = False
        self._links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), name="proxy")

    def start(self) -> None:
        self._thread.start()
        assert self._listening.wait(TIMEOUT_S), "the proxy does not listen"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def latency(self) -> float:
        """Of the next frame, in seconds."""
        return self._random.uniform(*self.delays) if self.delays is not None else 0.0

    def reset(self, share: float) -> None:
        """Of the connections, about so many."""
        self._in_thread(lambda: [link.reset() for link in self._chosen(share)])

    def stall(self, share: float) -> None:
        """Nothing passes on about so many connections until `resume`; on new ones neither if it is all of them."""

        def close() -> None:
            self._stalls_new = share >= 1
            for link in self._chosen(share):
                link.open.clear()

        self._in_thread(close)

    def resume(self) -> None:
        """What was held goes on, to whoever still listens."""

        def reopen() -> None:
            self._stalls_new = False
            for link in self._links:
                link.open.set()

        self._in_thread(reopen)

    def _chosen(self, share: float) -> list[Link]:
        return [link for link in list(self._links) if self._random.random() < share]

    def _in_thread(self, act: Callable[[], object]) -> None:
        done = threading.Event()

        def work() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(work)
        assert done.wait(TIMEOUT_S), "the proxy is stuck"

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, HOST, self.port)
        self._listening.set()
        async with server:
            await self._ended.wait()
            for link in self._links:
                link.reset()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            broker, to_broker = await asyncio.open_connection(HOST, self._target)
        except OSError:
            to_client.close()
            return
        link = Link(self, (to_client, to_broker))
        if self._stalls_new:
            link.open.clear()
        self._links.add(link)
        try:
            await link.run(client, broker)
        finally:
            self._links.discard(link)

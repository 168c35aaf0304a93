"""A bad network between all clients and the broker: slow, silent, cut off, and answers that get lost at commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random  # noqa: TID251 -- seeded

from cli.embedded_kafka.broker import Broker, start_broker
from cli.embedded_kafka.node_files import HOST, free_port
from streams.runtime.settings import RuntimeSettings

from .deployment import PREFIX, wait_for
from .proxy import Proxy
from .run import Run
from .service import wait_until_flowing

REQUEST_S = RuntimeSettings(app_id=PREFIX, brokers=()).request_timeout_ms / 1_000


class Proxied:
    """A broker that clients reach through a proxy only. Its own traffic with itself (markers) goes straight."""

    def __init__(self, broker: Broker, proxy: Proxy) -> None:
        self.proxy = proxy
        self._broker = broker

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.proxy.port}"

    @property
    def direct(self) -> str:
        """Where clients connect without the proxy."""
        return self._broker.bootstrap

    def stop(self) -> None:
        self._broker.stop()


@contextmanager
def proxied(folder: Path) -> Iterator[Proxied]:
    """For `execute`."""
    own, for_clients, controlling = free_port(), free_port(), free_port()
    proxy = Proxy(for_clients, Random(0))
    listeners = f"BROKER://{HOST}:{own},CLIENT://{HOST}"
    settings = {
        "controller.quorum.voters": f"1@{HOST}:{controlling}",
        "listeners": f"{listeners}:{for_clients},CONTROLLER://{HOST}:{controlling}",
        "advertised.listeners": f"{listeners}:{proxy.port}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    proxy.start()
    try:
        with start_broker(folder / "kafka", own, extra=settings) as broker:
            yield Proxied(broker, proxy)
    finally:
        proxy.stop()


def bad_network(run: Run) -> None:
    """Every phase in each round, in an order that is drawn; two workers, so that there is someone to take over."""
    nodes = run.deployment.brokers
    assert isinstance(nodes, Proxied)
    run.deployment.start_worker()
    phases = [slow, silent, cut_off, commits_unanswered]
    for _ in run.times(2, 1):
        run.random.shuffle(phases)
        for phase in phases:
            run.pause(0.5, 2.0)
            phase(run, nodes.proxy)
            wait_until_flowing(run)


def slow(run: Run, proxy: Proxy) -> None:
    """50 to 500 ms each way."""
    proxy.delays = 0.05, 0.5
    run.pause(8.0, 15.0)
    proxy.delays = None
    run.did("slow for a while")


def silent(run: Run, proxy: Proxy) -> None:
    """All connections, or half of those there are, for longer than any request may take."""
    share = run.random.choice((0.5, 1.0))
    proxy.stall(share)
    run.pause(REQUEST_S + 1, REQUEST_S + 5)
    proxy.resume()
    run.did("all connections stalled" if share == 1 else "half of the connections stalled")


def cut_off(run: Run, proxy: Proxy) -> None:
    """Again and again, all or some."""
    for _ in range(8):
        proxy.reset(run.random.choice((0.3, 1.0)))
        run.did("connections reset")
        run.pause(0.1, 1.5)


def commits_unanswered(run: Run, proxy: Proxy) -> None:
    """The broker has decided, the worker is not told: the connection ends, or just falls silent."""
    for silently, count in ((False, 10), (True, 2)):
        wanted = proxy.lost + count
        proxy.silently = silently
        proxy.to_lose = count
        wait_for(lambda wanted=wanted: proxy.lost >= wanted, "EndTxn is sent")
        run.did("answers to EndTxn lost in silence" if silently else "answers to EndTxn lost", count)

"""How fast the board answers with a full read model: `python -m bench.board_http [--incidents N] [--database URL]`.

The board runs as a process of its own without Kafka. Each address is requested one after the other, then by several
clients at once, over connections that stay open. Prints milliseconds, also of the CPU, and the memory of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.board_load import NOW, fill
from board.app import create_app
from board.metrics import BoardMetrics
from board.service import prepare_process
from board.settings import read_board_settings
from board.store.engine import open_engine
from board.store.schema import upgrade
from board.web_server import listening_socket, make_server
from streams.http_connections import ConnectionLimits
from streams.settings import read_settings

_API = "/api/v1"
ADDRESSES = {
    "GET / (live page)": "/",
    "incidents, open by deadline": f"{_API}/incidents?status=open&limit=50",
    "incidents, 200 of them": f"{_API}/incidents?status=open&limit=200",
    "incidents, all, last changed": f"{_API}/incidents?sort=changed_at&limit=50",
    "incidents of a tenant, opened": f"{_API}/incidents?tenant=tenant-7&sort=opened_at&limit=50",
    "incidents, open, P1, breached": f"{_API}/incidents?status=open&severity=P1&breached=true&limit=50",
    "incidents, open, by text": f"{_API}/incidents?status=open&q=T-77&limit=50",
    "incidents, all, by text": f"{_API}/incidents?q=T-7777&limit=50",
    "one incident with timeline": f"{_API}/incidents/inc-0000042",
    "GET /incidents/ID (page)": "/incidents/inc-0000042",
    "overview": f"{_API}/overview",
    "overview (page)": "/overview",
    "attainment by month": f"{_API}/attainment?by=month",
    "attainment by tenant": f"{_API}/attainment?by=tenant",
    "rejects": f"{_API}/rejects",
    "system": f"{_API}/system",
}


class LoadTime:
    """The instant that the read model was filled for, so that its deadlines lie ahead."""

    def now(self) -> int:
        return NOW

    async def wait(self, event: asyncio.Event, until: int | None) -> None:
        del until
        await event.wait()


def serve(database: str, port: int) -> None:
    """Run the board over a database until the process is ended."""
    kafka, settings = read_settings(), read_board_settings(database_url=database, port=port)
    app = create_app(
        open_engine(database), settings, kafka=kafka, policies=kafka.load_policies(), time_source=LoadTime()
    )
    prepare_process()
    with listening_socket(settings.host, port) as listener:
        asyncio.run(make_server(app, ConnectionLimits(), BoardMetrics().http).serve([listener]))


@contextmanager
def running(database: str, port: int) -> Iterator[int]:
    """The process id of a board that answers."""
    command = [sys.executable, "-m", "bench.board_http", "--database", database, "--serve", str(port)]
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                milliseconds("/live", port, 1)
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise
                time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def milliseconds(path: str, port: int, requests: int) -> list[float]:
    """The duration of each of some requests over one connection. Raises OSError, and RuntimeError for an error."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    found = []
    for _ in range(requests):
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        found.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
    connection.close()
    return found


def percentiles(times: Sequence[float]) -> str:
    """Median, 99th percentile and maximum."""
    ordered = sorted(times)
    return "  ".join(f"{ordered[min(int(len(ordered) * share), len(ordered) - 1)]:8.1f}" for share in (0.5, 0.99, 1))


def memory_mib(process: int) -> dict[str, int]:
    """Resident memory of a process now, and at most (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {name: int(found[key].split()[0]) // 1024 for name, key in (("now", "VmRSS"), ("at most", "VmHWM"))}


def cpu_ms(process: int) -> float:
    """The CPU time that a process has used (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def measure(database: str, port: int, requests: int, clients: int) -> None:
    """Print a line for each address."""
    with running(database, port) as process:
        print(
            f"{'milliseconds':<34}{'CPU':>8}{'p50':>8}{'p99':>10}{'max':>10}    with {clients} clients: p50, p99, max"
        )
        for name, path in ADDRESSES.items():
            milliseconds(path, port, 3)
            before = cpu_ms(process)
            alone = percentiles(milliseconds(path, port, requests))
            cpu = (cpu_ms(process) - before) / requests
            with ThreadPoolExecutor(clients) as pool:
                each = [requests // clients] * clients
                found = pool.map(milliseconds, [path] * clients, [port] * clients, each)
                together = percentiles([one for times in found for one in times])
            print(f"{name:<34}{cpu:8.1f}{alone}    {together}", flush=True)
        print("memory, MiB:", ", ".join(f"{value} {name}" for name, value in memory_mib(process).items()))


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--incidents", type=int, default=100_000)
    options.add_argument("--requests", type=int, default=200, help="of each address")
    options.add_argument("--clients", type=int, default=4)
    options.add_argument("--port", type=int, default=18_090)
    options.add_argument("--database", help="a filled read model; default: a new one in a temporary directory")
    options.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve is not None:
        serve(given.database, given.serve)
        return
    if given.database is not None:
        measure(given.database, given.port, given.requests, given.clients)
        return
    with tempfile.TemporaryDirectory() as directory:
        database = f"sqlite:///{directory}/board.db"
        engine = open_engine(database)
        upgrade(engine)
        for done in fill(engine, given.incidents):
            print(f"\r{done:,} incidents", end="", flush=True)
        engine.dispose()
        size = os.stat(f"{directory}/board.db").st_size
        print(f", {size // 1024**2:,} MiB")
        measure(database, given.port, given.requests, given.clients)


if __name__ == "__main__":
    main()

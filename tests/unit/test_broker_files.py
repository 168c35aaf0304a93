"""The embedded Kafka's files: settings, pinned jars and their download, and one clear line for each refusal."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.embedded_kafka import jars, node_files, startup_cache
from cli.embedded_kafka.jars import LOCK_FILE, default_cache, kafka_jars, missing, read_lock
from cli.embedded_kafka.node_files import (
    BrokerError,
    check_port,
    claim,
    free_port,
    properties_text,
    server_properties,
    startup_cache_of,
    startup_cache_options,
    why_ended,
)
from cli.embedded_kafka.startup_cache import REASON, make_startup_cache

JARS = {"a-1.jar": b"first", "b-2.jar": b"second" * 1000}


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    lines = [
        f"org.example:{name[0]}:{name[2]} {len(body)} {hashlib.sha256(body).hexdigest()}" for name, body in JARS.items()
    ]
    path = tmp_path / "kafka-jars.lock"
    path.write_text("# comment\n" + "\n".join(lines) + "\n")
    return path


class Mirror:
    """A Maven mirror on this machine, as far as two jars go."""

    def __init__(self) -> None:
        self.served = dict(JARS)
        self.cut: set[str] = set()  # jars whose next download breaks off half way
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                body = mirror.served.get(name)
                if body is None:
                    self.send_error(404)
                    return
                mirror.asked.append(name)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if name in mirror.cut:
                    mirror.cut.remove(name)
                    body = body[: len(body) // 2]
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def use(port: int) -> None:
        settings = tmp_path / "jgo.conf"
        settings.write_text(f"[repositories]\ncentral = http://127.0.0.1:{port}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    return use


@pytest.fixture
def mirror(repository: Callable[[int], None]) -> Iterator[Mirror]:
    running = Mirror()
    repository(running.server.server_port)
    yield running
    running.close()


def quiet(_line: str) -> None:
    pass


def test_the_lock_pins_kafka_and_its_logger() -> None:
    names = [jar.name for jar in read_lock()]
    assert len(names) == len(set(names)) == 46
    assert {"kafka_2.13-4.3.1.jar", "kafka-clients-4.3.1.jar", "slf4j-simple-1.7.36.jar"} <= set(names)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in read_lock())


def test_a_second_use_downloads_nothing(mirror: Mirror, lock_file: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    first = kafka_jars(lines.append, tmp_path / "jars", lock_file)
    assert [path.read_bytes() for path in first] == list(JARS.values())
    assert "downloading Apache Kafka" in lines[0]
    assert kafka_jars(quiet, tmp_path / "jars", lock_file) == first
    assert sorted(mirror.asked) == sorted(JARS)


def test_processes_that_start_at_once_download_once(mirror: Mirror, lock_file: Path, tmp_path: Path) -> None:
    starts = [threading.Thread(target=kafka_jars, args=(quiet, tmp_path / "jars", lock_file)) for _ in range(4)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert sorted(mirror.asked) == sorted(JARS)


def test_a_half_finished_download_is_taken_up(mirror: Mirror, lock_file: Path, tmp_path: Path) -> None:
    directory = tmp_path / "jars"
    (directory / "part" / "b-2.jar").mkdir(parents=True)  # as a killed process leaves it
    (directory / "part" / "b-2.jar" / "half").write_bytes(b"sec")
    (directory / "a-1.jar").write_bytes(JARS["a-1.jar"])
    mirror.cut = {"b-2.jar"}
    kafka_jars(quiet, directory, lock_file)
    assert mirror.asked == ["b-2.jar", "b-2.jar"]
    assert sorted(path.name for path in directory.iterdir()) == ["a-1.jar", "b-2.jar", "download.lock"]


def test_an_altered_download_is_refused(mirror: Mirror, lock_file: Path, tmp_path: Path) -> None:
    mirror.served["b-2.jar"] = b"other"
    with pytest.raises(BrokerError, match=r"^b-2.jar as downloaded is not the jar pinned in kafka-jars.lock [^\n]+$"):
        kafka_jars(quiet, tmp_path / "jars", lock_file)
    assert not (tmp_path / "jars" / "b-2.jar").exists()


def test_a_jar_altered_on_disk_is_refused(lock_file: Path, tmp_path: Path) -> None:
    (tmp_path / "a-1.jar").write_bytes(b"other")
    with pytest.raises(BrokerError, match=r"a-1.jar is not the jar pinned in [^\n]+: delete [^\n]+ and start again$"):
        missing(read_lock(lock_file), tmp_path)


def test_no_network(repository: Callable[[int], None], lock_file: Path, tmp_path: Path) -> None:
    repository(free_port())
    with pytest.raises(BrokerError, match=r"^cannot download [ab]-[12].jar [^\n]+check the network[^\n]+$"):
        kafka_jars(quiet, tmp_path / "jars", lock_file)


def test_a_cache_that_cannot_be_written(lock_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match=r"^cannot use cache directory [^\n]+: a file is in the way: [^\n]+$"):
        kafka_jars(quiet, tmp_path / "file" / "jars", lock_file)


def test_the_cache_directory() -> None:
    assert default_cache({"SLA_CACHE": "/cache"}) == Path("/cache/kafka-4.3.1")
    assert default_cache({"XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/sla-clocks/kafka-4.3.1")
    assert default_cache({}) == Path.home() / ".cache/sla-clocks/kafka-4.3.1"
    assert LOCK_FILE.name == "kafka-jars.lock"
    assert jars.KAFKA_VERSION in LOCK_FILE.read_text().splitlines()[0]


@pytest.fixture
def three_starts_of_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[Path | None]]:
    """Three at once ask for the startup cache of a jar."""
    (tmp_path / "a-1.jar").write_bytes(JARS["a-1.jar"])
    monkeypatch.setattr(startup_cache, "kafka_jars", lambda: [tmp_path / "a-1.jar"])

    def starts() -> list[Path | None]:
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(lambda _: make_startup_cache(), range(3)))

    return starts


def test_a_startup_cache_that_cannot_be_made_is_not_tried_again(
    three_starts_of_a_cache: Callable[[], list[Path | None]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried: list[Path] = []

    def refused(data_dir: Path, **_: object) -> None:
        tried.append(data_dir)
        raise BrokerError("no memory")

    monkeypatch.setattr(startup_cache, "start_broker", refused)
    assert three_starts_of_a_cache() == [None, None, None]
    cache = startup_cache_of([tmp_path / "a-1.jar"])
    assert (len(tried), cache.stat().st_size, startup_cache_options(cache)) == (2, 0, ())
    assert {path.name for path in tmp_path.iterdir()} == {"a-1.jar", cache.name, REASON, "startup.lock"}
    assert (tmp_path / REASON).read_text() == "no memory\n"


def test_a_startup_cache_that_fails_once_is_made_all_the_same(
    three_starts_of_a_cache: Callable[[], list[Path | None]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where another program takes the port of the Kafka whose start is recorded."""
    failures = [BrokerError("port in use")]

    def start(*_: object, **__: object) -> SimpleNamespace:
        if failures:
            raise failures.pop()
        return SimpleNamespace(stop=lambda **_: None)

    def run(command: list[str], **_: object) -> None:
        Path(next(word for word in command if word.startswith("-XX:AOTCache=")).partition("=")[2]).write_bytes(b"cache")

    monkeypatch.setattr(startup_cache, "start_broker", start)
    monkeypatch.setattr(subprocess, "run", run)
    assert three_starts_of_a_cache() == [startup_cache_of([tmp_path / "a-1.jar"])] * 3


def test_a_startup_cache_that_took_too_long_is_tried_again(
    three_starts_of_a_cache: Callable[[], list[Path | None]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a busy machine; without it every later Kafka would start slowly."""

    def run(command: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(startup_cache, "start_broker", lambda *_, **__: SimpleNamespace(stop=lambda **_: None))
    monkeypatch.setattr(subprocess, "run", run)
    assert three_starts_of_a_cache() == [None, None, None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.jar", "startup.lock"]


def test_the_startup_cache_is_made_once_for_its_jars_and_the_newest_three_are_kept(
    three_starts_of_a_cache: Callable[[], list[Path | None]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jar, commands = tmp_path / "a-1.jar", []
    for age in range(4):
        earlier = tmp_path / f"startup-{age}.aot"
        earlier.touch()
        os.utime(earlier, (1_000 - age, 1_000 - age))

    def run(command: list[str], **_: object) -> None:
        commands.append(command)
        written = next(word for word in command if word.startswith("-XX:AOTCache="))
        Path(written.partition("=")[2]).write_bytes(b"cache")

    monkeypatch.setattr(startup_cache, "start_broker", lambda *_, **__: SimpleNamespace(stop=lambda **_: None))
    monkeypatch.setattr(startup_cache.subprocess, "run", run)
    cache = startup_cache_of([jar])
    assert three_starts_of_a_cache() == [cache] * 3
    assert len(commands) == 1
    assert startup_cache_options(cache)[0] == f"-XX:AOTCache={cache}"
    assert {path.name for path in tmp_path.glob("*.aot")} == {cache.name, "startup-0.aot", "startup-1.aot"}
    os.utime(jar, (2_000, 2_000))
    assert startup_cache_of([jar]) != cache, "Java refuses a cache whose jars have another time"
    assert startup_cache_of([jar], ("-XX:+UseG1GC",)) != startup_cache_of([jar])


def test_a_startup_cache_that_has_no_place_stops_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(startup_cache, "kafka_jars", lambda: [tmp_path / "absent" / "a-1.jar"])
    assert make_startup_cache() is None
    assert startup_cache_options(tmp_path / "absent" / "startup.aot") == ()


def test_settings_of_a_single_node(tmp_path: Path) -> None:
    settings = server_properties(port=20001, controllers={1: 20002}, log_dir=tmp_path, extra={"num.io.threads": "2"})
    expected = {
        "node.id": "1",
        "listeners": "BROKER://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002",
        "controller.quorum.voters": "1@127.0.0.1:20002",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "num.io.threads": "2",
    }
    assert settings.items() >= expected.items()


def test_settings_of_one_node_of_three(tmp_path: Path) -> None:
    controllers = {1: 20011, 2: 20012, 3: 20013}
    settings = server_properties(port=20002, controllers=controllers, log_dir=tmp_path, node_id=2)
    expected = {
        "node.id": "2",
        "listeners": "BROKER://127.0.0.1:20002,CONTROLLER://127.0.0.1:20012",
        "controller.quorum.voters": "1@127.0.0.1:20011,2@127.0.0.1:20012,3@127.0.0.1:20013",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
    }
    assert settings.items() >= expected.items()


def test_properties_are_ascii_with_escapes() -> None:
    assert properties_text({"log.dirs": "/dé/\\x/😀"}) == "log.dirs=/d\\u00e9/\\\\x/\\ud83d\\ude00\n"


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BrokerError, match=rf"^port {port} on 127.0.0.1 is already in use: [^\n]+$"):
            check_port(port)
    check_port(port)
    with pytest.raises(BrokerError, match="port 70000 does not exist"):
        check_port(70000)
    assert 20_000 <= free_port() < 32_000


@pytest.fixture
def reserved(monkeypatch: pytest.MonkeyPatch) -> Iterator[deque[socket.socket]]:
    monkeypatch.setattr(node_files, "_reserved", reserved := deque[socket.socket]())
    yield reserved
    for each in reserved:
        each.close()


def test_a_free_port_is_given_once_also_to_other_processes(
    reserved: deque[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = free_port()
    monkeypatch.setattr(node_files, "_PORTS", ports := range(first, first + 60))
    code = f"""
from cli.embedded_kafka import node_files
node_files._PORTS = {ports!r}
print(*(node_files.free_port() for _ in range(20)), flush=True)
input()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = [int(port) for port in other.stdout.readline().split()]
        ours = [free_port() for _ in range(20)]
        other.communicate("\n")
    assert len({*theirs, *ours}) == 40


def test_a_process_that_starts_many_servers_keeps_few_ports_from_others(
    reserved: deque[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_files, "_MAX_RESERVED", 3)
    ports = [free_port() for _ in range(5)]
    assert [each.getsockname()[1] for each in reserved] == ports[-3:]


def test_refused_data_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match=r"^cannot use data directory [^\n]+: a file is in the way: [^\n]+$"):
        claim(tmp_path / "file" / "data")
    with pytest.raises(BrokerError, match="comma"):
        claim(tmp_path / "a,b")

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", read_only)
        with pytest.raises(BrokerError, match=r": it is not writable: [^\n]+$"):
            claim(tmp_path / "data")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 2**20))
    with pytest.raises(BrokerError, match=r"only 5 MB of disk left [^\n]+$"):
        claim(tmp_path / "data")


def test_the_reason_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    stack = "x ERROR Exiting\norg.apache.kafka.common.config.ConfigException: Bad value\n\tat A.b(A.java:1)\n"
    assert why_ended(stack, log, 1) == (
        f"Kafka ended while starting: org.apache.kafka.common.config.ConfigException: Bad value; see {log}"
    )
    assert "disk is full" in why_ended("java.io.IOException: No space left on device\n", log, 1)
    assert "port 7 " in why_ended("java.net.BindException: Address already in use\n", log, 7)
    assert "gave no reason" in why_ended("", log, 1)

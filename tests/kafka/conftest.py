"""One real Kafka for the whole session; each test keeps to topics of its own by a prefix."""

import itertools
import os
import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from billed_at_once import write_policies
from click.testing import Result
from on_kafka import PARTITIONS, Run
from short_lived_brokers import SHORT_LIVED, formatted, in_memory
from typer.testing import CliRunner

from cli.doctor import kafka_checks
from cli.embedded_kafka import broker as broker_module
from cli.embedded_kafka import node_files
from cli.embedded_kafka.broker import Broker, start_broker
from cli.embedded_kafka.node_files import free_port
from cli.embedded_kafka.startup_cache import make_startup_cache
from cli.incidents import acting
from cli.kafka_io.topic_admin import apply_topics
from cli.local import stack
from cli.local.stack import WORKER, answers
from cli.main import app
from cli.support import waiting
from connect.actions import input_results
from connect.kafka_io import group_offsets, reader
from streams.topics import declared
from tests.preloaded import start
from tests.preloaded.commands import IMPORTS
from tests.waiting import TIMEOUT_S, wait

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def short_lived_brokers() -> None:
    """The work of starts is done once, Java's second compiler stays away, and data are in memory."""
    make_startup_cache()
    node_files._JVM += SHORT_LIVED
    Broker._format = formatted  # type: ignore[method-assign]
    broker_module.tempfile = SimpleNamespace(mkdtemp=in_memory)


@pytest.fixture(autouse=True)
def time_for_a_machine_under_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands wait longer for workers and brokers, and workers have longer to end, than people would want."""
    monkeypatch.setattr(waiting, "TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr(acting, "TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr(stack, "_STOP_S", TIMEOUT_S)
    monkeypatch.setattr(input_results, "_REJECTS_S", TIMEOUT_S)
    monkeypatch.setattr(kafka_checks, "_CONNECT_S", TIMEOUT_S)
    monkeypatch.setattr(kafka_checks, "_BOOTSTRAP_MS", int(TIMEOUT_S * 1_000))
    for module in (reader, group_offsets):
        monkeypatch.setattr(module, "REQUEST_TIMEOUT_MS", int(TIMEOUT_S * 1_000))


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """The bootstrap address of a broker that all tests share: do not stop, pause or restart it. Each test process has
    one: clients ask for all topics when they start, so one for all would be slower the more topics it has."""
    running = start_broker()
    yield running.bootstrap
    running.kill()  # an orderly end takes seconds of a processor, for data that nobody reads again
    running.stop()


@pytest.fixture(scope="module")
def deployment(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A worker on topics of its own, which tests of a module share; the environment that names them."""
    prefix = f"t{next(_numbers)}-with-worker"
    apply_topics(broker, declared(prefix, 2))
    port = free_port()
    folder = tmp_path_factory.mktemp("worker")
    policies = str(write_policies(folder / "policies"))
    named = {"SLA_BROKERS": broker, "SLA_TOPIC_PREFIX": prefix, "SLA_APP_ID": prefix, "SLA_POLICIES": policies}
    settings = {"SLA_PARTITIONS": "2", "SLA_HEALTH_PORT": str(port), "SLA_BACKFILL_QUIET": "PT1S"}
    settings |= {"SLA_MARK_EVERY": "PT1S"}
    log = folder / "worker.log"
    with log.open("wb") as file:
        worker = start(WORKER[1:], IMPORTS["worker"], env={**os.environ, **named, **settings}, output=file)

    def ready() -> bool:
        assert worker.poll() is None, log.read_text()
        return answers(f"http://127.0.0.1:{port}/ready")

    wait(ready, log.read_text)
    yield named
    worker.terminate()
    assert worker.wait(TIMEOUT_S) == 0


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A start for topic, group and transactional ids that no other test has."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    return f"t{next(_numbers)}-{name[:40]}-"


@pytest.fixture
def topics(broker: str, prefix: str) -> str:
    """The prefix of a deployment whose topics are there."""
    own = f"{prefix}sla"
    apply_topics(broker, declared(own, PARTITIONS))
    return own


@pytest.fixture
def run(broker: str, topics: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against that deployment."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLA_BROKERS", broker)
    monkeypatch.setenv("SLA_TOPIC_PREFIX", topics)

    def call(*words: object, stdin: bytes | None = None) -> Result:
        result: Result = CliRunner().invoke(app, list(map(str, words)), input=stdin)
        return result

    return call

"""A secured broker: what works, and that every failure is reported with its cause, by both clients and the commands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from command_process import CommandProcess
from intake_process import MAPPING
from intake_process import SECRETS as INTAKE_SECRETS
from marked_secrets import marked, shown_in
from tls_broker import USERS, TlsBroker, tls_broker
from typer.testing import CliRunner

from cli.kafka_io.topic_admin import apply_topics
from cli.main import app
from streams.kafka import aiokafka_clients, kafka_python_clients
from streams.kafka.causes import CauseKind, cause_of
from streams.kafka.connection_options import ConnectionOptions
from streams.topics import declared
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka
OK = None


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsBroker]:
    with tls_broker(tmp_path_factory.mktemp("certificates")) as broker:
        yield broker


def _user(
    name: str, protocol: str = "SASL_SSL", password: str | None = None, mechanism: str = "PLAIN"
) -> dict[str, str]:
    tls = {"ssl.ca.location": "CA"} if protocol == "SASL_SSL" else {}
    return {
        "security.protocol": protocol,
        "sasl.mechanism": mechanism,
        "sasl.username": name,
        "sasl.password": password or USERS[name],
        **tls,
    }


TLS = {"security.protocol": "SSL", "ssl.ca.location": "CA"}
#: listener, properties, and the kind of failure.
CASES: dict[str, tuple[str, Mapping[str, str], CauseKind | None]] = {
    "SASL over TLS": ("SASL", _user("admin"), OK),
    "TLS": ("TLS", TLS, OK),
    "mutual TLS": ("MUTUAL", {**TLS, "ssl.certificate.location": "CLIENT"}, OK),
    "SASL without TLS": ("SASLPLAIN", _user("admin", "SASL_PLAINTEXT"), OK),
    "wrong password": ("SASL", _user("admin", password="wrong"), CauseKind.AUTHENTICATION),
    "other mechanism": ("SASL", _user("admin", mechanism="SCRAM-SHA-512"), CauseKind.AUTHENTICATION),
    "unknown CA": ("TLS", {"security.protocol": "SSL", "ssl.ca.location": "OTHER_CA"}, CauseKind.CERTIFICATE),
    "expired certificate": ("EXPIRED", TLS, CauseKind.CERTIFICATE),
    "certificate of another host": ("OTHERNAME", TLS, CauseKind.CERTIFICATE),
    "no client certificate": ("MUTUAL", TLS, CauseKind.CERTIFICATE),
    "TLS at a port without": ("PLAIN", TLS, CauseKind.PROTOCOL),
    "no TLS at a port with": ("TLS", {}, CauseKind.PROTOCOL),
    "no SASL where it is expected": ("SASLPLAIN", {}, CauseKind.CLOSED),
    "SASL where none is expected": ("TLS", _user("admin"), CauseKind.PROTOCOL),
}


def _connection(secured: TlsBroker, case: str) -> tuple[str, ConnectionOptions]:
    listener, properties, _ = CASES[case]
    files = {"CA": secured.ca, "OTHER_CA": secured.other_ca, "CLIENT": secured.client}
    given = {name: str(files.get(value, value)) for name, value in properties.items()}
    return secured.plain if listener == "PLAIN" else secured.listeners[listener], ConnectionOptions(given)


@pytest.mark.parametrize("case", CASES)
def test_aiokafka_connects_or_says_why_not(secured: TlsBroker, case: str, caplog: pytest.LogCaptureFixture) -> None:
    address, options = _connection(secured, case)
    caplog.set_level(logging.CRITICAL, "aiokafka")

    async def connect() -> CauseKind | None:
        client = aiokafka_clients.client([address], options.aiokafka(), request_timeout_ms=int(TIMEOUT_S * 1_000))
        try:
            await client.bootstrap()
        except Exception as error:
            return cause_of(error).kind
        finally:
            await client.close()
        return None

    assert asyncio.run(connect()) == CASES[case][2]


@pytest.mark.parametrize("case", CASES)
def test_kafka_python_connects_or_says_why_not(secured: TlsBroker, case: str) -> None:
    address, options = _connection(secured, case)

    def kind(bootstrap_timeout_ms: int) -> CauseKind | None:
        try:
            kafka_python_clients.admin(
                bootstrap_servers=address, bootstrap_timeout_ms=bootstrap_timeout_ms, **options.kafka_python()
            ).close()
        except Exception as error:
            return cause_of(error).kind
        return None

    found = kind(1_000)  # it tries for so long before it says why not
    if found != CASES[case][2]:  # a busy machine answers later
        found = kind(30_000)
    assert found == CASES[case][2]


@pytest.fixture
def environment(secured: TlsBroker, tmp_path: Path) -> dict[str, str]:
    """The settings of a user who is allowed nothing."""
    return {
        "SLA_BROKERS": secured.listeners["SASL"],
        "SLA_SECURITY_PROTOCOL": "SASL_SSL",
        "SLA_SASL_MECHANISM": "PLAIN",
        "SLA_SASL_USERNAME": "stranger",
        "SLA_SASL_PASSWORD": USERS["stranger"],
        "SLA_KAFKA_SSL_CA_LOCATION": str(secured.ca),
        "SLA_PARTITIONS": "1",
    }


COMMANDS = {
    "tail": ["tail", "alerts", "--from-beginning", "--until-idle", "1"],
    "publish": ["publish", "examples/outage.jsonl"],
    "topics": ["topics", "show"],
    "credits": ["credits", "list"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_say_that_the_password_is_wrong(environment: dict[str, str], command: str) -> None:
    found = CliRunner().invoke(app, COMMANDS[command], env=environment | {"SLA_SASL_PASSWORD": "wrong-one"})
    assert found.exit_code == 2
    assert "authentication failed; check SLA_SASL_USERNAME" in found.output
    assert "wrong-one" not in found.output


def test_commands_say_what_a_user_is_not_allowed(secured: TlsBroker, environment: dict[str, str]) -> None:
    apply_topics(secured.plain, declared("sla", 1))
    found = CliRunner().invoke(app, ["topics", "apply"], env=environment)
    assert found.exit_code == 2
    assert "not allowed" in found.output


REGISTRY = {"SLA_SCHEMA_REGISTRY_USERNAME": "sla", "SLA_SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}
#: A process, the variable of its port, settings, and what it says of the failure that it meets first.
PROCESSES: dict[str, tuple[str, Mapping[str, str], str]] = {
    "worker": ("SLA_HEALTH_PORT", {}, "authentication failed"),
    "worker of a registry": ("SLA_HEALTH_PORT", REGISTRY, "schema registry"),
    "intake": ("SLA_INTAKE_PORT", {}, "authentication failed"),
    "notify": ("SLA_NOTIFY_PORT", {}, "authentication failed"),
    "board": ("SLA_BOARD_PORT", REGISTRY, "database"),
}


def test_no_secret_of_any_setting_is_shown_when_processes_fail(
    secured: TlsBroker, environment: dict[str, str], tmp_path: Path
) -> None:
    """Every password and token is wrong, and the database, the registry and the proxy can't be reached."""
    secrets = marked(INTAKE_SECRETS)
    assert shown_in(" ".join(secrets.values()), secrets) == list(secrets)
    routes = tmp_path / "notify.yaml"
    routes.write_text(
        "version: 1\ndestinations:\n"
        "  pager: {kind: pagerduty, routing_key: {env: PAGER_KEY}}\n"
        "  room: {kind: slack, url: {env: ROOM_URL}}\n"
        "  hook: {kind: webhook, url: {env: HOOK_URL}, secrets: [{env: HOOK_KEY}]}\n"
        "routes: [{to: [pager, room, hook]}]\n"
    )
    common = environment | secrets | {"SLA_INTAKE_MAPPING": str(MAPPING), "SLA_NOTIFY_ROUTES": str(routes)}
    started = {
        name: CommandProcess(name.split()[0], port, tmp_path / f"{name}.log", {**common, **own})
        for name, (port, own, _) in PROCESSES.items()
    }
    with ExitStack() as running:
        for process in started.values():
            process.launch()
            running.callback(process.kill)
        listed = {name: Path(f"/proc/{process.pid}/cmdline").read_text() for name, process in started.items()}
        for name, process in started.items():
            said = PROCESSES[name][2]
            wait(lambda process=process, said=said: said in process.told(), process.told)
            shown = process.told() + listed[name] + process.get("/metrics")[1] + process.get("/live")[1]
            assert shown_in(shown, secrets) == [], name
    for process in started.values():
        assert shown_in(process.log.read_text(), secrets) == []

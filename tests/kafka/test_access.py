"""The access rules on a real broker that denies everything else: what each role may do, may not do, and that the
processes work with no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from aiokafka.errors import TransactionalIdAuthorizationFailed
from click.testing import Result
from command_process import CommandProcess
from destinations import Destinations, NotifyProcess
from intake_process import MAPPING, SECRETS, SERVICES
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    KafkaError,
    NotCoordinatorError,
    TopicAuthorizationFailedError,
)
from kafka.structs import OffsetAndMetadata
from secured_broker import CERTIFICATE, MECHANISMS, Secured, password, secured_broker
from typer.testing import CliRunner

from cli.kafka_io.topic_admin import apply_topics
from cli.main import app
from connect.client import IncidentPublisher, Who, consume_alerts
from streams.access_rules import ROLES, grants
from streams.kafka import aiokafka_clients
from streams.sla.instants import HOUR, format_rfc3339
from streams.time_source import SystemTimeSource
from streams.topics import declared
from tests.waiting import TIMEOUT_S, wait

pytestmark = pytest.mark.kafka

PREFIX, PARTITIONS = "sla", 2
_READ, _WRITE, _PURGE = "r", "w", "d"
#: Per topic: r reads, w writes, d deletes records. Written by hand, so that a slip in the rules is seen here.
EXPECTED: dict[str, dict[str, str]] = {
    "incident-events": {"publisher": "w", "worker": "r", "intake": "w", "board": "rw", "operator": "rw"},
    "contract-events": {"worker": "r", "intake": "w", "billing": "w", "board": "rw", "operator": "rw"},
    "incidents": {"worker": "w", "notifier": "r", "on-call": "r", "board": "r", "operator": "r"},
    "alerts": {"worker": "w", "notifier": "r", "on-call": "r", "board": "r", "operator": "r"},
    "impacts": {"worker": "w", "operator": "r"},
    "incident-state": {"worker": "w", "on-call": "r", "board": "r", "operator": "r"},
    "incidents-internal": {"worker": "rwd", "board": "r", "operator": "r"},
    "ledger-internal": {"worker": "rwd", "board": "r", "operator": "r"},
    "credits": {"worker": "w", "billing": "r", "board": "r", "operator": "r"},
    "tenant-months": {"worker": "w", "billing": "r", "operator": "r"},
    "rejected": {"worker": "w", "intake": "w", "board": "r", "operator": "r"},
    "notifications": {"notifier": "rw", "board": "r", "operator": "rw"},
    "heartbeats": {"intake": "rw", "operator": "r"},
    "audit": {"board": "rw", "operator": "r"},
    "incidents-changelog": {"worker": "rw", "board": "r", "operator": "r"},
    "ledger-changelog": {"worker": "rw", "board": "r", "operator": "r"},
}
#: Whose cleanup policy a process looks at for its readiness.
CHECKED = {
    "worker": {
        *("incident-events", "contract-events", "incidents-internal", "ledger-internal"),
        *("incidents-changelog", "ledger-changelog"),
        *("incidents", "alerts", "impacts", "incident-state", "credits", "tenant-months", "rejected"),
    },
    "intake": {"incident-events", "contract-events", "rejected", "heartbeats"},
    "notifier": {"alerts", "incidents", "notifications"},
    "board": {
        *("incident-events", "contract-events", "incidents", "alerts", "incident-state", "credits", "rejected"),
        *("notifications", "audit"),
    },
}
STRANGER = "stranger"
EVERYBODY = (*ROLES, STRANGER)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker whose topics the operator has made."""
    granted = {role: grants(role, PREFIX, PREFIX) for role in ROLES}
    with secured_broker(tmp_path_factory.mktemp("certificates"), granted, [STRANGER]) as running:
        options = running.client("operator")
        assert apply_topics(options.pop("bootstrap_servers"), declared(PREFIX, PARTITIONS), options).fine
        with closing(KafkaAdminClient(bootstrap_servers=running.open)) as admin:
            wait(lambda: _has_coordinators(admin), running.log.read_text)
        yield running


def _has_coordinators(admin: KafkaAdminClient) -> bool:
    """The broker creates the topic of group offsets when it is first asked."""
    try:
        admin.list_group_offsets("sla")
    except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError):
        return False
    return True


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("user", EVERYBODY)
def test_each_topic_is_open_to_those_who_need_it_and_to_nobody_else(kafka: Secured, user: str, mechanism: str) -> None:
    names = {"READ": _READ, "WRITE": _WRITE, "DELETE": _PURGE}
    assert set(EXPECTED) == {spec.name.removeprefix(f"{PREFIX}.") for spec in declared()}
    with closing(KafkaAdminClient(**kafka.client(user, mechanism))) as admin:
        found = {each["name"]: each for each in admin.describe_topics([f"{PREFIX}.{topic}" for topic in EXPECTED])}
    for topic, expected in EXPECTED.items():
        allowed = found[f"{PREFIX}.{topic}"]
        operations = set() if allowed["error_code"] else set(allowed["authorized_operations"])
        wanted = expected.get(user, "")
        assert "".join(letter for name, letter in names.items() if name in operations) == wanted, topic
        beyond = operations - {*names, "DESCRIBE"}
        checked = {"DESCRIBE_CONFIGS"} if topic in CHECKED.get(user, ()) else set()
        assert beyond == ({"CREATE", "ALTER", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"} if user == "operator" else checked)


@pytest.mark.parametrize("user", EVERYBODY)
def test_only_workers_take_a_transactional_id_of_a_task(kafka: Secured, user: str) -> None:
    async def take() -> None:
        options = kafka.client(user)
        brokers = options.pop("bootstrap_servers")
        producer = aiokafka_clients.transactional_producer([brokers], options, transactional_id="sla-incidents-7")
        try:
            await producer.start()
        finally:
            await producer.stop()

    if user == "worker":
        asyncio.run(take())
    else:
        with pytest.raises(TransactionalIdAuthorizationFailed):
            asyncio.run(take())


OUTAGE = {"scope": "platform", "component": "api", "impact": "complete_outage", "channel": "monitor"}
#: Two, so that either partition, and with it each worker, has one.
INCIDENTS = ("inc-1", "inc-3")
#: What people do with the command line, each as the least user who can.
COMMANDS = (
    ("operator", ["topics", "show"]),
    ("operator", ["doctor"]),
    ("operator", ["partitions"]),
    ("operator", ["tail", "alerts", "--json", "--from-beginning", "--until-idle", "0.2"]),
    ("operator", ["rejected", "list"]),
    ("operator", ["notify", "parked", "list"]),
    ("operator", ["report"]),
    ("operator", ["incidents", "update", "inc-1", "--public", "--text", "We look into it.", "--who", "support:kim"]),
    ("operator", ["contracts", "list"]),
    ("on-call", ["incidents", "list"]),
    ("billing", ["credits", "list"]),
)
OWNERS = {
    "sla": "worker",
    "sla-incidents": "worker",
    "sla-ledger": "worker",
    "sla-notify-hook": "notifier",
    "on-call-night": "on-call",
    "billing": "billing",
    "another": None,
}


@pytest.mark.parametrize("user", EVERYBODY)
def test_groups_are_open_to_their_owners_alone(kafka: Secured, user: str) -> None:
    """Whoever may commit for a group may also join it, and take its members' partitions."""
    offsets = {TopicPartition(f"{PREFIX}.alerts", 0): OffsetAndMetadata(0, "", -1)}
    with closing(KafkaAdminClient(**kafka.client(user))) as admin:
        for group, owner in OWNERS.items():
            try:
                (answer,) = admin.alter_group_offsets(group, offsets).values()
            except GroupAuthorizationFailedError as error:
                answer = type(error)
            assert (answer is not GroupAuthorizationFailedError) == (owner == user), group


def test_a_stranger_can_neither_write_a_changelog_nor_read_or_delete_anything(kafka: Secured) -> None:
    changelog = f"{PREFIX}.incidents-changelog"
    for user in (STRANGER, "publisher", "operator"):
        with closing(KafkaProducer(max_block_ms=2_000, **kafka.client(user))) as producer:
            with pytest.raises(KafkaError) as refused:
                producer.send(changelog, key=b"forged", value=b"row").get(TIMEOUT_S)
            assert "Authorization" in repr(refused.value) or "metadata" in str(refused.value)
    with closing(KafkaAdminClient(**kafka.client(STRANGER))) as admin:
        assert admin.list_topics() == []
    with closing(KafkaAdminClient(**kafka.client("billing"))) as admin, pytest.raises(TopicAuthorizationFailedError):
        admin.delete_records({TopicPartition(f"{PREFIX}.credits", 0): -1})


#: How each process proves who it is. Two workers share the work.
PROVEN_BY = {"intake": "PLAIN", "notifier": "OAUTHBEARER", "board": "SCRAM-SHA-256"}
WORKERS = (CERTIFICATE, "OAUTHBEARER")
#: How clients and people do, in turn.
CLIENTS = {
    "publisher": ("OAUTHBEARER", CERTIFICATE),
    "on-call": (CERTIFICATE, "PLAIN"),
    "operator": ("PLAIN", "OAUTHBEARER"),
    "billing": ("OAUTHBEARER", CERTIFICATE),
}


def test_every_process_works_with_its_grants_and_asks_for_nothing_more(
    kafka: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a monitor's request to a page and a row on the board, each process as a user of its own."""

    def environment_of(user: str, mechanism: str) -> dict[str, str]:
        return {**kafka.environment(user, mechanism), "SLA_PARTITIONS": str(PARTITIONS)}

    def started(user: str, command: str, port: str, mechanism: str, **settings: str) -> CommandProcess:
        log = tmp_path / f"{command}-{mechanism}.log"
        return CommandProcess(command, port, log, {**environment_of(user, mechanism), **settings})

    before = len(kafka.denied())
    overdue = format_rfc3339(SystemTimeSource().now() - 3 * HOUR)
    with Destinations() as destinations, ExitStack() as processes:
        for mechanism in WORKERS:
            processes.enter_context(
                started("worker", "worker", "SLA_HEALTH_PORT", mechanism, SLA_BACKFILL_QUIET="PT1S")
            )
        mapping, jobs = tmp_path / "intake.yaml", "jobs-token-00000001"
        monitors = (MAPPING.parent / "intake" / "heartbeat.yaml").read_text(encoding="utf-8").partition("sources:\n")[2]
        mapping.write_text(f"{MAPPING.read_text(encoding='utf-8')}\n{monitors}", encoding="utf-8")
        settings = {**SECRETS, "SLA_INTAKE_JOBS_TOKEN": jobs, "SLA_INTAKE_MAPPING": str(mapping)}
        intake = processes.enter_context(
            started("intake", "intake", "SLA_INTAKE_PORT", PROVEN_BY["intake"], **settings)
        )
        database = f"sqlite:///{tmp_path}/board.db"
        board = processes.enter_context(
            started("board", "board", "SLA_BOARD_PORT", PROVEN_BY["board"], SLA_BOARD_DATABASE_URL=database)
        )
        with monkeypatch.context() as environment:
            own = environment_of("notifier", PROVEN_BY["notifier"])
            for name, value in own.items():
                environment.setenv(name, value)
            processes.enter_context(NotifyProcess(own["SLA_BROKERS"], PREFIX, tmp_path, destinations, "hook"))
        for incident in INCIDENTS:
            status, answer = intake.post(
                "/v1/incidents", json.dumps({"incident_id": incident, "time": overdue, **OUTAGE}).encode(), SERVICES
            )
            assert status in {200, 202}, answer
        beat = ("/v1/heartbeats/probe-acme", b"", {"Authorization": f"Bearer {jobs}"})
        wait(lambda: intake.post(*beat)[0] == 202, kafka.denied)
        wait(lambda: '"problem": null' in intake.get("/ready")[1], kafka.denied)
        for turn in range(2):
            options = kafka.client("publisher", CLIENTS["publisher"][turn])
            with IncidentPublisher(options.pop("bootstrap_servers"), "/monitors", kafka=options) as publisher:
                publisher.responded(INCIDENTS[turn], who=Who("support", "ann")).result(TIMEOUT_S)
            options = kafka.client("on-call", CLIENTS["on-call"][turn])
            brokers = options.pop("bootstrap_servers")
            with consume_alerts(brokers, group=f"on-call-{turn}", kafka=options) as alerts:
                assert any(alert.subject == INCIDENTS[turn] for alert in alerts)
        wait(lambda: destinations.heard, kafka.denied)
        wait(lambda: all(each in board.get("/api/v1/incidents")[1] for each in INCIDENTS), kafka.denied)
        for number, (user, words) in enumerate(COMMANDS):
            with monkeypatch.context() as environment:
                for name, value in environment_of(user, CLIENTS[user][number % 2]).items():
                    environment.setenv(name, value)
                carry_out(words)
        assert destinations.wrong == []
    assert kafka.denied()[before:] == []


def carry_out(words: list[str]) -> None:
    """A command, until it succeeds: it may say that something is not so yet. What is not allowed shows in `denied`."""
    results: list[Result] = []

    def done() -> bool:
        results.append(CliRunner().invoke(app, words))
        return results[-1].exit_code == 0

    wait(done, lambda: (words, results[-1].output, results[-1].stderr))


#: mechanism, settings that differ from those of the operator, what the command line says.
REFUSED: dict[str, tuple[str, dict[str, str], str]] = {
    "a token that another key signed": (
        "OAUTHBEARER",
        {"SLA_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "FOREIGN"},
        "authentication failed",
    ),
    "a wrong client secret": (
        "OAUTHBEARER",
        {"SLA_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "wrong-one"},
        "answers 401",
    ),
    "a wrong password": ("PLAIN", {"SLA_KAFKA_SASL_PASSWORD": "wrong-one"}, "authentication failed"),
    "another user's password": ("PLAIN", {"SLA_KAFKA_SASL_PASSWORD": password("worker")}, "authentication failed"),
    "a certificate of another authority": (
        CERTIFICATE,
        {"SLA_KAFKA_SSL_CERTIFICATE_LOCATION": "foreign.pem"},
        "certificate",
    ),
    "the certificate of a user without grants": (
        CERTIFICATE,
        {"SLA_KAFKA_SSL_CERTIFICATE_LOCATION": f"sla-{STRANGER}.pem"},
        "not allowed",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_command_line_says_why_a_user_is_refused(
    kafka: Secured, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanism, changed, said = REFUSED[case]
    replaced = {"FOREIGN": kafka.tokens.url.replace("/token", "/foreign")}
    for name, value in {**kafka.environment("operator", mechanism), **changed}.items():
        path = str(kafka.folder / value) if name in changed and value.endswith(".pem") else value
        monkeypatch.setenv(name, replaced.get(value, path))
    result = CliRunner().invoke(app, ["topics", "apply"])
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert not [value for value in changed.values() if value in result.output and not value.endswith(".pem")]

"""Asks the brokers: are they there, which topics have they, who reads them. Writes nothing."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

from cli.doctor.findings import (
    Diagnosis,
    clock_finding,
    leader_findings,
    topic_findings,
    transaction_findings,
    worker_findings,
)
from cli.support.counts import counted
from streams.errors import SlaError

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.time_source import TimeSource

#: A network that answers needs far less; an address that swallows packets takes this long.
_CONNECT_S = 2.0
_BOOTSTRAP_MS = 4_000
_NOT_AUTHORIZED = 29


def kafka_findings(settings: Settings, time_source: TimeSource) -> Iterator[Diagnosis]:
    """All that the brokers tell; where none can be reached, only why."""
    from kafka.errors import KafkaError

    from streams.kafka import kafka_python_clients
    from streams.kafka.causes import cause_of

    with ThreadPoolExecutor(max_workers=8) as threads:
        reached = list(threads.map(_connect, settings.bootstrap()))
    yield from reached
    if all(each.status == "fail" for each in reached):
        return
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    where = ", ".join(settings.bootstrap())
    try:
        admin = kafka_python_clients.admin(
            bootstrap_servers=list(settings.bootstrap()),
            client_id="sla-doctor",
            bootstrap_timeout_ms=_BOOTSTRAP_MS,
            **settings.client_security(),
        )
    except (KafkaError, OSError, ValueError) as error:
        what, _, check = cause_of(error).text.partition("; ")
        mend = check or (
            "the address is open, but what answers does not speak Kafka with these settings: compare "
            "SLA_SECURITY_PROTOCOL, SLA_SASL_… and SLA_SSL_CAFILE with its listener"
        )
        yield Diagnosis("fail", "brokers", f"{where}: {what}", mend)
        return
    with closing(admin):
        try:
            yield _cluster(admin)
            yield from _topics(admin, settings)
            leaderless = leader_findings(_leaderless(admin, settings))
            yield from leaderless
        except KafkaError as error:
            yield Diagnosis("fail", "access", f"{where}: {error}", "allow this user to describe the cluster's topics")
            return
    if not leaderless:  # else every request for the ends of partitions would wait for one that nobody leads
        yield from _progress(settings, time_source)


def _connect(address: str) -> Diagnosis:
    """Whether anything listens at an address, and if not, the true cause."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return Diagnosis("fail", "brokers", f"{address}: no port", "write SLA_BROKERS as HOST:PORT,HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except socket.gaierror as error:
        return Diagnosis(
            "fail", "brokers", f"{address}: the name is unknown ({error.strerror})", "check SLA_BROKERS, DNS"
        )
    except ConnectionRefusedError:
        mend = "start Kafka there (on this machine: sla up), or correct SLA_BROKERS"
        return Diagnosis("fail", "brokers", f"{address}: nothing listens there", mend)
    except TimeoutError:
        mend = "check SLA_BROKERS and what lies between: firewall, security group, VPN"
        return Diagnosis("fail", "brokers", f"{address}: no answer within {_CONNECT_S:g} s", mend)
    except (OSError, OverflowError) as error:
        return Diagnosis("fail", "brokers", f"{address}: {error}", "check SLA_BROKERS and the network")
    return Diagnosis("ok", "brokers", f"{address}: reachable")


def _cluster(admin: Any) -> Diagnosis:
    cluster = admin.describe_cluster()
    brokers = cluster["brokers"]
    version = admin.get_broker_version_data(brokers[0]["broker_id"]).broker_version
    return Diagnosis(
        "ok",
        "brokers",
        f"cluster {cluster['cluster_id']}: {counted(len(brokers), 'broker')}, API of Kafka {_dotted(version)}",
    )


def _dotted(version: object) -> str:
    return ".".join(map(str, version)) if isinstance(version, tuple) else str(version)


def _topics(admin: Any, settings: Settings) -> list[Diagnosis]:
    from cli.kafka_io.topic_admin import actual_of, differences_of

    specs = settings.topics()
    actual = actual_of(admin, specs)
    absent = [spec.name for spec in specs if spec.name not in actual]
    asked = admin.describe_topics(absent) if absent else []
    hidden = [topic["name"] for topic in asked if topic["error_code"] == _NOT_AUTHORIZED]
    differing = {
        spec.name: [(each.setting, each.declared, each.actual) for each in differences_of(spec, actual[spec.name])]
        for spec in specs
        if spec.name in actual
    }
    return topic_findings(specs, {name: topic.partitions for name, topic in actual.items()}, differing, hidden)


def _leaderless(admin: Any, settings: Settings) -> list[tuple[str, int]]:
    """The partitions of existing topics that have no leader."""
    described = admin.describe_topics([spec.name for spec in settings.topics()])
    return [
        (topic["name"], each["partition_index"])
        for topic in described
        for each in topic.get("partitions") or ()
        if each["leader_id"] < 0
    ]


def _progress(settings: Settings, time_source: TimeSource) -> Iterator[Diagnosis]:
    from connect.kafka_io.progress_reader import ProgressReader
    from connect.kafka_io.reader import TopicReader

    inputs = [f"{settings.topic_prefix}.{topic}" for topic in ("incident-events", "contract-events")]
    try:
        with TopicReader(settings.bootstrap(), inputs, settings.aiokafka_security()) as reader:
            reader.from_last(1)
            stamps = [record.arrival for records in reader.there() for record in records]
        yield clock_finding(max(stamps, default=None), time_source.now())
    except SlaError as error:
        yield Diagnosis("fail", "access", str(error), "allow this user to READ the input topics")
    try:
        with ProgressReader(settings, time_source) as progress:
            yield from worker_findings(progress.read(), settings.app_id)
            yield from transaction_findings(progress.blocked_inputs(), time_source.now())
    except SlaError as error:
        mend = "allow this user to READ the internal topics and changelogs, and to DESCRIBE the groups"
        yield Diagnosis("fail", "progress", str(error), mend)

"""Permissions of the workers are withdrawn under load, one resource after the other, and given back."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from cli.embedded_kafka.broker import Broker, start_broker
from cli.embedded_kafka.node_files import HOST, free_port
from streams.access_rules import Grant, grants

from .deployment import PREFIX, wait_for
from .run import Run
from .service import ALL, running, wait_until_flowing

_USER = "worker"
_WORD = f"{_USER}-Pa55"
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Delete": ACLOperation.DELETE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}
#: Read only where a release before has left it.
_LEGACY = f"{PREFIX}.shared"


class SecuredBroker:
    """A broker that denies workers what no ACL allows; everybody else uses its open listener."""

    def __init__(self, broker: Broker, port: int) -> None:
        self._broker = broker
        self.worker_settings = {
            "SLA_BROKERS": f"{HOST}:{port}",
            "SLA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "SLA_SASL_MECHANISM": "PLAIN",
            "SLA_SASL_USERNAME": _USER,
            "SLA_SASL_PASSWORD": _WORD,
            "FAULT_REFUSED_S": "1",
        }

    @property
    def bootstrap(self) -> str:
        return self._broker.bootstrap

    def stop(self) -> None:
        self._broker.stop()

    def allow(self, grant: Grant) -> None:
        """Give a permission."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            made = admin.create_acls(
                [
                    ACL(f"User:{_USER}", "*", _OPERATIONS[each], ACLPermissionType.ALLOW, _pattern(grant))
                    for each in grant.operations
                ]
            )
            assert not made["failed"], made["failed"]

    def withdraw(self, grant: Grant) -> None:
        """Take every permission on that resource away."""
        pattern = ResourcePatternFilter(_RESOURCES[grant.resource], grant.name, _pattern_type(grant))
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.delete_acls([ACLFilter(f"User:{_USER}", None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)])

    def members(self, group: str) -> int:
        """How many members the broker counts."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            return len(admin.describe_groups([group])[group]["members"])


def _pattern_type(grant: Grant) -> ACLResourcePatternType:
    return ACLResourcePatternType.PREFIXED if grant.prefixed else ACLResourcePatternType.LITERAL


def _pattern(grant: Grant) -> ResourcePattern:
    return ResourcePattern(_RESOURCES[grant.resource], grant.name, _pattern_type(grant))


@contextmanager
def secured(folder: Path) -> Iterator[SecuredBroker]:
    """For `execute`: workers have the grants that `sla topics acls` lists."""
    port, control, plain = free_port(), free_port(), free_port()
    login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{_USER}="{_WORD}";'
    settings = {
        "listeners": f"BROKER://{HOST}:{port},WORKER://{HOST}:{plain},CONTROLLER://{HOST}:{control}",
        "controller.quorum.voters": f"1@{HOST}:{control}",
        "advertised.listeners": f"BROKER://{HOST}:{port},WORKER://{HOST}:{plain}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,WORKER:SASL_PLAINTEXT",
        "listener.name.worker.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.worker.plain.sasl.jaas.config": login,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with start_broker(folder / "kafka", port, extra=settings) as running_broker:
        wait_for(lambda: _listens(plain), "the workers' listener is open")
        broker = SecuredBroker(running_broker, plain)
        for grant in grants("worker", PREFIX, PREFIX):
            broker.allow(grant)
        yield broker


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


def withdrawn(run: Run) -> None:
    """Each in turn: workers say so and lose nothing, and go on by themselves once it is given back."""
    broker = run.deployment.brokers
    assert isinstance(broker, SecuredBroker)
    given = [each for each in grants("worker", PREFIX, PREFIX) if each.name != _LEGACY]
    run.random.shuffle(given)
    for turn in run.times(len(given), 7):
        grant = given[turn]
        what = f"{grant.resource} {grant.name} withdrawn"
        broker.withdraw(grant)
        run.did(what)
        began = time.monotonic()
        run.pause(12.0, 16.0)
        told = [worker.get("/ready") for worker in run.deployment.alive()]
        if not told:
            run.result.problems.append(f"{what}: the worker ended")
        if all(status == 200 for status, _ in told):
            run.result.problems.append(f"{what}: after {time.monotonic() - began:.0f} s the worker is ready")
        broker.allow(grant)
        run.did("given back")
        if not run.deployment.alive():
            run.deployment.start_worker(wait=False)
        wait_until_flowing(run)
        wait_for(lambda: set().union(*map(running, run.deployment.alive())) == ALL, f"after {what} all tasks run")
        run.deployment.wait_until_served()
        # Outputs alone don't show it: a worker that was expelled works on until another one takes over.
        wait_for(lambda: broker.members(PREFIX) == len(run.deployment.alive()), f"after {what} all workers are members")

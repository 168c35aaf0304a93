"""A real broker with SASL/SCRAM and the standard authorizer: everything that no ACL allows is denied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)

from cli.embedded_kafka import node_files
from cli.embedded_kafka.broker import start_broker
from cli.embedded_kafka.node_files import HOST, free_port
from streams.access_rules import Grant

_MECHANISM = "SCRAM-SHA-256"
_OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Create": ACLOperation.CREATE,
    "Delete": ACLOperation.DELETE,
    "Alter": ACLOperation.ALTER,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": ACLOperation.ALTER_CONFIGS,
}
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.CLUSTER,
}


class Secured(NamedTuple):
    """A running broker: `open` is its listener for the administrator, `bootstrap` the one that asks for a password."""

    open: str
    bootstrap: str
    log: Path

    def client(self, user: str) -> dict[str, Any]:
        """kafka-python's options of a user."""
        return {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": _MECHANISM,
            "sasl_plain_username": user,
            "sasl_plain_password": password(user),
        }

    def environment(self, user: str) -> dict[str, str]:
        """The settings of a process of that user."""
        return {
            "SLA_BROKERS": self.bootstrap,
            "SLA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "SLA_SASL_MECHANISM": _MECHANISM,
            "SLA_SASL_USERNAME": user,
            "SLA_SASL_PASSWORD": password(user),
        }

    def denied(self) -> list[str]:
        """What the authorizer has denied so far, in its words."""
        return re.findall(r"Principal = User:(\S+) is Denied (.*)", self.log.read_text())


def password(user: str) -> str:
    """Each user has its own."""
    return f"{user}-Pa55"


@contextmanager
def secured_broker(grants: Mapping[str, Iterable[Grant]], users: Iterable[str] = ()) -> Iterator[Secured]:
    """A broker with those users, and further `users` without any grant."""
    node_files._JVM += ("-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info",)
    port, sasl = free_port(), free_port()
    settings = {
        "listeners": f"BROKER://{HOST}:{port},CLIENTS://{HOST}:{sasl},CONTROLLER://{HOST}:{(control := free_port())}",
        "controller.quorum.voters": f"1@{HOST}:{control}",
        "advertised.listeners": f"BROKER://{HOST}:{port},CLIENTS://{HOST}:{sasl}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CLIENTS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.clients.sasl.enabled.mechanisms": _MECHANISM,
        "listener.name.clients.scram-sha-256.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with start_broker(port=port, extra=settings) as running:
        with closing(KafkaAdminClient(bootstrap_servers=running.bootstrap)) as admin:
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(user, 1, password(user)) for user in {*grants, *users}]
            )
            created = admin.create_acls(
                [acl for user, given in grants.items() for each in given for acl in _acls(user, each)]
            )
            assert not created["failed"], created["failed"]
        yield Secured(running.bootstrap, f"{HOST}:{sasl}", running.data_dir / "broker.log")


def _acls(user: str, grant: Grant) -> list[ACL]:
    pattern = ResourcePattern(
        _RESOURCES[grant.resource],
        grant.name,
        ACLResourcePatternType.PREFIXED if grant.prefixed else ACLResourcePatternType.LITERAL,
    )
    return [ACL(f"User:{user}", "*", _OPERATIONS[each], ACLPermissionType.ALLOW, pattern) for each in grant.operations]

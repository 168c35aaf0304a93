"""Strimzi's resources (kafka.strimzi.io/v1) from the tables of topics and of access."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from streams.access_rules import Grant
from streams.topics import TopicSpec

_API = "kafka.strimzi.io/v1"


def kafka_topic(cluster: str, spec: TopicSpec) -> dict[str, Any]:
    """The KafkaTopic of a topic in the cluster with that name."""
    return {
        "apiVersion": _API,
        "kind": "KafkaTopic",
        "metadata": _metadata(cluster, spec.name),
        "spec": {
            "topicName": spec.name,
            "partitions": spec.partitions,
            "replicas": spec.replication,
            "config": spec.config(),
        },
    }


def kafka_user(cluster: str, user: str, authentication: str, grants: Sequence[Grant]) -> dict[str, Any]:
    """The KafkaUser with those grants, which signs in by `tls` or `scram-sha-512`."""
    return {
        "apiVersion": _API,
        "kind": "KafkaUser",
        "metadata": _metadata(cluster, user),
        "spec": {
            "authentication": {"type": authentication},
            "authorization": {"type": "simple", "acls": [_acl(each) for each in grants]},
        },
    }


def manifests(resources: Iterable[dict[str, Any]]) -> str:
    """Resources as one YAML stream."""
    return str(yaml.safe_dump_all(resources, sort_keys=False, explicit_start=True))


def _metadata(cluster: str, name: str) -> dict[str, Any]:
    return {"name": name, "labels": {"strimzi.io/cluster": cluster}}


def _acl(grant: Grant) -> dict[str, object]:
    resource = {"type": "cluster"}
    if grant.resource != "cluster":
        kind = "transactionalId" if grant.resource == "transactional-id" else grant.resource
        resource = {"type": kind, "name": grant.name, "patternType": "prefix" if grant.prefixed else "literal"}
    return {"resource": resource, "operations": list(grant.operations)}

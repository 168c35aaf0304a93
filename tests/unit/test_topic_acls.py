"""`sla topics acls`: the access rules as a table, JSON, commands of Kafka's tools and KafkaUser resources."""

from __future__ import annotations

import json
import shlex

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from streams.access_rules import ROLES, grants
from streams.topics import declared

COMMON = ["topics", "acls"]


def printed(*words: str) -> str:
    result = CliRunner().invoke(app, [*COMMON, *words])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_every_grant_names_a_topic_that_exists() -> None:
    names = {spec.name for spec in declared("eu")} | {"eu.shared"}  # the internal topic of earlier versions
    for role in ROLES:
        for grant in grants(role, "eu", "app"):
            if grant.resource == "topic":
                assert grant.prefixed or grant.name in names, (role, grant)


def test_workers_groups_do_not_open_those_of_others() -> None:
    """The app id is the start of the notifier's group names where it equals the prefix."""
    groups = [each for each in grants("worker", "sla", "sla") if each.resource == "group"]
    assert [each.name for each in groups] == ["sla", "sla-incidents", "sla-ledger"]
    assert not any(each.prefixed for each in groups)


def test_json_has_one_grant_a_line() -> None:
    lines = [json.loads(line) for line in printed("intake", "--json", "--prefix", "eu").splitlines()]
    common = {"role": "intake", "user": "sla-intake", "resource": "topic", "pattern": "literal"}
    operations = {
        "eu.heartbeats": ["Read", "Write", "DescribeConfigs"],
        "eu.incident-events": ["Write", "DescribeConfigs"],
        "eu.contract-events": ["Write", "DescribeConfigs"],
        "eu.rejected": ["Write", "DescribeConfigs"],
    }
    assert lines == [{**common, "name": name, "operations": each} for name, each in operations.items()]
    assert len(lines) == len(grants("intake", "eu", "sla"))


def test_commands_can_be_run_by_a_shell() -> None:
    about, *lines = printed("notifier", "--format", "commands", "--user", "notifier=CN=pager duty,O=Acme").splitlines()
    assert about == "# notifier: sla notify"
    words = shlex.split(lines[-1])
    assert words[0] == "kafka-acls.sh"
    assert words[words.index("--allow-principal") + 1] == "User:CN=pager duty,O=Acme"
    assert words[-4:] == ["--group", "sla-notify-", "--resource-pattern-type", "prefixed"]


def test_kafkausers_are_strimzis() -> None:
    users = list(yaml.safe_load_all(printed("--format", "kafkauser", "--authentication", "scram-sha-512")))
    assert [each["metadata"]["name"] for each in users] == [f"sla-{role}" for role in ROLES]
    for user in users:
        assert (user["apiVersion"], user["kind"]) == ("kafka.strimzi.io/v1", "KafkaUser")
        assert user["spec"]["authentication"] == {"type": "scram-sha-512"}
        for acl in user["spec"]["authorization"]["acls"]:
            assert acl["resource"]["type"] in {"topic", "group", "cluster", "transactionalId"}
            assert acl["resource"].get("patternType", "literal") in {"literal", "prefix"}
            assert acl["operations"]


def test_kafkatopics_have_the_declared_settings() -> None:
    words = ["topics", "kafkatopics", "--prefix", "eu", "--replication", "3", "--cluster", "events"]
    found = list(yaml.safe_load_all(CliRunner().invoke(app, words).stdout))
    lines = CliRunner().invoke(app, [*words, "--json"]).stdout.splitlines()
    assert [json.loads(line) for line in lines] == found
    assert [each["spec"]["topicName"] for each in found] == [spec.name for spec in declared("eu")]
    assert found[0]["metadata"] == {"name": "eu.incident-events", "labels": {"strimzi.io/cluster": "events"}}
    assert found[0]["spec"]["config"] == declared("eu", replication=3)[0].config()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["wrker"], "there is no role wrker; allowed: publisher, worker,"),
        (["--user", "worker"], "--user worker: write ROLE=USER"),
        (["--user", "wrker=x"], "there is no role wrker"),
        (["--format", "commands", "--json"], "contradict"),
    ],
)
def test_wrong_use_says_what_is_allowed(words: list[str], message: str) -> None:
    result = CliRunner().invoke(app, [*COMMON, *words])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--cluster", "main"), "apply only with --format kafkauser"),
        (("--authentication", "tls", "--json"), "apply only with --format kafkauser"),
        (("intake", "--user", "worker=w"), "worker is not among the roles that are printed: intake"),
    ],
)
def test_an_option_that_would_have_no_effect_is_refused(words: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(app, [*COMMON, *words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr

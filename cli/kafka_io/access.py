"""`sla topics acls`: what each role needs of Kafka, as a table, commands of Kafka's tools, or KafkaUser resources."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.support.console import print_rows
from cli.support.exits import one_line, wrong_use
from cli.support.options import Prefix, chosen_format

if TYPE_CHECKING:
    from streams.access_rules import Grant

_PATTERN = {False: "literal", True: "prefixed"}


def acls(
    roles: Annotated[list[str] | None, typer.Argument(metavar="[ROLE]…", help="Only these roles.")] = None,
    *,
    prefix: Prefix = None,
    app_id: Annotated[str | None, typer.Option("--app-id", help="Default: SLA_APP_ID, else sla.")] = None,
    users: Annotated[
        list[str] | None,
        typer.Option(
            "--user", metavar="ROLE=USER", help="Kafka's name of the user with a role; default: sla-ROLE. Repeatable."
        ),
    ] = None,
    output: Annotated[
        Literal["table", "json", "commands", "kafkauser"],
        typer.Option("--format", help="commands: for kafka-acls.sh; kafkauser: Strimzi's resources."),
    ] = "table",
    authentication: Annotated[
        Literal["tls", "scram-sha-512"] | None,
        typer.Option(help="With --format kafkauser: how these users sign in; default: tls."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="With --format kafkauser: name of Strimzi's Kafka resource; default: kafka.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Print the least access with which each process and service works. Asks no broker."""
    from streams.access_rules import ROLES, grants
    from streams.settings import read_settings

    given = {name: value for name, value in (("topic_prefix", prefix), ("app_id", app_id)) if value is not None}
    with one_line():
        settings = read_settings(**given)
    chosen = list(dict.fromkeys(roles or ROLES))
    for role in chosen:
        _check_role(role, ROLES)
    names = _users(users or [], ROLES, chosen)
    format_ = chosen_format(output, as_json=as_json)
    if format_ != "kafkauser" and (authentication is not None or cluster is not None):
        wrong_use("--authentication and --cluster apply only with --format kafkauser; add it")
    granted = {role: grants(role, settings.topic_prefix, settings.app_id) for role in chosen}
    match format_:
        case "table":
            rows = [
                (names[role], f"{each.resource} {each.name}{'*' if each.prefixed else ''}", ", ".join(each.operations))
                for role in chosen
                for each in granted[role]
            ]
            print_rows(("user", "resource", "operations"), rows)
        case "json":
            for role in chosen:
                for each in granted[role]:
                    typer.echo(json.dumps({"role": role, "user": names[role], **_as_json(each)}))
        case "commands":
            for role in chosen:
                typer.echo(f"# {role}: {ROLES[role]}")
                for each in granted[role]:
                    typer.echo(_command(names[role], each))
        case "kafkauser":
            from cli.kafka_io.strimzi import kafka_user, manifests

            where, sign_in = cluster or "kafka", authentication or "tls"
            resources = (kafka_user(where, names[role], sign_in, granted[role]) for role in chosen)
            typer.echo(manifests(resources), nl=False)


def _check_role(role: str, known: Mapping[str, str]) -> None:
    if role not in known:
        wrong_use(f"there is no role {role}; allowed: {', '.join(known)}")


def _users(given: Sequence[str], known: Mapping[str, str], chosen: Sequence[str]) -> dict[str, str]:
    names = {role: f"sla-{role}" for role in known}
    for each in given:
        role, equals, user = each.partition("=")
        if not equals or not user:
            wrong_use(f"--user {each}: write ROLE=USER, for example worker=CN=sla-worker")
        _check_role(role, known)
        if role not in chosen:
            wrong_use(f"--user {each}: {role} is not among the roles that are printed: {', '.join(chosen)}")
        names[role] = user.removeprefix("User:")
    return names


def _as_json(grant: Grant) -> dict[str, object]:
    return {
        "resource": grant.resource,
        "name": grant.name,
        "pattern": _PATTERN[grant.prefixed],
        "operations": list(grant.operations),
    }


def _command(user: str, grant: Grant) -> str:
    words = ["kafka-acls.sh", "--bootstrap-server", "HOST:PORT", "--command-config", "admin.properties", "--add"]
    words += ["--allow-principal", f"User:{user}"]
    for operation in grant.operations:
        words += ["--operation", operation]
    words += ["--cluster"] if grant.resource == "cluster" else [f"--{grant.resource}", grant.name]
    if grant.prefixed:
        words += ["--resource-pattern-type", "prefixed"]
    return shlex.join(words)

"""`sla board tokens`: who may sign in to the board with a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.support.exits import one_line, wrong_use
from connect.actions.person import ROLE_NAMES, Person, Role

tokens_app = typer.Typer(epilog="Example: sla board tokens list", no_args_is_help=True, add_completion=False)

_File = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="The tokens file; default: SLA_BOARD_TOKENS, or .sla/board-tokens.json."
    ),
]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="The token's name.")]


@tokens_app.command("add", epilog="Example: sla board tokens add kim --role responder --role billing")
def add(
    name: _Name,
    role: Annotated[list[Role], typer.Option("--role", help=f"One of {ROLE_NAMES}; repeat it for several.")],
    tenant: Annotated[
        list[str] | None,
        typer.Option("--tenant", metavar="T", help="Limits the person to this tenant; repeat it for several."),
    ] = None,
    full_name: Annotated[str | None, typer.Option("--full-name", help="Shown in pages; default: the id.")] = None,
    person_id: Annotated[
        str | None,
        typer.Option(
            "--person",
            metavar="ID",
            help="The person's id, as events will name it. Behind a proxy or with OpenID Connect it must be the id "
            "that the provider gives the person (the claim sub). Default: NAME.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the token and whose it is as one object.")] = False,
    file: _File = None,
) -> None:
    """Make a token for a person and print it. It is printed once: the file has only its digest.

    Exit code 2: there is a token of this name, or the file can't be used.
    """
    from board.access.tokens import add_token
    from streams.sla.limits import InvalidInputError
    from streams.time_source import SystemTimeSource

    with one_line():
        try:
            identity = name if person_id is None else person_id
            person = Person(identity, full_name or identity, frozenset(role), frozenset(tenant) if tenant else None)
            secret = add_token(_file(file), person, SystemTimeSource().now(), name=name)
        except InvalidInputError as error:
            wrong_use(str(error))
    typer.echo(json.dumps({**_fields(name, person), "secret": secret}, ensure_ascii=False) if as_json else secret)


@tokens_app.command("list", epilog="Example: sla board tokens list --json")
def list_tokens(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False, file: _File = None
) -> None:
    """List who has a token, with roles and tenants. Tokens can't be shown again.

    Exit code 2: the file can't be used.
    """
    from board.access.tokens import read_tokens

    with one_line():
        for each in read_tokens(_file(file)):
            person = each.person
            tenants = None if person.tenants is None else sorted(person.tenants)
            if as_json:
                line = {**_fields(each.name, person), "created_at": each.created_at}
                typer.echo(json.dumps(line, ensure_ascii=False))
            else:
                limits = "all tenants" if tenants is None else f"tenants {','.join(tenants)}"
                typer.echo(f"{each.name}\t{','.join(sorted(person.roles))}\t{limits}\t{each.created_at}\t{person.id}")


@tokens_app.command("remove", epilog="Example: sla board tokens remove kim")
def remove(
    name: _Name,
    as_json: Annotated[bool, typer.Option("--json", help="Print the name of the token as one JSON object.")] = False,
    file: _File = None,
) -> None:
    """Remove a token. The board refuses it from then on, and ends the sessions that began with it.

    Exit code 2: there is no such token, or the file can't be used.
    """
    from board.access.tokens import remove_token

    with one_line():
        remove_token(_file(file), name)
    typer.echo(json.dumps({"removed": name}, ensure_ascii=False) if as_json else f"the token of {name} is removed")


def _fields(name: str, person: Person) -> dict[str, object]:
    """A token and its person for programs. `tenants` is null for all."""
    return {
        "token": name,
        "id": person.id,
        "name": person.name,
        "roles": sorted(person.roles),
        "tenants": None if person.tenants is None else sorted(person.tenants),
    }


def _file(given: Path | None) -> Path:
    from board.settings import read_board_settings

    return given or read_board_settings().tokens

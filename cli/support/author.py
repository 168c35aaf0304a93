"""Who acts on the command line: given by name, never assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cli.support.console import safe
from cli.support.exits import wrong_use
from streams.sla.events import ActorKind, Who

if TYPE_CHECKING:
    from connect.actions.person import Person

KINDS: tuple[str, ...] = get_args(ActorKind)

WhoOption = Annotated[
    str | None,
    typer.Option(
        "--who",
        metavar="KIND:ID",
        envvar="SLA_WHO",
        show_envvar=False,
        help="Who acts, such as support:kim; default: SLA_WHO.",
    ),
]


def author(who: str | None) -> Who:
    """The author of an event. Ends the command when there is none: an event without its author helps nobody later."""
    if not who:
        wrong_use("who acts? Write --who support:kim, or set SLA_WHO=support:kim")
    from connect.actions.form import id_problem

    kind, _, name = who.partition(":")
    if kind not in KINDS or not name:
        wrong_use(
            f"--who: {safe(who)} is not allowed; allowed: KIND:ID, such as support:kim, KIND of {', '.join(KINDS)}"
        )
    if id_problem("who", name) is not None:
        wrong_use("--who: the id must have at most 128 characters, and no control characters")
    return Who(next(each for each in get_args(ActorKind) if each == kind), name)


def named_by(who: str | None) -> dict[str, object]:
    """The author as a field of an event's data; none where nobody is named. Ends the command for a wrong name."""
    from connect.actions.build import as_json

    return {} if not who else {"who": as_json(author(who))}


def person_of(who: Who) -> Person:
    """Whoever may write to the topics may do everything: access to Kafka is what limits the command line."""
    from connect.actions.person import Person, Role

    assert who.id is not None
    return Person(who.id, who.id, frozenset({Role.ADMIN}))

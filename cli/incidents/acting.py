"""`sla incidents respond|update|…`: actions at an incident, checked and read back as those of the board are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Literal, NamedTuple

import typer

from cli.incidents.commands import incidents_app
from cli.support.author import WhoOption, author, person_of
from cli.support.console import safe
from cli.support.exits import FOUND, wrong_use
from cli.support.options import Brokers, Prefix, settings_of
from cli.support.waiting import TIMEOUT_S, Wait
from streams.sla.severity import SEVERITIES

_Incident = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident's id.")]
_Revision = Annotated[
    int | None,
    typer.Option(min=1, help="The revision that you saw; if the incident changed since, nothing is published."),
]
_ActionId = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Names this attempt: the same one, sent again, counts once. Default: a new one."),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")]
_Reason = Annotated[str | None, typer.Option(help="Why, at most 4 KiB.")]
_Tenants = Annotated[list[str] | None, typer.Option("--tenant", help="The tenants that it concerns; repeatable.")]


class _Options(NamedTuple):
    """The options that all actions have."""

    who: str | None
    revision: int | None
    action_id: str | None
    as_json: bool
    wait: bool | None
    brokers: str | None
    prefix: str | None


def _options(
    who: WhoOption = None,
    revision: _Revision = None,
    action_id: _ActionId = None,
    as_json: _AsJson = False,
    wait: Wait = None,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> _Options:
    return _Options(who, revision, action_id, as_json, wait, brokers, prefix)


def _action(example: str) -> Callable[[Callable[..., None]], None]:
    """Declare a command of `sla incidents`: its own parameters, then those that all actions have, which it gets as
    `options`."""

    def declare(command: Callable[..., None]) -> None:
        own, shared = (signature(each, eval_str=True).parameters for each in (command, _options))
        parameters = [each for each in own.values() if each.name != "options"] + list(shared.values())

        @wraps(command)
        def run(**given: Any) -> None:
            command(options=_options(**{name: given.pop(name) for name in shared}), **given)

        keywords = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]
        run.__signature__ = Signature(keywords)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        incidents_app.command(epilog=f"Example: {example}")(run)

    return declare


@_action("sla incidents respond inc-43 --who support:kim")
def respond(
    incident: _Incident,
    options: _Options,
) -> None:
    """Say that somebody works on the incident; a response by support ends the response clock."""
    _act("respond", incident, {}, options, "response recorded")


@_action('sla incidents update inc-43 --public --text "A fix is being rolled out."')
def update(
    incident: _Incident,
    options: _Options,
    public: Annotated[
        bool | None, typer.Option("--public/--internal", help="Whether the customer received it.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT|-", help="The text, or - for standard input.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Publish without confirmation.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Only show it in both languages.")] = False,
) -> None:
    """Record an update. A public one by support counts for the update clock. On a terminal it is shown first, with its
    headings in English and Japanese; the text is not translated."""
    if public is None:
        wrong_use("who received it? Write --public or --internal")
    if preview and options.as_json:
        wrong_use("--preview shows the update to people, and nothing is published; leave out --json")
    if text == "-":
        text = sys.stdin.read()
    visibility = "public" if public else "internal"
    form = {"visibility": visibility, "text": text or ""}
    ask = sys.stdin.isatty() and sys.stdout.isatty() and not (yes or options.as_json)
    if preview or ask:
        _show_preview(incident, form, options)
    if preview:
        return
    if ask and not typer.confirm("publish it?"):
        typer.echo("nothing was published", err=True)
        raise typer.Exit(FOUND)
    _act("update", incident, form, options, f"{visibility} update recorded")


@_action("sla incidents request-update inc-43 --who customer:pat")
def request_update(
    incident: _Incident,
    options: _Options,
) -> None:
    """Say that an update was asked for; starts a clock where updates are on request."""
    _act("request-update", incident, {}, options, "request recorded")


@_action("sla incidents wait inc-43 --on customer")
def wait(
    incident: _Incident,
    options: _Options,
    on: Annotated[Literal["customer", "third_party"], typer.Option(help="Whom it waits for.")],
    end: Annotated[bool, typer.Option("--end", help="The wait is over.")] = False,
) -> None:
    """Say that work waits for somebody, or with --end that it goes on. Pauses clocks where the policy says so."""
    _act("end-wait" if end else "wait", incident, {"on": on}, options, "wait ended" if end else "wait recorded")


@_action("sla incidents resolve inc-43 --restored-at 2026-05-02T09:40:00Z")
def resolve(
    incident: _Incident,
    options: _Options,
    restored_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the service was back, RFC 3339; default: now.")
    ] = None,
) -> None:
    """End the incident; its clocks stop."""
    _act("resolve", incident, {"restored_at": restored_at}, options, "resolved")


@_action('sla incidents reopen inc-43 --reason "errors are back"')
def reopen(
    incident: _Incident,
    options: _Options,
    reason: _Reason = None,
    started_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the fault was back, RFC 3339; default: now.")
    ] = None,
) -> None:
    """Open an ended incident again; a new response clock starts."""
    _act("reopen", incident, {"reason": reason, "started_at": started_at}, options, "reopened")


@_action("sla incidents reclassify inc-43 --impact material_aspect --tier 1")
def reclassify(
    incident: _Incident,
    options: _Options,
    component: Annotated[str | None, typer.Option(help="A component that the policies declare.")] = None,
    impact: Annotated[str | None, typer.Option(help="What the fault does, such as complete_outage.")] = None,
    tier: Annotated[str | None, typer.Option(help="1, 2 or 3.")] = None,
    tenant: _Tenants = None,
    platform: Annotated[bool, typer.Option("--platform", help="It concerns every tenant.")] = False,
) -> None:
    """Change component, impact, tier or tenants, from now on."""
    scope = "platform" if platform else "tenants" if tenant else None
    form = {"component": component, "impact": impact, "tier": tier, "scope": scope, "tenant_ids": tenant}
    _act("reclassify", incident, form, options, "reclassified")


@_action(f'sla incidents set-severity inc-43 {SEVERITIES[1]} --reason "few users"')
def set_severity(
    incident: _Incident,
    options: _Options,
    severity: Annotated[
        str, typer.Argument(metavar="SEVERITY", help=f"{', '.join(SEVERITIES)}, or rules: as the rules decide.")
    ],
    reason: _Reason = None,
) -> None:
    """Set the severity by hand; it stays until it is given back to the rules."""
    _act(
        "set-severity", incident, {"severity": severity, "reason": reason}, options, f"severity set to {safe(severity)}"
    )


@_action("sla incidents merge inc-44 inc-43")
def merge(
    incident: _Incident,
    options: _Options,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The incident that goes on.")],
) -> None:
    """End an incident as part of another one."""
    _act("merge", incident, {"into": into}, options, f"merged into {safe(into)}")


@_action("sla incidents link inc-43 --ticket SUP-1234")
def link(
    incident: _Incident,
    options: _Options,
    ticket: Annotated[str | None, typer.Option(help="Id of the ticket.")] = None,
    phone_call: Annotated[str | None, typer.Option(help="Id of the phone call.")] = None,
) -> None:
    """Name the ticket or phone call that is about the incident."""
    _act("link", incident, {"ticket_id": ticket, "phone_call_id": phone_call}, options, "linked")


def _act(action: str, incident: str, form: Mapping[str, str | list[str] | None], options: _Options, done: str) -> None:
    """Perform the action, print its outcome, and end with its exit code."""
    import json
    import uuid

    from cli.incidents.outcome_view import as_object, exit_code, outcome_lines, warning_lines
    from cli.incidents.states import CommandPresent, open_states
    from connect.actions.outcome import ActionUnavailable
    from connect.actions.service import CLI_SOURCE, ActionService
    from streams.time_source import SystemTimeSource

    who = author(options.who)
    settings = settings_of(options.brokers, options.prefix)
    read_back = sys.stdout.isatty() if options.wait is None else options.wait
    action_id = options.action_id or str(uuid.uuid4())
    again = f"the same command with --action-id {safe(action_id)} is the same attempt, and counts once"
    with open_states(settings) as states:
        present = CommandPresent(settings, states)
        service = ActionService(settings, present, source=CLI_SOURCE, read_back_s=TIMEOUT_S)
        try:
            outcome = service.perform(
                person_of(who),
                action,
                incident,
                form,
                action_id=action_id,
                now=SystemTimeSource().now(),
                seen_revision=options.revision,
                who=who,
                read_back=read_back,
            )
        except KeyboardInterrupt:
            typer.echo(f"interrupted: it may have been published; {again}", err=True)
            if options.as_json:
                typer.echo(json.dumps(as_object(ActionUnavailable("interrupted", sent=True)), ensure_ascii=False))
            raise
        finally:
            service.close()
    code = exit_code(outcome, required=options.wait is True)
    for warning in warning_lines(outcome):
        typer.echo(warning, err=True)
    if options.as_json:
        typer.echo(json.dumps(as_object(outcome), ensure_ascii=False))
    else:
        waited_s = TIMEOUT_S if read_back else None
        for line in outcome_lines(outcome, f"{safe(incident)}: {done}", incident, settings.app_id, waited_s):
            typer.echo(line, err=code != 0)
    if isinstance(outcome, ActionUnavailable) and outcome.sent:
        typer.echo(again, err=True)
    if code:
        raise typer.Exit(code)


def _show_preview(incident: str, form: Mapping[str, str], options: _Options) -> None:
    """Print the update as people read it. Ends the command where it is wrong."""
    from cli.incidents.outcome_view import exit_code, outcome_lines
    from cli.incidents.states import CommandPresent, open_states
    from connect.actions.prepared import Prepared
    from connect.actions.service import CLI_SOURCE, ActionService
    from connect.actions.texts import preview_update
    from streams.time_source import SystemTimeSource

    who = author(options.who)
    settings = settings_of(options.brokers, options.prefix)
    with open_states(settings) as states:
        service = ActionService(settings, CommandPresent(settings, states), source=CLI_SOURCE)
        now, seen = SystemTimeSource().now(), options.revision
        found = service.prepare(person_of(who), "update", incident, form, now=now, seen_revision=seen, who=who)
    if not isinstance(found, Prepared):
        for line in outcome_lines(found, "", incident, settings.app_id, None):
            typer.echo(line, err=True)
        raise typer.Exit(exit_code(found, required=True))
    assert found.state is not None
    shown = preview_update(found.state, form["visibility"], form["text"])
    for each in shown.values():
        typer.echo(safe(each.heading))
    for line in form["text"].splitlines():
        typer.echo(f"  {safe(line)}")

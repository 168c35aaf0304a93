"""`sla incidents list|show|watch`: the present states of incidents; the actions are in acting.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.support.console import plain_console, safe
from cli.support.exits import wrong_use
from cli.support.options import Brokers, Prefix, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.incidents.rows import IncidentView, Wanted
    from connect.client.states import Keep

#: acting.py adds its commands.
incidents_app = typer.Typer(help="Look at incidents and act on them.", no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
_Severity = Annotated[list[str] | None, typer.Option("--severity", help="Only these severities; repeatable.")]
_Tenant = Annotated[
    list[str] | None, typer.Option("--tenant", help="Only those that concern these tenants; repeatable.")
]
_Component = Annotated[list[str] | None, typer.Option("--component", help="Only these components; repeatable.")]
_Text = Annotated[str | None, typer.Option("--text", help="Only those with this text in id, title, summary, ticket.")]
_STATUSES = ("open", "resolved", "merged", "annulled")


@incidents_app.command("list", epilog="Example: sla incidents list --tenant acme --sort opened")
def list_(
    status: Annotated[
        list[str] | None,
        typer.Option("--status", help="open (default), resolved, merged, annulled, or all; repeatable."),
    ] = None,
    severity: _Severity = None,
    tenant: _Tenant = None,
    component: _Component = None,
    text: _Text = None,
    sort: Annotated[
        Literal["deadline", "opened", "severity"], typer.Option(help="The nearest deadline, or the latest, first.")
    ] = "deadline",
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """List incidents, the nearest deadline first. The mark beside the time left grows with the warning thresholds of
    the policy: ! one has passed, !! all have, !!! the deadline has.

    Without a terminal, each incident is a line of values separated by tabs, after a line of their names; with --json it
    is the data of its incident.state event.
    """
    from cli.incidents.filters import FilterNames
    from cli.incidents.rows import chosen
    from cli.incidents.states import open_states
    from streams.time_source import SystemTimeSource

    wanted = _wanted(status or ["open"], severity, tenant, component, text)
    settings = settings_of(brokers, prefix)
    names = FilterNames(component or (), tenant or ())
    with open_states(settings, names.noting(lambda state: state.data in wanted)) as states:
        found = chosen((state.data for state in states.values()), wanted, sort, SystemTimeSource().now())
    names.warn(settings)
    print_views(found, as_json=as_json)
    if not found and not as_json:
        typer.echo("there are no such incidents", err=True)


@incidents_app.command(epilog="Example: sla incidents show inc-43")
def show(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident's id.")],
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Show one incident: its clocks, what happens next, and the revision that an action may name with --revision."""
    from cli.incidents.details import detail_lines
    from cli.incidents.rows import IncidentView
    from cli.incidents.states import open_states
    from streams.time_source import SystemTimeSource

    with open_states(settings_of(brokers, prefix)) as states:
        found = states.get(incident)
    if found is None:
        wrong_use(f"there is no incident {safe(incident)}; `sla incidents list --status all` lists those that are kept")
    if as_json:
        from streams.serde.cloudevents_json import format_line

        typer.echo(format_line(found.data))
        return
    console = plain_console()
    for line in detail_lines(IncidentView(found.data, SystemTimeSource().now())):
        console.print(line, soft_wrap=True)


@incidents_app.command(epilog="Example: sla incidents watch --component api")
def watch(
    once: Annotated[bool, typer.Option("--once", help="Print the clocks once.")] = False,
    severity: _Severity = None,
    tenant: _Tenant = None,
    component: _Component = None,
    text: _Text = None,
    as_json: AsJson = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Watch the clocks of open incidents count down, the nearest deadline first. Ctrl-C ends it.

    Without a terminal, it prints the clocks as lines of values separated by tabs, and then each incident again when it
    changes; with --json each line is the data of its incident.state event.

    While Kafka gives no answer, the screen says so, or standard error.
    """
    from cli.incidents.filters import FilterNames
    from cli.incidents.live import ClockScreen, json_line, plain_line, watch_lines, watch_terminal
    from cli.incidents.rows import PLAIN_HEADS, chosen
    from cli.incidents.states import open_states
    from connect.kafka_io.reader import TopicReader
    from streams.time_source import SystemTimeSource

    wanted = _wanted(["open"], severity, tenant, component, text)
    clock = SystemTimeSource()
    printed: dict[str, int] = {}
    # An incident that was printed is still followed when it ends.
    keep: Keep = lambda state: state.data in wanted or state.subject in printed  # noqa: E731
    settings = settings_of(brokers, prefix)
    names = FilterNames(component or (), tenant or ())
    with open_states(settings, names.noting(keep)) as states:
        names.warn(settings)
        if once:
            found = chosen((state.data for state in states.values()), wanted, "deadline", clock.now())
            print_views(found, as_json=as_json)
            return
        topic = f"{settings.topic_prefix}.incident-state"
        try:
            with TopicReader(settings.bootstrap(), [topic], settings.aiokafka_security()) as kafka:
                kafka.from_now()
                if as_json:
                    watch_lines(states, printed, clock, typer.echo, json_line, kafka.wait)
                elif plain_console().is_terminal:
                    watch_terminal(ClockScreen(states, wanted, clock, names.notes), kafka.wait)
                else:
                    typer.echo("\t".join(PLAIN_HEADS))
                    watch_lines(states, printed, clock, typer.echo, plain_line, kafka.wait)
        except KeyboardInterrupt:
            raise typer.Exit from None


def print_views(views: Sequence[IncidentView], *, as_json: bool = False) -> None:
    """Incidents as lines of JSON, as a table on a terminal, else as lines of values separated by tabs."""
    from cli.incidents.live import json_line, plain_line
    from cli.incidents.rows import PLAIN_HEADS
    from cli.incidents.table import table_lines

    console = plain_console()
    if as_json:
        for view in views:
            typer.echo(json_line(view))
    elif not console.is_terminal:
        typer.echo("\t".join(PLAIN_HEADS))
        for view in views:
            typer.echo(plain_line(view))
    elif views:
        for line in table_lines(views, console.width):
            console.print(line, soft_wrap=True)


def _wanted(
    statuses: Sequence[str],
    severities: Sequence[str] | None,
    tenants: Sequence[str] | None,
    components: Sequence[str] | None,
    text: str | None,
) -> Wanted:
    from cli.incidents.rows import Wanted
    from streams.sla.severity import SEVERITIES

    _allowed("--status", statuses, (*_STATUSES, "all"))
    _allowed("--severity", severities or (), SEVERITIES)
    chosen = frozenset() if "all" in statuses else frozenset(statuses)
    return Wanted(chosen, frozenset(severities or ()), frozenset(tenants or ()), frozenset(components or ()), text)


def _allowed(option: str, given: Sequence[str], allowed: Sequence[str]) -> None:
    for each in given:
        if each not in allowed:
            wrong_use(f"{option}: {safe(each)} is not allowed; allowed: {', '.join(allowed)}")

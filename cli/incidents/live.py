"""The clocks of open incidents, counting down on a terminal, or as lines where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from cli.incidents.rows import IncidentView, Wanted, chosen, plain_cells
from cli.incidents.table import table_lines
from cli.support.absence import Absence
from cli.support.console import plain_console, safe
from connect.client.received import ReceivedEvent
from streams.errors import SlaError
from streams.serde.cloudevents_json import format_line
from streams.sla.instants import SECOND, format_rfc3339
from streams.time_source import TimeSource

_EVERY_S = 1.0
_HINT = "Ctrl-C ends"
_AWAY = "Kafka does not answer: this may be old"
#: Lets seconds pass; then why Kafka gives no answer, or None.
Pause = Callable[[float], SlaError | None]


class ClockScreen:
    """What the screen shows at an instant, in at most its width and height."""

    def __init__(
        self,
        states: Mapping[str, ReceivedEvent],
        wanted: Wanted,
        clock: TimeSource,
        notes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._states = states
        self._wanted = wanted
        self._notes = notes
        self.clock = clock
        self.away = False
        """Whether Kafka gives no answer, so that states may have changed since."""

    def lines(self, width: int, height: int) -> list[Text]:
        """The lines from top to bottom."""
        now = self.clock.now()
        views = chosen((state.data for state in self._states.values()), self._wanted, "deadline", now)
        head = Text(_fitting(_counts(views, now), width), "bold", no_wrap=True, overflow="ignore")
        above = [head, *(Text(each, "yellow", no_wrap=True, overflow="ellipsis") for each in self._notes())]
        hint, style = (f"{_AWAY} · {_HINT}", "bold") if self.away else (_HINT, "dim")
        if not views:
            return [*above, Text("no incident is open", "dim"), Text(hint, style)][:height]
        room = max(height - 2 - len(above), 1)  # the counts, the heads of the columns, the last line
        lines = [*above, *table_lines(views[:room], width)]
        while len(lines) > height - 1 and room > 1:  # long ids take a line of their own
            room -= 1
            lines = [*above, *table_lines(views[:room], width)]
        more = len(views) - room
        last = f"and {more:,} more · {hint}" if more > 0 else hint
        return [*lines, Text(_fitting(last, width), style)][:height]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        for number, line in enumerate(self.lines(options.max_width, height)):
            line.truncate(options.max_width, overflow="ellipsis")  # a line that breaks would push others out
            if number:
                yield Text("")
            line.end = ""
            yield line


def watch_terminal(screen: ClockScreen, pause: Pause) -> None:
    """Show the clocks until Ctrl-C. Raises SlaError when the states can't be followed any more."""
    console = plain_console()
    with Live(screen, console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen, refresh=True)
            # To the next whole second, so that no second is shown twice or left out.
            screen.away = pause(_EVERY_S - screen.clock.now() % SECOND / SECOND) is not None


def plain_line(view: IncidentView) -> str:
    """An incident under PLAIN_HEADS, separated by tabs."""
    return "\t".join(map(safe, plain_cells(view)))


def json_line(view: IncidentView) -> str:
    """The data of an incident's state as one JSON object."""
    return format_line(dict(view.state))


def watch_lines(
    states: Mapping[str, ReceivedEvent],
    printed: dict[str, int],
    clock: TimeSource,
    echo: Callable[[str], None],
    line: Callable[[IncidentView], str],
    pause: Pause,
) -> None:
    """Print all incidents, then each again when it changes; `printed` tells their revisions. Standard error says when
    Kafka gives no answer. Raises SlaError as above."""
    absence = Absence()
    while True:
        now = clock.now()
        for view in chosen((state.data for state in states.values()), Wanted(), "deadline", now):
            name, revision = view.state["incident_id"], view.state["revision"]
            if printed.get(name) == revision:
                continue
            printed[name] = revision
            echo(line(view))
        absence.tell(pause(_EVERY_S))


def _counts(views: list[IncidentView], now: int) -> str:
    late = sum(view.urgency == "late" for view in views)
    near = sum(view.urgency in {"soon", "urgent"} for view in views)
    at = format_rfc3339(now // SECOND * SECOND)
    parts = [f"{len(views):,} open", *([f"{late:,} late"] if late else []), *([f"{near:,} near"] if near else [])]
    return f"{', '.join(parts)} · {at}"


def _fitting(text: str, width: int) -> str:
    return text if len(text) <= width else text[:width]

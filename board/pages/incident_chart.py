"""What the picture of an incident's life has: its outage, waiting times, windows of its clocks, facts and alerts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from markupsafe import Markup

from board.charts.timeline import ChartEvent, ChartRow, ChartSpan, timeline_svg
from board.pages.incident_events import EventView, EventWords
from board.queries.incident_state import ClockRow
from board.queries.incidents import IncidentRow

_METRICS = ("response", "update", "resolution")


def incident_chart(row: IncidentRow, events: Sequence[EventView], words: EventWords, now: int) -> Markup:
    """The picture as SVG; empty without any event and clock."""
    phrases = words.phrases
    facts = [each for each in events if not each.is_output]
    alerts = [each for each in events if each.row.topic == "alerts"]
    rows = [
        ChartRow(phrases.chart_rows["outage"], [_outage(row, words)]),
        ChartRow(phrases.chart_rows["waiting"], list(_waiting(facts, row, words))),
        *(
            ChartRow(
                phrases.chart_rows[metric],
                [_window(clock, words) for clock in row.clocks if clock.metric == metric],
            )
            for metric in _METRICS
        ),
        ChartRow(phrases.chart_rows["facts"], (), [_event(each) for each in facts]),
        ChartRow(phrases.chart_rows["alerts"], (), [_event(each) for each in alerts]),
    ]
    instants = [each.row.occurred_at for each in events] or [row.opened_at]
    description = phrases.chart_description.format(
        start=words.time_of(min(instants)),
        end=words.time_of(max(instants)),
        facts=len(facts),
        breaches=sum(each.kind == "breach" for each in alerts),
    )
    return timeline_svg(
        rows,
        title=phrases.timeline_heading,
        description=description,
        zone=words.viewer.zone,
        now=now if row.status == "open" else None,
        now_label=phrases.chart_now,
    )


def _outage(row: IncidentRow, words: EventWords) -> ChartSpan:
    end = row.restored_at if row.restored_at is not None else row.ended_at
    label = f"{words.phrases.chart_rows['outage']}: {words.time_of(row.started_at)} – "
    label += words.phrases.still if end is None else words.time_of(end)
    return ChartSpan(row.started_at, end, "outage", label)


def _waiting(facts: Iterable[EventView], row: IncidentRow, words: EventWords) -> Iterator[ChartSpan]:
    """Times of waiting for anybody, from the facts in the order of event time."""
    begun: dict[str, int] = {}
    for each in facts:
        on = str(each.row.data.get("on"))
        if each.row.type == "incident.waiting":
            begun.setdefault(on, each.row.occurred_at)
        elif each.row.type == "incident.waiting_ended" and on in begun:
            yield _waiting_span(begun.pop(on), each.row.occurred_at, on, words)
    for on, start in begun.items():
        yield _waiting_span(start, row.ended_at, on, words)


def _waiting_span(start: int, end: int | None, on: str, words: EventWords) -> ChartSpan:
    label = words.common.waiting.get(on, words.common.waiting["unknown"])
    return ChartSpan(start, end, "waiting", f"{label}: {words.time_of(start)}")


def _window(clock: ClockRow, words: EventWords) -> ChartSpan:
    state = words.phrases.states.get(clock.state, words.phrases.states["unknown"])
    label = f"{words.clock(clock.metric, clock.instance)}: {state}"
    if clock.deadline is not None:
        label += ", " + words.phrases.deadline_was.format(time=words.time_of(clock.deadline))
    end = clock.paused_since if clock.state == "paused" else clock.ended_at
    return ChartSpan(clock.started_at, end, clock.state, label, clock.deadline if clock.ended_at is None else None)


def _event(each: EventView) -> ChartEvent:
    label = " · ".join((each.what, *each.details))
    return ChartEvent(each.row.occurred_at, each.kind, label)

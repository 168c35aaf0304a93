"""The life of an incident as a picture: outage, pauses, windows of its clocks, facts and alerts on one axis of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from streams.sla.instants import DAY, HOUR, MINUTE, to_datetime

EventKind = Literal[
    "fact", "answer", "update", "internal", "warning", "reminder", "breach", "retraction", "correction", "met", "end"
]
#: The shape of each kind within a square of 10, drawn around its centre.
SHAPES: Mapping[EventKind, str] = {
    "fact": "M0-3.5a3.5 3.5 0 1 0 .01 0z",
    "answer": "M0-5L5 4H-5z",
    "update": "M-4-4H4V4H-4z",
    "internal": "M-3-3H3V3H-3z",
    "warning": "M0-5L5 0 0 5-5 0z",
    "reminder": "M-5 4V-1a5 5 0 0 1 10 0V4z",
    "breach": "M-4.5-4.5L4.5 4.5M4.5-4.5L-4.5 4.5",
    "retraction": "M0-4.5a4.5 4.5 0 1 0 .01 0zM-3.2 3.2L3.2-3.2",
    "correction": "M0-5V5M-5 0H5",
    "met": "M-4.5 0L-1 4 4.5-4",
    "end": "M-2-5H2V5H-2z",
}
#: Kinds that are drawn as lines, not as areas.
STROKED: frozenset[EventKind] = frozenset({"breach", "retraction", "correction", "met", "internal", "warning"})

_WIDTH = 1000
_LEFT = 118
_RIGHT = 14
_TOP = 24
_ROW = 28
_BAR = 14
_STEPS = (
    *(minutes * MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 7, 14, 30, 90, 365, 1000)),
)
_MOST_TICKS = 9


@dataclass(frozen=True, slots=True)
class ChartSpan:
    """A bar. `state` is a class of the style sheet: outage, waiting, or the state of a clock. Instants are microseconds
    UTC; without an end it lasts until now. `due` is the deadline of a clock: an outline reaches to it."""

    start: int
    end: int | None
    state: str
    label: str
    due: int | None = None


@dataclass(frozen=True, slots=True)
class ChartEvent:
    """Something that happened at an instant, microseconds UTC."""

    at: int
    kind: EventKind
    label: str


@dataclass(frozen=True, slots=True)
class ChartRow:
    """A row of the picture, with what it is called."""

    name: str
    spans: Sequence[ChartSpan] = ()
    events: Sequence[ChartEvent] = ()


def timeline_svg(
    rows: Sequence[ChartRow], *, title: str, description: str, zone: ZoneInfo, now: int | None, now_label: str
) -> Markup:
    """The picture as an SVG element. `now` is drawn as a line; None when the incident is over. Rows without anything in
    them are left out; without any row the result is empty."""
    rows = [row for row in rows if row.spans or row.events]
    instants = list(_instants(rows, now))
    if not instants:
        return Markup("")
    axis = _Axis.over(min(instants), max(instants))
    height = _TOP + len(rows) * _ROW + 6
    parts = [
        Markup(
            '<svg class="timeline" viewBox="0 0 {} {}" role="img" aria-labelledby="timeline-title timeline-desc">'
            '<title id="timeline-title">{}</title><desc id="timeline-desc">{}</desc>'
            '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><path class="hatch" d="M0 0V6"/></pattern></defs>'
        ).format(_WIDTH, height, title, description),
        *_ticks(axis, zone, height),
    ]
    for number, row in enumerate(rows):
        middle = _TOP + number * _ROW + _ROW // 2
        parts.append(Markup('<text class="row-name" x="{}" y="{}">{}</text>').format(_LEFT - 12, middle + 4, row.name))
        parts.append(Markup('<path class="row-line" d="M{} {}H{}"/>').format(_LEFT, middle, _WIDTH - _RIGHT))
        parts += (_span(axis, each, middle, now) for each in row.spans)
        parts += (_event(axis, each, middle) for each in row.events)
    if now is not None:
        parts.append(
            Markup('<g class="now"><title>{}</title><path d="M{:.1f} {}V{}"/></g>').format(
                now_label, axis.x(now), _TOP - 6, height
            )
        )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def shape(kind: EventKind) -> Markup:
    """The sign of a kind, for a legend or a table."""
    return Markup('<svg class="sign-of {}" viewBox="-6 -6 12 12" aria-hidden="true"><path d="{}"/></svg>').format(
        _classes(kind), SHAPES[kind]
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    start: int
    end: int

    @classmethod
    def over(cls, first: int, last: int) -> _Axis:
        """With a margin, and at least a minute long."""
        margin = max((last - first) // 50, MINUTE // 2)
        return cls(first - margin, last + margin)

    def x(self, instant: int) -> float:
        share = (instant - self.start) / (self.end - self.start)
        return _LEFT + min(max(share, 0.0), 1.0) * (_WIDTH - _LEFT - _RIGHT)


def _instants(rows: Iterable[ChartRow], now: int | None) -> Iterable[int]:
    for row in rows:
        for span in row.spans:
            yield from (each for each in (span.start, span.end, span.due) if each is not None)
        yield from (event.at for event in row.events)
    if now is not None:
        yield now


def _ticks(axis: _Axis, zone: ZoneInfo, height: int) -> Iterable[Markup]:
    """Round instants of the viewer's zone, with the date where a day begins."""
    step = next((each for each in _STEPS if (axis.end - axis.start) // each <= _MOST_TICKS), _STEPS[-1])
    offset = to_datetime(axis.start).astimezone(zone).utcoffset()
    shift = 0 if offset is None else offset.days * DAY + offset.seconds * 1_000_000
    at = -(-(axis.start + shift) // step) * step - shift
    named_day = ""
    while at <= axis.end:
        local = to_datetime(at).astimezone(zone)
        day = local.strftime("%m-%d")
        text = local.strftime("%H:%M") if step < DAY else day
        if step < DAY and day != named_day:
            text = f"{day} {text}"
        named_day = day
        x = axis.x(at)
        yield Markup(
            '<path class="tick" d="M{0:.1f} {1}V{2}"/><text class="tick-name" x="{0:.1f}" y="13">{3}</text>'
        ).format(x, _TOP - 6, height, text)
        at += step


def _span(axis: _Axis, span: ChartSpan, middle: int, now: int | None) -> Markup:
    """A bar from start to end, and an outline on to the deadline, where that is later."""
    start = axis.x(span.start)
    ended = span.end if span.end is not None else (now if now is not None else axis.end)
    end = max(axis.x(ended), start + 1.5)
    top = middle - _BAR // 2
    state = escape(span.state)
    parts = [Markup('<g class="span {}"><title>{}</title>').format(state, span.label)]
    if span.due is not None and axis.x(span.due) > end:
        parts.append(
            Markup('<rect class="ahead" x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="2"/>').format(
                start, top, axis.x(span.due) - start, _BAR
            )
        )
    # A gap of 1 separates a bar from its successor. A breached one is hatched too, so that colour is not needed.
    bar = Markup('<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="2" {}/>')
    fills = ['class="bar"', 'fill="url(#hatch)"'] if span.state == "breached" else ['class="bar"']
    parts += (bar.format(start, top, max(end - start - 1, 1.5), _BAR, Markup(fill)) for fill in fills)  # nosec B704
    parts.append(Markup("</g>"))
    return Markup("").join(parts)


def _event(axis: _Axis, event: ChartEvent, middle: int) -> Markup:
    return Markup('<g class="event {}" transform="translate({:.1f} {})"><title>{}</title><path d="{}"/></g>').format(
        _classes(event.kind), axis.x(event.at), middle, event.label, SHAPES[event.kind]
    )


def _classes(kind: EventKind) -> str:
    return f"{kind} stroked" if kind in STROKED else kind

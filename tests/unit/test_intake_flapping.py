"""R15, R21: several firings and resolutions of one start, in whatever order they come: the last report decides."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Line, contract, merged, resolved, run, statements

from connect.intake import translate
from connect.intake.mapping_file import load_mapping
from streams.serde.cloudevents_json import to_json
from streams.serde.codec import decode
from streams.sla.events import Rejection
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND, format_rfc3339, parse_rfc3339

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "intake" / "flapping"
SOURCE = load_mapping(ROOT / "examples" / "intake.yaml")["prometheus"]
SUBJECT = "prometheus-aaaa000000000001-20261126T030000Z"
REPORTS = ("firing", "resolved-0330", "firing", "resolved-0600")
NEXT_DAY = "2026-11-27T11:17:00Z"


def events(report: str, received: str | int) -> list[Line]:
    """What any replica of the intake publishes for a report received then: nothing of other reports is known."""
    at = parse_rfc3339(received) if isinstance(received, str) else received
    return published((DATA / f"{report}.json").read_bytes(), at)


def published(body: bytes, at: int) -> list[Line]:
    translation = translate.webhook(SOURCE, body, at)
    assert not translation.rejected
    found = []
    for event in translation.events:
        decoded = decode(event.record.value)
        assert not isinstance(decoded, Rejection)
        found.append(to_json(*decoded))
    return found


def outcome(lines: Iterable[Line], until: str = "2026-12-10T00:00:00Z") -> tuple[list[list[Any]], int]:
    """The intervals that were reported last, and the downtime of the month in seconds."""
    outputs = run(contract("2026-11-01T00:00:00Z", of="acme"), *lines, until=until)
    assert not [output for output in outputs if output["type"] == "sla.rejected"]
    reported = [output["data"]["intervals"] for output in outputs if output["type"] == "impact.changed"]
    november = statements(outputs).get("2026-11")
    return [[each["start"], each["end"]] for each in reported[-1]], november["downtime_s"] if november else 0


THREE_HOURS = ([["2026-11-26T03:00:00Z", "2026-11-26T06:00:00Z"]], 10_800)


@pytest.mark.parametrize("order", sorted(set(permutations(REPORTS))), ids=" ".join)
@pytest.mark.parametrize("received", ["2026-11-26T06:00:02Z", "2026-11-26T06:09:57Z", NEXT_DAY])
def test_reports_in_any_order_give_the_outage_to_its_latest_end(order: tuple[str, ...], received: str) -> None:
    first = parse_rfc3339(received)
    lines = [line for index, report in enumerate(order) for line in events(report, first + 3 * index * SECOND)]
    assert outcome(lines) == THREE_HOURS


def test_the_order_in_which_kafka_has_them_does_not_matter() -> None:
    times = ("2026-11-26T03:01:00Z", "2026-11-26T03:31:00Z", "2026-11-26T03:52:00Z", "2026-11-26T06:00:30Z")
    by_id = {line["id"]: line for report, at in zip(REPORTS, times, strict=True) for line in events(report, at)}
    facts = list(by_id.values())
    assert len(facts) == 6
    for order in permutations(facts):
        assert outcome(order) == THREE_HOURS


def test_an_alert_that_fires_on_after_a_false_resolution_is_open_again_since_its_start() -> None:
    lines = events("firing", "2026-11-26T03:01:00Z") + events("resolved-0330", "2026-11-26T03:31:00Z")
    assert outcome(lines) == ([["2026-11-26T03:00:00Z", "2026-11-26T03:30:00Z"]], 1_800)
    again = events("firing", "2026-11-26T03:52:00Z")
    assert [line["type"] for line in again] == ["incident.opened", "incident.reopened"]
    assert again[1]["time"] == "2026-11-26T03:40:00Z"
    intervals, seconds = outcome(lines + again, until="2026-12-04T00:00:00Z")
    assert intervals == [["2026-11-26T03:00:00Z", None]]
    assert seconds == (parse_rfc3339("2026-12-01T00:00:00Z") - parse_rfc3339("2026-11-26T03:00:00Z")) // SECOND


def test_a_firing_report_that_a_replica_sends_late_reopens_nothing() -> None:
    lines = events("firing", "2026-11-26T03:01:00Z") + events("resolved-0600", "2026-11-26T06:00:20Z")
    late = events("firing", "2026-11-26T06:09:00Z")
    assert outcome(lines + late) == THREE_HOURS


def test_a_clock_that_runs_ahead_of_the_monitors_does_not_leave_an_outage_open() -> None:
    """The intake's clock is 40 minutes ahead: the last report of firing comes after the end, by that clock."""
    lines = events("firing", "2026-11-26T06:35:00Z")
    assert outcome(lines)[0] == [["2026-11-26T03:00:00Z", None]]
    assert outcome(lines + events("resolved-0600", "2026-11-26T06:40:20Z")) == THREE_HOURS


def test_a_merge_and_a_resolution_by_others_stand() -> None:
    firing = events("firing", "2026-11-26T03:01:00Z")
    later = events("firing", "2026-11-26T05:30:00Z") + events("resolved-0600", "2026-11-26T06:00:20Z")
    two_hours = ([["2026-11-26T03:00:00Z", "2026-11-26T05:00:00Z"]], 7_200)
    for end in (merged("2026-11-26T05:00:00Z", of=SUBJECT), resolved("2026-11-26T05:00:00Z", of=SUBJECT)):
        assert outcome([*firing, end, *later]) == two_hours
        assert outcome([*firing, *later, end]) == two_hours


def test_repeats_give_the_same_events_and_few_of_them() -> None:
    start = parse_rfc3339("2026-11-26T03:00:00Z")
    known: dict[str, Line] = {}
    day, month = 24 * 60, 31 * 24 * 60
    for minute in (*range(0, 2 * day, 5), *range(2 * day, month, 30)):
        for line in events("firing", start + minute * MINUTE):
            assert known.setdefault(str(line["id"]), line) == line
    assert len(known) < 1_000
    again = events("resolved-0600", "2026-11-26T06:00:20Z")
    assert again == events("resolved-0600", "2026-11-26T06:05:00Z")
    assert [line["type"] for line in again] == ["incident.opened", "incident.reopened", "incident.resolved"]


def test_a_reopening_reaches_back_thirty_days_at_most() -> None:
    """R5 bounds how far an instant in a payload may lie before its event; a merge is never undone by a clipped one."""
    start = parse_rfc3339("2026-11-26T03:00:00Z")
    assert len(events("firing", start + 30 * DAY)) == 2
    assert len(events("firing", start + 30 * DAY + 2 * HOUR)) == 1


@settings(max_examples=settings.default.max_examples * 3 // 5, deadline=None)
@given(st.data())
def test_any_story_of_one_start_ends_where_its_last_report_says(data: st.DataObject) -> None:
    """False resolutions and firings on, in turn; each report comes once or more, to Kafka in any order."""
    start = parse_rfc3339("2026-11-26T03:00:00Z")
    template = json.loads((DATA / "resolved-0330.json").read_text(encoding="utf-8"))
    at, lines, end = start + MINUTE, events("firing", start + MINUTE), 0
    for _ in range(data.draw(st.integers(1, 5))):
        at += data.draw(st.integers(5, 500)) * MINUTE
        end = at
        template["alerts"][0]["endsAt"] = format_rfc3339(end)
        for _ in range(data.draw(st.integers(1, 2))):
            at += data.draw(st.integers(1, 1800)) * SECOND
            lines += published(json.dumps(template).encode(), at)
        if data.draw(st.booleans()):
            at += data.draw(st.integers(21, 500)) * MINUTE
            step = HOUR if at - start >= DAY else 0
            at += step
            lines += events("firing", at)
            end = 0
    shuffled = data.draw(st.permutations(lines))
    intervals, _ = outcome(shuffled, until=format_rfc3339(at + 2 * DAY))
    assert intervals == [["2026-11-26T03:00:00Z", None if end == 0 else format_rfc3339(end)]]


def test_a_reopening_shares_no_id_with_those_of_earlier_versions() -> None:
    """Those were named after the end they took back, and had it as `started_at`: such a repeat would be a conflict."""
    names = {str(line["id"]) for line in events("resolved-0330", "2026-11-26T03:31:00Z")}
    assert f"{SUBJECT}-reopened-20261126T033000Z" not in names
    assert f"{SUBJECT}-reopened-as-of-20261126T033000Z" in names
    assert f"{SUBJECT}-resolved-20261126T033000Z" in names


@settings(max_examples=settings.default.max_examples // 4, deadline=None)
@given(st.data())
def test_it_does_not_matter_which_of_two_intakes_gets_which_report(data: st.DataObject) -> None:
    """Their clocks are up to a minute off, reports come up to five minutes late, some of them twice and to both; an
    intake that begins again knows as much as before, nothing."""
    start = parse_rfc3339("2026-11-26T03:00:00Z")
    template = json.loads((DATA / "resolved-0330.json").read_text(encoding="utf-8"))
    clocks = [data.draw(st.integers(-60, 60)) * SECOND for _ in range(2)]
    arrived: list[tuple[int, list[Line]]] = []
    ends: list[int] = []

    def reported(at: int, end: int = 0) -> None:
        for _ in range(data.draw(st.integers(1, 2))):
            late, clock = data.draw(st.integers(0, 300)) * SECOND, clocks[data.draw(st.integers(0, 1))]
            template["alerts"][0]["endsAt"] = format_rfc3339(end)
            body = json.dumps(template).encode()
            received = at + late + clock
            arrived.append((at + late, published(body, received) if end else events("firing", received)))

    at = start + 30 * SECOND
    reported(at)
    for number in range(data.draw(st.integers(1, 4))):
        if number:  # it fires again, and Alertmanager repeats that
            at += data.draw(st.integers(60, 20_000)) * SECOND
            reported(at)
            at += data.draw(st.integers(25 * 60, 10_000)) * SECOND + (HOUR if at - start > DAY - 3 * HOUR else 0)
            reported(at)
        at += data.draw(st.integers(60, 70_000)) * SECOND
        ends.append(max(at - data.draw(st.integers(0, 300)) * SECOND, start + SECOND))
        reported(at, ends[-1])
    lines = [line for _, found in sorted(arrived, key=lambda each: each[0]) for line in found]
    assert outcome(lines)[0] == [["2026-11-26T03:00:00Z", format_rfc3339(max(ends))]]

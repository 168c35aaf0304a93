"""R28: one maintenance takes a limited number of events, and can be cancelled all the same."""

from __future__ import annotations

from collections.abc import Iterator

from story import Line, contract, maintenance, maintenance_cancelled, run, statements

from streams.sla.credits.maintenance import MAX_EVENTS, RESERVED_EVENTS

BEFORE = "2026-03-01T00:00:00Z"


def edits(count: int, of: str = "m-1") -> Iterator[Line]:
    """The end of a window of an hour, moved every second by a minute."""
    for number in range(count):
        at = f"2026-03-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        yield maintenance(at, "5 00:00", f"5 {1 + number // 60:02}:{number % 60:02}", of=of, announced=BEFORE)


def rejected(outputs: list[Line]) -> list[tuple[str, int, str]]:
    found = [each for each in outputs if each["type"] == "sla.rejected"]
    return [(each["data"]["code"], each["data"]["line"], each["data"]["message"]) for each in found]


def test_r28_an_edit_beyond_the_limit_is_oversize_and_the_last_one_in_time_stands() -> None:
    lines = [contract("2026-02-01T00:00:00Z"), *edits(MAX_EVENTS + 3)]
    outputs = run(*lines, until="2026-04-10T00:00:00Z")
    message = f"maintenance m-1 has {MAX_EVENTS} events, the most it may have; schedule it under another id"
    assert rejected(outputs) == [("oversize", 2 + MAX_EVENTS + number, message) for number in range(3)]
    assert statements(outputs)["2026-03"]["excluded_s"] == (60 + MAX_EVENTS - 1) * 60


def test_r28_another_maintenance_is_not_concerned_and_a_full_one_can_be_cancelled() -> None:
    cancelled = [maintenance_cancelled(f"4 00:00:{second:02}") for second in range(RESERVED_EVENTS + 1)]
    other = maintenance("2 00:00", "6 00:00", "6 01:00", of="m-2")
    lines = [contract("2026-02-01T00:00:00Z"), *edits(MAX_EVENTS), other, *cancelled]
    outputs = run(*lines, until="2026-04-10T00:00:00Z")
    assert [line for _, line, _ in rejected(outputs)] == [len(lines)]
    assert statements(outputs)["2026-03"]["excluded_s"] == 3600

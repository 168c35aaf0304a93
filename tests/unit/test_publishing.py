"""What `sla publish` makes of lines before anything is sent: records, or bad lines by number (R5, R27, R28)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cli.events.publish_lines import BadLine, prepare
from streams import lines
from streams.lines import STDIN, UnreadableFile, arriving_lines, check_readable, decoded, read_lines
from streams.serde.codec import decode
from streams.serde.input_records import InputRecord
from streams.sla.events import Rejection

OPENED = {
    "specversion": "1.0",
    "id": "e1",
    "type": "incident.opened",
    "source": "/test",
    "subject": "inc-1",
    "time": "2026-01-31T09:00:00.5Z",
    "data": {"scope": "platform", "component": "api", "impact": "cosmetic", "channel": "api"},
}
CANCELLED = {**OPENED, "type": "maintenance.cancelled", "subject": "m-1", "data": {"maintenance_id": "m-1"}}


def ready(event: dict[str, object], *, backfill: bool = False) -> InputRecord:
    found = prepare(1, json.dumps(event), backfill=backfill)
    assert isinstance(found, InputRecord), found
    return found


def record(found: InputRecord) -> dict[str, object]:
    result = decode(found.value)
    assert not isinstance(result, Rejection)
    return result[1]


def test_incidents_and_contracts_have_their_topics_and_go_by_their_subject() -> None:
    opened, cancelled = ready(OPENED), ready(CANCELLED)
    assert (opened.topic, opened.subject) == ("incident-events", "inc-1")
    assert (cancelled.topic, cancelled.subject) == ("contract-events", "m-1")


def test_headers_are_those_of_cloudevents_with_the_extensions_that_the_event_has() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    event = {**OPENED, "receivedtime": "2026-01-31T09:01:00Z", "traceparent": trace}
    assert dict(ready(event, backfill=True).headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"e1",
        "ce_type": b"incident.opened",
        "ce_source": b"/test",
        "ce_time": b"2026-01-31T09:00:00.5Z",
        "ce_subject": b"inc-1",
        "content-type": b"application/avro",
        "traceparent": trace.encode(),
        "ce_backfill": b"true",
        "ce_receivedtime": b"2026-01-31T09:01:00Z",
    }
    assert not {"ce_backfill", "ce_receivedtime", "traceparent"} & dict(ready(OPENED).headers).keys()


def test_backfill_marks_the_record() -> None:
    assert record(ready(OPENED))["backfill"] is False
    assert record(ready(OPENED, backfill=True))["backfill"] is True
    assert record(ready({**OPENED, "backfill": True}))["backfill"] is True


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "7: undecodable: not JSON"),
        (decoded(b'{"id": "\xff"}'), "7: undecodable: what is at column 9 is not UTF-8 text"),
        ("[]", "7: invalid: expected a CloudEvents object, got an array"),
        (json.dumps({**OPENED, "type": "incident.exploded"}), "7: unknown_type: type: 'incident.exploded'"),
        (
            json.dumps({**OPENED, "data": {**OPENED["data"], "impact": "huge"}}),
            "7: invalid: data.impact: expected one of",
        ),  # type: ignore[dict-item]
        (json.dumps({**OPENED, "id": "x" * 129}), "7: invalid: event_id: has 129 characters"),
        (json.dumps({**OPENED, "type": "incident.merged", "data": {"into": "inc-1"}}), "7: cycle: into"),
        (json.dumps({**OPENED, "type": "sla.met"}), "7: unknown_type: "),
    ],
)
def test_a_bad_line_is_named_with_its_number(line: str, told: str) -> None:
    found = prepare(7, line)
    assert isinstance(found, BadLine)
    assert str(found).startswith(told)


def test_lines_end_with_newline_or_the_file_and_keep_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes("a\r\n\nä\nlast".encode())
    assert list(read_lines(str(file))) == ["a\r", "", "ä", "last"]
    file.write_bytes(b"a\n")
    assert list(read_lines(str(file))) == ["a"]


def test_long_lines_arrive_whole(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    long = "x" * 1_000_000
    file.write_text(f"{long}\n{long}y\nz", encoding="utf-8")
    assert [len(line) for line in read_lines(str(file))] == [1_000_000, 1_000_001, 1]


@pytest.mark.parametrize("end", ["", "\n", "\n{}"])
def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "dump.bin"
    file.write_text("{}\n{}\n" + "x" * 1_000_001 + end, encoding="utf-8")
    monkeypatch.setattr(lines, "_LONGEST_LINE", 1_000_000)
    with pytest.raises(UnreadableFile, match=r"dump.bin: line 3 has more than 1,000,000 bytes; expected JSON lines"):
        list(read_lines(str(file)))
    file.write_text("{}\n{}\n" + "x" * 1_000_000 + end, encoding="utf-8")
    assert len(list(read_lines(str(file)))) == (4 if end == "\n{}" else 3)


def test_a_pipe_says_when_nothing_more_has_arrived(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, b"first\nsec")
    found = arriving_lines(str(pipe))
    assert [next(found), next(found)] == ["first", None]
    os.write(writer, b"ond\n")
    assert next(line for line in found if line is not None) == "second"
    found.close()
    os.close(writer)


def test_files_that_are_not_there_are_told_before_anything_is_read(tmp_path: Path) -> None:
    check_readable([STDIN])
    with pytest.raises(UnreadableFile, match="there is no file"):
        check_readable([STDIN, str(tmp_path / "absent")])
    with pytest.raises(UnreadableFile, match="is a directory"):
        check_readable([str(tmp_path)])
    with pytest.raises(UnreadableFile, match="can't be read: Is a directory"):
        list(read_lines(str(tmp_path)))


def test_a_byte_order_mark_at_the_start_of_a_file_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(OPENED).encode() + b"\r\n")
    (line,) = read_lines(str(file))
    assert isinstance(prepare(1, line), InputRecord)

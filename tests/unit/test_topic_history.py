"""The events of topics as a history: lines by arrival across partitions, and the options that ask for it."""

from __future__ import annotations

from io import BytesIO

import pytest
from story import Line, opened, texts
from typer.testing import CliRunner

from cli.events.record_view import event_of
from cli.kafka_io.topic_history import write_lines
from cli.main import app
from connect.kafka_io.connection import BrokerProblem
from connect.kafka_io.reader import TopicReader, TopicRecord, in_order
from streams.serde.cloudevents_json import format_line, parse_line
from streams.serde.codec import encode

NOON = 1_767_268_800_000_000


def record(line: Line, topic: str, partition: int, offset: int, arrival: int) -> TopicRecord:
    event_type, fields = parse_line(*texts([line]))  # type: ignore[misc]
    value = encode(event_type, fields)
    return TopicRecord(f"sla.{topic}", partition, offset, NOON + arrival * 1_000_000, b"k", value, [])


#: Two partitions of two topics; arrivals are shared, within a partition (offset decides) and across.
RECORDS = [
    record(opened("10:00", id=f"{topic}-{partition}-{offset}"), topic, partition, offset, arrival)
    for topic in ("incident-events", "contract-events")
    for partition, arrivals in enumerate(([0, 0, 5, 9, 9], [0, 3, 5, 5, 20, 21]))
    for offset, arrival in enumerate(arrivals)
]


def test_a_late_alert_says_when_its_incident_ended() -> None:
    late = RECORDS[0]._replace(headers=[("ce_incidentended", b"2026-01-01T11:00:00.5Z")])
    event = event_of(late)
    assert event["incidentended"] == "2026-01-01T11:00:00.5Z"
    assert list(event)[-3:] == ["incidentended", "receivedtime", "data"]
    for wrong in (b"yesterday", b"\xff", b"", None):
        broken = late._replace(headers=[("ce_incidentended", wrong)])  # type: ignore[list-item]
        assert "incidentended" not in event_of(broken)


def in_turns(records: list[TopicRecord], most: int) -> list[list[TopicRecord]]:
    return [records[start : start + most] for start in range(0, len(records), most)]


@pytest.mark.parametrize("most", [1, 4, 100])
def test_lines_come_by_arrival_and_at_one_instant_by_their_place(most: int) -> None:
    file = BytesIO()
    assert write_lines(in_turns([*RECORDS[1::2][::-1], *RECORDS[::2]], most), file) == (0, None)
    lines = file.getvalue().decode().splitlines()
    assert lines == [format_line(event_of(each)) for each in sorted(RECORDS, key=in_order)]
    # What arrived at noon: contracts are named first, then incidents, each by partition and offset.
    assert ['"contract-events-0-0"' in lines[0], '"incident-events-1-0"' in lines[5]] == [True, True]
    assert '"receivedtime": "2026-01-01T12:00:21Z"' in lines[-1]


def test_several_processes_write_the_same() -> None:
    one, two = BytesIO(), BytesIO()
    bad = RECORDS[3]._replace(value=b"\xff")
    turns = in_turns([*RECORDS, bad, bad], 3)
    assert write_lines(turns, one) == write_lines(turns, two, processes=2)
    assert one.getvalue() == two.getvalue()


def test_what_can_not_be_decoded_is_counted_and_one_of_it_is_named() -> None:
    file = BytesIO()
    bad = RECORDS[0]._replace(value=b"\xff\xfe", offset=7)
    far = RECORDS[0]._replace(arrival=NOON * 1_000, offset=8)  # a writer's clock in the wrong unit
    undecodable, problem = write_lines([[bad, RECORDS[0]], [bad._replace(offset=9), far]], file)
    assert undecodable == 2
    assert problem is not None
    assert problem.startswith("sla.incident-events, partition 0, offset 7: undecodable: ")
    assert len(file.getvalue().splitlines()) == 2


class Silent(TopicReader):
    """A broker that goes away before the end."""

    def at_end(self) -> bool:
        return False

    def poll(self, timeout_s: float = 0) -> list[TopicRecord]:
        return []


def test_a_broker_that_falls_silent_is_told() -> None:
    with pytest.raises(BrokerProblem, match="Kafka at kafka:9092 has sent nothing for 30 s"):
        list(Silent(["kafka:9092"], []).there())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["what-if", "-", "--from-topics"], "give EVENTS or --from-topics, not both"),
        (["what-if"], "there are no events: give files of JSON lines, - for standard input, or --from-topics"),
        (["what-if", "-", "--brokers", "kafka:9092"], "--brokers and --prefix apply only with --from-topics"),
        (["verify", "-", "--events", "f", "--from-topics"], "give --events or --from-topics, not both"),
        (["verify", "-", "--prefix", "mine"], "--brokers and --prefix apply only with --from-topics"),
    ],
)
def test_options_that_contradict_each_other_end_with_2(words: list[str], message: str) -> None:
    more = ["--policy", "scalr-emergency"] if words[0] == "what-if" else []
    result = CliRunner().invoke(app, [*words, *more], input="")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1

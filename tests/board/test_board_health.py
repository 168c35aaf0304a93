"""/live, /ready and /metrics of the board."""

from __future__ import annotations

import socket
from pathlib import Path

from board_rows import app_of
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, event

from board.incident_gauges import IncidentGauges
from board.ingest.records import COMPACTED, TOPICS
from board.ingest.status import IngestStatus
from board.metrics import BoardMetrics
from board.queries.overview import open_by_severity
from board.web_server import listening_socket
from streams.access_rules import grants
from streams.sla.instants import SECOND
from streams.sla.severity import SEVERITIES
from streams.topics import declared


def client_of(engine: Engine, **given: object) -> TestClient:
    return TestClient(app_of(engine, **given), base_url="http://127.0.0.1")


def test_ready_once_the_topics_are_read_and_while_they_can_be(empty_read_model: Engine) -> None:
    status = IngestStatus()
    client = client_of(empty_read_model, ingest=lambda: status)

    def ready() -> tuple[int, object]:
        answer = client.get("/ready")
        return answer.status_code, answer.json()["reasons"]

    assert ready() == (503, [{"reason": "not connected yet"}])
    status = IngestStatus(failure=None, read=5, total=70)
    unread = "the topics have not been read to their end yet"
    assert ready() == (503, [{"reason": unread, "read": 5, "of": 70}])
    status = IngestStatus(failure=None, reached_end=True)
    assert ready() == (200, [])
    status = IngestStatus(failure="Kafka at nowhere:9092 does not answer", reached_end=True)
    assert ready() == (503, [{"reason": "Kafka at nowhere:9092 does not answer"}])


def test_not_ready_with_topics_that_lose_records(empty_read_model: Engine) -> None:
    reason = "sla.alerts has cleanup.policy compact, which loses events; it must be delete"
    client = client_of(empty_read_model, topics=lambda: reason)
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, [{"reason": reason}])
    away = IngestStatus(failure="Kafka at nowhere:9092 does not answer", reached_end=True)
    client = client_of(empty_read_model, ingest=lambda: away, topics=lambda: reason)
    assert client.get("/ready").json()["reasons"] == [{"reason": "Kafka at nowhere:9092 does not answer"}]


def test_the_board_may_look_at_the_shape_of_each_topic_that_it_reads() -> None:
    checked = {
        each.name.removeprefix("sla.")
        for each in grants("board", "sla", "sla")
        if each.resource == "topic" and "DescribeConfigs" in each.operations
    }
    assert checked == set(TOPICS)
    compacted = {spec.name.removeprefix("sla.") for spec in declared() if spec.cleanup == "compact"}
    assert set(COMPACTED) == compacted & set(TOPICS)


def test_not_ready_without_its_database(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/missing/board.db")
    answer = client_of(engine).get("/ready")
    assert answer.status_code == 503
    (reason,) = answer.json()["reasons"]
    assert reason == {"database": f"sqlite:///{tmp_path}/missing/board.db", "reason": "unable to open database file"}


def test_a_password_is_not_shown() -> None:
    engine = create_engine("postgresql+psycopg://sla:secret@127.0.0.1:1/board", connect_args={"connect_timeout": 2})
    (reason,) = client_of(engine).get("/ready").json()["reasons"]
    assert reason["database"] == "postgresql+psycopg://sla:***@127.0.0.1:1/board"
    assert "secret" not in reason["reason"]


def test_live(empty_read_model: Engine) -> None:
    client = client_of(empty_read_model, ingest=IngestStatus)
    assert client.get("/live").json() == {"live": True}
    assert client.get("/healthz").status_code == 200


def test_metrics_are_those_of_the_board(empty_read_model: Engine) -> None:
    metrics = BoardMetrics()
    metrics.up.set(1)
    answer = client_of(empty_read_model, metrics=metrics).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "sla_board_up 1.0" in answer.text


def test_open_incidents_and_the_next_deadline_are_counted_when_they_are_read(read_model: Engine) -> None:
    measured = BoardMetrics()
    text = client_of(read_model, metrics=measured).get("/metrics").text
    with read_model.connect() as connection:
        rows = open_by_severity(connection)
    assert rows
    for row in rows:
        assert f'sla_open_incidents{{severity="{row.severity}"}} {row.open}.0' in text
        assert f'sla_open_incidents_breached{{severity="{row.severity}"}} {row.breached}.0' in text
    absent = set(SEVERITIES) - {row.severity for row in rows}
    assert all(f'sla_open_incidents{{severity="{severity}"}} 0.0' in text for severity in absent)
    sample = measured.registry.get_sample_value
    deadlines = {
        row.severity: sample("sla_next_deadline_timestamp_seconds", {"severity": row.severity}) for row in rows
    }
    assert deadlines == {row.severity: row.next_deadline and row.next_deadline / SECOND for row in rows}


def test_open_incidents_are_counted_every_few_seconds_and_absent_without_the_database(
    read_model: Engine, tmp_path: Path
) -> None:
    measured, now, reads = BoardMetrics(), [100.0], 0
    gauges = IncidentGauges(read_model, measured, lambda: now[0])

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal reads
        reads += "next_deadline" in statement

    event.listen(read_model, "before_cursor_execute", count)
    try:
        gauges.refresh()
        gauges.refresh()
        assert reads == 1
        now[0] += 5
        gauges.refresh()
        assert reads == 2
    finally:
        event.remove(read_model, "before_cursor_execute", count)
    away = IncidentGauges(create_engine(f"sqlite:///{tmp_path}/missing/board.db"), measured)
    away.refresh()
    assert measured.registry.get_sample_value("sla_open_incidents", {"severity": SEVERITIES[0]}) is None


def test_requests_are_measured_by_surface_and_status(empty_read_model: Engine) -> None:
    metrics = BoardMetrics()
    client = client_of(empty_read_model, metrics=metrics)
    for path in ("/api/v1/incidents", "/api/v1/incidents?x=1", "/nowhere", "/ready", "/"):
        client.get(path)
    counted = {
        (sample.labels["surface"], sample.labels["status"]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "sla_board_request_seconds_count"
    }
    assert counted == {
        ("api", "2xx"): 1,
        ("api", "4xx"): 1,
        ("page", "4xx"): 1,
        ("health", "2xx"): 1,
        ("page", "2xx"): 1,
    }


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY on connections whose socket names its protocol."""
    with (
        listening_socket("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.proto == socket.IPPROTO_TCP

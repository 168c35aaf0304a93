"""/live, /ready and /metrics of the board."""

from __future__ import annotations

from pathlib import Path

from board_rows import app_of
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Engine, create_engine

from streams.service_process import Reasons


def client_of(engine: Engine, **given: object) -> TestClient:
    return TestClient(app_of(engine, **given), base_url="http://127.0.0.1")


def test_ready_while_the_ingest_has_no_reason_against_it(empty_read_model: Engine) -> None:
    reasons: Reasons = [{"reason": "Kafka at nowhere:9092 is unavailable"}]
    client = client_of(empty_read_model, unready=lambda: reasons)
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": reasons})
    reasons = []
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})


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


def test_not_live_once_the_ingest_thread_has_ended(empty_read_model: Engine) -> None:
    crash: BaseException | None = None
    client = client_of(empty_read_model, crash=lambda: crash)
    assert client.get("/live").status_code == 200
    crash = RuntimeError("ended")
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (500, {"live": False, "reason": "RuntimeError('ended')"})


def test_metrics_are_those_of_the_registry(empty_read_model: Engine) -> None:
    registry = CollectorRegistry()
    Gauge("sample", "A sample.", registry=registry).set(7)
    answer = client_of(empty_read_model, registry=registry).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "sample 7.0" in answer.text

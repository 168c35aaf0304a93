"""The API against its own OpenAPI document: requests made up from it, right and wrong ones (schemathesis)."""

from __future__ import annotations

from typing import Any

import pytest
from board_rows import NOW, app_of
from hypothesis import HealthCheck, given, settings
from signed_in import MovingClock, access_app, board_settings, token_of
from sqlalchemy import Engine

from board.api.openapi import openapi_of
from board.settings import BoardSettings
from connect.actions.catalogue import ACTIONS
from connect.actions.person import Role

#: It never ends: tests/board/test_event_stream.py has its tests.
_STREAM = "/api/v1/changes"
#: It asks Kafka: tests/kafka/test_board_actions_kafka.py has its test.
_OF_KAFKA = "/api/v1/inputs/{topic}/{partition}/{offset}"
PATHS = (
    "/api/v1/attainment",
    "/api/v1/audit",
    "/api/v1/incidents",
    "/api/v1/incidents/{incident_id}",
    "/api/v1/overview",
    "/api/v1/policies",
    "/api/v1/policies/{name}/{version}",
    "/api/v1/proposals",
    "/api/v1/proposals/{proposal_id}",
    "/api/v1/rejects",
    "/api/v1/rejects/{partition}/{offset}",
    "/api/v1/system",
    "/api/v1/tenants",
    "/api/v1/tenants/{tenant_id}",
    "/api/v1/tenants/{tenant_id}/months",
    "/api/v1/tenants/{tenant_id}/months/{month}",
    "/api/v1/tenants/{tenant_id}/months/{month}/breaches",
)
#: Those without parameters.
BARE = ("/api/v1/policies", "/api/v1/proposals", "/api/v1/system")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> BoardSettings:
    return board_settings(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def headers(board: BoardSettings) -> dict[str, str]:
    """Those of somebody who may read everything."""
    return {"Host": "127.0.0.1", "Authorization": f"Bearer {token_of(board, 'ada', Role.ADMIN)}"}


@pytest.fixture(scope="module")
def schema(read_model: Engine, board: BoardSettings, headers: dict[str, str]) -> Any:
    app = access_app(read_model, board, MovingClock(NOW))
    import schemathesis  # it takes a second, which only the process that runs these tests is to take

    return schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=headers)


def test_the_document_names_every_address(read_model: Engine) -> None:
    document = openapi_of(app_of(read_model))
    reads = {path for path, operations in document["paths"].items() if "get" in operations}
    assert reads == {*PATHS, _STREAM, _OF_KAFKA}
    writes = {path: operations for path, operations in document["paths"].items() if path not in reads}
    assert all(set(operations) == {"post"} for operations in writes.values())
    actions = [name for name, action in ACTIONS.items() if action.subject in {"incident", "maintenance"}]
    of_one = {name for name in actions if not ACTIONS[name].two_persons}
    others = {"claim", "erase", "import", "retry"}
    proposals = {"proposals", "approve", "decline", "effect", "withdraw"}
    assert {path.rpartition("/")[2] for path in writes} == of_one | others | proposals
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "mode"),
    # A request without parameters can't be wrong.
    [(path, mode) for path in PATHS for mode in ("positive", "negative") if path not in BARE or mode == "positive"],
)
def test_every_answer_is_as_the_document_says(schema: Any, headers: dict[str, str], path: str, mode: str) -> None:
    """No error of the server, no status or content that is not in the document, and wrong requests are refused."""
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    operation = schema[path]["GET"]

    @given(operation.as_strategy(generation_mode=GenerationMode(mode)))
    @settings(
        max_examples=settings.default.max_examples // 8,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def answered(case: Any) -> None:
        # A cursor that was made up, or a first month after the last, is refused although its form is right.
        case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

    answered()

"""Errors of the API as RFC 9457 problem details: what was wrong, where, what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"


class ParameterProblem(BaseModel):
    """What is wrong with one parameter of a request."""

    parameter: str = Field(description="The query parameter, path parameter, header, or field of the body.")
    problem: str = Field(description="What is wrong, and what is allowed.")


class ProblemDetails(BaseModel):
    """An error, RFC 9457."""

    type: str = Field("about:blank", description="Always about:blank: the status says what kind of error it is.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong and what to do.")
    problems: list[ParameterProblem] = Field(description="Every parameter that is wrong; empty for other errors.")


class ApiError(Exception):
    """Ends a request of the API with a problem."""

    def __init__(self, status: int, detail: str, problems: Sequence[ParameterProblem] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = list(problems)


def not_found(what: str) -> ApiError:
    """The error of a thing that the read model does not have."""
    return ApiError(HTTPStatus.NOT_FOUND, f"{what}; it may be older than the retention of the board")


def wrong_parameters(problems: Iterable[ParameterProblem], status: int = HTTPStatus.BAD_REQUEST) -> ApiError:
    """The error of parameters, or fields of a body, that are unknown or have a wrong value."""
    found = list(problems)
    detail = "; ".join(f"{each.parameter}: {each.problem}" for each in found)
    return ApiError(status, detail, found)


def problem_response(error: ApiError) -> Response:
    """The answer of an error."""
    details = ProblemDetails(
        type="about:blank",
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        problems=error.problems,
    )
    return Response(details.model_dump_json(), error.status, media_type=MEDIA_TYPE)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of an endpoint: its errors in the OpenAPI document."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": _REFERENCE}}}
        for status in statuses
    }


_REFERENCE = {"$ref": "#/components/schemas/ProblemDetails"}

"""What every GET of the API does: refuses unknown parameters, and answers 304 to whom has the current content."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from board.api.problems import ParameterProblem, wrong_parameters
from board.api.types import PATTERN_PROBLEMS
from streams.serde.cloudevents_json import RepeatedKeyError, unique_object

_SHOWN = 100


class ApiRoute(APIRoute):
    """A route whose query parameters are checked: one that would be ignored is an error."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        lists = dict(_query_parameters(self.dependant))

        async def handle(request: Request) -> Response:
            problems = list(_unknown(request, lists))
            if problems:
                raise wrong_parameters(problems)
            if request.method not in {"GET", "HEAD"}:
                _reject_repeated_keys(await request.body())
            try:
                response = await handler(request)
            except RequestValidationError as error:
                in_body = all(each["loc"][0] == "body" for each in error.errors())
                status = HTTPStatus.UNPROCESSABLE_ENTITY if in_body else HTTPStatus.BAD_REQUEST
                raise wrong_parameters(_invalid(error), status) from error
            return _unless_current(request, response)

        return handle


def _reject_repeated_keys(body: bytes) -> None:
    """Raises ApiError where an object of a JSON body has a key twice: of two values, nobody knows which is meant."""
    try:
        json.loads(body, object_pairs_hook=unique_object)
    except RepeatedKeyError as error:
        raise wrong_parameters(
            [ParameterProblem(parameter=error.name[:_SHOWN], problem="appears twice in one object; allowed: once")],
            HTTPStatus.UNPROCESSABLE_ENTITY,
        ) from error
    except (ValueError, RecursionError):
        return  # pydantic says what is wrong with it


def json_response(model: BaseModel) -> Response:
    """The answer of a model, serialised in the thread of the endpoint."""
    return Response(model.model_dump_json(), media_type="application/json")


def _query_parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Names of the query parameters, each with whether it may be repeated."""
    for each in dependant.query_params:
        yield each.alias, get_origin(each.field_info.annotation) in {list, tuple}
    for inner in dependant.dependencies:
        yield from _query_parameters(inner)


def _unknown(request: Request, lists: dict[str, bool]) -> Iterator[ParameterProblem]:
    given = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in given.items():
        if name not in lists:
            allowed = ", ".join(sorted(lists)) or "none"
            yield ParameterProblem(parameter=name[:_SHOWN], problem=f"there is no such parameter; allowed: {allowed}")
        elif count > 1 and not lists[name]:
            yield ParameterProblem(parameter=name, problem=f"is given {count} times; allowed: once")


def _invalid(error: RequestValidationError) -> Iterator[ParameterProblem]:
    for each in error.errors():
        place = [str(part) for part in each["loc"][1:]] or [str(each["loc"][0])]
        problem = str(each["msg"]).replace("Input should be", "is not as allowed; allowed:", 1)
        if each["type"] == "string_pattern_mismatch":
            problem = PATTERN_PROBLEMS.get(each["ctx"]["pattern"], problem)
        yield ParameterProblem(parameter=place[0], problem=problem)


def _unless_current(request: Request, response: Response) -> Response:
    """The answer with its ETag, or 304 without content where the request names that ETag."""
    body = getattr(response, "body", b"")
    if request.method not in {"GET", "HEAD"} or response.status_code != HTTPStatus.OK or not body:
        return response
    tag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    response.headers["ETag"] = tag
    given = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if tag in given or given == ["*"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    return response

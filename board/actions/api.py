"""POST …/actions/ACTION of incidents and maintenance windows: what people and scripts do, with its outcome."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response

from board.access.identity import sender_of
from board.access.requirement import requires
from board.actions.answers import ActedBody, ActionProblem, answer_of
from board.actions.bodies import ActionBody, all_optional, body_model
from board.actions.limits import limited
from board.actions.runner import ActionAttempt
from board.api.problems import MEDIA_TYPE, ParameterProblem, described, wrong_parameters
from board.api.route import ApiRoute
from board.api.types import Id
from board.dependencies import BoardContext, Context
from connect.actions.catalogue import ACTIONS
from connect.actions.texts import action_phrases

_SMALL_BODY = 256 * 1024
#: A document of 1 MiB, in which JSON escapes every character.
_LARGE_BODY = 8 * 1024 * 1024
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ActionProblem, "content": {MEDIA_TYPE: {}}} for status in (409, 422, 503)
}
RESPONSES = {**described(400, 401, 403, 404, 413), 202: {"model": ActedBody}, **_ERRORS}

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        description="Names this attempt, such as a UUID. The same one again sends the same event, which counts once.",
    ),
]
Seen = Annotated[
    str | None,
    Header(
        alias="If-Match",
        pattern=r'^"?[0-9]{1,18}"?$',
        description="The revision of the incident that the author saw; 409 where it has moved on.",
    ),
]
Revision = Annotated[int | None, Query(ge=0, lt=2**63, description="The same as If-Match.")]


class ActionRoute(ApiRoute):
    """A route whose body has a limit."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        most = _LARGE_BODY if self.path.endswith(("/import", "/retry")) else _SMALL_BODY

        async def handle(request: Request) -> Response:
            return await handler(limited(request, most))

        return handle


router = APIRouter(route_class=ActionRoute, tags=["actions"])


async def act(request: Request, context: BoardContext, attempt: ActionAttempt) -> Response:
    """Perform an action and answer."""
    outcome = await context.actions.perform(sender_of(request), attempt)
    return answer_of(outcome, context.kafka.topic_prefix)


def _at_incident(action: str, model: type[ActionBody]) -> Callable[..., Coroutine[Any, Any, Response]]:
    async def endpoint(
        *,
        request: Request,
        context: Context,
        incident_id: Annotated[Id, Path()],
        key: Key,
        body: Any,
        seen: Seen = None,
        revision: Revision = None,
    ) -> Response:
        named = {int(each) for each in (seen and seen.strip('"'), revision) if each is not None}
        if len(named) > 1:
            raise wrong_parameters([ParameterProblem(parameter="revision", problem="differs from If-Match")])
        seen_revision = named.pop() if named else None
        form = {} if body is None else body.form()
        return await act(request, context, ActionAttempt(action, incident_id, form, key, seen_revision))

    return _with_body(endpoint, model)


def _at_window(action: str, model: type[ActionBody]) -> Callable[..., Coroutine[Any, Any, Response]]:
    async def endpoint(
        *, request: Request, context: Context, maintenance_id: Annotated[Id, Path()], key: Key, body: Any
    ) -> Response:
        form = {} if body is None else body.form()
        return await act(request, context, ActionAttempt(action, maintenance_id, form, key))

    return _with_body(endpoint, model)


def _with_body(
    endpoint: Callable[..., Coroutine[Any, Any, Response]], model: type[ActionBody]
) -> Callable[..., Coroutine[Any, Any, Response]]:
    """The endpoint with the body of an action; one without required fields may be left out."""
    optional = all_optional(model)
    endpoint.__annotations__["body"] = Annotated[model | None, Body()] if optional else model
    if optional:
        endpoint.__kwdefaults__ = {**(endpoint.__kwdefaults__ or {}), "body": None}
    return endpoint


def _add(path: str, action_name: str, make: Any) -> None:
    action = ACTIONS[action_name]
    router.add_api_route(
        f"{path}/actions/{action_name}",
        make(action_name, body_model(action_name)),
        methods=["POST"],
        response_model=ActedBody,
        responses=RESPONSES,
        dependencies=[requires(action.permission, scoped=True)],
        summary=action_phrases("en").action[action_name],
        description=action_phrases("en").does[action_name],
        name=action_name,
    )


for _action in ACTIONS.values():
    if _action.two_persons:
        continue
    if _action.subject == "incident":
        _add("/incidents/{incident_id:path}", _action.name, _at_incident)
    elif _action.subject == "maintenance":
        _add("/maintenance/{maintenance_id:path}", _action.name, _at_window)

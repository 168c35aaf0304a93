"""The bodies of the API's actions as pydantic models, made from the catalogue."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from connect.actions.catalogue import ACTIONS, LISTS, ActionField
from connect.actions.texts import action_phrases

#: How a field is sent, beside its kind.
_HINTS = {
    "instant": "RFC 3339, such as 2026-05-04T10:00:00Z.",
    "document": "At most 1 MiB.",
    "component": "One that the policies declare.",
    "components": "Those that the policies declare.",
}


class ActionBody(BaseModel):
    """The fields of an action; others are errors."""

    model_config = ConfigDict(extra="forbid")

    def form(self) -> dict[str, Any]:
        """The fields that were given."""
        return self.model_dump(exclude_unset=True)


@cache
def body_model(action_name: str, *, without: tuple[str, ...] = ()) -> type[ActionBody]:
    """The body of an action. `without` are fields that its address has."""
    action = ACTIONS[action_name]
    fields: dict[str, Any] = {each.name: _field(each) for each in action.fields if each.name not in without}
    name = "".join(part.title() for part in action_name.split("-")) + "Body"
    model: type[ActionBody] = create_model(
        name, __base__=ActionBody, __doc__=action_phrases("en").does[action_name], **fields
    )
    return model


def all_optional(model: type[ActionBody]) -> bool:
    """Whether a request may come without a body."""
    return not any(field.is_required() for field in model.model_fields.values())


def _field(field: ActionField) -> tuple[Any, Any]:
    kind: Any = str
    if field.kind in LISTS:
        kind = list[str]
    elif field.kind == "flag":
        kind = bool
    elif field.choices:
        kind = Literal[field.choices]
    described = f"{action_phrases('en').field[field.name]}. {_HINTS.get(field.kind, '')}".strip()
    if field.required:
        return kind, Field(description=described)
    return kind | None, Field(None, description=described)

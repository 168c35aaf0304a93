"""What the events of a tool that people work with become, as a mapping file says."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

#: The events that feedback may become.
FeedbackType = Literal["incident.responded", "incident.updated", "incident.resolved", "incident.reopened"]
FEEDBACK_TYPES: tuple[FeedbackType, ...] = get_args(FeedbackType)
Visibility = Literal["public", "internal"]


class FeedbackRule(NamedTuple):
    """What one event of a tool becomes. `visibility` is given for `incident.updated` alone."""

    event_type: FeedbackType
    visibility: Visibility | None = None

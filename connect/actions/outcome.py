"""What came of an action: a closed union, and the problems of a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from connect.actions.permissions import Denied
from connect.contract_import.problems import RowProblem
from streams.sla.events import Position

#: An event in the JSON form, a CloudEvents object.
JsonEvent = Mapping[str, object]
#: The data of an `incident.state` event in the JSON form.
State = Mapping[str, Any]


class FormProblem(NamedTuple):
    """What is wrong with a field; `field` is empty where it is about the whole. `code` and `values` are those of the
    catalogue of texts (`texts.problem_text`); `row` is the value `problem` of a message about a line of terms."""

    field: str
    code: str
    values: Mapping[str, str] = {}
    row: RowProblem | None = None


class FieldChange(NamedTuple):
    """A field of an incident's state that changed: values in the JSON form. A clock is `clock.<metric>.<instance>`."""

    field: str
    before: object
    after: object


class ActionWarning(NamedTuple):
    """What was done is accepted, but rarely meant: `code` and `values` are those of the catalogue of texts
    (`texts.warning_text`)."""

    code: str
    values: Mapping[str, str] = {}


class Accepted(NamedTuple):
    """The workers applied the events, which are at these positions."""

    positions: tuple[Position, ...]
    events: tuple[JsonEvent, ...]
    warnings: tuple[ActionWarning, ...] = ()


class RejectedByWorker(NamedTuple):
    """The workers rejected an event: the code of the reject, and its message (R27). `accepted` others were applied.
    `events` are all that were published."""

    code: str
    message: str
    positions: tuple[Position, ...]
    accepted: int = 0
    events: tuple[JsonEvent, ...] = ()


class NotReadYet(NamedTuple):
    """The events are in Kafka, and no worker has read all of them in time, or nobody waited for it. `reason` is why the
    result could not be read, where something failed."""

    positions: tuple[Position, ...]
    events: tuple[JsonEvent, ...]
    warnings: tuple[ActionWarning, ...] = ()
    reason: str = ""


class Moved(NamedTuple):
    """The incident changed since its author looked at it; nothing was published. `changes` is None where the earlier
    state is no longer known. `recent` are actions that were just accepted and may not show in `state` yet."""

    seen: int
    present: int
    changes: tuple[FieldChange, ...] | None
    recent: tuple[JsonEvent, ...]
    state: State


class Invalid(NamedTuple):
    """The form is wrong; nothing was published."""

    problems: tuple[FormProblem, ...]


class Unchanged(NamedTuple):
    """It is so already, so nothing was published."""

    reason: FormProblem


class ActionUnavailable(NamedTuple):
    """Kafka or the schema registry fails. With `sent` the event may be there: the same action id sends it again and it
    counts once."""

    reason: str
    sent: bool = False


Outcome = Accepted | RejectedByWorker | NotReadYet | Moved | Denied | Invalid | Unchanged | ActionUnavailable

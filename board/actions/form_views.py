"""Forms of actions as pages show them: fields with labels, values and problems; and what a browser sends of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from board.actions.limits import limited
from board.viewer import viewer
from connect.actions.catalogue import LISTS, Action
from connect.actions.form import FormField, FormValues
from connect.actions.local_times import LOCAL_TIME_PROBLEMS, doubtful
from connect.actions.outcome import FormProblem
from connect.actions.texts import labels_of, problem_text
from connect.written_times import clock_change
from streams.i18n.catalogues import Language
from streams.sla.instants import format_rfc3339, to_datetime, to_micros


@dataclass(frozen=True, slots=True)
class FieldView:
    """A field: `choices` are values with their labels, `value` is what was entered (lists: one a line)."""

    name: str
    kind: str
    label: str
    required: bool
    choices: tuple[tuple[str, str], ...]
    value: str
    problems: tuple[str, ...]
    with_offset: bool = False
    """Of an instant: it is written as text, with its offset."""


@dataclass(frozen=True, slots=True)
class ActionForm:
    """The form of an action. `problems` are about the whole; `action_id` names the attempt that it will be."""

    name: str
    title: str
    does: str
    fields: tuple[FieldView, ...]
    action_id: str
    problems: tuple[str, ...] = ()
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Entered:
    """What a browser sent: `raw` as it was entered, `values` for the action, and what goes with the form. `other` are
    fields that the action does not have; `upload` is the content of a file that was chosen."""

    raw: Mapping[str, str] = field(default_factory=dict)
    values: FormValues = field(default_factory=dict)
    action_id: str = ""
    revision: int | None = None
    asks_preview: bool = False
    confirmed: str = ""
    other: Mapping[str, str] = field(default_factory=dict)
    upload: bytes | None = None


async def read_form(
    request: Request,
    action: Action,
    *,
    most_bytes: int,
    most_fields: int = 20,
    other: Sequence[str] = (),
    upload: str | None = None,
) -> Entered:
    """The form of an action that a browser sent, with `other` fields and the file of the field `upload`. Instants
    without a zone are in the viewer's. Raises HTTPException: 413 for more than `most_bytes`, 400 for a form that can't
    be read."""
    whole = limited(request, most_bytes)
    files = 0 if upload is None else 1
    async with whole.form(max_files=files, max_fields=most_fields, max_part_size=most_bytes) as form:
        entered = _entered(action, form, viewer(request).zone)
        chosen = None if upload is None else form.get(upload)
        content = await chosen.read() if isinstance(chosen, UploadFile) and chosen.filename else None
        return replace(entered, other={name: _text(form, name) for name in other}, upload=content)


def _entered(action: Action, form: FormData, zone: ZoneInfo) -> Entered:
    raw: dict[str, str] = {}
    values: dict[str, str | Sequence[str]] = {}
    for each in action.fields:
        given = [value for value in form.getlist(each.name) if isinstance(value, str)]
        raw[each.name] = "\n".join(given)
        if each.kind in LISTS:
            values[each.name] = raw[each.name]
        else:
            values[each.name] = _in_utc(raw[each.name], zone) if each.kind == "instant" else raw[each.name]
    revision = _text(form, "revision")
    known = revision.isascii() and revision.isdigit() and len(revision) < 19
    return Entered(
        raw,
        {name: value for name, value in values.items() if value},
        _text(form, "action_id"),
        int(revision) if known else None,
        asks_preview="preview" in form,
        confirmed=_text(form, "confirmed"),
    )


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def new_action_id() -> str:
    """Names an attempt that a form will be."""
    return str(uuid.uuid4())


def action_form(
    action: Action,
    fields: Sequence[FormField],
    language: Language,
    entered: Entered | None = None,
    problems: Sequence[FormProblem] = (),
    action_id: str | None = None,
) -> ActionForm:
    """The form of an action, filled with what was entered. Fields that the action does not have bring their label."""
    labels = labels_of(action.name, language)
    names, raw = {each.name for each in fields}, {} if entered is None else entered.raw
    of = {each.name: [one for one in problems if one.field == each.name] for each in fields}
    views = tuple(
        FieldView(
            each.name,
            each.kind,
            labels.fields.get(each.name, each.label),
            each.required,
            tuple((value, labels.choices.get(value, value)) for value in each.choices),
            raw.get(each.name, ""),
            tuple(problem_text(problem, language) for problem in of[each.name]),
            each.kind == "instant" and _with_offset(raw.get(each.name, ""), of[each.name]),
        )
        for each in fields
    )
    general = tuple(problem_text(problem, language) for problem in problems if problem.field not in names)
    return ActionForm(
        action.name, labels.title, labels.does, views, action_id or new_action_id(), general, entered is not None
    )


def _in_utc(text: str, zone: ZoneInfo) -> str:
    """A browser's local time as RFC 3339; anything else as it is, for the checks to report, and so one that a change of
    clocks repeats or skips."""
    moment = _moment(text)
    if moment is None or moment.tzinfo is not None:
        return text
    local = moment.replace(tzinfo=zone)
    return doubtful(local) or format_rfc3339(to_micros(local))


def entered_time(micros: int, zone: ZoneInfo) -> str:
    """An instant as a form shows it to be changed: a local time of whole seconds, as browsers have a field for, else
    with its offset, so that it stays as it is where only another field is changed."""
    local = to_datetime(micros).astimezone(zone)
    return local.isoformat() if local.microsecond or clock_change(local) else local.replace(tzinfo=None).isoformat()


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def _with_offset(raw: str, problems: Sequence[FormProblem]) -> bool:
    """Whether a time has an offset or needs one, which a browser's field for local times can't have."""
    moment = _moment(raw)
    zoned = moment is not None and moment.tzinfo is not None
    return zoned or any(problem.code in LOCAL_TIME_PROBLEMS for problem in problems)

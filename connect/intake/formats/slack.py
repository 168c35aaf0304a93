"""Slack's interactivity: the buttons below posts of `sla notify` (docs.slack.dev, "Handling user interaction").

A button's value names the incident. Slack signs each request together with the time, repeats none, and shows an error
to the person unless it is answered within three seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

from connect.feedback_links import ACTIONS_BLOCK, TEXT_BLOCK, TEXT_INPUT, SlackAction, link_of_button
from connect.intake import signatures
from connect.intake.formats import feedback, json_body, slack_reply
from connect.intake.formats.feedback import Feedback
from connect.intake.formats.source_format import FEEDBACK_KEYS, AuthenticationError, Credentials, Receipt, SourceFormat
from connect.intake.mapping.rules import Source
from connect.intake.outcome import IgnoredItem, ItemOutcome, RejectedItem
from streams.sla.events import Rejection
from streams.sla.instants import LATEST, SECOND, format_rfc3339

_SIGNATURE = "X-Slack-Signature"
_TIMESTAMP = "X-Slack-Request-Timestamp"
_VERSION = "v0="
_MAX_FIELDS = 10
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_ACTION_TIME = re.compile(r"([0-9]{1,12})\.([0-9]{1,6})", re.ASCII)
_USER_ID = re.compile(r"[0-9A-Za-z]{1,32}")
_UPDATE: SlackAction = "update"
#: Parts of a payload that whoever reads them could use.
_SECRET_PARTS = ("token", "response_url", "response_urls", "trigger_id", "hash")
#: Slack waits for three seconds, and the request has to come back as well.
_ANSWER_WITHIN = 2 * SECOND


def authenticate(credentials: Credentials) -> None:
    """The signature is `v0=` and the hexadecimal HMAC-SHA256 of `v0:`, the timestamp, `:` and the body; the timestamp
    has to be recent. Raises AuthenticationError."""
    given, timestamp = credentials.headers.get(_SIGNATURE, ""), credentials.headers.get(_TIMESTAMP, "")
    message = b"v0:" + timestamp.encode(errors="replace") + b":" + credentials.content
    digest = given.removeprefix(_VERSION) if given.startswith(_VERSION) else ""
    if not signatures.any_matches(
        credentials.secrets, lambda secret: feedback.same_digest(secret.sign(message), digest)
    ):
        raise AuthenticationError(f"{_SIGNATURE} is missing or does not fit; set the app's signing secret")
    recent = bool(_SECONDS.fullmatch(timestamp)) and (
        abs(credentials.now - int(timestamp) * SECOND) <= credentials.replay_window
    )
    if not recent:
        window = credentials.replay_window // SECOND
        raise AuthenticationError(f"{_TIMESTAMP} is not within {window} s of now; check this machine's clock")


def parse(body: bytes) -> object | Rejection:
    """The payload of a form: its one field `payload` is JSON."""
    try:
        fields = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        return Rejection("undecodable", "not a form of Slack's interactivity: expected payload=JSON, form-encoded")
    payloads = [value for name, value in fields if name == "payload"]
    if len(payloads) != 1:
        return Rejection("undecodable", f"payload: expected once, found {len(payloads)} times")
    return json_body.parse(payloads[0].encode())


def without_secrets(body: bytes) -> bytes:
    """The body as it may be kept: nobody can post to the channel with it."""
    payload = parse(body)
    if not isinstance(payload, dict):
        return b""
    retained = {name: value for name, value in payload.items() if name not in _SECRET_PARTS}
    return urlencode({"payload": json.dumps(retained, default=str)}).encode()


def translate(payload: object, source: Source, _: Receipt) -> Iterator[ItemOutcome]:
    """The outcomes of an interaction; paths of the mapping look into the whole payload (`user.id`)."""
    if not isinstance(payload, dict) or not isinstance(payload.get("type"), str):
        yield RejectedItem("", "invalid", "not an interaction of Slack: it has no text `type`")
        return
    if payload["type"] != "block_actions":
        yield IgnoredItem("", f"{payload['type'][:80]} is no press of a button")
        return
    actions = payload.get("actions")
    for action in actions if isinstance(actions, list) else [None]:
        yield _outcome(action, payload, source)


def _outcome(action: object, payload: dict[str, Any], source: Source) -> ItemOutcome:
    if not isinstance(action, dict):
        return RejectedItem("", "invalid", "actions: expected a list of objects")
    name = action.get("action_id")
    if action.get("block_id") != ACTIONS_BLOCK or not isinstance(name, str):
        return IgnoredItem("", "it is no button of the notifier")
    if name not in source.events:
        return feedback.unnamed(name)
    found = link_of_button(action.get("value"))
    if found is None:
        return RejectedItem("", "invalid", "actions.value: expected the value of a button of the notifier")
    link, _ = found
    if link.deployment != source.deployment:
        return IgnoredItem("", f"the post is of deployment {link.deployment[:80]}, not of {source.deployment}")
    text = text_of(payload) if name == _UPDATE else None
    if name == _UPDATE and text is None:
        return IgnoredItem("", "there is no text; write it into the field above the button first")
    user = payload.get("user")
    user_id = user.get("id") if isinstance(user, dict) else None
    if not isinstance(user_id, str) or not _USER_ID.fullmatch(user_id):
        return RejectedItem("", "invalid", "user.id: expected letters and digits, at most 32")
    at = action.get("action_ts")
    moment = _ACTION_TIME.fullmatch(at) if isinstance(at, str) else None
    micros = -1 if moment is None else int(moment[1]) * SECOND + int(moment[2].ljust(6, "0"))
    if not 0 <= micros <= LATEST:
        return RejectedItem("", "invalid", "actions.action_ts: expected seconds since 1970, such as 1775810422.169123")
    done = Feedback("Slack", name, link.incident, f"{at}-{user_id}-{name}", format_rfc3339(micros), text)
    return feedback.outcome(done, payload, source)


def text_of(payload: dict[str, Any]) -> str | None:
    """What the person wrote into the field of the post, if anything."""
    here: object = payload.get("state")
    for name in ("values", TEXT_BLOCK, TEXT_INPUT, "value"):
        here = here.get(name) if isinstance(here, dict) else None
    return here if isinstance(here, str) and here.strip() else None


def _looks_like(payload: object) -> bool:
    return isinstance(payload, dict) and payload.get("type") == "block_actions"


def _path_problem(names: tuple[str, ...]) -> str | None:
    root = names[0]
    return None if len(names) > 1 else f"{root} is not a text; allowed: {root} and a field, such as {root}.id"


FORMAT = SourceFormat(
    name="slack",
    authenticate=authenticate,
    looks_like=_looks_like,
    translate=translate,
    parse=parse,
    keys=(*FEEDBACK_KEYS, "replay_window"),
    required_keys=("events", "who"),
    tool_events=("acknowledge", "update", "resolve"),
    answer_status=200,
    answer_within=_ANSWER_WITHIN,
    reply=slack_reply.reply,
    without_secrets=without_secrets,
    payload_roots=("user", "team", "channel", "enterprise"),
    path_problem=_path_problem,
    signature_header=_SIGNATURE,
)

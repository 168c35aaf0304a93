"""Slack, incoming webhooks: a fallback text and blocks (docs.slack.dev, "Block Kit"). Pure but for secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

from pydantic import BaseModel, Field

from connect.feedback_links import (
    ACTIONS_BLOCK,
    TEXT_BLOCK,
    TEXT_INPUT,
    LinkedIncident,
    SlackAction,
    button_value,
    deployment_of_key,
)
from connect.notify.destinations.answers import judge_service
from connect.notify.destinations.kind import Destination, DestinationKind, KindConfig, PreparedRequest, Secrets
from connect.notify.destinations.phrases import facts, notify_phrases, title
from connect.notify.destinations.secrets import read_url_secret
from connect.notify.destinations.text import HEADERS, cut, json_body, plain
from connect.notify.message import DIGEST, Message
from connect.notify.triggers import JsonObject
from connect.secret_refs import SecretKeys
from streams.sla.instants import HOUR, SECOND

_LONGEST_HEADER = 150
_LONGEST_SECTION = 3000
_LONGEST_FIELD = 400
#: Slack's limit of a field; the intake cuts an update at 4 KiB.
_LONGEST_UPDATE = 3000
#: The question before resolving has at most 300 characters.
_LONGEST_SHOWN_ID = 128
_ICONS = {"sla.warning": "⏳", "sla.update_due": "🔔", "sla.breached": "🚨", "sla.digest": "🚨"}
_RESOLVED_ICON = "✅"


class SlackKeys(BaseModel):
    """The keys of kind slack."""

    url: SecretKeys | None = Field(None, description="Address to post to, a secret (slack, webhook).")
    pages_per_minute: Annotated[int, Field(ge=1, le=6000)] | None = Field(
        None, description="Beyond this rate alerts become digests (pagerduty, slack)."
    )
    buttons: list[SlackAction] = Field(
        [], description="Buttons below posts, for an app whose interactivity an intake receives (slack)."
    )


def configure(keys: SlackKeys) -> KindConfig:
    """What the checked keys mean."""
    assert keys.url is not None
    return KindConfig(
        keys.url.ref(), pages_per_minute=keys.pages_per_minute, buttons=tuple(dict.fromkeys(keys.buttons))
    )


def read_secrets(destination: Destination, environment: Mapping[str, str]) -> Secrets:
    """The webhook's address."""
    return Secrets(read_url_secret(destination, environment))


def prepare(destination: Destination, secrets: Secrets, _: str, message: Message, __: int) -> PreparedRequest:
    """The request for a message."""
    return PreparedRequest(secrets.main, HEADERS, json_body(post_body(destination, message)))


def post_body(destination: Destination, message: Message) -> JsonObject:
    """The post for a message."""
    event = message.event
    icon = _RESOLVED_ICON if message.action == "resolve" else _ICONS.get(event["type"], _RESOLVED_ICON)
    language = destination.language_of(message)
    heading = plain(f"{icon} {title(event, language)}", _LONGEST_HEADER)
    fields = facts(event, message.clock, language, destination.zone)
    lines = "\n".join(f"{name}: {plain(value, _LONGEST_FIELD)}" for name, value in fields)
    text = cut(lines or "-", _LONGEST_SECTION)
    # `plain_text` has no markup, links or mentions: ids such as *a_b* are shown and copied as they are.
    return {
        "text": _escape(heading),
        "mrkdwn": False,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": heading, "emoji": False}},
            {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}},
            *_buttons(destination, message),
        ],
    }


def _buttons(destination: Destination, message: Message) -> Sequence[JsonObject]:
    """The blocks by which people act on the incident; none below digests and ends, below alerts about an incident that
    had ended, and below posts of pages that a release without named deployments opened."""
    incident = str(message.event["subject"])
    if not destination.buttons or message.action != "trigger" or message.clock == DIGEST or message.key is None:
        return ()
    if message.late:
        return ()
    deployment = deployment_of_key(message.key, incident, message.clock)
    if deployment is None:
        return ()
    language = destination.language_of(message)
    phrases, value = notify_phrases(language), button_value(LinkedIncident(deployment, incident), language)
    buttons: list[JsonObject] = []
    for name in destination.buttons:
        button = {"type": "button", "action_id": name, "text": _label(phrases.buttons[name]), "value": value}
        if name == "resolve":
            confirm = {
                "title": _label(phrases.confirm_title),
                "text": _label(phrases.confirm_resolve.format(incident=plain(incident, _LONGEST_SHOWN_ID))),
                "confirm": _label(phrases.buttons[name]),
                "deny": _label(phrases.confirm_no),
            }
            button |= {"style": "danger", "confirm": confirm}
        buttons.append(button)
    actions = {"type": "actions", "block_id": ACTIONS_BLOCK, "elements": buttons}
    if "update" not in destination.buttons:
        return (actions,)
    field = {"type": "plain_text_input", "action_id": TEXT_INPUT, "multiline": True, "max_length": _LONGEST_UPDATE}
    label = _label(phrases.update_text)
    return {"type": "input", "block_id": TEXT_BLOCK, "optional": True, "label": label, "element": field}, actions


def _refuses(answer: Mapping[str, object]) -> bool:
    """As Slack's other interfaces, and gateways to them, refuse a post."""
    return answer.get("ok") is False


def _label(text: str) -> JsonObject:
    return {"type": "plain_text", "text": text, "emoji": False}


def _escape(text: str) -> str:
    """Text in which Slack finds no links and no mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


SLACK = DestinationKind(
    name="slack",
    keys=SlackKeys,
    required_keys=("url",),
    configure=configure,
    read_secrets=read_secrets,
    prepare=prepare,
    judge=partial(judge_service, service="Slack", refuses=_refuses),
    reads_answers=True,
    pages_per_minute=20,
    give_up_after=6 * HOUR,
    concurrency=1,
    min_interval=SECOND,  # Slack accepts one message a second
    ends_late_pages=False,  # the post says it
    unused_in_ends=frozenset({"clocks"}),
)

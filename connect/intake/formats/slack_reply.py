"""What the person who pressed a button in Slack is told, in the language of the post. Only that person sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from connect.feedback_links import link_of_button
from connect.intake.mapping.rules import Source
from connect.intake.outcome import Reply, RequestOutcome
from streams.i18n.catalogues import Language, load

#: Slack's own addresses: the intake connects to no other, whatever a payload says.
_RESPONSE_URL = re.compile(r"https://hooks\.slack(-gov)?\.com/[!-~]{1,500}")
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackReplyPhrases:
    """The messages of one language; the catalogue explains their placeholders."""

    recorded: Annotated[Mapping[str, str], ("responded", "updated", "resolved", "reopened")]
    not_recorded: str
    unavailable: str


@cache
def phrases_of(language: Language) -> SlackReplyPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(SlackReplyPhrases, "feedback", language)


def reply(payload: object, _: Source, outcome: RequestOutcome) -> Reply | None:
    """What to post where; None where nothing can be said, or nobody waits for it."""
    url = payload.get("response_url") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(url, str) or not _RESPONSE_URL.fullmatch(url):
        return None
    text = _text(outcome, phrases_of(_language(payload)))
    if text is None:
        return None
    # `mrkdwn: false` and the escaping leave no link and no mention of what a payload or an id contains.
    shown = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    body = {"response_type": "ephemeral", "replace_original": False, "mrkdwn": False, "text": shown}
    return Reply(url, json.dumps(body).encode())


def _text(outcome: RequestOutcome, phrases: SlackReplyPhrases) -> str | None:
    if outcome.unavailable:
        return phrases.unavailable
    lines = [
        phrases.recorded[event_type.partition(".")[2]].format(incident=incident)
        for event_type, incident in outcome.published
    ]
    lines += [phrases.not_recorded.format(reason=each[:_LONGEST_REASON]) for each in outcome.problems]
    return "\n".join(lines) or None


def _language(payload: dict[str, object]) -> Language:
    actions = payload.get("actions")
    for action in actions if isinstance(actions, list) else ():
        found = link_of_button(action.get("value")) if isinstance(action, dict) else None
        if found is not None:
            return found[1]
    return "en"

"""How a page or a post names its incident, so that feedback from PagerDuty or Slack finds it again. Pure.

Every link names the deployment too: two deployments may use one PagerDuty service or one Slack app. In keys and titles
the deployment ends at the first slash, so a slash in its name is `%2F`. Topic prefixes, the default, contain none.
"""

from __future__ import annotations

import json
import re
from typing import Final, Literal, NamedTuple
from urllib.parse import quote, unquote

from streams.i18n.catalogues import Language

_CLOCK_KEY = re.compile(r"(.+)/(?:response|update|resolution)/[0-9]+", re.DOTALL)
_HASHED_KEY = re.compile(r"[0-9a-f]{64}")
_DIGEST = "digest/"
_TITLE_LINK = " · ["
#: Leaves room for a slash and the hash of a long name in a dedup key of 255 bytes.
_LONGEST_DEPLOYMENT_BYTES: Final = 190

SlackAction = Literal["acknowledge", "update", "resolve"]
#: `block_id` of the buttons of a post; their `action_id` is a SlackAction.
ACTIONS_BLOCK = "sla-actions"
#: `block_id` and `action_id` of the field for the text of an update.
TEXT_BLOCK, TEXT_INPUT = "sla-text", "text"


class LinkedIncident(NamedTuple):
    """The incident that a link names, and its deployment."""

    deployment: str
    incident: str


#: `foreign`: not of this deployment. `digest`: of several incidents. `hashed`: too long, so the key is a hash.
Unlinked = Literal["foreign", "digest", "hashed"]


def check_deployment(name: str) -> str:
    """The name of a deployment, if keys and titles can have it. Raises ValueError."""
    size = len(quoted_deployment(name).encode(errors="replace"))
    if not name.isprintable() or name != name.strip() or size > _LONGEST_DEPLOYMENT_BYTES:
        raise ValueError(
            "allowed: 1 to 100 printable characters, without spaces at the ends, at most 190 bytes in UTF-8, of which "
            "`/` and `%` take three each"
        )
    return name


def quoted_deployment(name: str) -> str:
    """The name as keys have it."""
    return name.replace("%", "%25").replace("/", "%2F")


def incident_of_key(deployment: str, key: str) -> LinkedIncident | Unlinked:
    """The incident of a dedup key that `connect.notify.message` made for a deployment, or why there is none."""
    own = f"{quoted_deployment(deployment)}/"
    if not key.startswith(own):
        return "foreign"
    name = key[len(own) :]
    if (found := _CLOCK_KEY.fullmatch(name)) is not None:
        return LinkedIncident(deployment, found[1])
    if _HASHED_KEY.fullmatch(name):
        return "hashed"
    return "digest" if name.startswith(_DIGEST) else "foreign"


def deployment_of_key(key: str, incident: str, clock: str) -> str | None:
    """The deployment that a page's dedup key names; None: a release before deployments were named made the key."""
    if key.endswith(name := f"/{incident}/{clock}"):
        return unquote(key.removesuffix(name))
    deployment, _, name = key.rpartition("/")
    return unquote(deployment) if deployment and _HASHED_KEY.fullmatch(name) else None


def title_link(link: LinkedIncident) -> str:
    """The last part of a PagerDuty title, without the separator before it. It ends in a bracket, so a title that was
    cut names no incident, rather than another one."""
    return f"[{_quoted(link.deployment, '%[]/')}/{quoted_incident(link.incident)}]"


def quoted_incident(incident: str) -> str:
    """An incident as the part of a title that neither contains nor ends a link."""
    return _quoted(incident, "%[]")


def has_link(title: str) -> bool:
    """Whether a title ends in what may be read as a link."""
    return title.endswith("]") and _TITLE_LINK in title


def incident_of_title(deployment: str, title: str) -> str | None:
    """The incident of this deployment that a title ends in, or None."""
    _, found, link = title.rpartition(_TITLE_LINK)
    own = title_link(LinkedIncident(deployment, ""))[1:-1]
    if not found or not link.endswith("]") or not link.startswith(own):
        return None
    name = link[len(own) : -1]
    incident = unquote(name)
    # Releases before wrote ids as they are.
    return (incident if quoted_incident(incident) == name else name) or None


def button_value(link: LinkedIncident, language: Language) -> str:
    """The value of a Slack button. `language` is that of its message."""
    return json.dumps({**link._asdict(), "language": language}, ensure_ascii=False, separators=(",", ":"))


def link_of_button(value: object) -> tuple[LinkedIncident, Language] | None:
    """The incident of a Slack button's value and the language of its message; None: it is no value of ours."""
    try:
        given = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    deployment, incident, language = (given.get(name) for name in ("deployment", "incident", "language"))
    if not isinstance(deployment, str) or not isinstance(incident, str) or not incident:
        return None
    return LinkedIncident(deployment, incident), "ja" if language == "ja" else "en"


def _quoted(name: str, reserved: str) -> str:
    """Reserved characters, and those that a message does not show, as `%` and hexadecimal bytes."""
    if name.isprintable() and not any(each in name for each in reserved):
        return name
    return "".join(each if each.isprintable() and each not in reserved else quote(each, safe="") for each in name)

"""The texts of notifications (streams/i18n/notify.pot). Titles come with the alert, in each language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo

from connect.notify.message import LISTED_TENANTS
from connect.notify.triggers import REOPENED, JsonObject
from streams.i18n.catalogues import Language, load
from streams.serde.cloudevents_headers import INCIDENT_ENDED

_LISTED_INCIDENTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyPhrases:
    """The messages of one language; the catalogue explains their placeholders."""

    incident: str
    summary: str
    severity: str
    component: str
    clock: str
    deadline: str
    at: str
    tenants: str
    everyone: str
    more_tenants: str
    metrics: Annotated[Mapping[str, str], ("response", "update", "resolution")]
    endings: Annotated[Mapping[str, str], ("resolved", "merged", "annulled")]
    policy: str
    reopened_since: str
    ended_before: str
    ended_at: str
    digest: str
    digest_ended: str
    buttons: Annotated[Mapping[str, str], ("acknowledge", "update", "resolve")]
    update_text: str
    confirm_title: str
    confirm_resolve: str
    confirm_no: str


@cache
def notify_phrases(language: Language) -> NotifyPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(NotifyPhrases, "notify", language)


def title(event: JsonObject, language: Language) -> str:
    """The alert's own title; of a closing also how the incident ended, and whether it was reopened
    since, of a late alert that it had ended."""
    data = event["data"]
    if (digest := data.get("digest")) is not None:
        phrases = notify_phrases(language)
        return phrases.digest_ended if "ended" in digest else phrases.digest.format(**_counts(digest))
    text, phrases = str(data["title"][language]), notify_phrases(language)
    note = phrases.ended_before if INCIDENT_ENDED in event else phrases.endings.get(str(data.get("reason", "")))
    notes = [each for each in (note, phrases.reopened_since if REOPENED in data else None) if each is not None]
    return f"{text} ({', '.join(notes)})" if notes else text


def moment(rfc3339: str, zone: str) -> str:
    """An instant as people read it, such as 2026-01-31 20:00 JST."""
    try:
        local = datetime.fromisoformat(rfc3339).astimezone(ZoneInfo(zone))
    except OverflowError:  # at the end of the year 9999
        return rfc3339
    return local.strftime("%Y-%m-%d %H:%M %Z")


def facts(event: JsonObject, clock: str, language: Language, zone: str) -> Sequence[tuple[str, str]]:
    """The names and values shown below the title, in their order."""
    phrases, data = notify_phrases(language), event["data"]
    if "digest" in data:
        return _digest_facts(data, phrases)
    summary = [(phrases.summary, str(data["summary"]))] if data.get("summary") else []
    found = [
        *summary,
        (phrases.severity, str(data["severity"])),
        (phrases.component, str(data["component"])),
        (phrases.incident, str(event["subject"])),
    ]
    if clock:
        metric, _, instance = clock.partition("/")
        found.append((phrases.clock, f"{phrases.metrics.get(metric, metric)} {instance}"))
    if data.get("deadline"):
        found.append((phrases.deadline, moment(data["deadline"], zone)))
    found.append((phrases.at, moment(event["time"], zone)))
    if INCIDENT_ENDED in event:
        found.append((phrases.ended_at, moment(event[INCIDENT_ENDED], zone)))
    found.append((phrases.tenants, _tenants(data, phrases)))
    policy = data["policy"]
    found.append((phrases.policy, f"{policy['name']} {policy['version']}"))
    return found


def _counts(digest: JsonObject) -> Mapping[str, int]:
    return {"alerts": int(digest["alerts"]), "incidents": int(digest["incidents"])}


def _digest_facts(data: JsonObject, phrases: NotifyPhrases) -> Sequence[tuple[str, str]]:
    digest = data["digest"]
    if "ended" in digest:
        return []
    severities = ", ".join(f"{severity}: {count}" for severity, count in digest["severities"].items())
    listed = digest["listed"][:_LISTED_INCIDENTS]
    names = ", ".join(f"{each['incident_id']} ({each['severity']} {each['component']})" for each in listed)
    left = int(digest["incidents"]) - len(listed)
    incidents = f"{names} {phrases.more_tenants.format(count=left)}" if left > 0 else names
    return [
        (phrases.severity, severities),
        (phrases.component, str(data["component"])),
        (phrases.incident, incidents),
    ]


def _tenants(data: JsonObject, phrases: NotifyPhrases) -> str:
    if data["scope"] == "platform":
        return phrases.everyone
    tenants = list(map(str, data.get("tenant_ids", ())))
    listed = ", ".join(tenants[:LISTED_TENANTS])
    left = len(tenants) - LISTED_TENANTS + int(data.get("tenant_ids_left_out", 0))
    return f"{listed} {phrases.more_tenants.format(count=left)}" if left > 0 else listed

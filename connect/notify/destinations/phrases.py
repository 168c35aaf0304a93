"""The words of notifications: English and Japanese. Titles come with the alert, in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from connect.notify.message import Language
from connect.notify.triggers import JsonObject

_LISTED_TENANTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language; `{}` takes what the name says."""

    incident: str
    severity: str
    component: str
    clock: str
    deadline: str
    since: str
    tenants: str
    everyone: str
    more_tenants: str
    metrics: Mapping[str, str]
    ended: Mapping[str, str]
    policy: str


ENGLISH = Words(
    incident="Incident",
    severity="Severity",
    component="Component",
    clock="Clock",
    deadline="Deadline",
    since="At",
    tenants="Tenants",
    everyone="everyone",
    more_tenants="and {} more",
    metrics={"response": "response", "update": "update", "resolution": "resolution"},
    ended={"resolved": "resolved", "merged": "merged into another incident", "annulled": "annulled"},
    policy="Policy",
)
JAPANESE = Words(
    incident="インシデント",
    severity="重要度",
    component="コンポーネント",
    clock="計測",
    deadline="期限",
    since="日時",
    tenants="対象テナント",
    everyone="すべて",
    more_tenants="ほか{}件",
    metrics={"response": "初回応答", "update": "状況更新", "resolution": "復旧"},
    ended={"resolved": "解決", "merged": "他のインシデントに統合", "annulled": "取り消し"},
    policy="ポリシー",
)
WORDS: Mapping[Language, Words] = {"en": ENGLISH, "ja": JAPANESE}


def title(event: JsonObject, language: Language) -> str:
    """The alert's own title; of a closing with how it ended."""
    data = event["data"]
    text = str(data["title"][language])
    ended = WORDS[language].ended.get(str(data.get("reason", "")))
    return f"{text} ({ended})" if ended is not None else text


def moment(rfc3339: str, zone: str) -> str:
    """An instant as people read it, such as 2026-01-31 20:00 JST."""
    try:
        local = datetime.fromisoformat(rfc3339).astimezone(ZoneInfo(zone))
    except OverflowError:  # at the end of the year 9999
        return rfc3339
    return local.strftime("%Y-%m-%d %H:%M %Z")


def facts(event: JsonObject, clock: str, language: Language, zone: str) -> Sequence[tuple[str, str]]:
    """What is told beside the title: names and values, in the order in which they are read."""
    words, data = WORDS[language], event["data"]
    found = [
        (words.severity, str(data["severity"])),
        (words.component, str(data["component"])),
        (words.incident, str(event["subject"])),
    ]
    if clock:
        metric, _, instance = clock.partition("/")
        found.append((words.clock, f"{words.metrics.get(metric, metric)} {instance}"))
    if data.get("deadline"):
        found.append((words.deadline, moment(data["deadline"], zone)))
    found.append((words.since, moment(event["time"], zone)))
    found.append((words.tenants, _tenants(data, words)))
    policy = data["policy"]
    found.append((words.policy, f"{policy['name']} {policy['version']}"))
    return found


def _tenants(data: JsonObject, words: Words) -> str:
    if data["scope"] == "platform":
        return words.everyone
    tenants = list(map(str, data.get("tenant_ids", ())))
    listed = ", ".join(tenants[:_LISTED_TENANTS])
    left = len(tenants) - _LISTED_TENANTS
    return f"{listed} {words.more_tenants.format(left)}" if left > 0 else listed

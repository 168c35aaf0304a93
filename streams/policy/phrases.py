"""The words in which policies are shown: English and Japanese."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from streams.sla.instants import DAY, HOUR, MINUTE, SECOND

Language = Literal["en", "ja"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language; `{}` takes what the name says."""

    language: Language
    separator: str
    day_names: tuple[str, ...]
    day_span: str
    since: str
    severities: str
    severity_headers: tuple[str, str, str, str, str]
    components: str
    component_headers: tuple[str, str, str, str]
    yes_no: Mapping[bool, str]
    impacts: Mapping[str, str]
    any_impact: str
    limited: str
    or_else: str
    anything_else: str
    by_hand: str
    tier: str
    unknown_tier: str
    scopes: Mapping[str, str]
    no_target: str
    and_resolved: str
    clocks: Mapping[str, str]
    one_business_day: str
    many_business_days: str
    every: Mapping[str, str]
    on_request: str
    channels: Mapping[str, str]
    any_channel: str
    calendar: str
    holidays: str
    no_holidays: str
    members_only: str
    consulting: str
    guarantee: str
    no_guarantee: str
    downtime: str
    maintenance: str
    maintenance_notice: str
    credit: Mapping[str, str]
    no_credit: str
    claim: Mapping[str, str]
    final: str

    def listed(self, items: Iterable[str]) -> str:
        return self.separator.join(items)

    def business_days(self, count: int) -> str:
        return self.one_business_day if count == 1 else self.many_business_days.format(count)

    def listed_days(self, days: list[int]) -> str:
        """Mon-Fri for consecutive weekdays, else each by name."""
        names = [self.day_names[day] for day in days]
        if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
            return self.day_span.format(names[0], names[-1])
        return self.listed(names)


UNITS: tuple[tuple[int, str, str], ...] = ((HOUR, "hour", "時間"), (MINUTE, "minute", "分"))


def duration_words(micros: int, language: Language, *, per: bool = False) -> str:
    """2 hours 30 minutes, 60 days, 2時間30分. With `per`, as said after `every`: hour, 2 hours."""
    parts: list[tuple[str, str, str]] = []
    days = micros // DAY if micros > 3 * DAY else 0
    rest = micros - days * DAY
    if days:
        parts.append((str(days), "day", "日"))
    for size, english, japanese in UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append((str(count), english, japanese))
    if rest or not parts:
        seconds = f"{rest // SECOND}.{rest % SECOND:06d}".rstrip("0").rstrip(".")
        parts.append((seconds, "second", "秒"))
    if language == "ja":
        return "".join(count + japanese for count, _, japanese in parts)
    if per and len(parts) == 1 and parts[0][0] == "1":
        return parts[0][1]
    return " ".join(f"{count} {english}{'' if count == '1' else 's'}" for count, english, _ in parts)


ENGLISH = Words(
    language="en",
    separator=", ",
    day_names=("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    day_span="{}-{}",
    since="from {}",
    severities="Severities",
    severity_headers=("Severity", "When", "First response", "Status updates", "Report by"),
    components="Components",
    component_headers=("Component", "Id", "Support covered", "Uptime guaranteed"),
    yes_no={True: "yes", False: "no"},
    impacts={
        "complete_outage": "complete outage",
        "critical_performance": "critical performance problem",
        "material_aspect": "outage of an important part",
        "processing_delay": "delayed processing",
        "cosmetic": "cosmetic fault",
    },
    any_impact="any impact",
    limited="{} ({})",
    or_else="; or ",
    anything_else="whatever fits nowhere else",
    by_hand="set by hand only",
    tier="tier {}",
    unknown_tier="unknown",
    scopes={"tenants": "single customers", "platform": "everyone at once"},
    no_target="no target",
    and_resolved="; resolved within {}",
    clocks={"always": "{}, 24x7", "business": "{} of business time"},
    one_business_day="1 business day",
    many_business_days="{} business days",
    every={"always": "at least every {}", "business": "at least every {} of business time"},
    on_request="on request, within {}",
    channels={"monitor": "monitoring", "phone": "phone", "ticket": "ticket", "api": "API"},
    any_channel="any way",
    calendar="Business time is {hours} ({zone}), {holidays}.",
    holidays="closed on public holidays of {}",
    no_holidays="public holidays included",
    members_only="Phone support is for contracts with emergency membership.",
    consulting="Components without support cover are tracked without targets; consulting can help there.",
    guarantee="Each calendar month at least {percent} % uptime of: {parts}.",
    no_guarantee="No uptime is guaranteed.",
    downtime="Downtime is: {}.",
    maintenance="Maintenance that was announced by its start is not downtime.",
    maintenance_notice="Maintenance announced at least {} ahead is not downtime.",
    credit={
        "whole": "For every full percentage point below {below} %: credit of {share} % of the month's charge, "
        "at most {cap} %.",
        "started": "For every started percentage point below {below} %: credit of {share} % of the month's charge, "
        "at most {cap} %.",
        "pro_rata": "Below {below} %: credit of {share} % of the month's charge per percentage point, in exact "
        "proportion, at most {cap} %.",
    },
    no_credit="A missed guarantee earns no credit.",
    claim={
        "required": "Credits lower future bills; ask for them within {} of the month's final statement.",
        "automatic": "Credits lower future bills and come without asking.",
    },
    final="A month's statement is final {} after its end; later evidence is settled by a correction.",
)

JAPANESE = Words(
    language="ja",
    separator="、",
    day_names=("月", "火", "水", "木", "金", "土", "日"),
    day_span="{}〜{}",
    since="{} から適用",
    severities="重大度",
    severity_headers=("重大度", "対象", "初回応答", "状況の更新", "連絡方法"),
    components="コンポーネント",
    component_headers=("コンポーネント", "ID", "サポート対象", "稼働率保証"),
    yes_no={True: "あり", False: "なし"},
    impacts={
        "complete_outage": "全面停止",
        "critical_performance": "著しい性能低下",
        "material_aspect": "重要な機能の停止",
        "processing_delay": "処理の遅れ",
        "cosmetic": "表示上の不具合",
    },
    any_impact="すべての影響",
    limited="{}（{}）",
    or_else="、または",
    anything_else="ほかに当てはまらないもの",
    by_hand="手動設定のみ",
    tier="ティア {}",
    unknown_tier="不明",
    scopes={"tenants": "個別のお客様", "platform": "全体"},
    no_target="目標なし",
    and_resolved="、解決は{}",
    clocks={"always": "{}以内（24時間365日）", "business": "営業時間で{}以内"},
    one_business_day="1営業日以内",
    many_business_days="{}営業日以内",
    every={"always": "少なくとも{}ごと", "business": "営業時間で少なくとも{}ごと"},
    on_request="ご要望から{}",
    channels={"monitor": "監視", "phone": "電話", "ticket": "チケット", "api": "API"},
    any_channel="指定なし",
    calendar="営業時間は{hours}（{zone}）、{holidays}です。",
    holidays="{} の祝日は休業",
    no_holidays="祝日も営業",
    members_only="電話サポートは緊急メンバー契約のお客様が対象です。",
    consulting="サポート対象外のコンポーネントは目標時間なしで記録します。コンサルティングをご利用ください。",
    guarantee="毎月の稼働率 {percent}% 以上を保証：{parts}。",
    no_guarantee="稼働率の保証はありません。",
    downtime="停止時間に数えるもの：{}。",
    maintenance="開始前に告知したメンテナンスは停止時間に含みません。",
    maintenance_notice="{}以上前に告知したメンテナンスは停止時間に含みません。",
    credit={
        "whole": "稼働率が {below}% を下回った分、満 1 ポイントごとに月額の {share}% を"
        "クレジットします（上限 {cap}%）。",
        "started": "稼働率が {below}% を下回った分、1 ポイントごと（端数切り上げ）に月額の {share}% を"
        "クレジットします（上限 {cap}%）。",
        "pro_rata": "稼働率が {below}% を下回った分に比例して、1 ポイントあたり月額の {share}% を"
        "クレジットします（上限 {cap}%）。",
    },
    no_credit="保証を下回ってもクレジットはありません。",
    claim={
        "required": "クレジットは以後のご請求に充当します。月次の確定明細から{}以内にご請求ください。",
        "automatic": "クレジットは申請なしで以後のご請求に充当します。",
    },
    final="明細は月末から{}後に確定し、その後に判明した事実は訂正で反映します。",
)

WORDS: Mapping[Language, Words] = {"en": ENGLISH, "ja": JAPANESE}

"""The texts in which policies are shown to customers (streams/i18n/policy.pot)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Annotated

from streams.config_files.scalars import WEEKDAYS
from streams.i18n.catalogues import Language, Plural, load
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND

IMPACTS = ("complete_outage", "critical_performance", "material_aspect", "processing_delay", "cosmetic")
CLOCKS = ("always", "business")
UNITS = ("days", "hours", "minutes", "seconds")
#: Texts by key; the annotation lists the keys.
Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPhrases:
    """The messages of one language; the catalogue explains their placeholders."""

    separator: str
    day_names: Annotated[Texts, WEEKDAYS]
    day_span: str
    since: str
    severities: str
    severity_headers: Annotated[Texts, ("severity", "when", "response", "updates", "channels")]
    components: str
    component_headers: Annotated[Texts, ("component", "id", "covered", "guaranteed")]
    yes_no: Annotated[Texts, ("yes", "no")]
    impacts: Annotated[Texts, IMPACTS]
    any_impact: str
    limited: str
    or_else: str
    anything_else: str
    by_hand: str
    tier: str
    unknown_tier: str
    scopes: Annotated[Texts, ("tenants", "platform")]
    no_target: str
    and_resolved: str
    clocks: Annotated[Texts, CLOCKS]
    business_days: Plural
    every: Annotated[Texts, CLOCKS]
    on_request: str
    channels: Annotated[Texts, ("monitor", "phone", "ticket", "api")]
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
    credit: Annotated[Texts, ("whole", "started", "pro_rata")]
    no_credit: str
    claim: Annotated[Texts, ("required", "automatic")]
    final: str
    longer: str
    days: Plural
    hours: Plural
    minutes: Plural
    seconds: Plural
    single_units: Annotated[Texts, UNITS]

    def listed(self, items: Iterable[str]) -> str:
        """The items with the language's separator between them."""
        return self.separator.join(items)

    def listed_days(self, days: Sequence[int]) -> str:
        """Weekdays (Monday is 0): Mon-Fri for three or more consecutive ones, else each by name."""
        names = [self.day_names[WEEKDAYS[day]] for day in days]
        if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
            return self.day_span.format(first=names[0], last=names[-1])
        return self.listed(names)

    def duration(self, micros: int) -> str:
        """A duration in microseconds: 2 hours 30 minutes, 60 days, 2時間30分."""
        units: Mapping[str, Plural] = {unit: getattr(self, unit) for unit in UNITS}
        parts = (units[unit].format(count) for count, unit in _parts(micros))
        return reduce(lambda time, rest: self.longer.format(time=time, rest=rest), parts)

    def duration_after_every(self, micros: int) -> str:
        """A duration as it follows "every": hour, 2 hours."""
        parts = _parts(micros)
        return self.single_units[parts[0][1]] if len(parts) == 1 and parts[0][0] == "1" else self.duration(micros)


def _parts(micros: int) -> list[tuple[str, str]]:
    """Counts and their units, the largest unit first. Days only above three of them, as policies say 72 hours."""
    days = micros // DAY if micros > 3 * DAY else 0
    parts: list[tuple[str, str]] = [(str(days), "days")] if days else []
    hours, rest = divmod(micros - days * DAY, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    if hours:
        parts.append((str(hours), "hours"))
    if minutes:
        parts.append((str(minutes), "minutes"))
    if rest or not parts:
        seconds = f"{rest // SECOND}.{rest % SECOND:06d}".rstrip("0").rstrip(".")
        parts.append((seconds, "seconds"))
    return parts


@cache
def policy_phrases(language: Language) -> PolicyPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(PolicyPhrases, "policy", language)

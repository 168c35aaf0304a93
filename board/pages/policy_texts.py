"""The texts of the pages of policies (streams/i18n/board_policies.pot)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from streams.i18n.catalogues import Language, load

#: Texts by key; the annotation lists the keys.
Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPagePhrases:
    """The messages of one language."""

    heads: Annotated[
        Texts,
        (
            "policy",
            "version",
            "since",
            "open",
            "incidents",
            "statements",
            "deployed",
            "tenant",
            "breaches",
            "gained",
            "lost",
            "credits",
            "change",
            "month",
            "guarantee",
            "before",
            "after",
            "state",
            "incident",
            "severity",
            "clock",
            "deadline",
            "tenants",
            "run",
            "what",
        ),
    ]
    since_beginning: str
    default_policy: str
    deployed: Annotated[Texts, ("deployed", "other content", "not deployed")]
    not_deployed_hint: str
    compare_title: str
    old: str
    new: str
    compare: str
    compared: str
    differences_title: str
    no_differences: str
    promises: str
    unknown_policy: str
    unknown_policy_hint: str
    digest: str
    try_version: str
    what_if_title: str
    what_if_hint: str
    candidate: str
    upload: str
    against: str
    same_name: str
    run_it: str
    problems_title: Annotated[Texts, ("one", "many")]
    line: str
    nothing_given: str
    too_large: str
    busy: str
    unknown_against: str
    warnings_title: str
    runs_title: str
    states: Annotated[Texts, ("queued", "running", "done", "failed", "cancelled")]
    run_of: str
    unknown_run: str
    unknown_run_hint: str
    queued: str
    running: str
    starting: str
    cancel: str
    failed: str
    cancelled: str
    over: str
    no_events: str
    no_difference: str
    alike: str
    more: str
    total: str
    platform: str
    several: str
    tenants_title: str
    months_title: str
    guarantee_words: Annotated[Texts, ("met", "missed")]
    open_month: str
    closed_month: str
    gained_title: str
    lost_title: str
    csv: str
    csv_too_large: str
    another: str


@cache
def policy_page_phrases(language: Language) -> PolicyPagePhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(PolicyPagePhrases, "board_policies", language)

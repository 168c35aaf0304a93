"""Texts for people stand in gettext catalogues: complete, all used, and loaded strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import pytest
from babel.messages.pofile import read_po, write_po

from board.pages.access_texts import AccessPhrases
from board.pages.action_texts import ActionPagePhrases
from board.pages.audit_texts import AuditPhrases
from board.pages.contract_import_texts import ImportPhrases
from board.pages.incident_texts import IncidentPhrases
from board.pages.live_texts import LivePhrases
from board.pages.maintenance_texts import MaintenancePhrases
from board.pages.overview_texts import OverviewPhrases
from board.pages.policy_texts import PolicyPagePhrases
from board.pages.proposal_texts import ProposalPhrases
from board.pages.rejected_texts import RejectedPhrases
from board.pages.system_texts import SystemPhrases
from board.pages.tenant_texts import TenantPhrases
from board.pages.texts import BoardPhrases
from board.reports.texts import ReportPhrases
from connect.actions.texts import ActionPhrases
from connect.contract_import.problems import RowPhrases
from connect.intake.formats.slack_reply import SlackReplyPhrases
from connect.notify.destinations.phrases import NotifyPhrases
from streams.i18n.catalogues import DIRECTORY, LANGUAGES, CatalogueError, Plural, load
from streams.policy.phrases import PolicyPhrases, policy_phrases
from streams.sla.instants import DAY, HOUR, MINUTE, SECOND

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agents", "board", "cli", "connect", "streams")
SOURCES = [
    path.read_text()
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.*")
    if path.suffix in {".py", ".html"}
]

#: Every dataclass of texts, by the catalogue that fills it.
DOMAINS: Mapping[str, type] = {
    "actions": ActionPhrases,
    "board": BoardPhrases,
    "board_access": AccessPhrases,
    "board_actions": ActionPagePhrases,
    "board_audit": AuditPhrases,
    "board_contracts": ImportPhrases,
    "board_incident": IncidentPhrases,
    "board_live": LivePhrases,
    "board_months": TenantPhrases,
    "board_overview": OverviewPhrases,
    "board_policies": PolicyPagePhrases,
    "board_proposals": ProposalPhrases,
    "board_maintenance": MaintenancePhrases,
    "board_rejected": RejectedPhrases,
    "board_reports": ReportPhrases,
    "board_system": SystemPhrases,
    "contract_rows": RowPhrases,
    "feedback": SlackReplyPhrases,
    "notify": NotifyPhrases,
    "policy": PolicyPhrases,
}

TEMPLATE = """\
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"

msgctxt "greeting"
msgid "Hello, {name}"
msgstr ""

msgctxt "files"
msgid "{count} file"
msgid_plural "{count} files"
msgstr[0] ""
msgstr[1] ""

msgctxt "states.on"
msgid "on"
msgstr ""

msgctxt "states.off"
msgid "off"
msgstr ""
"""
JAPANESE = (
    TEMPLATE.replace('utf-8\\n"', 'utf-8\\n"\n"Plural-Forms: nplurals=1; plural=0;\\n"')
    .replace('{name}"\nmsgstr ""', '{name}"\nmsgstr "{name}さん"')
    .replace('msgstr[0] ""\nmsgstr[1] ""', 'msgstr[0] "{count}件"')
    .replace('"on"\nmsgstr ""', '"on"\nmsgstr "入"')
    .replace('"off"\nmsgstr ""', '"off"\nmsgstr "切"')
)


@dataclass(frozen=True)
class Phrases:
    greeting: str
    files: Plural
    states: Annotated[Mapping[str, str], ("on", "off")]


def write(directory: Path, template: str = TEMPLATE, japanese: str = JAPANESE) -> Path:
    (directory / "ja" / "LC_MESSAGES").mkdir(parents=True)
    (directory / "sample.pot").write_text(template)
    (directory / "ja" / "LC_MESSAGES" / "sample.po").write_text(japanese)
    return directory


def test_every_catalogue_is_loaded_by_one_dataclass() -> None:
    assert {path.stem for path in DIRECTORY.glob("*.pot")} == set(DOMAINS)
    assert {path.parent.parent.name for path in DIRECTORY.glob("*/LC_MESSAGES/*.po")} == set(LANGUAGES) - {"en"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_catalogues_have_every_message_and_no_other(domain: str, language: str) -> None:
    assert load(DOMAINS[domain], domain, language) is not None


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_message_is_used(domain: str) -> None:
    unused = [
        field.name
        for field in fields(DOMAINS[domain])
        if not any(
            re.search(rf"(?:phrases|self|common|_phrases\([^()]*\))\.{field.name}\b", source) for source in SOURCES
        )
        and field.name not in {"days", "hours", "minutes", "seconds"}  # chosen by the length of a duration
    ]
    assert unused == []


@pytest.mark.parametrize("path", sorted(DIRECTORY.rglob("*.po*")), ids=lambda path: path.name)
def test_gettext_tools_can_read_and_write_the_catalogues(path: Path, tmp_path: Path) -> None:
    with path.open("rb") as file:
        catalogue = read_po(file, abort_invalid=True)
    with (tmp_path / "again.po").open("wb") as file:
        write_po(file, catalogue)
    with (tmp_path / "again.po").open("rb") as file:
        again = read_po(file, abort_invalid=True)
    found, expected = ({(m.context, m.id): m.string for m in each if m.id} for each in (again, catalogue))
    assert found == expected


def test_texts_come_in_the_language_with_its_plural_forms(tmp_path: Path) -> None:
    write(tmp_path)
    english, japanese = (load(Phrases, "sample", language, tmp_path) for language in LANGUAGES)
    assert (english.greeting.format(name="Ada"), japanese.greeting.format(name="Ada")) == ("Hello, Ada", "Adaさん")
    assert [english.files.format(count) for count in (0, 1, 2, "1.5")] == ["0 files", "1 file", "2 files", "1.5 files"]
    assert [japanese.files.format(count) for count in (1, 2)] == ["1件", "2件"]
    assert (english.states, japanese.states) == ({"on": "on", "off": "off"}, {"on": "入", "off": "切"})


@pytest.mark.parametrize(
    ("template", "japanese", "problem"),
    [
        (TEMPLATE.replace("greeting", "welcome"), JAPANESE, "sample.pot: greeting is missing"),
        (TEMPLATE.replace("greeting", "welcome"), JAPANESE, "sample.pot: welcome is unused"),
        (TEMPLATE, JAPANESE.replace("states.on", "states.in"), "ja/sample.po: states.on is missing"),
        (TEMPLATE, JAPANESE.replace("states.on", "states.in"), "ja/sample.po: states.in is unused"),
        (TEMPLATE, JAPANESE.replace("切", ""), "ja/sample.po: states.off is not translated"),
        (TEMPLATE, JAPANESE.replace('msgctxt "greeting"', '#, fuzzy\nmsgctxt "greeting"'), "greeting is fuzzy"),
        (TEMPLATE, JAPANESE.replace("{name}さん", "{who}さん"), "greeting has other placeholders"),
        (TEMPLATE.replace("Hello", "Good day"), JAPANESE, "greeting translates another English text"),
        (TEMPLATE.replace('msgid_plural "{count} files"\nmsgstr[0] ""\nmsgstr[1]', "msgstr"), JAPANESE, "files has no"),
        (TEMPLATE, JAPANESE + '\nmsgid "unfinished', "sample.po can't be read"),
    ],
)
def test_a_catalogue_that_does_not_fit_is_refused(tmp_path: Path, template: str, japanese: str, problem: str) -> None:
    write(tmp_path, template, japanese)
    with pytest.raises(CatalogueError, match=re.escape(problem)):
        load(Phrases, "sample", "ja", tmp_path)


@pytest.mark.parametrize(
    ("micros", "english", "japanese"),
    [
        (HOUR, "1 hour", "1時間"),
        (2 * HOUR + 30 * MINUTE, "2 hours 30 minutes", "2時間30分"),
        (60 * DAY, "60 days", "60日"),
        (72 * HOUR, "72 hours", "72時間"),
        (4 * DAY + HOUR, "4 days 1 hour", "4日1時間"),
        (SECOND * 3 // 2, "1.5 seconds", "1.5秒"),
        (0, "0 seconds", "0秒"),
    ],
)
def test_durations_in_words(micros: int, english: str, japanese: str) -> None:
    assert (policy_phrases("en").duration(micros), policy_phrases("ja").duration(micros)) == (english, japanese)


def test_durations_after_every() -> None:
    assert [policy_phrases("en").duration_after_every(each) for each in (HOUR, 2 * HOUR)] == ["hour", "2 hours"]
    assert [policy_phrases("ja").duration_after_every(each) for each in (HOUR, 2 * HOUR)] == ["1時間", "2時間"]

"""The keys of an import file, as pydantic checks them. The entries are those of the intake's mapping files."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from connect.intake.mapping.body_keys import TimeFormat
from connect.intake.mapping.entry_keys import ONE_OR_SEVERAL, Conditions, MappingRuleKeys, PathText
from connect.intake.mapping.schema import SourceName, SourcePath, StatesKeys
from connect.written_times import needs_zone
from streams.config_files.config_keys import ConfigKeys
from streams.config_files.scalars import check_zone


def _encoding(name: str) -> str:
    try:
        if not codecs.lookup(name)._is_text_encoding:
            raise LookupError
    except LookupError as error:
        raise ValueError(f"{name!r} is no encoding; allowed: utf-8, utf-16, cp1252, shift_jis and others") from error
    return name


PathTexts = Annotated[list[PathText], ONE_OR_SEVERAL, Field(min_length=1)]


class FileKeys(ConfigKeys):
    """How the file is written."""

    format: Literal["csv", "json"] = Field("csv", description="Of JSON, paths are JMESPath.")
    encoding: Annotated[str, AfterValidator(_encoding)] = Field(
        "utf-8", description="Where no byte-order mark says it."
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="Of a CSV file; default: the one of `,` `;` tab and `|` that its first line has most."
    )
    rows: str | None = Field(None, description="JSON: the name of the list of tickets; default: the usual ones.")


class TimesKeys(ConfigKeys):
    """How times are written."""

    format: Annotated[list[TimeFormat], ONE_OR_SEVERAL] = Field(
        ["rfc3339"], description="One or several, of which the first that fits counts.", min_length=1
    )
    zone: Annotated[str, AfterValidator(check_zone)] | None = Field(
        None, description="The zone of times without one (patterns without %z)."
    )

    @model_validator(mode="after")
    def _has_zone(self) -> Self:
        local = [each for each in self.format if needs_zone(each)]
        if local and self.zone is None:
            raise ValueError(f"{local[0]!r} has no zone; allowed: `zone: UTC`, or %z in the pattern")
        return self


class UpdatesKeys(ConfigKeys):
    """The comments of a ticket. Paths look into one comment."""

    path: PathText = Field(alias="from", description="Path of the comments.")
    split: list[str] | None = Field(
        None, description="Names of the parts of a comment that is one text with `;` between them.", min_length=2
    )
    time: PathText = Field(description="When it was written.")
    text: PathText | None = Field(None, description="What was written.")
    public: Conditions = Field({}, description="Which ones the customer can read; default: none.")
    support: Conditions = Field({}, description="Which ones support wrote; default: none.")


class ImportKeys(ConfigKeys):
    """The whole file."""

    version: Literal[1] = Field(description="Version of this format: 1.")
    name: SourceName = Field(description="Ids of incidents begin with it.")
    source: SourcePath | None = Field(None, description="CloudEvents source; default: /import/ and the name.")
    file: FileKeys = Field(FileKeys.model_validate({}), description="How the file is written.")
    times: TimesKeys = Field(TimesKeys.model_validate({}), description="How times are written.")
    id: PathText = Field(description="What identifies a ticket for ever.")
    key: PathText | None = Field(None, description="Its name for people; default: the id.")
    title: PathText | None = Field(None, description="Its title.")
    opened: PathTexts = Field(description="When it was created; of several fields, the first that is not empty.")
    started: PathTexts | None = Field(None, description="When the fault began; default: when it was created.")
    responded: PathTexts | None = Field(None, description="When support first responded.")
    resolved: PathTexts | None = Field(None, description="When it was resolved.")
    status: PathText | None = Field(None, description="Its status; `states` says what that means.")
    updates: UpdatesKeys | None = Field(None, description="Its comments.")
    states: StatesKeys = Field(StatesKeys.model_validate({}), description="What status names mean.")
    ignore: list[Annotated[Conditions, Field(min_length=1)]] = Field([], description="Tickets that are no incidents.")
    component: list[MappingRuleKeys] = Field(description="Rules for the component.", min_length=1)
    impact: list[MappingRuleKeys] = Field(description="Rules for the impact.", min_length=1)
    tier: list[MappingRuleKeys] = Field([], description="Rules for the tier.")
    tenants: list[MappingRuleKeys] = Field(description='Where the tenants come from; "*" is everyone.', min_length=1)
    summary: list[MappingRuleKeys] = Field([], description="Rules for the summary.")

"""The keys of one entry of a mapping file, as pydantic checks them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from streams.config_files.config_keys import ConfigKeys
from streams.config_files.yaml_reader import WrittenNumber


def _scalar_text(value: object) -> object:
    """Numbers and booleans as texts, the form in which payload values are compared."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, WrittenNumber):
        return value.text
    return str(value) if isinstance(value, int | float) else value


def _compared_texts(value: object) -> list[object]:
    """What a value of a condition is compared with. A payload may have 1.10 as a text, or as a number, which is 1.1."""
    given = value if isinstance(value, list) else [value]
    numbers = [str(float(each)) for each in given if isinstance(each, WrittenNumber)]
    return [*given, *(each for each in numbers if each not in given)]


ScalarText = Annotated[str, BeforeValidator(_scalar_text), Field(min_length=1)]
#: For keys that take one value or a list of them.
ONE_OR_SEVERAL = BeforeValidator(lambda value: value if isinstance(value, list) else [value])
ScalarTexts = Annotated[list[ScalarText], BeforeValidator(_compared_texts), Field(min_length=1)]
#: Each format parses its own paths, when all keys are known.
PathText = Annotated[str, Field(min_length=1)]
Conditions = dict[PathText, ScalarTexts]


class MappingRuleKeys(ConfigKeys):
    """One rule for a field's value."""

    when: Conditions = Field({}, description="Paths and the values they must have for this entry to apply.")
    path: PathText | None = Field(None, alias="from", description="Path of the value in the payload.")
    values: dict[ScalarText, ScalarText] | None = Field(
        None, description="What each value of the payload means; `*` is any other.", min_length=1
    )
    value: Annotated[str | None, BeforeValidator(_scalar_text)] = Field(
        None, description="The value itself.", min_length=1
    )

    scope: Literal["platform"] | None = Field(None, description="Instead of tenants: every tenant is affected.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(given is not None for given in (self.path, self.value, self.scope)) != 1:
            raise ValueError(
                "an entry has one origin; allowed: `from` with a path, or `value`, or `scope: platform` in tenants"
            )
        if self.values is not None and self.path is None:
            raise ValueError("a table of values needs a path; allowed: `from` and `values`")
        names: dict[str, str] = {}
        for name, meaning in (self.values or {}).items():
            other = names.setdefault(name.casefold(), name)
            if self.values is not None and self.values[other] != meaning:
                raise ValueError(
                    f"the values {other} and {name} have two meanings; case does not count: leave one of them out"
                )
        return self

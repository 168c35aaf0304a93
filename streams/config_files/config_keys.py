"""The base of the pydantic models that check configuration files."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ConfigKeys(BaseModel):
    """The keys of one mapping in a file. Unknown keys are errors; the values never change.

    A docstring below a field is its description, unless `Field` gives one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

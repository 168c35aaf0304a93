"""What stops a worker before it writes.

SlaError
├── PolicyChanged        a policy version that the state was decided by is missing, or has other content (R18)
├── PseudonymKeyChanged  tenants were erased with another key (R29)
└── SettingsError        the environment asks for something that can't be
"""

# ruff: noqa: N818 -- these name what happened
from __future__ import annotations


class SlaError(Exception):
    """Base of all; its text says what is wrong and what to do."""


class PolicyChanged(SlaError):
    """The deployment's policies are not those that the state was decided by."""


class PseudonymKeyChanged(SlaError):
    """The deployment's key is not the one that erased tenants' pseudonyms were made with."""


class SettingsError(SlaError):
    """A setting is missing or can't be understood."""

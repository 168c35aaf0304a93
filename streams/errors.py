"""Errors that stop a worker before it writes.

SlaError
├── PolicyChanged        a policy version that the state was decided by is missing, or has other content (R18)
├── PseudonymKeyChanged  tenants were erased with another key (R29)
├── RegistryRefused      the schema registry does not take what this deployment needs
├── RegistryUnavailable  the schema registry gives no usable answer; retry
└── SettingsError        a setting is missing or invalid
"""

# ruff: noqa: N818 -- these name what happened
from __future__ import annotations


class SlaError(Exception):
    """Base of all; its text says what is wrong and what to do."""


class PolicyChanged(SlaError):
    """The deployment's policies are not those that the state was decided by."""


class PseudonymKeyChanged(SlaError):
    """The deployment's key is not the one that erased tenants' pseudonyms were made with."""


class RegistryRefused(SlaError):
    """The schema registry refuses this user, or has what does not go together with this deployment's schemas."""


class RegistryUnavailable(SlaError):
    """The schema registry is unreachable, fails, or gives an invalid answer."""


class SettingsError(SlaError):
    """A setting is missing or invalid."""

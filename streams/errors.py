"""Errors that stop a worker before it writes.

SlaError
├── PolicyChanged        a policy version that decided recorded state is missing, or has other content (R18)
├── PseudonymKeyChanged  tenants were erased with another key (R29)
├── RegistryRefused      the schema registry refuses what this deployment needs
├── RegistryUnavailable  the schema registry gives no usable answer; retry
└── SettingsError        a setting is missing or invalid
"""

# ruff: noqa: N818 -- these name what happened
from __future__ import annotations


class SlaError(Exception):
    """Base of all; its text says what is wrong and what to do."""


class PolicyChanged(SlaError):
    """The deployment's policies differ from those that decided the recorded state."""


class PseudonymKeyChanged(SlaError):
    """The deployment's key is not the one that made the pseudonyms of erased tenants."""


class RegistryRefused(SlaError):
    """The schema registry refuses this user, or has schemas that are incompatible with this deployment's."""


class RegistryUnavailable(SlaError):
    """The schema registry is unreachable, fails, or gives an invalid answer."""


class SettingsError(SlaError):
    """A setting is missing or invalid."""

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

import re
from typing import Final

#: A word up to its last @; a password may have any character but spaces and quotes.
_BEFORE_AT: Final = re.compile(r"""[^\s'"]+@""")
#: Of messages that say what is allowed.
_PLACEHOLDERS: Final = ("//USER@", "//USER:PASSWORD@")


def without_credentials(text: str) -> str:
    """The text with *** for the credentials of addresses, USER:PASSWORD@ or //TOKEN@, and for what is before them."""

    def shown(found: re.Match[str]) -> str:
        word = found[0]
        return "***@" if (":" in word or "//" in word) and not word.endswith(_PLACEHOLDERS) else word

    return _BEFORE_AT.sub(shown, text)


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
    """A setting is missing or invalid. Credentials in an address are replaced by ***, whichever setting has them."""

    def __init__(self, text: str) -> None:
        super().__init__(without_credentials(text))

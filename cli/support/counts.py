"""Numbers of things in sentences: `1 broker`, `3 brokers`."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number and its noun, whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def are(count: int) -> str:
    """The verb after that number."""
    return "is" if count == 1 else "are"


def valid_files(count: int) -> str:
    """How many policy files are valid."""
    return f"{counted(count, 'file')} {are(count)} valid"

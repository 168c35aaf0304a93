"""The limit of open files is raised as far as the system allows."""

from __future__ import annotations

import resource

import pytest

from streams.open_files import raise_limit

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "asked"),
    [
        (1_024, 4_096, (4_096, 4_096)),
        (1_024, 1_048_576, (65_536, 1_048_576)),
        (1_024, UNLIMITED, (65_536, UNLIMITED)),
        (1_024, 1_024, None),
        (100_000, 1_048_576, None),
        (UNLIMITED, UNLIMITED, None),
    ],
)
def test_the_soft_limit_becomes_the_hard_one(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, asked: tuple[int, int] | None
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    raise_limit()
    assert set_to == ([] if asked is None else [asked])

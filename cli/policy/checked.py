"""Policy files as `sla policy check` finds them: what is wrong with each, what is unusual, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer
import yaml

from cli.support.exits import wrong_use
from streams.config_files.problems import PolicyError, Problem
from streams.policy.lint import warnings_of
from streams.policy.load import filled_in, policy_of, read_document, same_starts

if TYPE_CHECKING:
    from streams.policy.document import PolicyDocument
    from streams.sla.policy import Policy


@dataclass(slots=True)
class CheckedFile:
    """A policy file. `policy` and `document` are None when it can't be used; `warnings` are pairs of key and text."""

    path: Path
    policy: Policy | None = None
    document: PolicyDocument | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: Sequence[tuple[str, str]] = ()

    def as_object(self, *, defaults: bool) -> dict[str, object]:
        """For programs; with `defaults`, `document` has all of them filled in."""
        shown: dict[str, object] = {
            "file": str(self.path),
            "policy": None if self.policy is None else self.policy.name,
            "version": None if self.policy is None else self.policy.version,
            "digest": None if self.policy is None else self.policy.digest,
            "problems": [
                {"line": each.place.line, "column": each.place.column, "key": each.key or None, "what": each.what}
                for each in self.problems
            ],
            "warnings": [{"key": key, "what": what} for key, what in self.warnings],
        }
        if defaults:
            shown["document"] = None if self.document is None else filled_in(self.document)
        return shown

    def print(self, *, defaults: bool) -> None:
        """For people: what is wrong or unusual on standard error."""
        for problem in self.problems:
            typer.echo(str(problem), err=True)
        for key, what in self.warnings:
            typer.echo(f"{self.path}: warning: {key}: {what}", err=True)
        if self.policy is None or self.document is None:
            return
        if defaults:
            typer.echo(f"--- # {self.path}")
            filled = filled_in(self.document)
            typer.echo(yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=120), nl=False)
        elif not self.problems:
            typer.echo(f"{self.path}: fine: {self.policy.name} {self.policy.version}, digest {self.policy.digest}")


def check_files(files: Iterable[tuple[Path, bool]]) -> list[CheckedFile]:
    """Check files, each with whether it lies in a policies tree. Ends the command when one can't be read."""
    found, in_trees = [], []
    for path, in_tree in files:
        one = CheckedFile(path)
        found.append(one)
        try:
            one.document = read_document(path, in_tree=in_tree)
        except PolicyError as error:
            one.problems += error.problems
            continue
        except OSError as error:
            wrong_use(f"{path} can't be read: {error.strerror}")
        one.policy = policy_of(one.document)
        one.warnings = list(warnings_of(one.document))
        if in_tree:
            in_trees.append((path, one.policy))
    named = {str(one.path): one for one in found}
    for problem in same_starts(in_trees):
        named[problem.file].problems.append(problem)
    return found

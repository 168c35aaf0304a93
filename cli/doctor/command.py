"""`sla doctor`: one line for each thing that was checked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli.support.exits import FOUND
from cli.support.options import Brokers, Prefix

if TYPE_CHECKING:
    from cli.doctor.findings import Diagnosis


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    brokers: Brokers = None,
    prefix: Prefix = None,
) -> None:
    """Check brokers, topics, access, workers, clock, policies, schema registry, disks and the board's database; say how
    to mend what is wrong. Nothing is written.

    Exit code 1: something failed. Warnings alone give exit code 0.
    """
    failed = False
    for each in findings(brokers, prefix):
        failed = failed or each.status == "fail"
        if as_json:
            typer.echo(json.dumps(each._asdict(), ensure_ascii=False))
            continue
        _print(each)
    if failed:
        raise typer.Exit(FOUND)


def findings(brokers: str | None, prefix: str | None) -> Iterator[Diagnosis]:
    """Everything there is to say, as it is found."""
    from cli.doctor.findings import Diagnosis
    from cli.doctor.kafka_checks import kafka_findings
    from cli.doctor.local_checks import board_findings, policies_findings, registry_findings, version_findings
    from cli.support.options import settings_of
    from streams.errors import SettingsError
    from streams.time_source import SystemTimeSource

    yield from version_findings()
    try:
        settings = settings_of(brokers, prefix)
    except SettingsError as error:
        yield Diagnosis(
            "fail", "settings", str(error), "correct the variable; docs/operations.md explains the settings"
        )
        return
    healthy = True
    for each in kafka_findings(settings, SystemTimeSource()):
        healthy = healthy and not (each.status == "fail" and each.check in {"brokers", "access", "topics"})
        yield each
    yield from policies_findings(settings, reachable=healthy)
    yield from registry_findings(settings)
    yield from board_findings()


def _print(finding: Diagnosis) -> None:
    from cli.support.console import safe

    colour = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}[finding.status]
    status = f"{finding.status:<4}"
    if not os.environ.get("NO_COLOR"):
        status = typer.style(status, fg=colour)
    typer.echo(f"{status} {finding.check}: {safe(finding.what)}")
    if finding.mend is not None:
        typer.echo(f"     → {safe(finding.mend)}")

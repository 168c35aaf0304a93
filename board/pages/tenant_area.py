"""What all pages of tenants and months have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse

from board.pages.render import page
from board.pages.tenant_texts import tenant_phrases
from board.viewer import viewer
from streams.money import formatted
from streams.sla.contracts import Contract, ContractHistory
from streams.sla.credits.submitted import duration
from streams.sla.instants import LATEST, to_datetime


def tenant_area(request: Request, template: str, **values: Any) -> HTMLResponse:
    """A page with the texts of tenants, amounts, exact durations and times in a zone."""
    phrases = tenant_phrases(viewer(request).language)
    return page(
        request,
        template,
        active="tenants",
        phrases=phrases,
        money=formatted,
        seconds=duration,
        local=local_text,
        **values,
    )


@dataclass(frozen=True, slots=True)
class StandingContract:
    """A contract fact. `standing`: it is in force now, or another fact replaced it for all its time; None for one that
    was or will be in force at another time."""

    contract: Contract
    standing: Literal["in_force", "replaced"] | None


def contract_rows(history: ContractHistory, now: int) -> list[StandingContract]:
    """The contract facts of a tenant with their standing at an instant."""
    effective = {span.contract for span in history.spans(-LATEST, LATEST)}
    ruling = history.at(now)
    return [
        StandingContract(one, "in_force" if one == ruling else None if one in effective else "replaced")
        for one in history
    ]


def local_text(micros: int, zone: str) -> str:
    """An instant in a zone, to the second, with a fraction where there is one: 2026-02-03 10:00:00."""
    moment = to_datetime(micros).astimezone(ZoneInfo(zone))
    text = moment.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{moment.microsecond:06d}".rstrip("0") if moment.microsecond else text

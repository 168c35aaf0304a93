"""The keys of a routing file, as pydantic checks them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, create_model

from connect.notify.destinations.registry import DESTINATION_KINDS
from streams.config_files.config_keys import ConfigKeys
from streams.config_files.scalars import check_zone, parse_duration
from streams.i18n.catalogues import Language
from streams.sla.instants import DAY, SECOND
from streams.sla.severity import Severity

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

Trigger = Literal["sla.warning", "sla.update_due", "sla.breached"]


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a valid name; allowed: lower-case letters, digits and `-`, at most 40")
    return name


def _kind(name: str) -> str:
    if name not in DESTINATION_KINDS:
        raise ValueError(f"{name!r} is unknown here; allowed: {', '.join(DESTINATION_KINDS)}")
    return name


def _timeout(value: int) -> int:
    if not SECOND <= value <= 60 * SECOND:
        raise ValueError("a timeout is out of bounds; allowed: PT1S to PT1M")
    return value


def _give_up(value: int) -> int:
    if not SECOND <= value <= 14 * DAY:
        raise ValueError("this is out of bounds; allowed: PT1S to P14D")
    return value


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


class CommonKeys(ConfigKeys):
    """The keys of every destination."""

    kind: Annotated[str, AfterValidator(_kind)] = Field(description="Kind of destination.")
    language: Language = Field("en", description="Language of texts.")
    time_zone: Annotated[str, AfterValidator(check_zone)] = Field("UTC", description="Zone of times in texts.")
    allow_private: bool = Field(False, description="Whether it may be on this machine or in a private network.")
    timeout: Annotated[int, BeforeValidator(parse_duration), AfterValidator(_timeout)] = Field(
        10 * SECOND, description="Timeout of a request."
    )
    give_up_after: Annotated[int, BeforeValidator(parse_duration), AfterValidator(_give_up)] | None = Field(
        None, description="How long a message is tried before it is parked."
    )


if TYPE_CHECKING:
    DestinationKeys = CommonKeys
else:
    #: One destination: the keys of all kinds, so that a key of another kind can be reported as such.
    DestinationKeys = create_model(
        "DestinationKeys",
        __base__=(CommonKeys, *(kind.keys for kind in DESTINATION_KINDS.values())),
        __doc__="One destination.",
    )


class MatchKeys(ConfigKeys):
    """Which alerts; every given condition must hold."""

    severity: Annotated[list[Severity], BeforeValidator(_listed)] | None = Field(None, description="Severities.")
    metric: Annotated[list[Literal["response", "update", "resolution"]], BeforeValidator(_listed)] | None = Field(
        None, description="What the clock measures."
    )
    tenant: Annotated[list[str], BeforeValidator(_listed)] | None = Field(None, description="Tenants, one of them.")
    component: Annotated[list[str], BeforeValidator(_listed)] | None = Field(None, description="Components.")
    scope: Annotated[list[Literal["tenants", "platform"]], BeforeValidator(_listed)] | None = Field(
        None, description="Whether it concerns tenants or the whole platform."
    )
    event: Annotated[list[Trigger], BeforeValidator(_listed)] | None = Field(None, description="Types of alerts.")


class RouteKeys(ConfigKeys):
    """One route."""

    match: MatchKeys = Field(MatchKeys.model_validate({}), description="Which alerts; default: all.")
    to: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)] = Field(
        description="Names of destinations."
    )
    continues: bool = Field(False, alias="continue", description="Whether later routes are tried too.")
    language: Language | None = Field(None, description="Language of texts; default: the destination's.")


class RoutingKeys(ConfigKeys):
    """The whole file."""

    version: Literal[1] = Field(description="Version of this format: 1.")
    destinations: dict[Annotated[str, AfterValidator(_name)], DestinationKeys] = Field(
        description="Each destination by its name.", min_length=1
    )
    routes: list[RouteKeys] = Field(description="The first that matches decides.", min_length=1)

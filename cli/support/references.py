"""Names in input that nothing declares: components, plans and tenants. They are accepted, but rarely meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import typer

from cli.support.console import safe
from cli.support.contract_log import contract_log
from cli.support.warnings import CommandWarning, as_commands

if TYPE_CHECKING:
    from connect.actions.references import References
    from streams.settings import Settings
    from streams.sla.contracts import ContractHistory
    from streams.sla.policy import Policies


def references() -> References:
    """The names of events that a command reads."""
    from connect.actions.references import References

    return References(safe)


def reference_warnings(
    names: References, policies: Policies | None, *, tenants: bool = True, contracts: Collection[str] = ()
) -> Iterator[CommandWarning]:
    """A warning for each name that no policy here declares, or that no contract names: `contracts` are the tenants
    that have one besides those among the events. Without policies, which `policies_for` tells, theirs are not checked.
    """
    if policies is not None:
        yield from as_commands(names.of_policies(policies))
    yield from as_commands(names.of_currencies())
    if tenants and names.tenants:
        yield from as_commands(names.of_tenants(contracts, hints=True))


def policies_for(names: References, settings: Settings, *, also: bool = False) -> Policies | None:
    """The policies of this machine where the names need them, or something `also` does; None, with a warning, where
    they can't be read."""
    return policies_here(settings) if names.needs_policies or also else None


def policies_here(settings: Settings) -> Policies | None:
    """The policies of this machine; None, with a warning, where they can't be read."""
    from streams.errors import SlaError

    try:
        return settings.load_policies()
    except SlaError as error:
        typer.echo(f"warning: what policies say of it was not checked: {error}", err=True)
        return None


def contracts_here(settings: Settings) -> Mapping[str, ContractHistory] | None:
    """The contracts of each tenant; None, with a warning, where they can't be read."""
    from connect.kafka_io.connection import BrokerProblem

    try:
        return contract_log(settings).contracts
    except BrokerProblem as error:
        typer.echo(f"warning: tenants were not checked: {error}", err=True)
        return None

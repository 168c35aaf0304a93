"""Names in input that nothing declares: components, plans and tenants. They are accepted, but rarely meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import typer

from cli.support.console import safe

if TYPE_CHECKING:
    from connect.actions.references import References
    from streams.settings import Settings
    from streams.sla.policy import Policies


def references() -> References:
    """The names of events that a command reads."""
    from connect.actions.references import References

    return References(safe)


def reference_warnings(
    names: References, settings: Settings, *, tenants: bool = True, contracts: Collection[str] | None = None
) -> Iterator[str]:
    """A sentence for each name that no policy here declares, or that no contract names. `contracts` are the tenants
    that have one besides those among the events; without it the topic of contracts is read. Raises BrokerProblem."""
    from connect.actions.texts import warning_text
    from connect.kafka_io.contract_topic import log_of
    from streams.errors import SlaError

    if names.needs_policies:
        try:
            policies = settings.load_policies()
        except SlaError as error:
            yield f"components and plans were not checked: {error}"
        else:
            yield from map(warning_text, names.of_policies(policies))
    yield from map(warning_text, names.of_currencies())
    if tenants and names.tenants:
        known = log_of(settings).contracts.keys() if contracts is None else contracts
        yield from map(warning_text, names.of_tenants(known, hints=True))


def policies_here(settings: Settings) -> Policies | None:
    """The policies of this machine; None, with a warning, where they can't be read."""
    from streams.errors import SlaError

    try:
        return settings.load_policies()
    except SlaError as error:
        typer.echo(f"warning: what policies say of it was not checked: {error}", err=True)
        return None

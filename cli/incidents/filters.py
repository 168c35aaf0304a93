"""Names that filters give and nothing has: misspelled ones would show nothing, for ever where clocks are watched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from cli.support.console import safe
from cli.support.references import policies_here

if TYPE_CHECKING:
    from connect.client.received import ReceivedEvent
    from connect.client.states import Keep
    from streams.settings import Settings


class _Unseen(NamedTuple):
    """A name, where it would be once an incident has it, and what is said until then."""

    name: str
    seen: Set[str]
    text: str


class FilterNames:
    """The components and tenants that a command filters by, compared with those of all incidents that it reads."""

    def __init__(self, components: Iterable[str], tenants: Iterable[str]) -> None:
        self._components = sorted(set(components))
        self._tenants = sorted(set(tenants))
        self._seen_components: set[str] = set()
        self._seen_tenants: set[str] = set()
        self._unseen: list[_Unseen] = []

    def noting(self, keep: Keep) -> Keep:
        """`keep`, that also notes the names of each incident, whether it is kept or not."""

        def noted(state: ReceivedEvent) -> bool:
            self._note(state.data)
            return keep(state)

        return noted if self._components or self._tenants else keep

    def _note(self, state: Mapping[str, Any]) -> None:
        if self._components:
            self._seen_components.add(state["component"])
        if self._tenants:
            self._seen_tenants.update(state.get("tenant_ids") or ())

    def warn(self, settings: Settings) -> None:
        """Say on standard error which names no incident has; a component that a policy of this machine declares may
        have none yet."""
        self._unseen = list(self._unknown(settings))
        for each in self.notes():
            typer.echo(each, err=True)

    def notes(self) -> list[str]:
        """What `warn` has said and is still so."""
        return [f"warning: {each.text}" for each in self._unseen if each.name not in each.seen]

    def _unknown(self, settings: Settings) -> Iterator[_Unseen]:
        components = [each for each in self._components if each not in self._seen_components]
        policies = policies_here(settings) if components else None
        versions = [] if policies is None else [one for found in policies.by_name.values() for one in found]
        declared = {component for one in versions for component in one.components}
        for name in components:
            if name not in declared:
                what = f"no incident has the component {safe(name)}"
                what += ", and no policy here declares it" if versions else ""
                yield _Unseen(name, self._seen_components, what + _hint(name, declared | self._seen_components))
        for name in self._tenants:
            if name not in self._seen_tenants:
                what = f"no incident names the tenant {safe(name)}" + _hint(name, self._seen_tenants)
                yield _Unseen(name, self._seen_tenants, what)


def _hint(name: str, near: Collection[str]) -> str:
    close = get_close_matches(name, sorted(near), 1)
    return f"; did you mean {safe(close[0])}?" if close else ""

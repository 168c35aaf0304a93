"""The texts of sign-in and of refusals (streams/i18n/board_access.pot)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from board.pages.texts import Texts
from connect.actions.permissions import Denied
from connect.actions.person import Person, Role
from streams.i18n.catalogues import Language, load

_CAUSES = ("sign_in", "role", "tenant", "platform", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPhrases:
    """The messages of one language."""

    sign_in: str
    sign_out: str
    signed_in_as: str
    signed_out: str
    tenants: str
    roles: Annotated[Texts, tuple(Role)]
    no_roles: str
    role_separator: str
    heading: str
    local_hint: str
    token: str
    oidc_hint: str
    oidc_button: str
    oidc_failed: str
    oidc_failed_hint: str
    proxy_hint: str
    failed: Annotated[Texts, ("unknown", "limited")]
    refused: Annotated[Texts, ("sign_in", "permission", "other")]
    refused_hint: Annotated[Texts, (*_CAUSES, "other")]

    def roles_of(self, person: Person | None) -> str:
        """The person's roles in words."""
        names = [] if person is None else [self.roles[role] for role in Role if role in person.roles]
        return ", ".join(names) or self.no_roles

    def any_of(self, roles: Iterable[Role]) -> str:
        """Roles of which one is needed."""
        return self.role_separator.join(self.roles[role] for role in roles)

    def denied_hint(self, denied: Denied, person: Person | None) -> str:
        """Why something is not allowed, and what to do."""
        tenants = ", ".join(sorted((person and person.tenants) or ())) or "–"
        return self.refused_hint[denied.cause].format(
            needed=self.any_of(denied.roles), roles=self.roles_of(person), tenants=tenants
        )


@cache
def access_phrases(language: Language) -> AccessPhrases:
    """The texts in one language. Raises CatalogueError when its catalogue is incomplete."""
    return load(AccessPhrases, "board_access", language)

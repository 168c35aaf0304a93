"""Signing in with OpenID Connect: authorization code with PKCE, state and nonce; the id token is validated."""

from __future__ import annotations

import hmac
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast
from urllib.parse import urlencode

import authlib.deprecate
import httpx
import structlog

with warnings.catch_warnings():  # it prefers another package to the httpx that it works with
    warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import OAuth2Client

from authlib.common.errors import AuthlibBaseError
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from board.access.proxy import limited_to, roles_of_groups
from board.access.tokens import sha256_of
from board.settings import BoardSettings
from connect.actions.person import Person
from streams.sla.instants import MINUTE, SECOND
from streams.sla.limits import InvalidInputError
from streams.time_source import TimeSource

CALLBACK: Final = "/sign-in/callback"
#: Signatures with keys that the provider publishes; none with a secret that the board shares.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_TIMEOUT_S: Final = 10.0
#: The provider's addresses and keys are read again after this.
_FRESH: Final = 10 * MINUTE
#: After a failure, the provider is left alone for so long: meanwhile sign-ins fail at once.
_RETRY_AFTER: Final = 5 * SECOND
#: While one thread waits for the provider, others fail after this, so that a slow provider does not hold them all.
_LOCK_TIMEOUT_S: Final = 2.0
#: How far the provider's clock may be away.
_LEEWAY_S: Final = 60
#: The log names at most so many claims of an id token.
_NAMED_CLAIMS: Final = 50


class OidcProblem(Exception):  # noqa: N818 -- it names what is wrong
    """The sign-in can't begin or end; the message says why, without a secret."""


class Oidc:
    """The provider of one board. Methods talk to it over HTTP and may be called from any thread; they raise
    OidcProblem."""

    def __init__(self, settings: BoardSettings, time_source: TimeSource) -> None:
        self._settings = settings
        self._time = time_source
        self._lock = threading.Lock()
        self._failed_at: int | None = None
        self._metadata: tuple[int, Mapping[str, Any]] | None = None
        self._keys: tuple[int, KeySet] | None = None

    def start(self, secret: str) -> str:
        """The provider's address at which a sign-in begins. State, nonce and the verifier of PKCE follow from `secret`,
        256 random bits that the browser keeps in a cookie until it comes back."""
        with _problems(), self._client() as client:
            address, _ = client.create_authorization_url(
                self._endpoint("authorization_endpoint"),
                state=_derived("state", secret),
                nonce=_derived("nonce", secret),
                code_verifier=_derived("verifier", secret),
            )
        return str(address)

    def finish(self, secret: str, query: Mapping[str, str]) -> tuple[Person, str]:
        """The person, and the id token, of a browser that came back with `query`."""
        if not hmac.compare_digest(query.get("state", "").encode(), _derived("state", secret).encode()):
            raise OidcProblem("the state is not that of this browser's sign-in")
        if "error" in query:
            raise OidcProblem(f"the provider refused: {query['error'][:100]}")
        if query.get("iss", self._settings.oidc_issuer) != self._settings.oidc_issuer:
            raise OidcProblem("the answer is of another issuer")
        if not query.get("code"):
            raise OidcProblem("the answer has no code")
        with _problems(), self._client() as client:
            answer = client.fetch_token(
                self._endpoint("token_endpoint"), code=query["code"], code_verifier=_derived("verifier", secret)
            )
            if not isinstance(answer.get("id_token"), str):
                raise OidcProblem("the provider gave no id token; the scopes must include openid")
            claims = self._validated(answer["id_token"], _derived("nonce", secret))
            return self._person(claims), answer["id_token"]

    def end_address(self, id_token: str | None) -> str | None:
        """Where a browser signs out at the provider, and from where it comes back; None when that has no such
        address."""
        with _problems():
            address = self._discovered().get("end_session_endpoint")
        if not isinstance(address, str):
            return None
        query = {
            "client_id": self._settings.oidc_client_id,
            "post_logout_redirect_uri": f"{self._settings.public_url}/sign-in",
        }
        if id_token is not None:
            query["id_token_hint"] = id_token
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"

    def _client(self) -> Any:
        settings = self._settings
        return OAuth2Client(
            settings.oidc_client_id,
            settings.oidc_client_secret or None,
            token_endpoint_auth_method="client_secret_basic" if settings.oidc_client_secret else "none",
            scope=settings.oidc_scopes,
            redirect_uri=f"{settings.public_url}{CALLBACK}",
            code_challenge_method="S256",
            timeout=_TIMEOUT_S,
        )

    def _discovered(self) -> Mapping[str, Any]:
        with self._reading():
            if self._metadata is None or not 0 <= self._time.now() - self._metadata[0] < _FRESH:
                issuer = self._settings.oidc_issuer
                found = self._read(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != issuer:
                    raise OidcProblem(
                        f"the provider calls itself {found.get('issuer')!r}; set SLA_BOARD_OIDC_ISSUER to exactly that"
                    )
                self._metadata = (self._time.now(), found)
            return self._metadata[1]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=_LOCK_TIMEOUT_S):
            raise OidcProblem("the provider is slow to answer; try again")
        try:
            yield
        finally:
            self._lock.release()

    def _read(self, address: str) -> dict[str, Any]:
        """The JSON object at an address of the provider. The caller has the lock."""
        if self._failed_at is not None and 0 <= self._time.now() - self._failed_at < _RETRY_AFTER:
            raise OidcProblem(f"the provider failed less than {_RETRY_AFTER // SECOND} s ago; try again")
        try:
            found = _json(address)
        except httpx.HTTPError:
            self._failed_at = self._time.now()
            raise
        self._failed_at = None
        return found

    def _endpoint(self, name: str) -> str:
        found = self._discovered().get(name)
        if not isinstance(found, str):
            raise OidcProblem(f"the provider has no {name}")
        return found

    def _key_set(self, *, again: bool = False) -> KeySet:
        address = self._endpoint("jwks_uri")
        with self._reading():
            if again or self._keys is None or not 0 <= self._time.now() - self._keys[0] < _FRESH:
                self._keys = (self._time.now(), KeySet.import_key_set(cast(KeySetSerialization, self._read(address))))
            return self._keys[1]

    def _validated(self, id_token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an id token (OpenID Connect Core 3.1.3.7)."""
        try:
            token = jwt.decode(id_token, self._key_set(), algorithms=list(_ALGORITHMS))
        except (InvalidKeyIdError, ValueError):  # the provider may have new keys
            token = jwt.decode(id_token, self._key_set(again=True), algorithms=list(_ALGORITHMS))
        settings = self._settings
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": settings.oidc_issuer},
                "aud": {"essential": True, "value": settings.oidc_client_id},
            },
            params={"nonce": nonce, "client_id": settings.oidc_client_id},
        )
        claims.validate(now=self._time.now() // SECOND, leeway=_LEEWAY_S)
        return dict(claims)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        settings = self._settings
        names = (claims.get(each) for each in ("name", "preferred_username", "email", "sub"))
        name = next(each for each in names if isinstance(each, str) and each)
        tenants = None
        if settings.oidc_tenants_claim:
            tenants = limited_to(_texts(claims, settings.oidc_tenants_claim))
        groups = _texts(claims, settings.oidc_roles_claim)
        if not groups:
            structlog.get_logger("board").warning(
                "roles_claim_missing",
                person=str(claims["sub"]),
                claim=settings.oidc_roles_claim,
                claims=sorted(claims)[:_NAMED_CLAIMS],
                consequence="the person has no role",
                remedy="have the provider put the claim into id tokens, or set SLA_BOARD_OIDC_ROLES_CLAIM",
            )
        return Person(str(claims["sub"]), name, roles_of_groups(groups, settings.roles), tenants)


def _derived(purpose: str, secret: str) -> str:
    return sha256_of(f"{purpose}\0{secret}")


def _texts(claims: Mapping[str, Any], claim: str) -> list[str]:
    """The texts of a claim; `realm_access.roles` leads into an object where there is no claim of the whole name."""
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return [found]
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _json(address: str) -> dict[str, Any]:
    answer = httpx.get(address, timeout=_TIMEOUT_S)
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict):
        raise OidcProblem(f"{address} gave no JSON object")
    return found


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except (AuthlibBaseError, InvalidInputError, JoseError, KeyError, TypeError, ValueError, httpx.HTTPError) as error:
        raise OidcProblem(f"{type(error).__name__}: {str(error)[:200]}") from error

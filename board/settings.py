"""Settings of the board from the environment, prefix SLA_BOARD_; those of Kafka are the worker's (SLA_…)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_settings import NoDecode, SettingsConfigDict

from connect.actions.person import ROLE_NAMES, Role
from streams.configuration.environment import EnvironmentSettings, from_environment
from streams.configuration.fields import Duration, PositiveDuration, about
from streams.sla.instants import SECOND

SignInMode = Literal["local", "proxy", "oidc"]
Network = IPv4Network | IPv6Network


def is_loopback(host: str) -> bool:
    """Whether a host name or address is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _reachable(host: str, info: ValidationInfo) -> str:
    if info.data.get("sign_in") in {"proxy", "oidc"} or is_loopback(host):
        return host
    raise ValueError(
        f"{host!r} is not a loopback address. With SLA_BOARD_SIGN_IN=local there is no sign-in for reading: whoever "
        "reaches the board sees every tenant's data; allowed: 127.0.0.1, ::1 or localhost. For other addresses set "
        "SLA_BOARD_SIGN_IN to proxy or oidc; from another machine, use an SSH tunnel"
    )


def _public_url(url: str, info: ValidationInfo) -> str:
    mode = info.data.get("sign_in")
    if not url:
        if mode in {"proxy", "oidc"}:
            raise ValueError(f"is missing; SLA_BOARD_SIGN_IN={mode} needs the address that people enter in a browser")
        return url
    if mode == "local":
        raise ValueError("is for SLA_BOARD_SIGN_IN=proxy or oidc; with local the board is at its own address alone")
    allowed = "allowed: https://HOST or https://HOST:PORT (http:// for loopback hosts alone)"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no address; {allowed}") from error
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or "@" in parts.netloc or not (plain or parts.scheme == "https"):
        raise ValueError(f"{url!r} can't be used; {allowed}")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{url!r} has a path; the board must be at the root of its host; {allowed}")
    usual_port = {"http": 80, "https": 443}[parts.scheme]
    netloc = parts.netloc.lower()
    return f"{parts.scheme}://{netloc.removesuffix(f':{usual_port}')}"


def _networks(given: object) -> object:
    if not isinstance(given, str):
        return given
    try:
        return tuple(ip_network(each.strip()) for each in given.split(",") if each.strip())
    except ValueError as error:
        raise ValueError(f"{error}; allowed: networks such as 10.0.0.0/8,fd00::/8") from error


def _required_by_proxy(networks: tuple[Network, ...], info: ValidationInfo) -> tuple[Network, ...]:
    if not networks and info.data.get("sign_in") == "proxy":
        raise ValueError("is missing; SLA_BOARD_SIGN_IN=proxy needs the networks that the proxy sends from")
    return networks


def _required_by_oidc(value: str, info: ValidationInfo) -> str:
    if not value and info.data.get("sign_in") == "oidc":
        raise ValueError("is missing; SLA_BOARD_SIGN_IN=oidc needs it")
    return value


def _issuer(url: str) -> str:
    parts = urlsplit(url)
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if (url and not (parts.hostname and (plain or parts.scheme == "https"))) or re.search(r"[\s;,?#]", url):
        raise ValueError(f"{url!r} can't be used; allowed: https://HOST/PATH (http:// for loopback hosts alone)")
    return url


def _roles(given: object) -> object:
    """`oncall=responder,finance=billing` as pairs; several pairs may have the same value."""
    if not isinstance(given, str):
        return given
    pairs: dict[str, frozenset[Role]] = {}
    for each in filter(None, (part.strip() for part in given.split(","))):
        value, equals, role = each.rpartition("=")
        if not equals or not value or role not in set(Role):
            raise ValueError(f"{each!r} is no pair VALUE=ROLE; allowed roles: {ROLE_NAMES}")
        pairs[value] = pairs.get(value, frozenset()) | {Role(role)}
    return pairs


_RequiredByOidc = Annotated[str, AfterValidator(_required_by_oidc)]


def _at_least_a_second(duration: int) -> int:
    if duration < SECOND:
        raise ValueError("must be PT1S or longer")
    return duration


WorkersEvery = Annotated[Duration, AfterValidator(_at_least_a_second)]


class BoardSettings(EnvironmentSettings):
    """The board. Durations are ISO 8601 in the environment and microseconds in the fields."""

    model_config = SettingsConfigDict(env_prefix="SLA_BOARD_")

    sign_in: SignInMode = Field("local", description="How people sign in: local (a token), proxy (headers) or oidc.")
    host: Annotated[str, AfterValidator(_reachable)] = Field(
        "127.0.0.1",
        description="Address to listen at; with SLA_BOARD_SIGN_IN=local only loopback addresses.",
        json_schema_extra=about(allowed="an address or host name of this machine"),
    )
    port: int = Field(
        8090,
        ge=0,
        le=65535,
        description="Port to listen at; 0: any free one.",
        json_schema_extra=about(allowed="a port, 0 to 65535"),
    )
    database_url: str = Field(
        "sqlite:///.sla/board.db",
        repr=False,  # it may contain a password
        description="SQLAlchemy URL of the read model.",
        json_schema_extra=about(
            allowed="sqlite:///FILE or postgresql://USER@HOST/DATABASE",
            example="postgresql://sla@db/sla",
        ),
    )
    workers_every: WorkersEvery = Field(  # type: ignore[assignment]
        "PT10S",
        description="How often the progress of the workers is read from Kafka.",
        json_schema_extra=about(allowed="an ISO 8601 duration, at least PT1S"),
    )
    job_memory_bytes: int = Field(
        2 * 1024**3,
        ge=256 * 1024**2,
        description="Address space of a verification or what-if run; at least 256 MiB.",
        json_schema_extra=about(unit="bytes"),
    )
    retention: PositiveDuration = Field("P400D", description="Events and ended incidents are deleted after this.")  # type: ignore[assignment]

    proposals_expire: Annotated[Duration, AfterValidator(_at_least_a_second)] = Field(
        "P14D",  # type: ignore[assignment]
        description="A proposal that nobody has decided can't be approved after this.",
        json_schema_extra=about(allowed="an ISO 8601 duration, at least PT1S"),
    )
    tokens: Path = Field(
        Path(".sla/board-tokens.json"),
        description="The file of `sla board tokens`.",
        json_schema_extra=about(example="/var/lib/sla/board-tokens.json"),
    )
    tokens_in_proposals: bool = Field(
        False, description="Whether tokens propose and approve (proxy, oidc): each must name its person's own id there."
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "",
        description="The board's address in browsers (proxy, oidc).",
        json_schema_extra=about(allowed="https://HOST or https://HOST:PORT", example="https://sla.example"),
    )
    session_idle: PositiveDuration = Field("PT30M", description="A session ends when it is not used for so long.")  # type: ignore[assignment]
    session_lifetime: PositiveDuration = Field("PT12H", description="A session ends after so long in any case.")  # type: ignore[assignment]
    roles: Annotated[Mapping[str, frozenset[Role]], NoDecode, BeforeValidator(_roles)] = Field(
        {},
        description="Groups and their roles (proxy, oidc); without: groups have roles' names.",
        json_schema_extra=about(
            allowed=f"GROUP=ROLE pairs, separated by commas; roles: {ROLE_NAMES}",
            example="oncall=responder,finance=billing",
        ),
    )

    proxy_networks: Annotated[
        tuple[Network, ...], NoDecode, BeforeValidator(_networks), AfterValidator(_required_by_proxy)
    ] = Field(
        (),
        description="Networks of the reverse proxy: only from there are its headers accepted.",
        json_schema_extra=about(allowed="networks, separated by commas", example="10.0.0.0/8,fd00::/8"),
    )
    proxy_user_header: str = Field("X-Forwarded-User", description="Header with the person's id.")
    proxy_name_header: str = Field("X-Forwarded-Preferred-Username", description="Header with the person's name.")
    proxy_groups_header: str = Field("X-Forwarded-Groups", description="Header with groups, separated by commas.")
    proxy_tenants_header: str = Field(
        "",
        description="Header with tenants, separated by commas; none: no limits.",
        json_schema_extra=about(example="X-Forwarded-Tenants"),
    )

    oidc_issuer: Annotated[_RequiredByOidc, AfterValidator(_issuer)] = Field(
        "",
        description="The provider's issuer address.",
        json_schema_extra=about(allowed="https://HOST/PATH", example="https://id.example/realms/sla"),
    )
    oidc_client_id: _RequiredByOidc = Field(
        "", description="The board's client id at the provider.", json_schema_extra=about(example="sla-board")
    )
    oidc_client_secret: str = Field("", repr=False, description="Its secret; none for a public client.")
    oidc_scopes: str = Field("openid profile email", description="Scopes to ask for.")
    oidc_roles_claim: str = Field("groups", description="Claim with groups; a dot leads into an object.")
    oidc_tenants_claim: str = Field(
        "", description="Claim with tenants; none: no limits.", json_schema_extra=about(example="tenants")
    )

    @property
    def secure(self) -> bool:
        """Whether browsers reach the board by https."""
        return self.public_url.startswith("https://")


def read_board_settings(**given: object) -> BoardSettings:
    """Settings from the environment; arguments take precedence. Raises SettingsError naming each wrong variable."""
    return from_environment(BoardSettings, given)

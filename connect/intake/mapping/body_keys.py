"""The keys `body` and `authentication` of a source, as pydantic checks them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from connect.intake.mapping.body_rules import AUTHORS, CHANNELS, FACTS, IGNORED, VISIBILITIES
from connect.intake.mapping.entry_keys import ONE_OR_SEVERAL, MappingRuleKeys, PathText, ScalarText
from connect.written_times import NAMED_FORMATS, needs_zone
from streams.config_files.config_keys import ConfigKeys
from streams.config_files.scalars import check_zone, close_to

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_SAMPLE = datetime(2026, 11, 27, 16, 45, 38, tzinfo=UTC)
_RECEIPT = "receipt"
_ONE_WAY = "a source has one way to authenticate; allowed: bearer, address, basic, header, hmac or proxy_subject"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def _facts(value: object) -> object:
    """One fact or a list of them as one text."""
    given = value if isinstance(value, list) else [value]
    allowed = (*FACTS, IGNORED)
    for each in given:
        if each not in allowed:
            near = close_to(str(each), allowed)
            raise ValueError(f"{each!r} is nothing that a message may mean{near}; allowed: {', '.join(allowed)}")
    if not given or len(set(given)) != len(given) or (IGNORED in given and len(given) > 1):
        raise ValueError("a message means one thing or several different ones; allowed: resolved, [opened, resolved]")
    return ", ".join(map(str, given))


def _one_of(known: tuple[str, ...]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is unknown here{close_to(value, known)}; allowed: {', '.join(known)}")
        return value

    return AfterValidator(check)


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError(f"{value!r} is no name of an HTTP header; allowed: X-Signature")
    return value


def _time_format(value: str) -> str:
    if value in NAMED_FORMATS:
        return value
    allowed = f"allowed: {', '.join(NAMED_FORMATS)}, or a pattern such as '%Y-%m-%d %H:%M:%S'"
    if "%" not in value:
        raise ValueError(f"{value!r} is no format of times{close_to(value, NAMED_FORMATS)}; {allowed}")
    if "%Z" in value:  # it would be read, and then not count
        raise ValueError(
            f"{value!r}: names of zones are not read; allowed: %z, or the name as it is, such as %H:%M UTC"
        )
    try:
        found = datetime.strptime(_SAMPLE.strftime(value), value).replace(second=0, microsecond=0, tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{value!r} is no pattern of times ({error}); {allowed}") from None
    if found != _SAMPLE.replace(second=0):
        raise ValueError(f"{value!r} does not say year, month, day, hour and minute; {allowed}")
    return value


Facts = Annotated[str, BeforeValidator(_facts)]
HeaderName = Annotated[str, AfterValidator(_header)]
TimeFormat = Annotated[str, AfterValidator(_time_format)]


class StateRuleKeys(MappingRuleKeys):
    """One rule for what a message means: a fact, or a list of facts."""

    values: dict[ScalarText, Facts] | None = Field(None, description="What each value of the payload means.")
    value: Facts | None = Field(None, description="What every message means.")


class TimeKeys(ConfigKeys):
    """Where a time is. A plain text stands for `from`; `receipt` for the time at which the intake receives it."""

    path: PathText | None = Field(None, alias="from", description="Path of the time in the payload.")
    format: Annotated[
        list[TimeFormat],
        ONE_OR_SEVERAL,
        Field(min_length=1, max_length=4),
    ] = Field(["rfc3339"], description="How it is written; of a list, the first that fits.")
    zone: Annotated[str, AfterValidator(check_zone)] | None = Field(
        None, description="The zone of times without one (patterns without %z)."
    )
    receipt: Literal[True] | None = Field(None, description="The time of receipt, because the payload has none.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, str):
            return {"receipt": True} if value == _RECEIPT else {"from": value}
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.path is None) == (self.receipt is None):
            raise ValueError("a time has one origin; allowed: a path, or the word receipt")
        local = [each for each in self.format if needs_zone(each)]
        if local and self.zone is None:
            raise ValueError(f"{local[0]!r} has no zone; allowed: `zone: UTC`, or %z in the pattern")
        if self.zone is not None and not local:
            raise ValueError("the zone is not used; allowed: with a pattern that has no %z")
        return self


Times = Annotated[
    list[TimeKeys],
    ONE_OR_SEVERAL,
    Field(min_length=1, max_length=4),
]


class BodyKeys(ConfigKeys):
    """Where things are in the body of a webhook (format json)."""

    items: PathText | None = Field(
        None, description="Path of the list whose items are messages of their own; default: the body is one message."
    )
    left_out: PathText | None = Field(
        None, description="Path of the number of items that the sender has left out of the list."
    )
    incident: list[MappingRuleKeys] = Field(
        description="Parts of the incident's id, which each have to give one value.", min_length=1
    )
    state: list[StateRuleKeys] = Field(description="Rules for what a message means.", min_length=1)
    message: PathText | None = Field(
        None, description="Path of the sender's own id of the message, the same in each retry."
    )
    time: Times | None = Field(None, description="When it happened.")
    opened_at: Times | None = Field(None, description="When the incident was opened; default: time.")
    resolved_at: Times | None = Field(None, description="When the incident was resolved; default: time.")
    ticket: PathText | None = Field(None, description="Path of the ticket's name for people.")
    channel: Annotated[str, _one_of(CHANNELS)] = Field("monitor", description="How the incident was reported.")
    author: list[MappingRuleKeys] = Field([], description="Rules for who acted: support, customer, monitor, system.")
    who: list[MappingRuleKeys] = Field([], description="Rules for the id of the person.")
    text: list[MappingRuleKeys] = Field([], description="Rules for the text of an update.")
    visibility: list[MappingRuleKeys] = Field([], description="Rules for who may read an update: public, internal.")


BODY_VALUES = {"author": AUTHORS, "visibility": VISIBILITIES}


class BasicKeys(ConfigKeys):
    """HTTP Basic; the password is one of the secrets."""

    user: str = Field(description="Name of the user.", min_length=1, pattern="^[^:]*$")


class HeaderKeys(ConfigKeys):
    """One of the secrets in a header."""

    name: HeaderName = Field(description="Name of the header.")
    prefix: str = Field("", description="Text before the secret.")


class SignedTimeKeys(ConfigKeys):
    """The time that a signature covers."""

    header: HeaderName = Field(description="Name of the header.")
    prefix: str = Field("", description="Text before the time, such as `t=`.")
    format: Literal["seconds", "milliseconds", "rfc3339"] = Field("seconds", description="How it is written.")


class SignatureKeys(ConfigKeys):
    """An HMAC of the body; the key is one of the secrets."""

    header: HeaderName = Field(description="Name of the header with the signature.")
    algorithm: Literal["sha256", "sha512", "sha1"] = Field("sha256", description="Hash function of the HMAC.")
    encoding: Literal["hex", "base64"] = Field("hex", description="How the signature is written.")
    prefix: str = Field("", description="Text before the signature, such as `sha256=`.")
    signed: str = Field("{body}", description="What is signed: {body}, and {timestamp} where there is one.")
    timestamp: SignedTimeKeys | None = Field(None, description="The time that is signed too.")

    @model_validator(mode="after")
    def _placeholders(self) -> Self:
        expected = ["body"] if self.timestamp is None else ["body", "timestamp"]
        if sorted(_PLACEHOLDER.findall(self.signed)) != expected:
            wanted = " and ".join(f"{{{each}}}" for each in expected)
            raise ValueError(
                f"signed: {self.signed!r} has to contain {wanted} once; allowed: "
                + ("'{body}'" if self.timestamp is None else "'{timestamp}.{body}'")
            )
        return self


class ProxySubjectKeys(ConfigKeys):
    """The subject of a client certificate that a proxy has verified."""

    header: HeaderName = Field(description="Name of the header in which the proxy passes the subject on.")
    subjects: list[Annotated[str, Field(min_length=1)]] = Field(description="The subjects, as written.", min_length=1)
    networks: list[str] = Field(description="Networks of the proxy; others are refused.", min_length=1)

    @model_validator(mode="after")
    def _networks(self) -> Self:
        for each in self.networks:
            try:
                network = ip_network(each)
            except ValueError as error:
                raise ValueError(f"networks: {error}; allowed: 10.0.0.0/8, 192.0.2.7/32, fd00::/8") from None
            if network.prefixlen == 0:
                raise ValueError(f"networks: {each} is every address; allowed: the addresses of the proxy")
        return self


class AuthenticationKeys(ConfigKeys):
    """How the sender authenticates (format json). `bearer` and `address` may be plain texts."""

    bearer: Literal[True] | None = Field(None, description="`Authorization: Bearer` and a secret.")
    address: Literal[True] | None = Field(None, description="A secret at the end of the address, `?token=`.")
    basic: BasicKeys | None = Field(None, description="`Authorization: Basic`, user and secret.")
    header: HeaderKeys | None = Field(None, description="A secret in a header.")
    hmac: SignatureKeys | None = Field(None, description="A signature over the body.")
    proxy_subject: ProxySubjectKeys | None = Field(None, description="A client certificate that a proxy verifies.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {value: True} if value in ("bearer", "address") else value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(_ONE_WAY)
        return self

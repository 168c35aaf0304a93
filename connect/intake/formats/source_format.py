"""The interface of a source format: how its senders authenticate, and how its payloads become events.

A format is one module of this package that defines a `FORMAT` and is listed in `registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from connect.intake.formats import json_body
from connect.intake.mapping.authentication import Authentication
from connect.intake.mapping.headers import NO_HEADERS, Headers
from connect.intake.mapping.paths import FieldPath, parse_path
from connect.intake.mapping.rules import Source, States
from connect.intake.outcome import ItemOutcome, Reply, RequestOutcome
from connect.intake.signatures import Secret
from streams.sla.events import Rejection

#: Keys of a source whose payloads open incidents.
INCIDENT_KEYS = ("component", "impact", "tier", "tenants", "summary", "ignore", "states", "replay_window")
#: Keys of a source through which people act on incidents that exist.
FEEDBACK_KEYS = ("events", "who", "deployment", "ignore")
#: Keys of a source that says where things are in its bodies.
BODY_KEYS = ("body", "authentication")
#: Keys of a source whose events carry the contract's fields.
EVENT_KEYS = ("allow", "allow_sources")


class AuthenticationError(Exception):
    """The request does not prove its sender. The text says what is missing or wrong; it never quotes a secret."""


class Credentials(NamedTuple):
    """The credentials of a request and what they are checked against."""

    headers: Mapping[str, str]
    """The request's headers; names match in any case."""
    content: bytes
    """The body; empty while a format that needs no body is checked."""
    secrets: tuple[Secret, ...]
    """The source's tokens or signing keys; any of them proves the sender."""
    now: int
    """Microseconds since 1970."""
    replay_window: int
    """How far a signed timestamp may be from `now`, in microseconds."""
    address_token: str | None = None
    """`token` of the address's parameters, for senders that can set no header. It is never logged or kept."""
    scheme: Authentication | None = None
    """How the sender authenticates, where the mapping file says it."""
    remote: str | None = None
    """The address that the connection comes from."""


class Receipt(NamedTuple):
    """What is known of a webhook beside its payload: when it was received (microseconds since 1970; None: unknown), and
    the headers that its mapping reads."""

    at: int | None = None
    headers: Headers = NO_HEADERS


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """One format that a source of the mapping file may have."""

    name: str
    """The value of `format` in the mapping file."""
    authenticate: Callable[[Credentials], None]
    """Raises AuthenticationError unless the request proves its sender."""
    looks_like: Callable[[object], bool]
    """Whether a JSON value has the distinctive fields of this format. `sla intake test` uses it to find the source."""
    translate: Callable[[object, Source, Receipt], Iterator[ItemOutcome]] | None = None
    """The outcomes of a webhook's JSON payload. A format without this has no webhook: its events carry the contract's
    fields and arrive at `/v1/events` and the addresses of `rest.ROUTES`."""
    parse: Callable[[bytes], object | Rejection] = json_body.parse
    """The payload of a webhook's body."""
    keys: tuple[str, ...] = INCIDENT_KEYS
    """The keys of the mapping file that a source of this format may have beside those of every source."""
    required_keys: tuple[str, ...] = ("component", "impact", "tenants")
    publishes: tuple[str, ...] = ("incident.*",)
    """The types of events that its webhooks become; a format with the key `allow` publishes what that says."""
    tool_events: tuple[str, ...] = ()
    """The events of a tool that people work with. The key `events` says what each becomes; what it does not name
    becomes nothing."""
    answer_status: int | None = None
    """The status of every answer to a request that has been published, for senders that stop sending after errors.
    None: the outcome decides."""
    answer_within: int | None = None
    """How long Kafka may take until the sender needs an answer, in microseconds; None: `SLA_INTAKE_ACK_TIMEOUT`."""
    reply: Callable[[object, Source, RequestOutcome], Reply | None] | None = None
    """What to post to the sender once the outcome of a payload is known, beside the answer; None: nothing ever."""
    without_secrets: Callable[[bytes], bytes] = lambda body: body
    """The body as the rejected topic keeps it."""
    views: Callable[[object, Source, Receipt], Iterable[tuple[str, object]]] = lambda payload, _, __: [("", payload)]
    """The items of a source's payload that the mapping is applied to, each with its place, such as `alerts[2]`. An
    explanation of the mapping shows what it makes of each."""
    parse_path: Callable[[str], FieldPath] = parse_path
    """A path of the mapping file. Raises ValueError, whose text says what is allowed."""
    payload_roots: tuple[str, ...] = ()
    """First parts of the paths that a mapping may use; empty: any. They lie in what identifies a payload, so retries of
    the same payload are idempotent (R1)."""
    dotted_names: bool = False
    """Whether everything below the first part of a path is one name, dots included: `labels.service.name`."""
    path_problem: Callable[[tuple[str, ...]], str | None] = lambda _: None
    """Why a path that begins with one of the roots never gives a text, or None: it ends in `; allowed: …`."""
    default_states: States = field(default_factory=States)
    """What status names mean where the mapping file does not say."""
    signature_header: str | None = None
    """The header that signs the body. None: the headers alone prove the sender, so the body is read afterwards; a
    source with `authentication` may have such a header all the same."""
    heartbeats: bool = False
    """Whether its requests are heartbeats of monitors; they arrive at `/v1/heartbeats` and nowhere else."""
    truncated: Callable[[object, Source], int] = lambda _, __: 0
    """How many items the sender reports to have left out of a payload."""

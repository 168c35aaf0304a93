"""The interface of a kind of destination, and a configured destination."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from connect.feedback_links import SlackAction
from connect.notify.destinations.answers import Outcome
from connect.notify.message import Message
from connect.secret_refs import SecretRef
from streams.i18n.catalogues import Language
from streams.sla.instants import HOUR, SECOND

PagerSeverity = Literal["critical", "error", "warning", "info"]
_SHORTEST_HIDDEN = 6


@dataclass(frozen=True, slots=True)
class Secrets:
    """The values of a destination's secrets: `main` is its routing key or URL. The repr shows none of them."""

    main: str
    signing: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Secrets(…)"

    def hide(self, text: str) -> str:
        """The text with every secret replaced by `***`; of a URL also its path, which servers like to repeat."""
        hidden = [self.main, *self.signing]
        if "://" in self.main:
            path = self.main.partition("://")[2].partition("/")[2]
            hidden += [f"/{path}", *(part for part in re.split(r"[/?&=]", path) if len(part) >= _SHORTEST_HIDDEN)]
        for secret in sorted(hidden, key=len, reverse=True):
            if len(secret) >= _SHORTEST_HIDDEN:
                text = text.replace(secret, "***")
        return text


#: Stands for the secrets in a dry run.
MASKED = Secrets("***", ())


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A POST request with a JSON body."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class KindConfig(NamedTuple):
    """What the keys of one kind configure. `severities`: PagerDuty's severity by event type (`*`: any) and ours."""

    secret: SecretRef
    signing: tuple[SecretRef, ...] = ()
    api: str | None = None
    severities: Mapping[tuple[str, str], PagerSeverity] = {}
    pages_per_minute: int | None = None
    title_links: bool = False
    buttons: tuple[SlackAction, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationKind:
    """One kind of destination, as `registry.py` lists it. Durations are in microseconds."""

    name: str
    keys: type[BaseModel]
    """The keys that this kind adds to those that every destination has. All are optional there; see `required_keys`."""
    required_keys: tuple[str, ...]
    configure: Callable[[Any], KindConfig]
    """What the checked keys of a destination of this kind mean."""
    check: Callable[[Mapping[str, object]], Iterable[tuple[str, str]]] = lambda _: ()
    """Problems that span several of its unchecked keys, each with the key that is to be changed."""
    read_secrets: Callable[[Destination, Mapping[str, str]], Secrets]
    """The values of its secrets, from files and the environment. Raises SettingsError without showing a value."""
    prepare: Callable[[Destination, Secrets, str, Message, int], PreparedRequest]
    """The request for a message about an incident at an instant, which only signatures depend on."""
    judge: Callable[[int, str | None, str, int], Outcome]
    """The outcome by HTTP status, Retry-After, the start of the response body without secrets, and the instant."""
    give_up_after: int
    """How long a message is tried before it is parked."""
    retry_schedule: tuple[int, ...] | None = None
    """Waits after each attempt; the message is parked when they are used up. None: exponential waits with jitter."""
    concurrency: int
    """Concurrent requests."""
    min_interval: int = 0
    """Least time between the starts of two requests."""
    pages_per_minute: int | None = None
    """Beyond this rate alerts become digests, unless the routing file says otherwise; None: they never do."""
    latest_only: bool = True
    """People read it: a waiting message is replaced by the next one about the same clock."""
    resolve_each_clock: bool = False
    """A closing is one message for each open clock, not one for all of them."""
    ends_late_pages: bool = True
    """A page about an incident that had ended before it is followed by its end."""
    continues_traces: bool = False
    """Whether the receiver is sent the `traceparent` of the alert: machines of our users, not services of others."""
    reads_answers: bool = False
    """Whether `judge` needs the body of a 2xx too: the service may refuse a message in there."""
    unused_in_ends: frozenset[str] = frozenset()
    """Large fields that `prepare` does not use in an end, so they are not stored."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where messages go, and how. `secret` is the routing key or the URL, `api` an address instead of the kind's own;
    durations in microseconds. `severities`: see KindConfig."""

    name: str
    kind: DestinationKind
    secret: SecretRef
    api: str | None = None
    signing: tuple[SecretRef, ...] = ()
    language: Language = "en"
    zone: str = "UTC"
    allow_private: bool = False
    timeout: int = 10 * SECOND
    give_up_after: int = 6 * HOUR
    severities: Mapping[tuple[str, str], PagerSeverity] = field(default_factory=dict)
    pages_per_minute: int | None = None
    """Beyond this rate alerts become digests; None: they never do."""
    buttons: tuple[SlackAction, ...] = ()
    """The buttons below Slack posts."""
    title_links: bool = False
    """Whether PagerDuty titles end in the deployment and the incident, so that notes about a page find it."""

    def language_of(self, message: Message) -> Language:
        """The language of a message's texts."""
        return message.language or self.language

"""Why Kafka can't be used: one classification of the errors of both clients, of TLS and of the network."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from asyncio import IncompleteReadError
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from streams.errors import SlaError


class CauseKind(StrEnum):
    """Classes of causes, the most telling first."""

    AUTHENTICATION = "authentication"
    AUTHORIZATION = "authorization"
    CERTIFICATE = "certificate"
    PROTOCOL = "protocol"
    NAME = "name"
    CLOSED = "closed"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    OTHER = "other"


#: Trying again does not help.
LASTING: Final = frozenset(
    {CauseKind.AUTHENTICATION, CauseKind.AUTHORIZATION, CauseKind.CERTIFICATE, CauseKind.PROTOCOL}
)


class KafkaCause(NamedTuple):
    """`text` says what was wrong and what to check; it has no secret."""

    kind: CauseKind
    text: str


class TokenRefused(SlaError):  # noqa: N818 -- it names what happened
    """The token endpoint of SASL OAUTHBEARER gives no token; the text says why and has no secret."""


class ClosedAtFirstRequest(Exception):  # noqa: N818 -- it names what happened
    """A connection was made, and closed by the broker at the first request."""


class ClosedInHandshake(Exception):  # noqa: N818 -- it names what happened
    """A connection was made, and closed instead of an answer to the TLS handshake."""


_CHECK_SASL = "check SLA_SASL_USERNAME, SLA_SASL_PASSWORD and SLA_SASL_MECHANISM"
_CHECK_PROTOCOL = "check SLA_SECURITY_PROTOCOL against the listener of this port"
_CHECK_CERTIFICATE = "check SLA_KAFKA_SSL_CERTIFICATE_LOCATION and SLA_KAFKA_SSL_KEY_LOCATION"
_ACLS = "an administrator of Kafka has to allow it"

#: Kafka's error codes.
_BY_CODE: Final = {
    29: KafkaCause(CauseKind.AUTHORIZATION, f"this user is not allowed this operation on the topic; {_ACLS}"),
    30: KafkaCause(CauseKind.AUTHORIZATION, f"this user is not allowed to use the consumer group; {_ACLS}"),
    31: KafkaCause(CauseKind.AUTHORIZATION, f"this user is not allowed this operation on the cluster; {_ACLS}"),
    33: KafkaCause(
        CauseKind.AUTHENTICATION, "the listener does not have this SASL mechanism; check SLA_SASL_MECHANISM"
    ),
    34: KafkaCause(
        CauseKind.PROTOCOL, f"the listener and this process do not agree on authentication; {_CHECK_PROTOCOL}"
    ),
    53: KafkaCause(CauseKind.AUTHORIZATION, f"this user is not allowed to use the transactional id; {_ACLS}"),
    56: KafkaCause(
        CauseKind.OTHER,
        "a broker can't use a log directory: its disk is full, read-only or broken; see the log of that broker",
    ),
    58: KafkaCause(CauseKind.AUTHENTICATION, f"authentication failed; {_CHECK_SASL}"),
    65: KafkaCause(CauseKind.AUTHORIZATION, f"this user is not allowed to use the delegation token; {_ACLS}"),
    87: KafkaCause(
        CauseKind.OTHER,
        "a record is invalid: a topic takes no record without a key while its cleanup.policy has compact; `sla topics "
        "apply` puts cleanup policies right",
    ),
}
#: OpenSSL's codes of why a certificate is not accepted.
_BY_VERIFICATION: Final = {
    9: "is not valid yet: check the clocks",
    10: "has expired: renew it",
    18: "is self-signed, and not trusted: name it or its CA in SLA_SSL_CAFILE",
    19: "is signed by a CA that is not trusted: name that CA in SLA_SSL_CAFILE",
    20: "is signed by a CA that is not trusted: name that CA in SLA_SSL_CAFILE",
    21: "is signed by a CA that is not trusted: name that CA in SLA_SSL_CAFILE",
    62: "does not name this host: use an address that it names in SLA_BROKERS and in advertised.listeners",
    64: "does not name this address: use an address that it names in SLA_BROKERS and in advertised.listeners",
}
_TLS_ALERT: Final = 0x1503
_UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


def cause_of(error: BaseException) -> KafkaCause:
    """The most telling cause of an error, its own or one that it was raised from or while handling."""
    found = [cause for each in _chain(error) if (cause := _classified(each)) is not None]
    return min(found, key=_rank, default=_unclassified(error))


def most_telling(errors: Iterable[BaseException]) -> BaseException | None:
    """Of the errors of several brokers the one that says most; None without any."""
    return min(errors, key=lambda error: _rank(cause_of(error)), default=None)


def explained_error(error: BaseException, brokers: str = "") -> str:
    """One line: which brokers, what was wrong, what to check."""
    cause, where = cause_of(error), f" at {brokers}" if brokers else ""
    if cause.kind is CauseKind.REFUSED:
        return f"no Kafka broker answers{where}: is it running, and is the address right? ({cause.text})"
    if cause.kind is CauseKind.TIMEOUT:
        return f"Kafka{where} does not answer in time: is it running, and is the address right?"
    return f"Kafka{where}: {cause.text}"


def _unclassified(error: BaseException) -> KafkaCause:
    while isinstance(error, BaseExceptionGroup):  # its own text says only how many there are
        error = error.exceptions[0]
    return KafkaCause(CauseKind.OTHER, str(error) or type(error).__name__)


def _rank(cause: KafkaCause) -> int:
    return list(CauseKind).index(cause.kind)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop(0)
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]
            waiting += [argument for argument in each.args if isinstance(argument, BaseException)]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else ()


def _classified(error: BaseException) -> KafkaCause | None:
    for kind, classify in _BY_TYPE:
        if isinstance(error, kind):
            return classify(error)
    if re.search("Timeout|TimedOut", type(error).__name__):
        return KafkaCause(CauseKind.TIMEOUT, "no answer in time")
    code = getattr(type(error), "errno", None)
    if isinstance(code, int):
        known = _BY_CODE.get(code)
        detail = error.args[0] if error.args and isinstance(error.args[0], str) else ""
        return KafkaCause(known.kind, f"{known.text} ({detail})") if known is not None and detail else known
    return next((classify(error) for text, classify in _BY_TEXT if text in str(error)), None)


def _certificate(error: BaseException) -> KafkaCause:
    code, message = getattr(error, "verify_code", 0), getattr(error, "verify_message", "")
    return KafkaCause(
        CauseKind.CERTIFICATE, f"the broker's certificate {_BY_VERIFICATION.get(code, f'is not accepted: {message}')}"
    )


def _tls(error: BaseException) -> KafkaCause:
    reason = str(getattr(error, "reason", None) or "")
    if "ALERT" in reason:
        return KafkaCause(
            CauseKind.CERTIFICATE,
            f"the broker ends the TLS handshake ({reason}): it requires a client certificate or does not accept this "
            f"one; {_CHECK_CERTIFICATE}",
        )
    return KafkaCause(CauseKind.PROTOCOL, f"no TLS is spoken at this port ({reason or error}); {_CHECK_PROTOCOL}")


def _name(error: BaseException) -> KafkaCause:
    return KafkaCause(
        CauseKind.NAME, f"the host name can't be resolved ({error.args[-1]}); check SLA_BROKERS and the DNS"
    )


def _none_answers(_: BaseException) -> KafkaCause:
    return KafkaCause(CauseKind.REFUSED, "none of the known brokers answers")


def _refused(_: BaseException) -> KafkaCause:
    return KafkaCause(CauseKind.REFUSED, "the connection was refused")


def _closed(error: BaseException) -> KafkaCause:
    if isinstance(error, ClosedAtFirstRequest):
        return KafkaCause(
            CauseKind.CLOSED,
            "the connection was closed at the first request, as a listener that expects authentication does; "
            f"{_CHECK_PROTOCOL}",
        )
    if isinstance(error, ClosedInHandshake):
        return KafkaCause(CauseKind.PROTOCOL, f"no TLS is spoken at this port; {_CHECK_PROTOCOL}")
    # The start of a TLS alert, read as the length of Kafka's answer.
    length = re.search(r"Invalid frame length: (\d+)", str(error))
    expected = error.expected if isinstance(error, IncompleteReadError) else int(length[1]) if length else 0
    if (expected or 0) >> 16 == _TLS_ALERT:
        return KafkaCause(CauseKind.PROTOCOL, f"the listener expects TLS; {_CHECK_PROTOCOL}")
    return KafkaCause(CauseKind.CLOSED, f"the connection was closed before an answer; {_CHECK_PROTOCOL}")


def _system(error: BaseException) -> KafkaCause | None:
    code = getattr(error, "errno", None)
    if code in _UNREACHABLE:
        return KafkaCause(CauseKind.REFUSED, "the host can't be reached")
    return None


#: What kafka-python says where it raises its own error instead of the system's.
_BY_TEXT: Final[tuple[tuple[str, Callable[[BaseException], KafkaCause]], ...]] = (
    ("ECONNREFUSED", _refused),
    ("No node_id provided", _none_answers),
    ("Unable to get cluster metadata", _none_answers),
    ("DNS Resolution failure", _name),
    ("Invalid frame length", _closed),
    ("socket disconnected", _closed),
)
_BY_TYPE: Final[
    tuple[
        tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[BaseException], KafkaCause | None]], ...
    ]
] = (
    (TokenRefused, lambda error: KafkaCause(CauseKind.AUTHENTICATION, str(error))),
    (ssl.SSLCertVerificationError, _certificate),
    (ssl.SSLError, _tls),
    (socket.gaierror, _name),
    (ConnectionRefusedError, _refused),
    (TimeoutError, lambda _: KafkaCause(CauseKind.TIMEOUT, "no answer in time")),
    ((ConnectionResetError, BrokenPipeError, EOFError, ClosedAtFirstRequest, ClosedInHandshake), _closed),
    (OSError, _system),
)

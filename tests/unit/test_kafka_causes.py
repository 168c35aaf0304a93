"""The cause of each failure of Kafka: one classification of what both clients, TLS and the network raise."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl

import aiokafka.errors as aio
import kafka.errors as kafka_python
import pytest

from streams.kafka.causes import (
    CauseKind,
    ClosedAtFirstRequest,
    ClosedInHandshake,
    TokenRefused,
    cause_of,
    explained_error,
    most_telling,
)


def _unverified(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_code, error.verify_message = code, message
    return error


def _alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


#: kind → what is raised, and what the text says.
RAISED: list[tuple[CauseKind, BaseException, str]] = [
    (CauseKind.AUTHENTICATION, aio.SaslAuthenticationFailed("Invalid username"), "SLA_SASL_PASSWORD.*Invalid username"),
    (CauseKind.AUTHENTICATION, kafka_python.SaslAuthenticationFailedError("Invalid username"), "authentication failed"),
    (CauseKind.AUTHENTICATION, aio.UnsupportedSaslMechanismError(object()), "SLA_SASL_MECHANISM$"),
    (CauseKind.AUTHENTICATION, kafka_python.UnsupportedSaslMechanismError(), "does not have this SASL mechanism"),
    (CauseKind.AUTHENTICATION, TokenRefused("the token endpoint answers 401"), "^the token endpoint answers 401$"),
    (CauseKind.AUTHORIZATION, aio.TopicAuthorizationFailedError("sla.alerts"), "not allowed.*the topic.*sla.alerts"),
    (CauseKind.AUTHORIZATION, kafka_python.TopicAuthorizationFailedError("sla.alerts"), "not allowed.*the topic"),
    (CauseKind.AUTHORIZATION, aio.GroupAuthorizationFailedError("sla"), "not allowed to use the consumer group"),
    (CauseKind.AUTHORIZATION, kafka_python.ClusterAuthorizationFailedError(), "not allowed.*the cluster"),
    (CauseKind.AUTHORIZATION, aio.TransactionalIdAuthorizationFailed(), "not allowed to use the transactional id"),
    (CauseKind.CERTIFICATE, _unverified(10, "certificate has expired"), "has expired: renew it"),
    (CauseKind.CERTIFICATE, _unverified(9, "not yet valid"), "is not valid yet: check the clocks"),
    (
        CauseKind.CERTIFICATE,
        _unverified(19, "self-signed certificate in certificate chain"),
        "not trusted.*SLA_SSL_CAFILE",
    ),
    (CauseKind.CERTIFICATE, _unverified(20, "unable to get local issuer"), "signed by a CA that is not trusted"),
    (CauseKind.CERTIFICATE, _unverified(62, "Hostname mismatch"), "does not name this host"),
    (CauseKind.CERTIFICATE, _unverified(64, "IP address mismatch"), "does not name this address"),
    (CauseKind.CERTIFICATE, _unverified(23, "certificate revoked"), "is not accepted: certificate revoked"),
    (CauseKind.CERTIFICATE, _alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "SLA_KAFKA_SSL_CERTIFICATE_LOCATION"),
    (CauseKind.PROTOCOL, _alert("WRONG_VERSION_NUMBER"), "no TLS is spoken at this port"),
    (CauseKind.PROTOCOL, ClosedInHandshake(), "no TLS is spoken at this port; check SLA_SECURITY_PROTOCOL"),
    (CauseKind.PROTOCOL, asyncio.IncompleteReadError(b"\2\2P", 0x15030300), "the listener expects TLS"),
    (
        CauseKind.PROTOCOL,
        kafka_python.InvalidReceiveError("Invalid frame length: 352518912"),
        "the listener expects TLS",
    ),
    (CauseKind.PROTOCOL, aio.IllegalSaslStateError(object()), "do not agree on authentication"),
    (CauseKind.NAME, socket.gaierror(-2, "Name or service not known"), "can't be resolved .Name or service not known"),
    (CauseKind.NAME, kafka_python.KafkaConnectionError("DNS Resolution failure"), "can't be resolved"),
    (CauseKind.REFUSED, ConnectionRefusedError(111, "refused"), "the connection was refused"),
    (CauseKind.REFUSED, kafka_python.KafkaConnectionError("111 ECONNREFUSED"), "the connection was refused"),
    (CauseKind.REFUSED, kafka_python.NodeNotReadyError("No node_id provided"), "none of the known brokers answers"),
    (CauseKind.REFUSED, aio.KafkaError("Unable to get cluster metadata over all known brokers"), "none of the known"),
    (CauseKind.REFUSED, OSError(errno.EHOSTUNREACH, "No route to host"), "the host can't be reached"),
    (CauseKind.CLOSED, ConnectionResetError(), "closed before an answer"),
    (CauseKind.CLOSED, asyncio.IncompleteReadError(b"", 4), "closed before an answer"),
    (CauseKind.CLOSED, kafka_python.KafkaConnectionError("socket disconnected"), "closed before an answer"),
    (CauseKind.CLOSED, ClosedAtFirstRequest(), "a listener that expects authentication"),
    (CauseKind.TIMEOUT, TimeoutError(), "no answer in time"),
    (CauseKind.TIMEOUT, aio.KafkaTimeoutError(), "no answer in time"),
    (CauseKind.TIMEOUT, aio.RequestTimedOutError(), "no answer in time"),
    (CauseKind.TIMEOUT, kafka_python.RequestTimedOutError("Request timed out after 4999 ms"), "no answer in time"),
    (CauseKind.TIMEOUT, kafka_python.KafkaTimeoutError("Unable to bootstrap"), "no answer in time"),
    (CauseKind.OTHER, aio.KafkaError("something new"), "something new"),
]


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    RAISED,
    ids=[f"{number}-{kind}-{type(error).__name__}" for number, (kind, error, _) in enumerate(RAISED)],
)
def test_each_error_has_its_cause(kind: CauseKind, error: BaseException, text: str) -> None:
    wrapped = aio.KafkaConnectionError("Unable to bootstrap")
    wrapped.__cause__ = error
    for each in (error, wrapped) if kind is not CauseKind.OTHER else (error,):
        cause = cause_of(each)
        assert cause.kind is kind
        with pytest.raises(ValueError, match=text):
            raise ValueError(cause.text)


def test_the_cause_may_be_what_was_handled_when_the_error_was_raised() -> None:
    error = kafka_python.KafkaConnectionError("Handshake failed")
    error.__context__ = _unverified(10, "certificate has expired")
    assert cause_of(error).kind is CauseKind.CERTIFICATE


@pytest.mark.parametrize(
    ("errors", "kind", "text"),
    [
        ([aio.KafkaStorageError()], CauseKind.OTHER, "can't use a log directory.*full"),
        ([kafka_python.KafkaStorageError()], CauseKind.OTHER, "can't use a log directory.*full"),
        ([aio.NotEnoughReplicasError("of 2")], CauseKind.OTHER, "of 2"),
        ([RuntimeError("one"), aio.TopicAuthorizationFailedError("sla.alerts")], CauseKind.AUTHORIZATION, "sla.alerts"),
        ([ExceptionGroup("inner", [ValueError("two")])], CauseKind.OTHER, "^two$"),
    ],
)
def test_a_group_of_errors_has_the_most_telling_cause_of_its_errors(
    errors: list[Exception], kind: CauseKind, text: str
) -> None:
    """Records to several partitions are sent by a group of tasks."""
    found = cause_of(ExceptionGroup("unhandled errors in a TaskGroup", errors))
    assert found.kind is kind
    assert re.search(text, found.text), found.text


def test_of_several_brokers_the_most_telling_error_counts() -> None:
    wrong_password = aio.SaslAuthenticationFailed("no")
    assert most_telling([TimeoutError(), wrong_password, ConnectionRefusedError()]) is wrong_password
    assert most_telling([]) is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ConnectionRefusedError(),
            "no Kafka broker answers at k:1: is it running, and is the address right? (the connec",
        ),
        (TimeoutError(), "Kafka at k:1 does not answer in time: is it running"),
        (aio.SaslAuthenticationFailed("no"), "Kafka at k:1: authentication failed; check SLA_SASL_USERNAME"),
    ],
)
def test_the_line_names_the_brokers(error: BaseException, line: str) -> None:
    assert explained_error(error, "k:1").startswith(line)
    assert " at " not in explained_error(error).split(":")[0]

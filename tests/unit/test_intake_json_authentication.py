"""How senders of any JSON webhook prove themselves."""

from __future__ import annotations

import base64
import hmac
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from json_senders import SOURCES
from multidict import CIMultiDict, CIMultiDictProxy

from connect.intake.formats.json_webhook_authentication import authenticate
from connect.intake.formats.registry import MAX_SIGNED_BODY, max_body_of, signature_header_of
from connect.intake.formats.source_format import AuthenticationError, Credentials
from connect.intake.mapping.authentication import (
    AddressToken,
    Authentication,
    BasicAccount,
    BodySignature,
    ProxySubject,
    SignedTime,
    TokenHeader,
)
from connect.intake.mapping_file import MappingError, load_mapping
from connect.intake.signatures import Secret
from connect.intake.web.request_guard import RequestGuard
from connect.intake.web.responses import RequestRejected
from streams.sla.instants import SECOND, parse_rfc3339

KEY, NEXT, BODY = "a-signing-secret", "the-next-secret-1", b'{"a":1}'
NOW = parse_rfc3339("2026-10-12T07:00:00Z")
SECONDS = str(NOW // SECOND)
ROTATED = (Secret(NEXT), Secret(KEY))


def proves(scheme: Any, headers: dict[str, str], *, content: bytes = BODY, now: int = NOW, remote: str = "") -> bool:
    given = CIMultiDictProxy(CIMultiDict(headers))
    try:
        authenticate(Credentials(given, content, ROTATED, now, 300 * SECOND, None, Authentication(scheme), remote))
    except AuthenticationError as error:
        return KEY in str(error)  # which no text may show
    return True


def signature(message: bytes = BODY, algorithm: str = "sha256", key: str = KEY) -> bytes:
    return hmac.digest(key.encode(), message, algorithm)


def test_without_authentication_it_is_a_bearer_token() -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    authenticate(Credentials(CIMultiDict(headers), b"", ROTATED, NOW, 0))
    with pytest.raises(AuthenticationError, match="Bearer TOKEN"):
        authenticate(Credentials(CIMultiDict({}), b"", ROTATED, NOW, 0))


def test_a_token_in_the_address() -> None:
    scheme = Authentication(AddressToken())
    authenticate(Credentials({}, b"", ROTATED, NOW, 0, KEY, scheme))
    for given in (None, "", f"{KEY}x"):
        with pytest.raises(AuthenticationError, match="ends in"):
            authenticate(Credentials({"Authorization": f"Bearer {KEY}"}, b"", ROTATED, NOW, 0, given, scheme))


def test_basic() -> None:
    def basic(text: str, kind: str = "Basic") -> dict[str, str]:
        return {"Authorization": f"{kind} {base64.b64encode(text.encode()).decode()}"}

    scheme = BasicAccount("kuma")
    assert proves(scheme, basic(f"kuma:{KEY}"))
    assert proves(scheme, basic(f"kuma:{NEXT}", "basic"))
    for wrong in (
        basic(f"Kuma:{KEY}"),
        basic(f"kuma:{KEY}x"),
        basic("kuma:"),
        basic(KEY),
        basic(f"kuma:{KEY}", "Bearer"),
        {"Authorization": "Basic ?"},
        {"Authorization": "Basic /w=="},
        {},
    ):
        assert not proves(scheme, wrong), wrong


def test_a_token_in_a_header() -> None:
    scheme = TokenHeader("X-Token", "Key ")
    assert proves(scheme, {"x-token": f"Key {KEY}"})
    for wrong in (
        {},
        {"X-Token": KEY},
        {"X-Token": "Key "},
        {"X-Token": f"Key {KEY} "},
        {"Authorization": f"Key {KEY}"},
    ):
        assert not proves(scheme, wrong), wrong


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_signatures_of_each_algorithm_and_encoding(algorithm: str) -> None:
    digest = signature(algorithm=algorithm)
    by_hex = BodySignature("X-Sig", algorithm, "hex", f"{algorithm}=", "{body}", None)
    by_base64 = BodySignature("X-Sig", algorithm, "base64", "", "{body}", None)
    encoded = base64.b64encode(digest).decode()
    assert proves(by_hex, {"X-Sig": f"{algorithm}={digest.hex()}"})
    assert proves(by_hex, {"X-Sig": f"{algorithm}={digest.hex().upper()}"})
    assert proves(by_hex, {"X-Sig": f"{algorithm}={'0' * len(digest.hex())}, {algorithm}={digest.hex()}"})
    assert proves(by_base64, {"X-Sig": encoded})
    assert not proves(by_hex, {"X-Sig": digest.hex()}), "without the prefix"
    assert not proves(by_hex, {"X-Sig": f"{algorithm}={digest.hex()}"}, content=BODY + b" ")
    assert not proves(by_hex, {"X-Sig": f"{algorithm}={signature(algorithm=algorithm, key='x' * 16).hex()}"})
    for wrong in ({}, {"X-Sig": ""}, {"X-Sig": digest.hex()}, {"X-Sig": encoded.swapcase()}, {"X-Sig": "é\udc80"}):
        assert not proves(by_base64, wrong), wrong


def test_the_published_example_of_github() -> None:
    """docs.github.com, "Validating webhook deliveries"."""
    scheme = SOURCES["github"].authentication
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret, headers = Secret("It's a Secret to Everybody"), {"X-Hub-Signature-256": f"sha256={digest}"}
    authenticate(Credentials(headers, b"Hello, World!", (secret,), NOW, 0, None, scheme))
    with pytest.raises(AuthenticationError):
        authenticate(Credentials(headers, b"Hello, World?", (secret,), NOW, 0, None, scheme))


@pytest.mark.parametrize(
    ("unit", "at", "old"),
    [
        ("seconds", SECONDS, str(NOW // SECOND - 301)),
        ("milliseconds", f"{SECONDS}500", f"{NOW // SECOND + 301}000"),
        ("rfc3339", "2026-10-12T07:05:00Z", "2026-10-12T07:05:01Z"),
    ],
)
def test_a_signed_time_has_to_be_recent(unit: str, at: str, old: str) -> None:
    scheme = BodySignature("X-Sig", "sha256", "hex", "", "v0:{timestamp}:{body}", SignedTime("X-Time", "", unit))

    def headers(time: str, signed: str) -> dict[str, str]:
        return {"X-Sig": signature(f"v0:{signed}:".encode() + BODY).hex(), "X-Time": time}

    assert proves(scheme, headers(at, at))
    assert not proves(scheme, headers(old, old)), "a replay"
    assert not proves(scheme, headers(old, at)), "another time than was signed"
    assert not proves(scheme, {"X-Sig": signature().hex()})
    for odd in ("soon", "-1", "1e9", "9" * 40, "٣"):
        assert not proves(scheme, headers(odd, odd)), odd


def test_time_and_signature_in_one_header() -> None:
    scheme = BodySignature(
        "Stripe-Signature",
        "sha256",
        "hex",
        "v1=",
        "{timestamp}.{body}",
        SignedTime("Stripe-Signature", "t=", "seconds"),
    )
    fits = signature(f"{SECONDS}.".encode() + BODY).hex()
    assert proves(scheme, {"Stripe-Signature": f"t={SECONDS},v1={'0' * 64},v1={fits}"})
    assert not proves(scheme, {"Stripe-Signature": f"v1={fits}"})
    assert not proves(scheme, {"Stripe-Signature": f"t={SECONDS},v0={fits}"})


def test_braces_in_the_time_are_not_placeholders() -> None:
    scheme = BodySignature("X-Sig", "sha256", "hex", "", "{timestamp}.{body}", SignedTime("X-Time", "", "seconds"))
    assert not proves(scheme, {"X-Sig": signature().hex(), "X-Time": "{body}"})


def test_a_subject_counts_only_from_the_proxy() -> None:
    scheme = ProxySubject("X-Subject", frozenset({"CN=grafana"}), (ip_network("10.1.0.0/16"), ip_network("fd00::/8")))
    assert proves(scheme, {"x-subject": "CN=grafana"}, remote="10.1.2.3")
    assert proves(scheme, {"X-Subject": "CN=grafana"}, remote="::ffff:10.1.2.3")
    assert proves(scheme, {"X-Subject": "CN=grafana"}, remote="fd00::7")
    for remote in ("10.2.0.1", "192.0.2.1", "::1", "", "unix:", "10.1.2.3.4"):
        assert not proves(scheme, {"X-Subject": "CN=grafana"}, remote=remote), remote
    for subject in ("CN=other", "cn=grafana", "", "CN=grafana,O=x"):
        assert not proves(scheme, {"X-Subject": subject}, remote="10.1.2.3"), subject
    assert not proves(scheme, {}, remote="10.1.2.3")
    twice = CIMultiDict([("X-Subject", "CN=grafana"), ("x-subject", "CN=other")])
    for values in (twice, CIMultiDict(reversed(list(twice.items())))):
        with pytest.raises(AuthenticationError, match="has to be there once"):
            authenticate(Credentials(values, b"", (), NOW, 0, None, Authentication(scheme), "10.1.2.3"))


MAPPING = """\
version: 1
sources:
  shop:
    format: json
    secrets: [{env: TOKEN}]
    authentication: bearer
    body:
      incident: [{from: id}]
      state: [{value: opened}]
      time: at
    component: [{value: api}]
    impact: [{value: cosmetic}]
    tenants: [{scope: platform}]
"""


def loaded(tmp_path: Path, authentication: str, *, secrets: bool = True) -> Any:
    text = MAPPING.replace("authentication: bearer", f"authentication: {authentication}")
    file = tmp_path / "intake.yaml"
    file.write_text(text if secrets else text.replace("    secrets: [{env: TOKEN}]\n", ""), encoding="utf-8")
    return load_mapping(file)["shop"]


@pytest.mark.parametrize(
    ("authentication", "told"),
    [
        ("basics", "authentication"),
        ("{}", "a source has one way to authenticate; allowed: bearer, address, basic, header"),
        ("{bearer: true, basic: {user: a}}", "a source has one way to authenticate"),
        ("{hmac: {header: X, algorithm: md5}}", "authentication.hmac.algorithm: 'md5' is unknown"),
        ("{hmac: {header: 'X Y'}}", "'X Y' is no name of an HTTP header"),
        (
            "{hmac: {header: X, signed: '{timestamp}.{body}'}}",
            "signed: '{timestamp}.{body}' has to contain {body} once",
        ),
        ("{hmac: {header: X, timestamp: {header: T}}}", "has to contain {body} and {timestamp} once"),
        ("{hmac: {header: X, signed: '{body}{body}'}}", "has to contain {body} once"),
        ("{basic: {user: 'a:b'}}", "authentication.basic.user"),
        ("{proxy_subject: {header: X, subjects: [a], networks: [10.0.0.1/8]}}", "has host bits set"),
        ("{proxy_subject: {header: X, subjects: [a], networks: [0.0.0.0/0]}}", "0.0.0.0/0 is every address"),
        ("{proxy_subject: {header: X, subjects: [], networks: [10.0.0.0/8]}}", "authentication.proxy_subject.subjects"),
        ("{proxy_subject: {header: X, subjects: [a], networks: [10.0.0.0/8]}}", "secrets: a client certificate proves"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, authentication: str, told: str) -> None:
    with pytest.raises(MappingError) as caught:
        loaded(tmp_path, authentication)
    found = [str(each).removeprefix(f"{tmp_path / 'intake.yaml'}:") for each in caught.value.problems]
    assert any(told in each for each in found), found


def test_what_signs_the_body_is_read_before_it_is_proven(tmp_path: Path) -> None:
    signed = loaded(tmp_path, "{hmac: {header: X-Sig, prefix: 'sha256='}}")
    assert signature_header_of(signed) == "X-Sig"
    assert max_body_of(signed, 16 * MAX_SIGNED_BODY) == MAX_SIGNED_BODY
    for headers_alone in ("bearer", "{basic: {user: a}}", "{header: {name: X-Token}}"):
        assert signature_header_of(loaded(tmp_path, headers_alone)) is None


def test_the_guard_gives_scheme_and_address(tmp_path: Path) -> None:
    subject = "{proxy_subject: {header: X-Subject, subjects: ['CN=a'], networks: [127.0.0.0/8]}}"
    source = loaded(tmp_path, subject, secrets=False)

    class Clock:
        def now(self) -> int:
            return NOW

    guard = RequestGuard({"shop": ()}, Clock())  # type: ignore[arg-type]
    request = make_mocked_request("POST", "/v1/hooks/shop", headers={"X-Subject": "CN=a"})
    guard.check_headers(request.clone(remote="127.0.0.1"), source)  # type: ignore[arg-type]
    with pytest.raises(RequestRejected, match="does not come from the proxy"):
        guard.check_headers(request.clone(remote="192.0.2.1"), source)  # type: ignore[arg-type]

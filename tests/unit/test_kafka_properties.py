"""Kafka client properties: which are allowed, what clients are given, and what is refused with its reason."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiokafka.abc import AbstractTokenProvider as AiokafkaTokenProvider
from kafka.net.sasl.oauth import AbstractTokenProvider as KafkaPythonTokenProvider

from streams.errors import SettingsError
from streams.kafka import aiokafka_clients
from streams.kafka.causes import TokenRefused
from streams.kafka.connection_options import ConnectionOptions
from streams.kafka.oauth_tokens import ClientCredentials, TokenCache
from streams.kafka.properties import PROPERTIES, variable_of
from streams.settings import read_settings

PASSWORD = "hunter2-hunter2"


def test_properties_and_short_names_are_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_KAFKA_SECURITY_PROTOCOL", "sasl_plaintext")
    monkeypatch.setenv("SLA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("SLA_KAFKA_SASL_USERNAME", "sla")
    monkeypatch.setenv("SLA_SASL_PASSWORD", PASSWORD)
    monkeypatch.setenv("SLA_KAFKA_CLIENT_RACK", "eu-1a")
    monkeypatch.setenv("SLA_KAFKA_METADATA_MAX_AGE_MS", "60000")
    expected = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "sla",
        "sasl_plain_password": PASSWORD,
        "client_rack": "eu-1a",
        "metadata_max_age_ms": 60000,
    }
    assert read_settings().aiokafka_security() == expected
    assert read_settings().client_security() == expected


def test_each_client_of_a_worker_gets_a_token_provider_of_its_own_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SASL_MECHANISM": "OAUTHBEARER",
        "SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "https://id.example/token",
        "SASL_OAUTHBEARER_CLIENT_ID": "sla",
        "SASL_OAUTHBEARER_CLIENT_SECRET": PASSWORD,
    }.items():
        monkeypatch.setenv(f"SLA_KAFKA_{name}", value)
    runtime = read_settings().runtime()
    assert isinstance(runtime.security["sasl_oauth_token_provider"], AiokafkaTokenProvider)
    assert isinstance(runtime.admin_security["sasl_oauth_token_provider"], KafkaPythonTokenProvider)


def test_without_any_property_clients_get_no_options() -> None:
    assert read_settings().aiokafka_security() == {}


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SLA_KAFKA_FETCH_MIN_BYTES": "1"}, r"^SLA_KAFKA_FETCH_MIN_BYTES: .*no effect.*; allowed: security.protocol"),
        ({"SLA_KAFKA_CLIENT_RAK": "a"}, r"SLA_KAFKA_CLIENT_RAK: .*did you mean SLA_KAFKA_CLIENT_RACK\?"),
        ({"SLA_KAFKA_BOOTSTRAP_SERVERS": "k:1"}, r"SLA_KAFKA_BOOTSTRAP_SERVERS: .*can't be passed: set SLA_BROKERS"),
        ({"SLA_KAFKA_METADATA_BROKER_LIST": "k:1"}, "set SLA_BROKERS"),
        ({"SLA_KAFKA_SASL_MECHANISMS": "DIGEST"}, "SLA_KAFKA_SASL_MECHANISMS: 'DIGEST' can't be used; allowed: PLAIN"),
        ({"SLA_KAFKA_RETRY_BACKOFF_MS": "0"}, "SLA_KAFKA_RETRY_BACKOFF_MS: '0' can't be used; allowed: a whole number"),
        ({"SLA_KAFKA_SASL_PASSWORD": "x"}, "SLA_KAFKA_SASL_PASSWORD has no effect with the protocol PLAINTEXT"),
        (
            {"SLA_SSL_CAFILE": "/ca.pem"},
            "SLA_SSL_CAFILE has no effect with the protocol PLAINTEXT; unset it, or set SLA",
        ),
        ({"SLA_SECURITY_PROTOCOL": "SASL_SSL"}, "SLA_SASL_MECHANISM is missing; the protocol SASL_SSL needs it"),
        (
            {"SLA_SECURITY_PROTOCOL": "SASL_SSL", "SLA_SASL_MECHANISM": "PLAIN", "SLA_SASL_USERNAME": "u"},
            "SLA_SASL_PASSWORD is missing; the mechanism PLAIN needs it",
        ),
        (
            {"SLA_SECURITY_PROTOCOL": "SASL_SSL", "SLA_SASL_MECHANISM": "OAUTHBEARER"},
            "SLA_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL is missing",
        ),
        (
            {"SLA_SECURITY_PROTOCOL": "SSL", "SLA_KAFKA_SSL_KEY_LOCATION": "/key.pem"},
            "SLA_KAFKA_SSL_CERTIFICATE_LOCATION is missing; the client's key needs it",
        ),
        (
            {"SLA_SECURITY_PROTOCOL": "SSL", "SLA_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"},
            "SLA_SECURITY_PROTOCOL and SLA_KAFKA_SECURITY_PROTOCOL differ",
        ),
        (
            {"SLA_KAFKA_SASL_MECHANISM": "PLAIN", "SLA_KAFKA_SASL_MECHANISMS": "PLAIN"},
            "SLA_KAFKA_SASL_MECHANISM and SLA_KAFKA_SASL_MECHANISMS are both set",
        ),
    ],
)
def test_what_has_no_effect_or_contradicts_is_refused(
    environment: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=told):
        read_settings()


def test_gssapi_names_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.kafka.connection_options.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="GSSAPI needs the Python package gssapi"):
        ConnectionOptions({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI"})


def test_secrets_of_properties_come_from_files_and_never_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n", "utf-8")
    monkeypatch.setenv("SLA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("SLA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("SLA_SASL_USERNAME", "sla")
    monkeypatch.setenv("SLA_KAFKA_SASL_PASSWORD_FILE", str(file))
    assert read_settings().aiokafka_security()["sasl_plain_password"] == PASSWORD
    monkeypatch.setenv("SLA_SASL_PASSWORD", "another")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "SLA_SASL_PASSWORD and SLA_KAFKA_SASL_PASSWORD_FILE differ" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert "another" not in str(caught.value)
    monkeypatch.setenv("SLA_KAFKA_SASL_USERNAME_FILE", str(file))
    with pytest.raises(SettingsError, match="SLA_KAFKA_SASL_USERNAME_FILE: this Kafka property would have no effect"):
        read_settings()


def test_examples_of_the_table_can_be_used() -> None:
    for each in PROPERTIES.values():
        if each.example:
            each.parse(each.example)
        assert variable_of(each.name).startswith("SLA_KAFKA_")


def _certificate(folder: Path, password: str) -> tuple[Path, Path]:
    certificate, key = folder / "client.pem", folder / "client.key"
    subject = ["-subj", "/CN=client", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *subject]
    protect = ["-passout", f"pass:{password}"]
    subprocess.run([*command, *protect, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_a_client_certificate_is_loaded_with_its_password(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path, PASSWORD)
    values: dict[str, object] = {
        "security.protocol": "SSL",
        "ssl.ca.location": str(certificate),
        "ssl.certificate.location": str(certificate),
        "ssl.key.location": str(key),
        "ssl.key.password": PASSWORD,
        "ssl.endpoint.identification.algorithm": "none",
    }
    context = ConnectionOptions(values).aiokafka()["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    del values["ssl.key.password"]
    with pytest.raises(SettingsError) as caught:
        ConnectionOptions(values).kafka_python()
    assert str(caught.value).startswith("SLA_KAFKA_SSL_CERTIFICATE_LOCATION: ")
    assert "SLA_KAFKA_SSL_KEY_PASSWORD" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ssl.ca.location", "/no/such.pem", "SLA_SSL_CAFILE: /no/such.pem can't be read: No such file"),
        ("ssl.certificate.location", "/no/such.pem", "SLA_KAFKA_SSL_CERTIFICATE_LOCATION: /no/such.pem can't be read"),
        ("ssl.cipher.suites", "ROT13", "SLA_KAFKA_SSL_CIPHER_SUITES: ROT13 can't be used"),
    ],
)
def test_files_and_lists_of_tls_that_cant_be_used_name_their_variable(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        ConnectionOptions({"security.protocol": "SSL", name: value}).aiokafka()


def test_each_kind_of_client_takes_the_options_that_it_has() -> None:
    shared = ConnectionOptions({"client.rack": "r", "compression.type": "gzip", "retry.backoff.ms": 7}).aiokafka()

    async def construct() -> list[Any]:
        producer = aiokafka_clients.idempotent_producer(["k:1"], shared, compression_type=None)
        consumer = aiokafka_clients.consumer(["k:1"], shared)
        others = [aiokafka_clients.client(["k:1"], shared), aiokafka_clients.admin(["k:1"], shared)]
        for each in (producer, consumer):
            await each.stop()
        return [producer, consumer, *others]

    producer, consumer, client, _ = asyncio.run(construct())
    assert producer._compression_type == "gzip"
    assert consumer._client_rack == "r"
    assert client._retry_backoff == 0.007


@contextmanager
def _token_endpoint(answers: list[tuple[int, object]]) -> Iterator[tuple[str, list[str]]]:
    bodies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            status, answer = answers[min(len(bodies), len(answers)) - 1]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Nothing: the test's output stays clean."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_token_is_requested_once_until_most_of_its_lifetime_is_over() -> None:
    now = 0.0
    answers: list[tuple[int, object]] = [
        (200, {"access_token": "one", "expires_in": 100}),
        (200, {"access_token": "two", "expires_in": 100}),
    ]
    with _token_endpoint(answers) as (url, bodies):
        cache = TokenCache(ClientCredentials(url, "sla", PASSWORD, "kafka"), lambda: now)
        assert (cache.token(), cache.token()) == ("one", "one")
        now = 80.0
        assert cache.token() == "two"
    assert bodies[0] == f"grant_type=client_credentials&client_id=sla&client_secret={PASSWORD}&scope=kafka"
    assert len(bodies) == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [((401, {"error": "invalid_client"}), "answers 401"), ((200, {"token": "x"}), "answers without access_token")],
)
def test_a_refused_token_says_why_without_the_secret(answer: tuple[int, object], told: str) -> None:
    with _token_endpoint([answer]) as (url, _), pytest.raises(TokenRefused, match=told) as caught:
        TokenCache(ClientCredentials(url, "sla", PASSWORD)).token()
    assert PASSWORD not in f"{caught.value}{ClientCredentials(url, 'sla', PASSWORD)}"


def test_both_clients_get_a_provider_of_tokens() -> None:
    options = ConnectionOptions(
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.client.id": "sla",
            "sasl.oauthbearer.client.secret": PASSWORD,
            "sasl.oauthbearer.extensions": "logicalCluster=lkc-1, identityPoolId=pool-1",
            "sasl.oauthbearer.token.endpoint.url": "",
        }
    )
    with _token_endpoint([(200, {"access_token": "one"})]) as (url, _):
        options = ConnectionOptions(options._values | {"sasl.oauthbearer.token.endpoint.url": url})
        asynchronous: Any = options.aiokafka()["sasl_oauth_token_provider"]
        blocking: Any = options.kafka_python()["sasl_oauth_token_provider"]
        assert asyncio.run(asynchronous.token()) == blocking.token() == "one"
        assert asynchronous.extensions() == {"logicalCluster": "lkc-1", "identityPoolId": "pool-1"}
        assert blocking.extensions() == asynchronous.extensions()

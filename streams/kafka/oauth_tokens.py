"""Access tokens for brokers with SASL OAUTHBEARER: OAuth 2.0's client credentials grant, cached until they expire."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka.abc import AbstractTokenProvider as AiokafkaTokenProvider
from kafka.net.sasl.oauth import AbstractTokenProvider as KafkaPythonTokenProvider

from streams.kafka.causes import TokenRefused

_TIMEOUT_S = 10.0
_LARGEST_ANSWER = 256 * 1024
#: A token is replaced when this share of its lifetime is over.
_USED_SHARE = 0.8
_DEFAULT_LIFETIME_S = 300.0


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Where tokens come from. `url` is the token endpoint, `extensions` are sent to the brokers beside the token."""

    url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)


class TokenCache:
    """The present token. `token` may block for 10 s, from any thread; it raises TokenRefused."""

    def __init__(self, credentials: ClientCredentials, seconds: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._seconds = seconds
        self._lock = threading.Lock()
        self._token = ""
        self._until = 0.0

    def token(self) -> str:
        with self._lock:
            if not self._token or self._seconds() >= self._until:
                answer = self._request()
                self._token = str(answer["access_token"])
                lifetime = float(answer.get("expires_in") or _DEFAULT_LIFETIME_S)
                self._until = self._seconds() + _USED_SHARE * lifetime
            return self._token

    def _request(self) -> Mapping[str, Any]:
        given = self._credentials
        form = {"grant_type": "client_credentials", "client_id": given.client_id, "client_secret": given.client_secret}
        if given.scope:
            form["scope"] = given.scope
        request = urllib.request.Request(
            given.url, urllib.parse.urlencode(form).encode(), {"Accept": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
                answer = json.loads(response.read(_LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            raise TokenRefused(f"the token endpoint {given.url} answers {error.code} {error.reason}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise TokenRefused(f"the token endpoint {given.url} gives no token: {reason}") from None
        if not isinstance(answer, dict) or not answer.get("access_token"):
            raise TokenRefused(f"the token endpoint {given.url} answers without access_token")
        return answer


class _Aiokafka(AiokafkaTokenProvider):  # type: ignore[misc]
    def __init__(self, credentials: ClientCredentials) -> None:
        self._cache, self._extensions = TokenCache(credentials), dict(credentials.extensions)

    async def token(self) -> str:
        return await asyncio.to_thread(self._cache.token)

    def extensions(self) -> dict[str, str]:
        return self._extensions


class _KafkaPython(KafkaPythonTokenProvider):  # type: ignore[misc]
    def __init__(self, credentials: ClientCredentials) -> None:
        super().__init__()
        self._cache, self._extensions = TokenCache(credentials), dict(credentials.extensions)

    def token(self) -> str:
        return self._cache.token()

    def extensions(self) -> dict[str, str]:
        return self._extensions


def aiokafka_provider(credentials: ClientCredentials) -> object:
    """The token provider of aiokafka clients."""
    return _Aiokafka(credentials)


def kafka_python_provider(credentials: ClientCredentials) -> object:
    """The token provider of kafka-python clients."""
    return _KafkaPython(credentials)

"""An identity provider's token endpoint on this machine: the client credentials grant, with signed tokens."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from joserfc import jwt
from joserfc.jwk import ECKey

from streams.time_source import SystemTimeSource

AUDIENCE, ISSUER = "kafka", "https://id.example"
_LIFETIME_S = 600
_KEY_ID = "signing"


class TokenEndpoint:
    """Serves `/token`, and `/foreign`, whose tokens are signed with a key that nobody trusts; a context manager.

    `secret_of` has the secret of each client id; the token's subject is the client id. `jwks` is the public key.
    """

    def __init__(self, jwks: Path, secret_of: Callable[[str], str]) -> None:
        self._secret_of = secret_of
        self._keys = {path: ECKey.generate_key("P-256", {"kid": _KEY_ID}) for path in ("/token", "/foreign")}
        jwks.write_text(json.dumps({"keys": [self._keys["/token"].as_dict(private=False)]}), "ascii")
        server = self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}/token"

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        """Status and body for a token request."""
        client = form["client_id"]
        if form["grant_type"] != "client_credentials" or form["client_secret"] != self._secret_of(client):
            return 401, {"error": "invalid_client"}
        now = SystemTimeSource().now() // 1_000_000
        claims = {"sub": client, "aud": AUDIENCE, "iss": ISSUER, "iat": now, "exp": now + _LIFETIME_S}
        token = jwt.encode({"alg": "ES256", "kid": _KEY_ID}, claims, self._keys[path])
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": _LIFETIME_S}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(endpoint: TokenEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            status, answer = endpoint.answer(self.path, form)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    return Handler

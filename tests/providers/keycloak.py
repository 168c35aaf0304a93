"""A real Keycloak with one realm, and what its administrator and its users do over HTTP."""

from __future__ import annotations

import html
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from cli.embedded_kafka.node_files import HOST, free_port
from tests.java_program import JAVA, Archive, JavaProcess, unpacked

VERSION = "26.7.3"
#: 176 MB.
_ARCHIVE = Archive(
    "org.keycloak",
    "keycloak-quarkus-dist",
    VERSION,
    "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47",
)
_REALM = "ops"
_READY_S = 240.0
_ADMIN = "admin"
#: As Keycloak's own script has them, and what makes a start shorter.
_JAVA = (
    *("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "security", "util", "util.concurrent")),
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory="
    "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Dpicocli.disable.closures=true",
)


def _arguments(home: Path, *words: str) -> list[str]:
    where = (f"-Dkc.home.dir={home}", f"-Djboss.server.config.dir={home / 'conf'}")
    start = ("-cp", str(home / "lib" / "quarkus-run.jar"), "io.quarkus.bootstrap.runner.QuarkusEntryPoint")
    return [*_JAVA, *where, *start, *words]


def _build(unpacked_at: Path) -> None:
    """Choose the database once, so that starts need not: half a minute."""
    (home,) = unpacked_at.iterdir()
    subprocess.run(
        [
            JAVA,
            *_arguments(
                home,
                "build",
                "--db=dev-mem",
            ),
        ],
        check=True,
        timeout=300,
    )


class Keycloak:
    """A Keycloak whose data are in memory; it ends with this process. `issuer` is its realm's. Users sign in with their
    name as their password."""

    def __init__(self, log: Path) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.issuer = f"{self.url}/realms/{_REALM}"
        (home,) = unpacked(_ARCHIVE, _build).iterdir()
        options = (
            "--http-enabled=true",
            f"--http-host={HOST}",
            f"--http-port={port}",
            f"--hostname={self.url}",
            "--cache=local",
        )
        self._log = log
        self._process = JavaProcess(
            _arguments(home, "start", "--optimized", *options),
            home,
            log,
            KC_BOOTSTRAP_ADMIN_USERNAME=_ADMIN,
            KC_BOOTSTRAP_ADMIN_PASSWORD=_ADMIN,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _READY_S
        while not self._ready():
            assert self._process.running, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.25)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/realms/master", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the administration, below the realm; the JSON of the answer."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": _ADMIN, "password": _ADMIN}
        token = _checked(httpx.post(f"{self.url}/realms/master/protocol/openid-connect/token", data=form, timeout=60))
        headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
        address = f"{self.url}/admin/realms{path}"
        answer = _checked(httpx.request(method, address, json=body, headers=headers, timeout=60))
        return answer.json() if answer.content else None

    def token(self, form: Mapping[str, str], *, secret: str) -> httpx.Response:
        """A request to the realm's token address by the client `sla-board` or, in `form`, another one."""
        address = f"{self.issuer}/protocol/openid-connect/token"
        return httpx.post(address, data={"client_secret": secret, **form}, timeout=60)


class User(httpx.Client):
    """Somebody's browser at the provider."""

    def __init__(self, name: str) -> None:
        super().__init__(timeout=60, event_hooks={"response": [self._keep_cookies]})
        self._name = name

    def _keep_cookies(self, _: httpx.Response) -> None:
        """As browsers do on the own machine, it sends secure cookies without TLS."""
        for cookie in self.cookies.jar:
            cookie.secure = False

    def sign_in(self, address: str) -> str:
        """Follow the board to the provider, and sign in there unless the provider knows the browser; the address that
        leads back."""
        answer = self.get(address)
        if answer.status_code == httpx.codes.OK:
            answer = self.post(form_of(answer), data={"username": self._name, "password": self._name})
        assert answer.status_code == httpx.codes.FOUND, answer.text
        return answer.headers["location"]


def form_of(page: httpx.Response) -> str:
    """Where the form of a page of Keycloak leads."""
    found = re.search(r'<form[^>]*action="([^"]+)"', page.text)
    assert found is not None, page.text
    return html.unescape(found[1])


def _checked(answer: httpx.Response) -> httpx.Response:
    assert answer.is_success, f"{answer.request.url}: {answer.status_code} {answer.text}"
    return answer

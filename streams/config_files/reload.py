"""Reads a configuration again when its files change or a signal asks for it; a wrong one is refused, the old one stays.

The content of the files is compared, not their times: a file may be written within one tick of a file system's clock,
and Kubernetes exchanges the symbolic link to the folder that a mounted file lies in.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog

from streams.config_files.problems import PolicyError
from streams.errors import SettingsError

ConfigT = TypeVar("ConfigT")
ConfigT_co = TypeVar("ConfigT_co", covariant=True)
_LOOK_EVERY_S = 2.0
#: Of one load, while its files go on changing.
_ATTEMPTS = 3
_DIGEST_CHARACTERS = 16


class ConfigLoader(Protocol[ConfigT_co]):
    """Loads a configuration from files."""

    def load(self) -> ConfigT_co:
        """The configuration. Raises PolicyError, SettingsError, OSError."""
        ...

    def files(self) -> Iterable[Path]:
        """Every file that the last `load` read or needed, whether it succeeded or not."""
        ...


def ask_on_hangup() -> asyncio.Event:
    """An event of the running loop that SIGHUP sets."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    return asked


@dataclass(frozen=True, slots=True)
class _Failed:
    """Why there is no configuration."""

    error: Exception


class ConfigReload(Generic[ConfigT]):
    """Looks at the files of a loader, which has loaded once, and gives each new configuration to `use`.

    `refused` is called with the reason for each content that can't be used. `event` begins the log entries.
    """

    def __init__(
        self,
        event: str,
        loader: ConfigLoader[ConfigT],
        use: Callable[[ConfigT], None],
        refused: Callable[[str], None],
    ) -> None:
        self.problem: str | None = None
        """Why the present content of the files is not in force; None when it is."""
        self._event = event
        self._loader = loader
        self._use = use
        self._refused = refused
        self._handled = self._previous = fingerprint(loader.files())
        self._log = structlog.get_logger(__name__)

    async def run(self, asked: asyncio.Event) -> None:
        """Look again and again, and at once when `asked` is set, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await asked.wait()
            except TimeoutError:
                pass
            at_once = asked.is_set()
            asked.clear()
            await self.look(at_once=at_once)

    async def look(self, *, at_once: bool) -> None:
        """Load what has changed since the last time and was the same at two looks, so that no half-written file is
        used. `at_once`: load in any case."""
        content = await asyncio.to_thread(fingerprint, self._loader.files())
        previous, self._previous = self._previous, content
        if at_once or (content != self._handled and content == previous):
            await self._load()

    async def _load(self) -> None:
        for _ in range(_ATTEMPTS):
            files = list(self._loader.files())
            before = await asyncio.to_thread(fingerprint, files)
            loaded = await asyncio.to_thread(self._attempt)
            named = list(self._loader.files())
            after = await asyncio.to_thread(fingerprint, named)
            # Files that were exchanged meanwhile may have been read in part as they were. One that is named for the
            # first time may have changed after it was read.
            if unchanged := named == files and after == before:
                break
        self._previous = after
        self._handled = after if unchanged else b""  # loaded again by the next looks
        try:
            if isinstance(loaded, _Failed):
                raise loaded.error
            self._use(loaded)
        except (PolicyError, SettingsError, OSError) as error:
            self._keep(str(error))
        except Exception as error:  # a fault of the code: without this no later content would be read
            self._log.exception(f"{self._event}_reload_failed")
            self._keep(f"reading or using it failed: {type(error).__name__}: {error}")
        else:
            self.problem = None
            self._log.info(f"{self._event}_reloaded")

    def _attempt(self) -> ConfigT | _Failed:
        try:
            return self._loader.load()
        except Exception as error:
            return _Failed(error)

    def _keep(self, problem: str) -> None:
        self.problem = problem
        self._log.error(f"{self._event}_refused", reason=problem, consequence="the old one stays in force")
        self._refused(problem)


def content_digest(content: bytes) -> str:
    """Identifies the content of a file for people: the first hexadecimal digits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:_DIGEST_CHARACTERS]


def fingerprint(files: Iterable[Path]) -> bytes:
    """Identifies the content of files; one that can't be read counts as such."""
    digest = hashlib.sha256()
    for file in files:
        try:
            content = file.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: no file has such a name
            digest.update(f"{file}\0{type(error).__name__}\0".encode(errors="surrogateescape"))
        else:
            digest.update(f"{file}\0{len(content)}\0".encode(errors="surrogateescape"))
            digest.update(content)
    return digest.digest()

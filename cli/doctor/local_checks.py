"""What can be checked without the brokers: versions, policies, schema registry, disks, the board's database."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cli.doctor.findings import Diagnosis, disk_finding, policy_findings
from cli.support.counts import counted, valid_files
from streams.errors import SettingsError, SlaError

if TYPE_CHECKING:
    from streams.settings import Settings

_REGISTRY_S = 3.0
_CLIENTS = ("aiokafka", "kafka-python", "faust-streaming", "fastavro")


def version_findings() -> Iterator[Diagnosis]:
    """This release, Python and the clients, and what overwrote parts of them."""
    from streams.package_conflicts import package_conflicts

    clients = ", ".join(f"{name} {version(name)}" for name in _CLIENTS)
    yield Diagnosis("ok", "versions", f"sla {version('sla-clocks')}, Python {platform.python_version()}, {clients}")
    for conflict in package_conflicts():
        yield Diagnosis("fail", "versions", conflict, "install the product in an environment of its own")


def policies_findings(settings: Settings, *, reachable: bool) -> list[Diagnosis]:
    """The policy files, and with `reachable` the versions that decisions used."""
    from cli.policy.versions_in_use import seen_versions
    from streams.config_files.problems import PolicyError

    mend = "sla policy check names every mistake; SLA_POLICIES and SLA_DEFAULT_POLICY say what is used"
    try:
        count = sum(map(len, settings.load_policies().by_name.values()))
    except (PolicyError, SettingsError) as error:
        return [Diagnosis("fail", "policies", line, mend) for line in str(error).splitlines()]
    if not reachable:
        return [Diagnosis("ok", "policies", f"{valid_files(count)}; versions in use were not compared")]
    try:
        seen = seen_versions(",".join(settings.bootstrap()), settings.topic_prefix, settings.policies)
    except SlaError as error:
        return [
            Diagnosis("warn", "policies", f"versions in use can't be read: {error}", "allow READ on the changelogs")
        ]
    return policy_findings(count, [(one.policy, one.version, one.deployed) for one in seen])


def registry_findings(settings: Settings) -> list[Diagnosis]:
    """Whether the schema registry answers and has this release's schemas. One unanswered request is enough."""
    from schemas import registry as schema_files
    from streams.schema_registry.client import RegistryClient
    from streams.schema_registry.subjects import subject_of
    from streams.topics import TOPIC_OF

    try:
        access = settings.schema_registry()
        if access is None:
            return [Diagnosis("ok", "registry", "none is set: events use single-object encoding")]
        client = RegistryClient(replace(access, timeout_s=min(access.timeout_s, _REGISTRY_S)))
        latest = schema_files.load().latest
        missing = [
            subject
            for event_type in TOPIC_OF
            if client.find(subject := subject_of(event_type, settings.topic_prefix), latest[event_type].definition)
            is None
        ]
    except SlaError as error:
        return [Diagnosis("fail", "registry", str(error), "check SLA_SCHEMA_REGISTRY_URL and its credentials")]
    if not missing:
        return [Diagnosis("ok", "registry", f"{access.url}: has the schemas of this release")]
    what = f"{access.url}: lacks this release's schema in {counted(len(missing), 'subject')}, such as {missing[0]}"
    if access.register:
        return [Diagnosis("warn", "registry", what, "a worker registers them when it starts")]
    return [Diagnosis("fail", "registry", what, "register them, or set SLA_SCHEMA_REGISTRY_REGISTER=true")]


def board_findings() -> Iterator[Diagnosis]:
    """The disks under the data directories that exist here, and the schema of the board's database."""
    from board.settings import read_board_settings

    try:
        url = read_board_settings().database_url
    except SettingsError as error:
        yield Diagnosis("fail", "board", str(error), "correct the setting, or unset it")
        return
    directories = [Path(".sla/up"), Path(".sla")]
    file = _sqlite_file(url)
    if file is not None:
        directories.append(file.parent)
    existing = {path.resolve(): path for path in directories if path.is_dir()} or {Path.cwd(): Path()}
    for path in existing.values():
        usage = shutil.disk_usage(path)
        yield disk_finding(str(path), usage.free, usage.total)
    if file is not None and not file.exists():
        yield Diagnosis("ok", "board", f"no database at {file} yet: the board creates it")
        return
    yield _database(url)


def _sqlite_file(url: str) -> Path | None:
    scheme, slashes, path = url.partition(":///")
    return Path(path.partition("?")[0]) if slashes and scheme.startswith("sqlite") and path else None


def _database(url: str) -> Diagnosis:
    from sqlalchemy.exc import SQLAlchemyError

    from board.store.engine import open_engine
    from board.store.schema import current_revision, head_revision

    mend = "check SLA_BOARD_DATABASE_URL and that its server runs"
    try:
        engine = open_engine(url)
        shown = engine.url.render_as_string()
        with engine.connect() as connection:
            revision = current_revision(connection)
        engine.dispose()
    except SettingsError as error:
        return Diagnosis("fail", "board", str(error), mend)
    except SQLAlchemyError as error:
        return Diagnosis("fail", "board", f"the database can't be used: {str(error).splitlines()[0]}", mend)
    head = head_revision()
    if revision == head:
        return Diagnosis("ok", "board", f"{shown}: schema {head}")
    what = f"{shown}: schema {revision or 'none'}, this release has {head}"
    mend = "the board upgrades it when it starts; when a later release made it, start that release"
    return Diagnosis("warn", "board", what, mend)

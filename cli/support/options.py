"""The options that several commands have: which brokers, which topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from cli.support.exits import wrong_use

if TYPE_CHECKING:
    from streams.serde.codec import Codec
    from streams.settings import Settings

FormatT = TypeVar("FormatT", bound=str)

Brokers = Annotated[
    str | None,
    typer.Option("--brokers", metavar="HOST:PORT,…", help="Kafka brokers; default: SLA_BROKERS, else this machine."),
]
Prefix = Annotated[
    str | None, typer.Option("--prefix", help="Prefix of topic names; default: SLA_TOPIC_PREFIX, else sla.")
]
FromTopics = Annotated[
    bool,
    typer.Option("--from-topics", help="Read events from the input topics instead of files."),
]


def check_from_topics(*, from_topics: bool, brokers: str | None, prefix: str | None) -> None:
    """Ends the command when --brokers or --prefix is given without --from-topics."""
    if not from_topics and (brokers is not None or prefix is not None):
        wrong_use("--brokers and --prefix apply only with --from-topics; add it")


def chosen_format(given: FormatT, *, as_json: bool) -> FormatT | Literal["json"]:
    """The output format of a command with --format and --json. Ends the command when the two contradict."""
    if as_json and given not in {"table", "json"}:
        wrong_use(f"--json and --format {given} contradict; give one of them")
    return "json" if as_json else given


def settings_of(brokers: str | None = None, prefix: str | None = None, *, needs_brokers: bool = True) -> Settings:
    """Settings from the environment; what was given on the command line wins. Raises SettingsError, also where no
    brokers are named, unless the command asks none."""
    from streams.errors import SettingsError
    from streams.settings import read_settings

    given = {name: value for name, value in (("brokers", brokers), ("topic_prefix", prefix)) if value is not None}
    settings = read_settings(**given)
    if needs_brokers and not settings.bootstrap():
        raise SettingsError("no brokers are named; write --brokers HOST:PORT, or set SLA_BROKERS")
    return settings


def codec_of(settings: Settings) -> Codec:
    """What the topics are read with: both framings, where a schema registry is set. Raises SettingsError."""
    from streams.schema_registry.schema_source import reading_codec

    return reading_codec(settings.schema_registry())


def instant_of(option: str, text: str) -> int:
    """Microseconds of an RFC 3339 instant that an option gives. Raises SettingsError naming the option."""
    from streams.errors import SettingsError
    from streams.sla.instants import LATEST, parse_rfc3339

    try:
        instant = parse_rfc3339(text)
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from error
    if not 0 <= instant <= LATEST:
        raise SettingsError(f"{option}: lies outside the years 1970 to 9999")
    return instant

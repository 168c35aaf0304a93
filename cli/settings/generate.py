"""`python -m cli.settings.generate [--check]` writes docs/configuration.md and the list of names, or checks both."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

from cli.settings.generated_files import write_or_check
from cli.settings.table import SECTIONS, settings_of, variables
from streams.configuration.variables import FILE, OTHER_VARIABLES
from streams.kafka.connection_options import SHORT_NAMES
from streams.kafka.properties import PROPERTIES, variable_of
from streams.tracing.exporting import TRACE_VARIABLES

_INTRODUCTION: Final = """\
# Configuration

<!-- Written by `python -m cli.settings.generate` from the settings classes. -->

Every process and every command reads environment variables with the prefix `SLA_`; options of the command line take
precedence. A wrong value ends the process with exit code 2 and a message that names the variable and what is allowed.

- **A variable that no process reads is refused**, with the name that was probably meant. An environment file that
  several processes share is fine: each process accepts the variables of all. Two kinds of names are free: the secrets
  that a mapping or routing file names, as `SLA_INTAKE_…` or `SLA_NOTIFY_…` with the ending `_TOKEN`, `_SECRET`, `_KEY`,
  `_PASSWORD` or `_URL`, and what Kubernetes sets for Services (better: `enableServiceLinks: false`).
- **Secrets** can be read from files: the same name with `_FILE` is the path of a file that holds the value, such as
  `SLA_SASL_PASSWORD_FILE=/run/secrets/kafka`. A final line break is removed. No message and no log shows a secret.
- **Durations** are ISO 8601 (`PT30S`, `PT2H`, `P35D`), booleans `true` or `false`, sizes bytes.
- Certificates and secrets are read at the start; restart the process to use new ones. Intake and notifier read the
  files of secrets that their mapping or routing file names again when they change. The intake reads those for Kafka
  again for each new connection.
"""
_PROPERTIES: Final = """\
## Kafka client properties

Clients of Kafka can be given these properties of librdkafka, as `SLA_KAFKA_` and the name in capitals with `_` for `.`,
so that managed clusters work. Every client of a process gets them: consumers, producers and administration. Any other
property is refused, since it would have no effect. Where a property has a shorter name too, set one of the two.
"""
_TRACES: Final = """\
## Traces

Standard variables of OpenTelemetry, which turn traces on and say where they go
([Traces](operations.md#traces)). Intake, worker and notifier read them, where the extra `otel` is installed. The
OpenTelemetry SDK reads further ones; a process ignores those that it does not know.
"""


def document() -> str:
    """The text of docs/configuration.md."""
    parts = [_INTRODUCTION]
    for heading, section in SECTIONS.items():
        rows = [
            (
                f"`{each.variable}`" + (f"<br>or `{each.variable}{FILE}`" if each.secret else ""),
                _code(each.default),
                each.allowed,
                each.meaning,
                _code(each.example),
            )
            for each in settings_of(section)
        ]
        parts.append(f"## {heading}\n\n{_one_line(section.__doc__)}\n")
        parts.append(_table(("variable", "default", "allowed", "meaning", "example"), rows))
    parts.append(_PROPERTIES)
    parts.append(
        _table(
            ("property", "variable", "allowed", "meaning", "example"),
            [
                (
                    f"`{name}`",
                    "<br>or ".join(
                        f"`{variable}`"
                        for variable in (
                            variable_of(name),
                            *([variable_of(name) + FILE] if each.secret else []),
                            *([SHORT_NAMES[name]] if name in SHORT_NAMES else []),
                        )
                    ),
                    each.allowed,
                    each.meaning,
                    _code(each.example),
                )
                for name, each in PROPERTIES.items()
            ],
        )
    )
    parts.append(_TRACES)
    parts.append(_table(("variable", "meaning"), [(f"`{name}`", text) for name, text in TRACE_VARIABLES.items()]))
    parts.append("## Other variables\n")
    parts.append(_table(("variable", "meaning"), [(f"`{name}`", text) for name, text in OTHER_VARIABLES.items()]))
    return "\n".join(parts)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _one_line(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


def main(arguments: Sequence[str]) -> int:
    """Write both files, or with --check say which differ; the exit code."""
    files = {
        "docs/configuration.md": document(),
        "streams/configuration/variables.txt": "".join(f"{name}\n" for name in variables()),
    }
    return write_or_check(files, "cli.settings.generate", check="--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

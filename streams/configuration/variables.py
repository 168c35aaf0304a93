"""The names of all variables that processes and commands read, so that a misspelled one is refused and not ignored.

`variables.txt` lists those of the settings classes; `python -m cli.settings.generate` writes it. An environment file
that several processes share is fine: each accepts the variables of all.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from streams.errors import SettingsError

PREFIX: Final = "SLA_"
#: A Kafka property follows; streams/kafka/properties.py checks it.
KAFKA_PREFIX: Final = "SLA_KAFKA_"
#: After the name of a secret: the file that holds it.
FILE: Final = "_FILE"
#: Read by something else than a settings class, and what for.
OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "SLA_WHO": "Author of commands that record what a person did, such as support:kim; `--who` takes precedence.",
    "SLA_CACHE": "Directory for the jars of the Kafka that `sla demo` and `sla up` start.",
}
#: Of the product's own tests, whose processes inherit them.
_TESTS = frozenset({"SLA_CHROMIUM", "SLA_SCREENSHOTS"})
#: Secrets that a mapping or routing file names; other names are the file's choice as long as they lack the prefix SLA_.
SECRET_OF_A_FILE: Final = re.compile(r"SLA_(INTAKE|NOTIFY)_\w+_(TOKEN|SECRET|KEY|PASSWORD|URL)")
_ENDINGS = "SLA_INTAKE_… or SLA_NOTIFY_… that ends in _TOKEN, _SECRET, _KEY, _PASSWORD or _URL"
#: What Kubernetes sets for a Service whose name begins with `sla-`.
_SERVICE_LINK = re.compile(r"SLA_\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")


@cache
def known_variables() -> frozenset[str]:
    """The variables of every settings class, those of secrets with their _FILE as well."""
    return frozenset(files("streams.configuration").joinpath("variables.txt").read_text("ascii").split())


def check_variables(environment: Mapping[str, str]) -> None:
    """Raises SettingsError naming each variable with the prefix SLA_ that no process and no command reads."""
    unknown = [name for name in environment if name.upper().startswith(PREFIX) and not _known(name.upper())]
    unknown = [name for name in unknown if not environment[name].startswith(("tcp://", "udp://"))]
    if unknown:
        raise SettingsError("; ".join(map(_message, sorted(unknown))))


def _known(name: str) -> bool:
    return (
        name in known_variables()
        or name in OTHER_VARIABLES
        or name in _TESTS
        or name.startswith(KAFKA_PREFIX)
        or SECRET_OF_A_FILE.fullmatch(name) is not None
        or _SERVICE_LINK.fullmatch(name) is not None
    )


def problem_of_secret(name: str) -> str | None:
    """Why no command would start with this name for a secret that a mapping or routing file names; None: it is fine."""
    if not name.upper().startswith(PREFIX) or _known(name.upper()):
        return None
    return f"{name} is refused as a setting that no process has; allowed: {_ENDINGS}, or a name without {PREFIX}"


def _message(name: str) -> str:
    known = {each.removeprefix(PREFIX): each for each in sorted(known_variables() | OTHER_VARIABLES.keys())}
    close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), known, n=1)
    near = f"; did you mean {known[close[0]]}?" if close else ""
    where = "docs/configuration.md lists all settings"
    if name.upper().startswith(("SLA_INTAKE_", "SLA_NOTIFY_")):
        where += f"; a secret that a file names is {_ENDINGS}"
    return f"{name} is not a setting of any process{near}; {where}"

"""Typed access to the gettext catalogues of this directory.

A module that needs texts declares a dataclass: one field per message. `load` fills it for one language and raises
CatalogueError unless the catalogue and the dataclass name exactly the same messages. The message context (`msgctxt`) is
the key; `msgid` is the English text. No compiled `.mo` file is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from streams.errors import SlaError

if TYPE_CHECKING:
    from babel.messages import Message

Language = Literal["en", "ja"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
DIRECTORY = Path(__file__).parent

PhrasesT = TypeVar("PhrasesT")


class CatalogueError(SlaError):
    """A catalogue and the dataclass that reads it disagree, or a translation is unfit. Lists every problem."""


class Plural(NamedTuple):
    """A message with a number, `{count}`, in the plural forms of its language."""

    translations: GNUTranslations | None
    key: str
    singular: str
    plural: str

    def format(self, count: int | str) -> str:
        """The text for a count: an integer, or a decimal text such as "1.5" (which takes the form of 2)."""
        number = int(count) if str(count).isdigit() else 2
        if self.translations is None:
            text = self.singular if number == 1 else self.plural
        else:
            text = self.translations.npgettext(self.key, self.singular, self.plural, number)
        return text.format(count=count)


def load(phrases: type[PhrasesT], domain: str, language: Language, directory: Path = DIRECTORY) -> PhrasesT:
    """The texts of a domain in one language.

    `phrases` is a dataclass. A field of type `str` takes the message of its name, `Plural` one with plural forms, and
    `Annotated[Mapping[str, str], ("a", "b")]` called `field` takes the messages `field.a` and `field.b`.

    Raises CatalogueError when a message is missing, unused, untranslated or fuzzy, or when its placeholders differ
    from those of the English text.
    """
    template = _messages(directory / f"{domain}.pot")
    problems = list(_unfit(phrases, template, f"{domain}.pot"))
    translations = None
    if language != "en":
        path = directory / language / "LC_MESSAGES" / f"{domain}.po"
        problems += _untranslated(template, _messages(path, language), f"{language}/{domain}.po")
        translations = _translations(path, language)
    if problems:
        raise CatalogueError("; ".join(problems))

    def text(key: str) -> str | Plural:
        message = template[key]
        if isinstance(message.id, (tuple, list)):
            return Plural(translations, key, *message.id)
        return message.id if translations is None else translations.pgettext(key, message.id)

    values: dict[str, Any] = {
        name: {part: text(f"{name}.{part}") for part in parts} if parts else text(name)
        for name, parts, _ in _declared(phrases)
    }
    return phrases(**values)


def _declared(phrases: type) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Each field: its name, the keys of a mapping, and whether it has plural forms."""
    for name, hint in get_type_hints(phrases, include_extras=True).items():
        parts: tuple[str, ...] = hint.__metadata__[0] if get_origin(hint) is Annotated else ()
        yield name, parts, hint is Plural


def _unfit(phrases: type, template: Mapping[str, Message], file: str) -> Iterator[str]:
    expected: dict[str, bool] = {}
    for name, parts, plural in _declared(phrases):
        expected |= dict.fromkeys([f"{name}.{part}" for part in parts] or [name], plural)
    yield from (f"{file}: {key} is missing" for key in expected if key not in template)
    yield from (f"{file}: {key} is unused" for key in template if key not in expected)
    for key, plural in expected.items():
        if key in template and isinstance(template[key].id, (tuple, list)) != plural:
            yield f"{file}: {key} has {'no' if plural else 'needless'} msgid_plural"


def _untranslated(template: Mapping[str, Message], catalogue: Mapping[str, Message], file: str) -> Iterator[str]:
    yield from (f"{file}: {key} is missing" for key in template if key not in catalogue)
    for key, message in catalogue.items():
        if key not in template:
            yield f"{file}: {key} is unused"
        elif message.id != template[key].id:
            yield f"{file}: {key} translates another English text"
        elif message.fuzzy or not message.string or not all(_texts(message.string)):
            yield f"{file}: {key} is {'fuzzy' if message.fuzzy else 'not translated'}"
        elif any(_placeholders(text) != _placeholders(_texts(message.id)[-1]) for text in _texts(message.string)):
            yield f"{file}: {key} has other placeholders than the English text"


def _texts(value: str | tuple[str, ...] | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@cache
def _messages(path: Path, language: str | None = None) -> Mapping[str, Message]:
    """The messages of a .po or .pot file by their context. Raises CatalogueError when it can't be read."""
    return {message.context or "": message for message in _catalogue(path, language) if message.id}


@cache
def _translations(path: Path, language: str) -> GNUTranslations:
    from babel.messages.mofile import write_mo

    compiled = BytesIO()
    write_mo(compiled, _catalogue(path, language))
    compiled.seek(0)
    return GNUTranslations(compiled)


@cache
def _catalogue(path: Path, language: str | None) -> Any:
    # Babel takes a tenth of a second to import, and most commands print no translated text.
    from babel.messages.pofile import PoFileError, read_po

    try:
        with path.open("rb") as file:
            return read_po(file, locale=language, abort_invalid=True)
    except (OSError, PoFileError) as error:
        raise CatalogueError(f"{path.name} can't be read: {error}") from error

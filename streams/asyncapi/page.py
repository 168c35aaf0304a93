"""The AsyncAPI document as one HTML page for people: no script, nothing to fetch, so it opens from a disk.

It shows what `asyncapi.document` makes, not every AsyncAPI document there may be. The usual component for browsers is
three megabytes of script and shows Avro converted to JSON Schema, with defaults and bounds that Avro does not have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark", {"html": False})
_ACTIONS = {"receive": ("Input", "others write, this product reads"), "send": ("Output", "this product writes")}

_STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --quiet: #566072; --line: #d9dee6; --back: #fff; --raised: #f4f6f9;
  --link: #0b5cad; --input: #1f6f43; --output: #6a3fa0; }
@media (prefers-color-scheme: dark) { :root { --text: #e3e7ee; --quiet: #a2adbd; --line: #39424f; --back: #14181e;
  --raised: #1d232b; --link: #7db7f5; --input: #77cf9e; --output: #c3a4f0; } }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
code, pre { font: 0.875em/1.45 ui-monospace, monospace; }
main { max-width: 66rem; padding: 1rem 2rem 4rem; }
nav { padding: 1rem 1.5rem; background: var(--raised); font-size: 0.875rem; }
nav ul { list-style: none; margin: 0.25rem 0 1rem; padding: 0; } nav li li { padding-left: 0.75rem; }
nav ul ul { margin: 0; }
@media (min-width: 64rem) { body { display: grid; grid-template-columns: 17rem minmax(0, 1fr); }
  nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; border-right: 1px solid var(--line); } }
h1 { margin: 0.5rem 0; line-height: 1.2; } h2 { margin: 3rem 0 0.25rem; border-top: 2px solid var(--line);
  padding-top: 1.5rem; } h3 { margin: 2.5rem 0 0.25rem; }
.quiet { color: var(--quiet); } .receive { color: var(--input); } .send { color: var(--output); }
.badge { border: 1px solid; border-radius: 0.25rem; padding: 0 0.4rem; font: 600 0.8rem system-ui, sans-serif; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; margin: 0.75rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.75rem 0.3rem 0;
  border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 600; } th:last-child { width: 45%; } td:first-child { white-space: nowrap; }
summary { cursor: pointer; color: var(--link); }
pre { background: var(--raised); padding: 0.75rem 1rem; overflow-x: auto; }
"""


class _Row(NamedTuple):
    """One field of a payload: its path, its type in words, its default if it has one, what it means."""

    path: str
    kind: str
    default: str
    doc: str


def page(document: Mapping[str, Any]) -> str:
    """The page of a document."""
    info, messages = document["info"], document["components"]["messages"]
    operations = [(each["action"], document["channels"][_last(each)]) for each in document["operations"].values()]
    sections = [_section(action, channel, messages) for action, channel in operations]
    title = escape(info["title"])
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f"<title>{title}: topics and events</title>",
            f"<style>{_STYLE}</style></head>",
            "<body>",
            _contents(operations, messages),
            "<main>",
            f"<h1>{title}</h1>",
            f'<p class="quiet">Topics and events, version {escape(info["version"])}. '
            f"AsyncAPI {escape(document['asyncapi'])}. {escape(info['license']['name'])}.</p>",
            _MARKDOWN.render(info["description"]).strip(),
            '<h2 id="servers">Servers</h2>',
            _servers(document["servers"]),
            *sections,
            '<h2 id="headers">CloudEvents headers</h2>',
            _properties(document["components"]["schemas"]["CloudEventHeaders"]),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _contents(operations: Sequence[tuple[str, Mapping[str, Any]]], messages: Mapping[str, Any]) -> str:
    lines = ['<nav aria-label="Contents">']
    for action, (name, does) in _ACTIONS.items():
        lines.append(f'<strong class="{action}">{name}</strong> <span class="quiet">{does}</span><ul>')
        for channel in (channel for taken, channel in operations if taken == action):
            lines.append(f"<li>{_link(channel['address'])}<ul>")
            lines += [f"<li>{_link(messages[each]['name'])}</li>" for each in channel["messages"]]
            lines.append("</ul></li>")
        lines.append("</ul>")
    others = '<a href="#servers">Servers</a></li><li><a href="#headers">CloudEvents headers</a>'
    return "\n".join([*lines, f"<ul><li>{others}</li></ul>", "</nav>"])


def _servers(servers: Mapping[str, Any]) -> str:
    rows = []
    for name, server in servers.items():
        variables = ", ".join(
            f"{each} is {variable['default']} by default" for each, variable in server["variables"].items()
        )
        registry = server.get("bindings", {}).get("kafka", {}).get("schemaRegistryUrl", "none")
        address = escape(f"{server['host']} ({variables})")
        rows.append([_code(name), address, escape(registry), escape(server["description"])])
    return _table(["server", "address", "schema registry", "meaning"], rows)


def _section(action: str, channel: Mapping[str, Any], messages: Mapping[str, Any]) -> str:
    binding = channel["bindings"]["kafka"]
    settings = [[_code(name), escape(_shown(value))] for name, value in binding["topicConfiguration"].items()]
    copies = [[each, str(binding[each])] for each in ("partitions", "replicas")]
    address = escape(channel["address"])
    return "\n".join(
        [
            f'<h2 id="{address}"><code>{address}</code> <span class="badge {action}">{_ACTIONS[action][0]}</span></h2>',
            f"<p>{escape(channel['summary'])} <span class='quiet'>{escape(channel['description'])}</span></p>",
            _details("Kafka settings", _table(["setting", "value"], [*copies, *settings])),
            *(_message(messages[each]) for each in channel["messages"]),
        ]
    )


def _message(message: Mapping[str, Any]) -> str:
    name, headers, payload = escape(message["name"]), message["headers"], message["payload"]
    key = escape(message["bindings"]["kafka"]["key"]["description"])
    lines = [f'<h3 id="{name}">{name}</h3>', f"<p>{escape(message['summary'])}</p>"]
    if "description" in message:
        lines.append(f"<p>{escape(message['description'])}</p>")
    if "schema" in payload:
        rows = ([_code(row.path), row.kind, row.default, escape(row.doc)] for row in _fields(payload["schema"], "", {}))
        lines.append(_table(["field", "Avro type", "default", "meaning"], rows))
        shown = "always there" if "required" in headers else "though they may be missing"
        lines.append(f'<p class="quiet">Key: {key} Headers: <a href="#headers">those of CloudEvents</a>, {shown}.</p>')
    else:
        lines.append(f'<p class="quiet">Key: {key} Value: {escape(payload["description"])} Headers:</p>')
        lines.append(_properties(headers))
    for example in message.get("examples", []):
        for part, what in (("payload", "Example of the decoded value"), ("headers", "Example of the headers")):
            given = json.dumps(example[part], indent=2, ensure_ascii=False)
            lines.append(_details(what, f"<pre>{escape(given, quote=False)}</pre>"))
    return "\n".join(lines)


def _fields(record: Mapping[str, Any], prefix: str, named: dict[str, Mapping[str, Any]]) -> Iterator[_Row]:
    """Every field of a record, those of nested records under their paths."""
    for field in record["fields"]:
        path = f"{prefix}{field['name']}"
        default = _code(json.dumps(field["default"])) if "default" in field else ""
        yield _Row(path, _kind(field["type"], named), default, field["doc"])
        nested, inside = _nested(field["type"], path, named)
        if nested is not None:
            yield from _fields(nested, f"{inside}.", named)


def _kind(avro: Any, named: dict[str, Mapping[str, Any]]) -> str:
    """A type in words, as HTML; types with names are kept in `named`, as Avro lets them be named again."""
    match avro:
        case list():
            return " or ".join(_kind(branch, named) for branch in avro)
        case str():
            return _kind(named[avro], named) if avro in named else avro
        case {"type": "array"}:
            return f"array of {_kind(avro['items'], named)}"
        case {"type": "record"}:
            named[avro["name"]] = avro
            return f"record {escape(avro['name'])}"
        case {"type": "enum"}:
            named[avro["name"]] = avro
            return "enum: " + ", ".join(_code(symbol) for symbol in avro["symbols"])
        case {"logicalType": logical}:
            return f"{avro['type']} ({escape(logical)})"
        case _:
            return _kind(avro["type"], named)


def _nested(avro: Any, path: str, named: Mapping[str, Mapping[str, Any]]) -> tuple[Mapping[str, Any] | None, str]:
    """The record within a type, if there is one, and the path of its fields."""
    match avro:
        case list():
            (inner,) = [branch for branch in avro if branch != "null"]
            return _nested(inner, path, named)
        case str():
            return _nested(named[avro], path, named) if avro in named else (None, path)
        case {"type": "array"}:
            return _nested(avro["items"], f"{path}[]", named)
        case {"type": "record"}:
            return avro, path
        case _:
            return None, path


def _properties(schema: Mapping[str, Any]) -> str:
    """The table of a JSON Schema of headers."""
    rows = []
    for name, given in schema["properties"].items():
        allowed = [given["const"]] if "const" in given else given.get("enum", [])
        values = ", ".join(map(_code, allowed)) or escape(given.get("format") or given.get("pattern") or "text")
        described = _MARKDOWN.renderInline(given["description"])
        rows.append([_code(name), values, described])
    return _table(["header", "value", "meaning"], rows)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Cells are HTML."""
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>{body}</details>"


def _link(name: str) -> str:
    return f'<a href="#{escape(name)}">{escape(name)}</a>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _shown(value: list[str] | str | float | bool) -> str:
    match value:
        case list():
            return ", ".join(value)
        case str():
            return value
        case _:
            return json.dumps(value)


def _last(operation: Mapping[str, Any]) -> str:
    """The name of an operation's channel."""
    reference: str = operation["channel"]["$ref"]
    return reference.rpartition("/")[2]

"""Contract terms from a file, CSV or JSON lines: each line is checked like an event, or reported with its problem."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from connect.contract_import.problems import RowProblem
from streams.serde.cloudevents_json import from_json, unique_object
from streams.sla.events import ContractSet, Rejection
from streams.sla.facts import to_event

#: The columns of a CSV file; those of `REQUIRED` must be there, any order will do.
COLUMNS = (
    "tenant_id",
    "valid_from",
    "valid_to",
    "plan",
    "amount_minor",
    "currency",
    "tier",
    "time_zone",
    "emergency_member",
)
REQUIRED = frozenset({"tenant_id", "valid_from", "plan", "amount_minor", "currency", "emergency_member"})
#: The fields of a JSON line: the data of a contract.set event.
FIELDS = (
    "tenant_id",
    "valid_from",
    "valid_to",
    "plan",
    "monthly_charge",
    "tier",
    "time_zone",
    "emergency_member",
)
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MOST_CELLS = 64


class ContractRow(NamedTuple):
    """One tenant's terms; `line` counts from 1, `data` is that of the event in the JSON form."""

    line: int
    tenant: str
    terms: ContractSet
    data: Mapping[str, object]


class BadContractRow(NamedTuple):
    """A line without valid terms, and why."""

    line: int
    cause: RowProblem

    @property
    def problem(self) -> str:
        """Why, in English."""
        return self.cause.text()


def read_rows(lines: Sequence[str]) -> tuple[list[ContractRow], list[BadContractRow]]:
    """The terms of a file, and every line that is wrong: also one that gives a tenant other terms for the same
    `valid_from` as an earlier line. A file whose first character is `{` has JSON lines, any other is CSV with a line
    of column names. Blank lines are skipped."""
    first = next((line for line in lines if line.strip()), "")
    found = _json_rows(lines) if first.lstrip("\ufeff \t").startswith("{") else _csv_rows(lines)
    rows: list[ContractRow] = []
    bad: list[BadContractRow] = []
    lines_of: dict[tuple[str, int], int] = {}
    for number, read in found:
        row = BadContractRow(number, read) if isinstance(read, RowProblem) else _row(number, read)
        if isinstance(row, ContractRow):
            earlier = lines_of.setdefault((row.tenant, row.terms.valid_from), number)
            if earlier != number:
                same = RowProblem("same_instant", {"line": str(earlier), "tenant": row.tenant})
                row = BadContractRow(number, same)
        if isinstance(row, ContractRow):
            rows.append(row)
        else:
            bad.append(row)
    if not rows and not bad:
        bad.append(BadContractRow(1, RowProblem("empty")))
    return rows, bad


def _json_rows(lines: Sequence[str]) -> Iterator[tuple[int, dict[str, object] | RowProblem]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line.removeprefix("\ufeff"), object_pairs_hook=unique_object)
        except (ValueError, RecursionError) as error:
            yield number, RowProblem("not_json", {"reason": str(error)})
            continue
        yield number, _object_of(found)


def _object_of(found: object) -> dict[str, object] | RowProblem:
    """The object, or what is wrong with it before its values are checked."""
    if not isinstance(found, dict):
        return RowProblem("not_an_object")
    if "specversion" in found:
        return RowProblem("whole_event")
    if unknown := sorted(found.keys() - set(FIELDS)):
        return RowProblem("field_unknown", {"field": unknown[0], "known": ", ".join(FIELDS)})
    return found


def _csv_rows(lines: Sequence[str]) -> Iterator[tuple[int, dict[str, object] | RowProblem]]:
    ended = [line if line.endswith("\n") else f"{line}\n" for line in lines]
    ended[:1] = [line.removeprefix("\ufeff") for line in ended[:1]]  # before quotes are looked for
    reader = csv.reader(ended, strict=True)
    names: list[str] | None = None
    start = 1
    try:
        for cells in reader:
            number, start = start, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                if problem := _wrong_names(names):
                    yield number, problem
                    return
            elif len(cells) != len(names):
                yield number, RowProblem("cells", {"count": str(len(cells)), "columns": str(len(names))})
            else:
                values = dict(zip(names, (cell.strip() for cell in cells), strict=True))
                yield number, _formula(values) or _from_cells(values)
    except csv.Error as error:
        yield reader.line_num, RowProblem("not_csv", {"reason": str(error)})


def _wrong_names(names: Sequence[str]) -> RowProblem | None:
    known = ", ".join(COLUMNS)
    if len(names) > _MOST_CELLS or (unknown := [name for name in names if name not in COLUMNS]):
        column = unknown[0] if len(names) <= _MOST_CELLS else names[0]
        return RowProblem("column_unknown", {"column": repr(column), "known": known})
    if twice := [name for name in names if names.count(name) > 1]:
        return RowProblem("column_twice", {"column": twice[0]})
    if absent := sorted(REQUIRED.difference(names)):
        return RowProblem("column_missing", {"column": absent[0], "known": known})
    return None


def _formula(cells: Mapping[str, str]) -> RowProblem | None:
    """A formula was written instead of its value, or is meant for who opens the file."""
    found = next((name for name, cell in cells.items() if cell.startswith(("=", "＝"))), None)
    return None if found is None else RowProblem("formula", {"column": found})


def _from_cells(cells: Mapping[str, str]) -> dict[str, object]:
    """The JSON form of a row; what is neither a number nor a boolean stays text, for the checks to report."""
    data: dict[str, object] = {name: cell for name, cell in cells.items() if cell and name not in {"amount_minor"}}
    data["monthly_charge"] = {"amount_minor": _number(cells["amount_minor"]), "currency": data.pop("currency", "")}
    if "tier" in data:
        data["tier"] = _number(cells["tier"])
    if "emergency_member" in data:
        data["emergency_member"] = _TRUTHS.get(cells["emergency_member"].lower(), cells["emergency_member"])
    return data


def _number(cell: str) -> object:
    sign, digits = ("-", cell[1:]) if cell.startswith("-") else ("", cell)
    return int(sign + digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else cell


def _row(number: int, data: dict[str, object]) -> ContractRow | BadContractRow:
    tenant = data.get("tenant_id")
    if not isinstance(tenant, str) or not tenant:
        return BadContractRow(number, RowProblem("tenant_no_text" if tenant else "tenant_missing"))
    event = {
        "specversion": "1.0",
        "id": "checked",
        "type": "contract.set",
        "source": "/checked",
        "subject": tenant,
        "time": "2026-01-01T00:00:00Z",
        "data": data,
    }
    parsed = from_json(event)
    checked = parsed if isinstance(parsed, Rejection) else to_event(*parsed)
    if isinstance(checked, Rejection):
        message = checked.message.removeprefix("data.")
        message = message.replace("subject", "tenant_id", 1) if message.startswith("subject") else message
        return BadContractRow(number, RowProblem("check", {"message": message}))
    assert isinstance(checked.payload, ContractSet)
    return ContractRow(number, tenant, checked.payload, data)

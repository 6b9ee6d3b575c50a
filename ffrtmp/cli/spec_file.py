"""Job specs as people write them, JSON, one a line: read, and what is wrong said in our words.

The mapping is protobuf's. What it refuses is found here first, field by field, so that a mistake
names the field as the protos do, the value, and what would be right.
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from ffrtmp.cli.errors import UserError
from ffrtmp.domain import live
from ffrtmp.v1 import job_pb2

STDIN = "-"
LONGEST_SHOWN = 60
RIGHT = "write one JobSpec a line"
_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
_JOB = re.compile(r"jobs\[(\d+)\]")
_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_FRACTIONS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


class Wrong(Exception):
    """A field, its value, and what would be right; no field: `expected` is all there is to say."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(
            f"{field}: {_shown(value, field)} is not valid: {expected}" if field else expected
        )


@dataclass(frozen=True, slots=True)
class Specs:
    """`called`: the file, for people. `lines`: on which of it each job stands."""

    called: str
    jobs: Sequence[job_pb2.JobSpec]
    lines: Sequence[int]

    def in_lines(self, sentence: str) -> str:
        """What a master says of `jobs[N]`, as who wrote the file counts. Where there is only one
        job it has no number."""
        own = _JOB.match(sentence)
        if own is None:
            only = f"{self.called}, line {self.lines[0]}: " if len(self.lines) == 1 else ""
            return f"{only}{sentence}"
        rest = _JOB.sub(lambda found: f"line {self._line(found)}", sentence[own.end() :])
        return f"{self.called}, line {self._line(own)}: {rest.lstrip('.: ')}"

    def _line(self, found: re.Match[str]) -> int:
        return self.lines[int(found[1])]


def read_specs(name: str) -> Specs:
    """Of the file called that, or of standard input for `-`. Raises UserError, naming the line."""
    called = "standard input" if name == STDIN else name
    text = _text(name, called)
    specs, lines = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                specs.append(parse_spec(line))
                lines.append(number)
            except Wrong as error:
                where = f"{called}, line {number}"
                if number == 1 and _is_spread(text):
                    raise UserError(f"{called} is spread over lines: {RIGHT}") from None
                raise UserError(f"{where}: {error}") from None
    if not specs:
        raise UserError(f"{called} holds no job: {RIGHT}")
    return Specs(called, specs, lines)


def _text(name: str, called: str) -> str:
    try:
        return sys.stdin.read() if name == STDIN else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {name}: {(error.strerror or '').lower()}") from None
    except UnicodeDecodeError:
        raise UserError(f"{called} is no text: {RIGHT}") from None


def _is_spread(text: str) -> bool:
    """One JSON value, but not on one line."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return "\n" in text.strip()


def parse_spec(line: str) -> job_pb2.JobSpec:
    """Raises Wrong."""
    try:
        written = json.loads(line, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        why = f"no JSON at column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
        raise Wrong("", line, why) from None
    except ValueError:  # Python's limit
        raise Wrong("", line, "no JSON: a number in it has too many digits") from None
    except RecursionError:
        raise Wrong("", line, "no JobSpec: it is nested too deep") from None
    if not isinstance(written, dict):
        raise Wrong("", line, f"{_shown(written)} is no JobSpec: write an object, {{...}}")
    _check_message(written, job_pb2.JobSpec.DESCRIPTOR, "")
    try:
        return ParseDict(written, job_pb2.JobSpec())
    except ParseError as error:  # nothing that is known
        raise Wrong("", line, f"no JobSpec: {' '.join(str(error).split())}") from None


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise Wrong(name, value, "it is given twice")
        found[name] = value
    return found


def _check_message(written: Mapping[str, Any], kind: Descriptor, path: str) -> None:
    seen: dict[str, str] = {}
    for name, value in written.items():
        field = _field(name, kind, path)
        where = f"{path}{field.name}"
        if field.name in seen:
            raise Wrong(where, value, f"it is given twice, as {seen[field.name]} too")
        seen[field.name] = name
        if value is not None:  # as left out
            _check_field(value, field, where)
    _check_choices(written, kind, path, seen)


def _check_choices(
    written: Mapping[str, Any], kind: Descriptor, path: str, seen: Mapping[str, str]
) -> None:
    """`seen`: how each field that is there is spelt."""
    there = {name: value for name, spelt in seen.items() if (value := written[spelt]) is not None}
    for choice in kind.oneofs:
        given = [each.name for each in choice.fields if each.name in there]
        if len(given) > 1:
            first, second = given[:2]
            raise Wrong(f"{path}{second}", there[second], f"give it or {first}, not both")


def _field(name: str, kind: Descriptor, path: str) -> FieldDescriptor:
    for field in kind.fields:
        if name in {field.name, field.json_name}:
            return field
    known = [field.name for field in kind.fields]
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
    called = live.shown(name) if "://" in name else name
    raise Wrong("", name, f"there is no field {path}{called}: {_hint(snake, known)}")


def _hint(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _check_field(value: object, field: FieldDescriptor, where: str) -> None:
    if not field.is_repeated:
        _check_value(value, field, where)
        return
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _check_map(value, field, where)
        return
    if not isinstance(value, list):
        raise Wrong(where, value, "write a list, [...]")
    for number, part in enumerate(value):
        _check_value(part, field, f"{where}[{number}]")


def _check_map(value: object, field: FieldDescriptor, where: str) -> None:
    """Its keys are texts: JSON has no others."""
    if not isinstance(value, dict):
        raise Wrong(where, value, "write an object, {...}")
    assert field.message_type is not None
    for key, part in value.items():
        _check_value(part, field.message_type.fields_by_name["value"], f"{where}.{key}")


def _check_value(value: object, field: FieldDescriptor, where: str) -> None:
    if field.message_type is not None:
        _check_part(value, field.message_type, where)
    elif field.enum_type is not None:
        _check_enum(value, field.enum_type, where)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise Wrong(where, value, "write true or false")
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if not isinstance(value, str):
            raise Wrong(where, value, 'write a text, "..."')
    elif field.cpp_type in _FRACTIONS:
        _number(value, where, "write a number")
    else:
        _check_whole(value, where, *_BOUNDS[field.cpp_type])


def _check_part(value: object, kind: Descriptor, where: str) -> None:
    if kind.full_name == "google.protobuf.Duration":
        if not isinstance(value, str) or not _DURATION.fullmatch(value):
            raise Wrong(where, value, 'write seconds, for example "90s" or "1.5s"')
    elif isinstance(value, dict):
        _check_message(value, kind, f"{where}.")
    else:
        names = ", ".join(field.name for field in kind.fields)
        raise Wrong(where, value, f"write an object, {{...}}, of {names}")


def _check_enum(value: object, kind: EnumDescriptor, where: str) -> None:
    members = [each.name for each in kind.values if each.number != 0]
    if (isinstance(value, str) and value in kind.values_by_name) or _is_number_of(value, kind):
        return
    prefix = kind.values[0].name.removesuffix("UNSPECIFIED")
    text = value.upper().replace("-", "_").removeprefix(prefix) if isinstance(value, str) else ""
    near = get_close_matches(text, [name.removeprefix(prefix) for name in members], n=1)
    hint = f"did you mean {prefix}{near[0]}? " if near else ""
    raise Wrong(where, value, f"{hint}there are {', '.join(members)}")


def _is_number_of(value: object, kind: EnumDescriptor) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in kind.values_by_number


def _check_whole(value: object, where: str, least: int, most: int) -> None:
    found = _number(value, where, f"write a whole number, {least} to {most}")
    if found != int(found) or not least <= found <= most:
        raise Wrong(where, value, f"write a whole number, {least} to {most}")


def _number(value: object, where: str, right: str) -> float:
    """Protobuf also takes a number that is written as a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Wrong(where, value, right)
    try:
        found = float(value) if not isinstance(value, int) else value
    except ValueError:
        raise Wrong(where, value, right) from None
    if isinstance(found, float) and not math.isfinite(found):
        raise Wrong(where, value, right)
    return found


def _shown(value: object, field: str = "") -> str:
    """No stream key: not that of a URL, wherever it stands, and nothing of what is in a list or an
    object."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, str):
        is_secret = "://" in value or field.rpartition(".")[2] == "url"
        text = repr(live.shown(value) if is_secret else value)
    else:
        text = json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."

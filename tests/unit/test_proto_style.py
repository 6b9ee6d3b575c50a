"""The rules of our protos that `buf lint` does not see: comments are the specification."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROTOS = sorted((Path(__file__).parents[2] / "protos").rglob("*.proto"))

BLOCK = re.compile(r"(service|message|enum|oneof|rpc) (\w+)")
FIELD = re.compile(r"(?:optional |repeated )?([\w.]+(?:<[^>]*>)?) (\w+) = \d+;")
VALUE = re.compile(r"([A-Z0-9_]+) = (\d+);")


@dataclass(frozen=True)
class Thing:
    """One declaration. `kind`: service, rpc, message, enum, oneof, field or value."""

    kind: str
    name: str
    owner: str
    type: str
    number: str
    comment: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}" if self.owner else self.name


def things_of(text: str) -> Iterator[Thing]:
    """Our protos are formatted: a declaration a line, its comment above it."""
    owners: list[str] = []
    comment: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        owner = ".".join(owners)
        if block := BLOCK.match(line):
            yield Thing(block[1], block[2], owner, "", "", " ".join(comment))
            if line.endswith("{"):
                owners.append(block[2])
        elif value := VALUE.match(line):
            yield Thing("value", value[1], owner, "", value[2], " ".join(comment))
        elif found := FIELD.match(line):
            yield Thing("field", found[2], owner, found[1], "", " ".join(comment))
        elif line == "}":
            owners.pop()
        comment = []


THINGS = [thing for path in PROTOS for thing in things_of(path.read_text())]


def of(*kinds: str) -> list[Thing]:
    return [thing for thing in THINGS if thing.kind in kinds]


def test_the_reader_of_this_test_reads_the_protos():
    assert {"Job", "JobSpec", "ConnectRequest"} <= {thing.name for thing in of("message")}
    assert {"SubmitJob", "Connect", "GetWorker"} <= {thing.name for thing in of("rpc")}
    assert len(of("field")) > 100
    assert {thing.type for thing in of("field")} >= {"map<string, uint64>", "Output"}


def explained(thing: Thing) -> bool:
    """By a comment of its own, its rpc's, or that of its type, which is one of ours."""
    if thing.comment:
        return True
    if thing.kind == "message":
        return re.sub("(Request|Response)$", "", thing.name) in {rpc.name for rpc in of("rpc")}
    types = {found.name: found.comment for found in of("message", "enum")}
    return thing.kind == "field" and thing.type in types


@pytest.mark.parametrize("thing", of("service", "rpc", "message", "enum", "field"), ids=str)
def test_everything_says_what_it_is(thing):
    assert explained(thing), f"{thing.kind} {thing} has no comment"


@pytest.mark.parametrize("rpc", of("rpc"), ids=str)
def test_every_rpc_says_what_it_answers_when_it_cannot_serve(rpc):
    assert "Errors" in rpc.comment
    codes = re.findall(r"\b([A-Z_]{5,}):", rpc.comment)
    assert codes or "Errors as there" in rpc.comment


@pytest.mark.parametrize("comment", [t for t in THINGS if t.comment], ids=str)
def test_a_comment_is_made_of_sentences(comment):
    """An example, which ends a comment, may end as it likes."""
    text = comment.comment.split(" Example:")[0]
    assert text[0].isupper() or text[0].isdigit() or text.startswith("`")
    assert text.rstrip().endswith((".", ":"))


@pytest.mark.parametrize("enum", of("enum"), ids=str)
def test_an_enum_begins_with_unspecified_and_says_what_that_means(enum):
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper()
    values = [value for value in of("value") if value.owner == enum.name]
    assert (values[0].name, values[0].number) == (f"{prefix}_UNSPECIFIED", "0")
    assert values[0].comment
    assert all(value.name.startswith(f"{prefix}_") for value in values)


@pytest.mark.parametrize("rpc", of("rpc"), ids=str)
def test_every_rpc_owns_its_request_and_response(rpc):
    names = {message.name for message in of("message")}
    assert {f"{rpc.name}Request", f"{rpc.name}Response"} <= names


@pytest.mark.parametrize("field", of("field"), ids=str)
def test_times_spans_and_ids_are_typed_and_named_as_such(field):
    if field.type == "google.protobuf.Timestamp":
        assert field.name.endswith("_time")
    elif field.name.endswith("_time"):
        assert field.type == "google.protobuf.Timestamp"
    spans_of_media = {"position", "total", "duration", "timeout", "sample"}
    if field.type == "google.protobuf.Duration":
        assert field.name.endswith(("_duration", "_timeout")) or field.name in spans_of_media
    assert not re.search(r"_(ms|us|ns|millis|secs?|seconds|percent|pct)$", field.name)
    if field.name.endswith("_id"):
        assert field.type == "string"


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_a_file_lies_where_its_package_says(path):
    assert path.parent.name == "v1"
    assert "\npackage ffrtmp.v1;\n" in path.read_text()
    assert path.name == "job.proto" or path.stem.endswith("_service")


def test_nothing_calls_itself_a_status():
    """The word is left to gRPC."""
    assert not [str(thing) for thing in THINGS if "status" in thing.name.lower()]

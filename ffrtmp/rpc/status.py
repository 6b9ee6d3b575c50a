"""Errors on the wire and back: one table from domain error to gRPC status code.

The sentence travels as the status details; the error's name, and the field, value and expectation
of an InvalidArgument, in the trailer `ffrtmp-error-bin` as JSON (a `-bin` trailer carries any
bytes, others only ASCII). gRPC rejects a header block above 8 KiB, and sends each non-ASCII byte
of the details as three: so both are cut.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from ffrtmp.domain import errors
from ffrtmp.domain.errors import DomainError, InvalidArgument

STATUS_OF: Final[Mapping[type[DomainError], StatusCode]] = MappingProxyType(
    {
        errors.InvalidSpec: StatusCode.INVALID_ARGUMENT,
        errors.InvalidPageToken: StatusCode.INVALID_ARGUMENT,
        errors.JobNotFound: StatusCode.NOT_FOUND,
        errors.WorkerNotFound: StatusCode.NOT_FOUND,
        errors.IdempotencyMismatch: StatusCode.ALREADY_EXISTS,
        errors.TargetTaken: StatusCode.ALREADY_EXISTS,
        errors.NameTaken: StatusCode.ALREADY_EXISTS,
        errors.IllegalTransition: StatusCode.FAILED_PRECONDITION,
        errors.WorkerInUse: StatusCode.FAILED_PRECONDITION,
        errors.StaleFence: StatusCode.ABORTED,
        errors.StaleEpoch: StatusCode.ABORTED,
        errors.NotHolder: StatusCode.ABORTED,
        errors.NewerGrant: StatusCode.ABORTED,
        errors.NotAllowed: StatusCode.PERMISSION_DENIED,
        errors.ProtocolViolation: StatusCode.INVALID_ARGUMENT,
        errors.HelloLate: StatusCode.UNAVAILABLE,
        errors.NameUnsettled: StatusCode.UNAVAILABLE,
        errors.WorkerDoesNotRead: StatusCode.RESOURCE_EXHAUSTED,
        errors.WorkerFloods: StatusCode.RESOURCE_EXHAUSTED,
        errors.Overloaded: StatusCode.RESOURCE_EXHAUSTED,
        errors.TooManyClasses: StatusCode.RESOURCE_EXHAUSTED,
        errors.SessionExpired: StatusCode.UNAVAILABLE,
        errors.Overtaken: StatusCode.UNAVAILABLE,
        errors.HelloOvertaken: StatusCode.UNAVAILABLE,
        # Not UNAUTHENTICATED, which would end a worker that may have a newer one.
        errors.CertificateEnded: StatusCode.UNAVAILABLE,
        errors.StoreBusy: StatusCode.UNAVAILABLE,
        errors.StoreFailing: StatusCode.UNAVAILABLE,
        errors.OutcomeUnknown: StatusCode.UNAVAILABLE,
    }
)
ERROR_TRAILER: Final = "ffrtmp-error-bin"
# The retry policies of every gRPC client understand this one.
RETRY_TRAILER: Final = "grpc-retry-pushback-ms"
RETRY_AFTER_MS: Final = 1_000
DETAILS_TRAILER: Final = "grpc-status-details-bin"

_LONGEST_DETAILS: Final = 1_500
_LONGEST_FACT: Final = 250
_NO_CONTROLS: Final = dict.fromkeys((*range(32), 127), "\N{REPLACEMENT CHARACTER}")

Trailers = tuple[tuple[str, str | bytes], ...]


def descendants(error: type[DomainError]) -> Iterator[type[DomainError]]:
    for child in error.__subclasses__():
        yield child
        yield from descendants(child)


def status_of(error: DomainError) -> StatusCode:
    """The code of its class; that of its children for a parent such as InvalidArgument."""
    kind = type(error)
    codes = {code for known, code in STATUS_OF.items() if issubclass(known, kind)}
    return codes.pop() if len(codes) == 1 else StatusCode.UNKNOWN


def details_of(error: DomainError) -> str:
    # Of these the sentence travels twice.
    twice = isinstance(error, errors.Unavailable)
    return _cut(str(error), _LONGEST_FACT if twice else _LONGEST_DETAILS)


def trailers_of(error: DomainError) -> Trailers:
    facts = {"error": type(error).__name__}
    if isinstance(error, InvalidArgument):
        facts |= {
            "field": _cut(error.field, _LONGEST_FACT),
            "value": _cut(str(error.value), _LONGEST_FACT),
            "expected": _cut(error.expected, _LONGEST_FACT),
        }
    trailers: Trailers = ((ERROR_TRAILER, json.dumps(facts, ensure_ascii=False).encode()),)
    if isinstance(error, errors.Unavailable | errors.Overloaded):
        trailers += (
            (RETRY_TRAILER, str(RETRY_AFTER_MS)),
            (DETAILS_TRAILER, _retry_info(error).SerializeToString()),
        )
    return trailers


def _retry_info(error: DomainError) -> Status:
    """When to try again, as google.rpc.RetryInfo in the rich status that tools know to read."""
    delay = Duration()
    delay.FromMilliseconds(RETRY_AFTER_MS)
    status = Status(code=status_of(error).value[0], message=details_of(error))
    status.details.add().Pack(RetryInfo(retry_delay=delay))
    return status


def error_from_rpc(error: grpc.aio.AioRpcError) -> DomainError | None:
    """The domain error that the master raised; None when the status did not come from one.

    `value` comes back as text, and long texts are cut. A name that this build does not know (a
    newer master's) becomes the parent that has this status code, or a plain DomainError.
    """
    facts = _facts(error.trailing_metadata() or ())
    if facts is None:
        return None
    kind = _class_named(str(facts.get("error")), error.code())
    # Made without its constructor: the sentence is written already.
    rebuilt = kind.__new__(kind, error.details() or "")
    if isinstance(rebuilt, InvalidArgument):
        rebuilt.field = str(facts.get("field", ""))
        rebuilt.value = str(facts.get("value", ""))
        rebuilt.expected = str(facts.get("expected", ""))
    return rebuilt


def _facts(trailers: Iterable[tuple[str, str | bytes]]) -> dict[str, Any] | None:
    for key, value in trailers:
        if key == ERROR_TRAILER:
            try:
                facts = json.loads(value)
            except ValueError:
                return None
            return facts if isinstance(facts, dict) else None
    return None


def _class_named(name: str, code: StatusCode) -> type[DomainError]:
    for known in descendants(DomainError):
        if known.__name__ == name:
            return known
    # A parent only: a leaf would claim to know more than we do.
    for parent in DomainError.__subclasses__():
        if {STATUS_OF.get(child) for child in parent.__subclasses__()} == {code}:
            return parent
    return DomainError


def _cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, never half a character, and one line: JSON writes six bytes
    for a control character."""
    encoded = text.translate(_NO_CONTROLS).encode(errors="replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - len("…".encode())].decode(errors="ignore") + "…"

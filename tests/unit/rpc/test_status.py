"""Domain errors become statuses, and the same errors again on the client's side."""

from collections.abc import Iterator

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from ffrtmp.domain import errors
from ffrtmp.domain.errors import DomainError, InvalidArgument, InvalidSpec
from ffrtmp.rpc.interceptors import opened
from ffrtmp.rpc.status import (
    DETAILS_TRAILER,
    ERROR_TRAILER,
    RETRY_TRAILER,
    STATUS_OF,
    details_of,
    error_from_rpc,
    status_of,
    trailers_of,
)

LARGEST_HEADERS = 8 * 1024
SAMPLES = [
    errors.InvalidSpec("outputs[0].video.crf", 99, "0 to 51"),
    errors.InvalidPageToken("page_token", "xyz", "a token from the last answer"),
    errors.JobNotFound("01J"),
    errors.WorkerNotFound("w1"),
    errors.IdempotencyMismatch("k", "01J"),
    errors.TargetTaken("media:out.mp4", "01J"),
    errors.NameTaken("w1", "10.0.0.1:5"),
    errors.IllegalTransition("01J", "cancel", "SUCCEEDED"),
    errors.WorkerInUse("w1", "it is connected"),
    errors.StaleFence("01J", 1, 2),
    errors.StaleEpoch("w1", 1, 2),
    errors.NotHolder("01J", "w1"),
    errors.NewerGrant("01J"),
    errors.NotAllowed("not for you"),
    errors.ProtocolViolation("hello came twice"),
    errors.HelloLate("w1", 2.5),
    errors.NameUnsettled("w1", 10),
    errors.WorkerFloods("w1"),
    errors.WorkerDoesNotRead("w1"),
    errors.SessionExpired("w1"),
    errors.Overtaken("w1"),
    errors.HelloOvertaken("w1", 5),
    errors.CertificateEnded("worker/w1"),
    errors.Overloaded(1000, 10_000),
    errors.TooManyClasses(1000),
    errors.StoreBusy(2.0),
    errors.StoreFailing("disk full"),
    errors.OutcomeUnknown("reset by peer"),
]


def leaves_of(error: type[DomainError]) -> Iterator[type[DomainError]]:
    children = error.__subclasses__()
    for child in children:
        yield from leaves_of(child)
    if not children:
        yield error


def received(
    error: DomainError, *, code: StatusCode | None = None, trailers=None
) -> DomainError | None:
    """The error as a client rebuilds it."""
    pairs = trailers_of(error) if trailers is None else trailers
    return error_from_rpc(
        grpc.aio.AioRpcError(
            code or status_of(error),
            grpc.aio.Metadata(),
            grpc.aio.Metadata(*pairs),
            details_of(error),
        )
    )


def test_every_domain_error_has_a_status():
    assert set(STATUS_OF) == set(leaves_of(DomainError))
    assert {type(error) for error in SAMPLES} == set(STATUS_OF)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_arrives_as_itself(error):
    arrived = received(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)


def test_an_invalid_argument_arrives_with_its_parts():
    arrived = received(InvalidSpec("outputs[0].video.crf", 99, "0 to 51"))
    assert isinstance(arrived, InvalidSpec)
    assert (arrived.field, arrived.value, arrived.expected) == (
        "outputs[0].video.crf",
        "99",
        "0 to 51",
    )


def test_a_parent_has_the_status_of_its_children():
    assert status_of(InvalidArgument("page_size", -1, "1 to 1000")) is StatusCode.INVALID_ARGUMENT
    assert status_of(errors.NotFound("gone")) is StatusCode.NOT_FOUND
    assert status_of(DomainError("what?")) is StatusCode.UNKNOWN
    arrived = received(InvalidArgument("page_size", -1, "1 to 1000"))
    assert type(arrived) is InvalidArgument
    assert arrived.field == "page_size"


@pytest.mark.parametrize("text", ["x", "ü", "日", "🎬", "\udcff", "\x00", "\n", '\\"'])
@pytest.mark.parametrize("length", [1, 250, 100_000])
def test_no_text_is_too_long_or_too_strange_for_the_headers(text, length):
    error = InvalidSpec("input.path", text * length, "a path " + text * length)
    details = details_of(error).encode()
    trailer = trailers_of(error)[0][1]
    assert isinstance(trailer, bytes)
    # gRPC sends each odd byte of the details as three, and four of base64 for three of a trailer.
    assert 3 * len(details) + len(trailer) * 4 / 3 < LARGEST_HEADERS - 1024
    arrived = received(error)
    assert isinstance(arrived, InvalidSpec)
    assert arrived.field == "input.path"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StoreBusy(2), StatusCode.UNAVAILABLE),
        (errors.StoreFailing("x"), StatusCode.UNAVAILABLE),
        (errors.Overloaded(1000, 10_000), StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_who_cannot_be_served_now_is_told_when_to_try_again(error, code):
    assert int(dict(trailers_of(error))[RETRY_TRAILER]) > 0
    status = Status.FromString(dict(trailers_of(error))[DETAILS_TRAILER])
    assert (status.code, status.message) == (code.value[0], details_of(error))
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 1000


def test_a_wrong_request_is_not_to_be_tried_again():
    assert RETRY_TRAILER not in dict(trailers_of(errors.JobNotFound("x")))


@pytest.mark.parametrize(
    ("code", "parent"),
    [
        (StatusCode.NOT_FOUND, errors.NotFound),
        (StatusCode.INVALID_ARGUMENT, errors.InvalidArgument),
        (StatusCode.ABORTED, errors.Stale),
        (StatusCode.DATA_LOSS, DomainError),
    ],
)
def test_an_error_that_only_a_newer_master_knows_becomes_its_parent(code, parent):
    trailers = ((ERROR_TRAILER, b'{"error": "ShelfNotFound"}'),)
    arrived = received(errors.JobNotFound("x"), code=code, trailers=trailers)
    assert type(arrived) is parent
    assert str(arrived) == "no job 'x'"


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"null", b"{"])
def test_a_trailer_of_nonsense_is_no_error_of_ours(content):
    assert received(errors.JobNotFound("x"), trailers=((ERROR_TRAILER, content),)) is None


def test_a_status_of_grpc_itself_is_no_error_of_ours():
    assert received(errors.JobNotFound("x"), trailers=()) is None


def test_a_group_is_opened_to_the_domain_error_in_it():
    wanted = errors.JobNotFound("x")
    group = ExceptionGroup("", [ValueError(), ExceptionGroup("", [KeyError(), wanted])])
    assert opened(group) is wanted
    plain = ValueError()
    assert opened(ExceptionGroup("", [ExceptionGroup("", [plain])])) is plain
    assert opened(plain) is plain

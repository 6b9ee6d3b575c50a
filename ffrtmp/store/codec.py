"""Rows to domain values and back. Nested values are JSON, times microseconds since 1970."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

import msgspec

from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.evidence import NO_EVIDENCE, UNSEEN, Evidence
from ffrtmp.domain.hello import Incumbent
from ffrtmp.domain.job import Accepted, Failure, Holder, Job, Manifest
from ffrtmp.domain.judgement import Breach, Judgement, Verdict
from ffrtmp.domain.log import AttemptLog, Lines
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import JobSpec, Purpose, Queue, queue_of
from ffrtmp.domain.standing import Standing
from ffrtmp.domain.worker import Capabilities, Requirements
from ffrtmp.store.records import WorkerRecord


class Row(Protocol):
    """What both adapters' rows can do."""

    def __getitem__(self, column: str, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_QUEUES = {queue.value: queue for queue in Queue}
_BREACHES = {breach.value: breach for breach in Breach}
_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_PURPOSES = {purpose.value: purpose for purpose in Purpose}
_SPEC = msgspec.json.Decoder(JobSpec)
_REQUIREMENTS = msgspec.json.Decoder(Requirements)
_EVENT = msgspec.json.Decoder(JobEvent)
_STANDING = msgspec.json.Decoder(Standing)
_CAPABILITIES = msgspec.json.Decoder(Capabilities)
_MANIFEST = msgspec.json.Decoder(Manifest)
_FAILURE = msgspec.json.Decoder(Failure)
_ACCEPTED = msgspec.json.Decoder(Accepted)
_PROGRESS = msgspec.json.Decoder(Progress)
_TEXTS = msgspec.json.Decoder(tuple[str, ...])
_EVIDENCE = msgspec.json.Decoder(Evidence)
_ENCODER = msgspec.json.Encoder()

JOB_COLUMNS = (
    "job_id",
    "state",
    "job_class",
    "rank",
    "submit_time",
    "eligible_time",
    "version",
    "cause",
    "actor",
    "changed_time",
    "fence",
    "attempts",
    "charged",
    "resource_failures",
    "refundable",
    "holder",
    "holder_incarnation",
    "last_holder",
    "last_incarnation",
    "avoid",
    "start_time",
    "end_time",
    "manifest",
    "failure",
    "detail",
    "exclusive",
    "restarts",
    "blocked_by",
    "blocked_incarnation",
    "charged_on",
    "rejects",
    "rejected_since",
    "priority",
    "cause_before",
    "granted",
    "accepted",
    "queue",
    "purpose",
    "evidence",
    "sla",
)

_JOB_FIELDS = tuple(re.sub("_time$", "_at", column) for column in JOB_COLUMNS)
"""What `Job` calls them; an incarnation is in its holder."""
_HOLDERS = (
    ("holder", "holder_incarnation"),
    ("last_holder", "last_incarnation"),
    ("blocked_by", "blocked_incarnation"),
)

LOG_COLUMNS = ("job_id", "fence", "worker", "first", "lines")
LOG_KEY = ("job_id", "fence")
PROGRESS_COLUMNS = ("job_id", "fence", "progress")
PROGRESS_KEY = ("job_id",)


def to_micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def encode(value: object) -> str:
    return _ENCODER.encode(value).decode()


def decode_spec(text: str) -> JobSpec:
    """With the key of a live push, for the next offer; of all tables only `specs` has it."""
    return _SPEC.decode(text)


def decode_requirements(text: str) -> Requirements:
    return _REQUIREMENTS.decode(text)


def decode_event(text: str) -> JobEvent:
    return _EVENT.decode(text)


def decode_standing(text: str) -> Standing:
    return _STANDING.decode(text)


def sla_to_text(judgement: Judgement) -> str:
    """The verdict, or the breaches: alike for jobs that are alike, so that they can be counted."""
    return ",".join(judgement.breaches) or judgement.verdict.value


@cache
def sla_from_text(text: str) -> Judgement:
    if text in _VERDICTS:
        return Judgement(_VERDICTS[text])
    return Judgement(Verdict.MISSED, tuple(filter(None, map(_BREACHES.get, text.split(",")))))


def purpose_from_text(text: str) -> Purpose:
    """One that only newer masters know counts as production."""
    return _PURPOSES.get(text, Purpose.PRODUCTION)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


_READ_BY: tuple[tuple[str, Callable[[Any], object]], ...] = (
    ("submit_at", from_micros),
    ("eligible_at", from_micros),
    ("changed_at", from_micros),
    ("start_at", from_micros),
    ("end_at", from_micros),
    ("rejected_since", from_micros),
    ("refundable", bool),
    ("exclusive", bool),
    ("charged_on", _names),
    ("manifest", _MANIFEST.decode),
    ("failure", _FAILURE.decode),
    ("accepted", _ACCEPTED.decode),
    ("evidence", _EVIDENCE.decode),
    ("sla", sla_from_text),
)
"""Of a job's fields those that are stored as something else; enums are read by their values."""


def job_to_row(job: Job) -> tuple[object, ...]:
    """In the order of JOB_COLUMNS."""
    return (
        job.job_id,
        job.state.value,
        job.job_class,
        job.rank,
        to_micros(job.submit_at),
        to_micros(job.eligible_at),
        job.version,
        job.cause.value,
        job.actor,
        to_micros(job.changed_at),
        job.fence,
        job.attempts,
        job.charged,
        job.resource_failures,
        int(job.refundable),
        job.holder.worker if job.holder else None,
        job.holder.incarnation if job.holder else None,
        job.last_holder.worker if job.last_holder else None,
        job.last_holder.incarnation if job.last_holder else None,
        job.avoid,
        to_micros(job.start_at) if job.start_at else None,
        to_micros(job.end_at) if job.end_at else None,
        encode(job.manifest) if job.manifest else None,
        encode(job.failure) if job.failure else None,
        job.detail,
        int(job.exclusive),
        job.restarts,
        job.blocked_by.worker if job.blocked_by else None,
        job.blocked_by.incarnation if job.blocked_by else None,
        ",".join(job.charged_on),
        job.rejects,
        to_micros(job.rejected_since) if job.rejected_since else None,
        job.priority.value if job.priority else None,
        job.cause_before.value if job.cause_before else None,
        job.granted,
        encode(job.accepted) if job.accepted else None,
        job.queue.value,
        job.purpose.value,
        encode(job.evidence) if job.evidence != NO_EVIDENCE else None,
        sla_to_text(job.sla) if job.sla else None,
    )


def job_from_row(row: Row) -> Job:
    """Whose first columns are JOB_COLUMNS, in their order: to look each up by name costs more
    than all the rest. msgspec makes it in half of the time that `Job` itself takes."""
    read = dict(zip(_JOB_FIELDS, row, strict=False))
    for field, value_of in _READ_BY:
        if (stored := read[field]) is not None:
            read[field] = value_of(stored)
    for field, incarnation in _HOLDERS:
        if (worker := read[field]) is not None:
            read[field] = Holder(worker, read[incarnation] or "")
    # Without one: by a master that did not store it yet, or ended before it was.
    read["queue"] = queue_of(_QUEUES.get(read["queue"]), exclusive=read["exclusive"])
    read["evidence"] = read["evidence"] or (NO_EVIDENCE if read["purpose"] else UNSEEN)
    read["purpose"] = purpose_from_text(read["purpose"])
    return msgspec.convert(read, Job)


def log_to_row(log: AttemptLog) -> tuple[object, ...]:
    """In the order of LOG_COLUMNS."""
    lines = log.lines
    return (log.key.job_id, log.key.fence, log.worker, lines.first, encode(lines.texts))


def log_from_row(row: Row) -> AttemptLog:
    texts = _TEXTS.decode(row["lines"])
    key = AttemptKey(row["job_id"], row["fence"])
    return AttemptLog(key, row["worker"], Lines(row["first"], texts))


def progress_to_row(progress: Progress) -> tuple[object, ...]:
    """In the order of PROGRESS_COLUMNS."""
    return progress.key.job_id, progress.key.fence, encode(progress)


def progress_from_row(row: Row) -> Progress:
    return _PROGRESS.decode(row["progress"])


def incumbent_from_row(row: Row) -> Incumbent:
    return Incumbent(
        epoch=row["epoch"],
        incarnation=row["incarnation"],
        address=row["address"],
        alive=bool(row["alive"]),
        dial=row["dial"],
        previous=row["previous"],
    )


def worker_from_row(row: Row) -> WorkerRecord:
    return WorkerRecord(
        name=row["worker"],
        incarnation=row["incarnation"],
        epoch=row["epoch"],
        address=row["address"],
        alive=bool(row["alive"]),
        lost=not row["alive"] and row["lost_epoch"] == row["epoch"],
        capabilities=_CAPABILITIES.decode(row["capabilities"]),
        standing=decode_standing(row["standing"]),
        dial=row["dial"],
        previous=row["previous"],
    )

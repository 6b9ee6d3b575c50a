"""What happened as log lines; every retry decision is one of them."""

import logging

from ffrtmp.domain.event import event_of
from ffrtmp.domain.facts import (
    AttemptDisowned,
    CertificateRanOut,
    ClaimTook,
    Dispatched,
    DrainChanged,
    EnvelopeUnknown,
    Fact,
    GroupCommitted,
    JobMoved,
    JobsForgotten,
    MassLossBegan,
    MessageStale,
    SessionClosed,
    SessionOpened,
    StatementTook,
    StoreFailed,
    StreamRefused,
    WorkerQuarantined,
    WorkerReleased,
    WorkerRemoved,
)
from ffrtmp.domain.job import Cause, Job, JobState

_log = logging.getLogger("ffrtmp.master")

DECIDING = frozenset({Cause.FAILED, Cause.LOST, Cause.RETURNED, Cause.REJECTED, Cause.UNANSWERED})
"""Moves after which a job is tried again or given up."""


def write(fact: Fact) -> None:  # noqa: C901, PLR0912  # one case a fact
    match fact:
        case JobMoved(before, after):
            _write_move(before, after)
        case StatementTook() | GroupCommitted() | ClaimTook() | Dispatched() | MessageStale():
            pass  # counted only, and early: some of them come with every transaction
        case SessionOpened(worker, epoch, address):
            _log.info("worker %s connected from %s, stream %d", worker, address, epoch)
        case SessionClosed(worker, _, why):
            _log.warning("worker %s is gone: %s", worker, why)
        case StreamRefused(worker, address, why):
            _log.error("refused a stream of %s from %s: %s", worker, address, why)
        case CertificateRanOut():
            _write_certificate(fact)
        case DrainChanged(worker=worker, draining=draining, actor=actor):
            _log.info("worker %s %s, says %s", worker, "drains" if draining else "resumes", actor)
        case WorkerRemoved(worker=worker, actor=actor):
            _log.info("worker %s was removed, says %s", worker, actor)
        case JobsForgotten(jobs):
            _log.info("%d finished jobs were deleted: they are older than is kept", jobs)
        case WorkerQuarantined():
            _write_quarantine(fact)
        case WorkerReleased(worker=worker, actor=actor):
            _log.info("worker %s is released from quarantine, says %s", worker, actor)
        case MassLossBegan(lost, fleet):
            what = "nobody is charged, their jobs return slowly"
            _log.error("%d of %d workers lost at once: %s", lost, fleet, what)
        case AttemptDisowned():
            _write_disowned(fact)
        case EnvelopeUnknown(peer, count):
            _log.warning("%s said %d things that this build does not know", peer, count)
        case StoreFailed(where, why):
            _log.error("%s: %s", where, why)


def _write_certificate(fact: CertificateRanOut) -> None:
    _log.error(
        "worker %s: its certificate ended at %s UTC, and so does its stream: renew it",
        fact.worker,
        f"{fact.ended_at:%Y-%m-%d %H:%M:%S}",
    )


def _write_quarantine(fact: WorkerQuarantined) -> None:
    worker, until, jobs = fact.worker, fact.until, fact.jobs
    _log.warning(
        "worker %s gets no offers until %s: it lost %s",
        worker,
        f"{until:%H:%M:%S}",
        ", ".join(jobs),
        extra={"facts": {"worker": worker, "until": until.isoformat(), "jobs": jobs}},
    )


def _write_disowned(fact: AttemptDisowned) -> None:
    attempt = f"{fact.job_id}/{fact.fence}"
    if fact.what != "future_fence":
        _log.warning("worker %s speaks of attempt %s: %s", fact.worker, attempt, fact.what)
        return
    _log.error(
        "worker %s speaks of attempt %s, which was never granted: unless it lies, the database is "
        "older than what workers know",
        fact.worker,
        attempt,
    )


def _write_move(before: Job | None, after: Job) -> None:
    if before is None or after.cause not in DECIDING:
        return
    retried = after.state is JobState.QUEUED
    delay = max(0.0, (after.eligible_at - after.changed_at).total_seconds()) if retried else None
    event = event_of(after)
    facts = {
        "job_id": after.job_id,
        "fence": after.fence,
        "actor": after.actor,
        "cause": after.cause.value,
        "reason": event.reason.value if event.reason else None,
        "decision": "retry" if retried else "give up",
        "delay_seconds": delay,
        "next_time": after.eligible_at.isoformat() if retried else None,
        "charged": after.charged,
        "charged_now": after.charged > before.charged,
        "worker": after.last_holder.worker if after.last_holder else "",
    }
    _log.info(
        "job %s attempt %d %s by %s (%s): %s, charged %d: %s",
        after.job_id,
        after.fence,
        after.cause,
        after.actor,
        facts["reason"] or "no failure",
        f"retried in {delay:g} s" if retried else "given up",
        after.charged,
        after.detail,
        extra={"facts": facts},
    )

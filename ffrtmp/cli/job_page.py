"""One job in full, for people: what `ffrtmp jobs get` shows before its history."""

from collections.abc import Sequence

from ffrtmp.cli.attempts import Attempts
from ffrtmp.cli.follow import shown_state, targets_of
from ffrtmp.cli.job_table import place_of, source_of
from ffrtmp.cli.result import result_lines, served
from ffrtmp.cli.shown import show_count, show_size
from ffrtmp.cli.table import tell
from ffrtmp.cli.waits import obstacles_of
from ffrtmp.domain.labels import written
from ffrtmp.domain.spec import Purpose
from ffrtmp.rpc.enums import PURPOSES
from ffrtmp.v1 import job_pb2


def show_job(job: job_pb2.Job, events: Sequence[job_pb2.JobEvent], attempts: Attempts) -> None:
    targets = targets_of(job)
    tell(f"job {job.job_id}: {shown_state(job)}, {source_of(job)} to {targets}")
    tell(f"  {show_count(job.attempts, 'attempt')}, {job.charged} charged{_place(job)}")
    if job.HasField("failure"):
        tell(f"  {_whose_failure(job, events, attempts)}{job.failure.message}")
    if said := served(job):
        tell(f"  {said}")
    if job.state == job_pb2.JOB_STATE_PAUSED:
        tell(f"  waits until somebody resumes it: ffrtmp jobs resume {job.job_id}")
    if job.spec.labels:
        tell(f"  requires {', '.join(written(job.spec.labels))}")
    if job.spec.accept_truncated:
        tell("  takes a source that is cut off or damaged, as far as it can be read")
    for obstacle in obstacles_of(job):
        tell(f"  {obstacle}")
    for file in job.files:
        tell(f"  {file.path}  {show_size(file.size)}  sha256 {file.sha256}")
    for line in result_lines(job, attempts):
        tell(f"  {line}")


def _whose_failure(job: job_pb2.Job, events: Sequence[job_pb2.JobEvent], attempts: Attempts) -> str:
    """Which attempt it was that failed so, where the job has not."""
    if job.state == job_pb2.JOB_STATE_FAILED:
        return ""
    failed = [event.fence for event in events if event.reason]
    return f"{attempts.name(failed[-1])}: " if failed else ""


def _place(job: job_pb2.Job) -> str:
    """Where it stands among those that wait, unless that is the usual."""
    queue, priority = place_of(job)
    facts = [f"queue {queue}"] if queue else []
    facts += [f"priority {priority}"] if priority else []
    purpose = PURPOSES.from_wire(job.purpose)
    facts += [f"for {purpose}"] if purpose not in {None, Purpose.PRODUCTION} else []
    return "".join(f", {fact}" for fact in facts)

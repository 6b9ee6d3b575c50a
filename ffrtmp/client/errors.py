"""What a client meets besides the errors of the domain."""

from ffrtmp.domain.job import JobState
from ffrtmp.rpc.enums import JOB_STATES
from ffrtmp.v1 import job_pb2


class Unreachable(Exception):
    """No master answers, or it cannot be trusted. One sentence that says what to do."""


class JobFailed(Exception):
    """A job whose result was waited for FAILED, or was CANCELLED. `job` is it, as it ended."""

    def __init__(self, job: job_pb2.Job) -> None:
        state = JOB_STATES.from_wire(job.state)
        why = f": {job.failure.message}" if job.HasField("failure") else ""
        verb = "was " if state is JobState.CANCELLED else ""
        super().__init__(f"job {job.job_id} {verb}{JOB_STATES.shown(job.state)}{why}")
        self.job = job


class NotEnded(Exception):
    """Only a job that has ended is retried."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} has not ended: cancel it first, or wait for its end")


class NothingToRetry(Exception):
    """Only a job that FAILED or was CANCELLED is retried."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id} has succeeded: there is nothing to retry; to make its output anew, "
            "submit it again with overwrite"
        )

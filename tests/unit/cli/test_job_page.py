"""What `jobs get` says of a job before its history."""

import pytest

from ffrtmp.cli.attempts import Attempts
from ffrtmp.cli.job_page import show_job
from ffrtmp.domain.job import Cause, JobState
from ffrtmp.domain.retry import Reason
from ffrtmp.rpc.enums import CAUSES, JOB_STATES, REASONS
from ffrtmp.v1 import job_pb2

WHY = "the worker was stopped"
EVENTS = [
    job_pb2.JobEvent(cause=CAUSES.to_wire(Cause.ACCEPTED), fence=1),
    job_pb2.JobEvent(
        cause=CAUSES.to_wire(Cause.RETURNED), fence=1, reason=REASONS.to_wire(Reason.STOPPED)
    ),
    job_pb2.JobEvent(cause=CAUSES.to_wire(Cause.ACCEPTED), fence=2),
]


def page(capsys, state: JobState, **facts) -> list[str]:
    job = job_pb2.Job(job_id="J", state=JOB_STATES.to_wire(state), **facts)
    show_job(job, EVENTS, Attempts.of(EVENTS))
    return capsys.readouterr().out.splitlines()


def test_a_failure_is_that_of_an_attempt_until_the_job_has_failed(capsys):
    failure = job_pb2.Failure(message=WHY)
    assert f"  attempt 1: {WHY}" in page(capsys, JobState.RUNNING, failure=failure)
    assert f"  {WHY}" in page(capsys, JobState.FAILED, failure=failure)


def test_an_output_of_a_job_that_has_not_succeeded_is_not_published(capsys):
    result = job_pb2.AttemptResult(outputs=[job_pb2.OutputResult(path="m:a.mp4")])
    [line] = [each for each in page(capsys, JobState.FAILED, result=result) if "m:a.mp4" in each]
    assert line.endswith("; not published")
    [line] = [each for each in page(capsys, JobState.SUCCEEDED, result=result) if "m:a.mp4" in each]
    assert "not published" not in line


def test_a_speed_that_is_not_known_is_not_said(capsys):
    assert "0x" not in "".join(page(capsys, JobState.FAILED, result=job_pb2.AttemptResult()))


def test_that_a_damaged_source_was_taken_is_said(capsys):
    spec = job_pb2.JobSpec(accept_truncated=True)
    assert any("cut off or damaged" in line for line in page(capsys, JobState.QUEUED, spec=spec))


@pytest.mark.parametrize(
    ("codec", "seen", "told"),
    [
        (job_pb2.VIDEO_CODEC_H264, False, True),
        (job_pb2.VIDEO_CODEC_NONE, False, False),
        (job_pb2.VIDEO_CODEC_H264, True, False),
    ],
)
def test_that_a_source_without_a_picture_gave_none_is_said(capsys, codec, seen, told):
    facts = job_pb2.MediaFacts(video=job_pb2.VideoFacts(codec="h264") if seen else None)
    result = job_pb2.AttemptResult(
        source=facts, outputs=[job_pb2.OutputResult(path="m:a.mp4", media=facts)]
    )
    spec = job_pb2.JobSpec(
        outputs=[job_pb2.Output(path="m:a.mp4", video=job_pb2.VideoSettings(codec=codec))]
    )
    said = "\n".join(page(capsys, JobState.SUCCEEDED, spec=spec, result=result))
    assert ("no picture: its source has none" in said) is told

"""What came of a job in figures, for people."""

import shlex
from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration

from ffrtmp.cli.attempts import Attempts
from ffrtmp.cli.shown import show_count, show_size
from ffrtmp.domain.judgement import Verdict
from ffrtmp.rpc.enums import METRICS, SLA_BREACHES, SLA_VERDICTS
from ffrtmp.rpc.times import from_duration
from ffrtmp.v1 import job_pb2 as pb

NO_PICTURE = "no picture: its source has none"


def result_lines(job: pb.Job, attempts: Attempts) -> Iterator[str]:
    """None where no attempt has told yet."""
    if not job.HasField("result"):
        return
    result = job.result
    if result.HasField("source"):
        yield f"source  {media_line(result.source)}"
    unseen = "" if job.state == pb.JOB_STATE_SUCCEEDED else "; not published"
    blind = without_picture(job)
    for output in result.outputs:
        lacks = f"; {NO_PICTURE}" if output.path in blind else ""
        yield f"output  {output.path}: {media_line(output.media)}{_made(output)}{lacks}{unseen}"
        if output.HasField("quality"):
            yield f"quality {output.path}: {score_line(output.quality)}"
    yield f"took    {_took(result)}"
    yield f"used    {_used(result, attempts)}"
    if result.argv:
        yield f"ran     {shlex.join(result.argv)}"


def without_picture(job: pb.Job) -> list[str]:
    """The outputs that were to have a picture, of a source that has none."""
    if not job.result.HasField("source") or job.result.source.HasField("video"):
        return []
    wanted = {
        output.path for output in job.spec.outputs if output.video.codec != pb.VIDEO_CODEC_NONE
    }
    return [output.path for output in job.result.outputs if output.path in wanted]


def served(job: pb.Job) -> str:
    """How the platform served a job that has ended; empty: nothing was kept of it."""
    service, verdict = job.service, SLA_VERDICTS.from_wire(job.service.verdict)
    if verdict is None:
        return ""
    breaches = [each for number in service.breaches if (each := SLA_BREACHES.from_wire(number))]
    words = {
        Verdict.MET: "promise kept",
        Verdict.MISSED: f"promise missed: {', '.join(breaches).replace('_', ' ')}",
        Verdict.WITHDRAWN: "withdrawn in time",
    }
    wait, delay = _seconds(service.queue_wait_duration), _seconds(service.start_delay_duration)
    failed = show_count(service.platform_failures, "attempt")
    failures = f", {failed} failed by the platform" if service.platform_failures else ""
    return f"{words[verdict]} (waited {wait:.2f} s, on offer {delay:.2f} s{failures})"


def media_line(media: pb.MediaFacts) -> str:
    parts = [
        show_size(media.size),
        f"{_seconds(media.duration):.2f} s",
        f"{media.bitrate // 1000} kbit/s",
    ]
    if media.HasField("video"):
        video = media.video
        parts.append(f"{video.codec} {video.width}x{video.height}, {video.frames} frames")
    if media.HasField("audio"):
        parts.append(f"{media.audio.codec} {media.audio.channels} ch")
    return ", ".join(parts)


def score_line(score: pb.QualityScore) -> str:
    bar = f", at least {score.min:g} was asked for" if score.HasField("min") else ""
    return f"{METRICS.shown(score.metric).upper()} {score.score:.4g} on {score.frames} frames{bar}"


def _made(output: pb.OutputResult) -> str:
    encoders = [each for each in (output.video_encoder, output.audio_encoder) if each]
    ratio = f", {100 * output.ratio:.3g} % of the source" if output.ratio else ""
    return f"; by {' and '.join(encoders)}{ratio}"


def _took(result: pb.AttemptResult) -> str:
    phases = {
        "probe": result.probe_duration,
        "encode": result.encode_duration,
        "verify": result.verify_duration,
        "quality": result.quality_duration,
    }
    spent = [f"{name} {_seconds(each):.2f} s" for name, each in phases.items() if _seconds(each)]
    if result.speed:
        spent.append(f"{result.speed:.3g}x real time")
    return ", ".join(spent) or "no time"


def _used(result: pb.AttemptResult, attempts: Attempts) -> str:
    cpu = f"{_seconds(result.cpu_duration):.2f} s CPU"
    which = attempts.name(result.fence)
    where = f"FFmpeg {result.ffmpeg_version} on {result.worker}, {which}"
    return f"{cpu}, {show_size(result.peak_memory)} at most, {where}"


def _seconds(span: Duration) -> float:
    return from_duration(span, "duration").total_seconds()

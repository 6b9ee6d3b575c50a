"""The common case of a job spec in one line."""

from datetime import timedelta

from ffrtmp.domain.labels import Labels
from ffrtmp.domain.spec import (
    AudioSettings,
    Input,
    JobSpec,
    MediaPath,
    Output,
    Priority,
    Queue,
    VideoSettings,
)


def job(
    source: str,
    target: str,
    *,
    preset: str = "",
    video: VideoSettings | None = None,
    audio: AudioSettings | None = None,
    overwrite: bool = False,
    timeout: timedelta | None = None,
    queue: Queue | None = None,
    priority: Priority = Priority.NORMAL,
    labels: Labels | None = None,
) -> JobSpec:
    """One file to one file, both `ROOT:PATH`, to be submitted.

    `preset`, such as `1080p30-h264`, fills what `video` and `audio` leave out; `labels` are those
    that a worker must have. Raises InvalidSpec for a path that is none; everything else is judged
    by the master.
    """
    return JobSpec(
        input=Input(path=MediaPath.parse(source, name="input.path")),
        outputs=(
            Output(
                path=MediaPath.parse(target, name="outputs[0].path"),
                preset=preset,
                video=video,
                audio=audio,
            ),
        ),
        overwrite=overwrite,
        timeout=timeout,
        queue=queue,
        priority=priority,
        labels=labels or {},
    )

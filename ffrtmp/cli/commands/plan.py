"""`ffrtmp plan`: its options."""

from typing import Annotated

from cyclopts import Parameter

from ffrtmp.cli.ask import Wish
from ffrtmp.config import ClientSettings


def plan(
    source: Annotated[str, Parameter(name="INPUT")],
    target: Annotated[str, Parameter(name="OUTPUT")],
    /,
    *,
    ffmpeg: str = "",
    worker: str = "",
    wish: Wish | None = None,
    settings: ClientSettings | None = None,
) -> int:
    """Print the FFmpeg command that a worker would run for this job, and run nothing.

    The input is probed, so it must be readable here. The worker's own command is the same but for
    the hidden name it gives an unfinished output.

    Parameters
    ----------
    source
        As for transcode.
    target
        As for transcode.
    ffmpeg
        Path or name of the FFmpeg whose encoders are chosen from. Default: the installed one.
    worker
        Choose from the encoders that this worker of the cluster has; needs an admin's identity.
    """
    from ffrtmp.cli import plan as work

    return work.plan(
        source,
        target,
        ffmpeg=ffmpeg,
        worker=worker,
        wish=wish or Wish(),
        settings=settings or ClientSettings(),
    )

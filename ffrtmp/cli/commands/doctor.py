"""`ffrtmp doctor`: its options."""

from ffrtmp.config import ClientSettings


def doctor(*, ffmpeg: str = "", settings: ClientSettings | None = None) -> int:
    """Check this machine: FFmpeg, certificates, disk, roots, the master, clocks.

    Give it the options that the master, worker or client here is to run with. The exit code is 1
    when something is bad, else 0.

    Parameters
    ----------
    ffmpeg
        Path or name of an FFmpeg. Default: the one that was installed with ffrtmp.
    """
    from ffrtmp.cli import doctor as work

    return work.doctor(ffmpeg=ffmpeg, settings=settings or ClientSettings())

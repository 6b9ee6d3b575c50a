"""`ffrtmp transcode`: its options."""

from typing import Annotated

from cyclopts import Parameter

from ffrtmp.cli.ask import Wish
from ffrtmp.config import ClientSettings


def transcode(
    source: Annotated[str, Parameter(name="INPUT")],
    target: Annotated[str, Parameter(name="OUTPUT")],
    /,
    wish: Wish | None = None,
    settings: ClientSettings | None = None,
) -> int:
    """Transcode INPUT to OUTPUT, a file or a live server, and show how far it is.

    Uses the cluster that is configured or runs (`ffrtmp up`); without one, a private cluster that
    lives as long as the job. Ctrl-C cancels the job.

    Parameters
    ----------
    source
        A local file, ROOT:PATH, or a generated picture: test:WIDTHxHEIGHT@RATE:TIME.
    target
        A local file or ROOT:PATH, whose ending says the format; or a server to push to at the
        input's own rate: rtmp://HOST/APP/KEY, rtmps://..., srt://HOST:PORT.
    """
    from ffrtmp.cli import transcode as work

    return work.transcode(source, target, wish or Wish(), settings or ClientSettings())

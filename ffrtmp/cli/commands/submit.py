"""`ffrtmp jobs submit`: its options."""

from typing import Annotated

from cyclopts import Parameter

from ffrtmp.cli.ask import Wish
from ffrtmp.config import ClientSettings
from ffrtmp.domain.spec import Purpose


def submit(
    source: Annotated[str, Parameter(name="INPUT")] = "",
    target: Annotated[str, Parameter(name="OUTPUT")] = "",
    /,
    *,
    spec: Annotated[str, Parameter(name="--spec", allow_leading_hyphen=True)] = "",
    key: str = "",
    purpose: Purpose = Purpose.PRODUCTION,
    watch: Annotated[bool, Parameter(negative=())] = False,
    wish: Wish | None = None,
    settings: ClientSettings | None = None,
) -> int:
    """Submit a job and print its id; or several, all or none, with --spec.

    Parameters
    ----------
    source
        A local file, ROOT:PATH, or a generated picture: test:WIDTHxHEIGHT@RATE:TIME.
    target
        A local file or ROOT:PATH, whose ending says the format; or a server to push to at the
        input's own rate: rtmp://HOST/APP/KEY, rtmps://..., srt://HOST:PORT.
    spec
        A file (- for standard input) with one JobSpec a line as JSON, named as in the protos.
    key
        Idempotency key: the same key and job again is the same job.
    purpose
        production, test, benchmark or debug: accounts of service are kept apart by it.
    watch
        Follow the job to its end; only with INPUT and OUTPUT.
    """
    from ffrtmp.cli import submit as work

    return work.submit(
        source,
        target,
        spec=spec,
        key=key,
        purpose=purpose,
        watch=watch,
        wish=wish,
        settings=settings or ClientSettings(),
    )

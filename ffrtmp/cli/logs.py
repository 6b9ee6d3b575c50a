"""`ffrtmp jobs logs`: what FFmpeg wrote about a job."""

import asyncio
import re
import sys
from typing import Annotated

from cyclopts import Parameter

from ffrtmp.cli.connect import with_client
from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.cli.follow import print_json
from ffrtmp.cli.shown import show_line
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings
from ffrtmp.domain.log import LogPlace
from ffrtmp.v1 import job_service_pb2 as pb

MOST = 2**63 - 1
_PLACE = re.compile(r"(\d{1,19})/(\d{1,19})")


def logs(
    job: Annotated[str, Parameter(name="JOB")],
    /,
    *,
    follow: Annotated[bool, Parameter(negative=())] = False,
    attempt: int = 0,
    after: str = "",
    settings: ClientSettings | None = None,
) -> int:
    """Show the last 200 lines that FFmpeg wrote in each attempt at a job.

    Lines go to standard output as FFmpeg wrote them; which attempt they are of, and what is missing
    between them, is said on standard error.

    Parameters
    ----------
    job
        The job's id.
    follow
        Go on with new lines, over all attempts, until the job has ended or Ctrl-C.
    attempt
        Only the attempt with this number.
    after
        Go on behind this line, ATTEMPT/LINE, as Ctrl-C said it.
    """
    settings = settings or ClientSettings()
    place = parse_place(after)
    if not 0 <= attempt <= MOST:
        raise UserError(f"attempt {attempt}: the number of an attempt, 1 or more")

    async def work(client: Client) -> int:
        printer = _Printer(place, attempt, as_json=settings.json)
        try:
            async for part in client.log(job, follow=follow, after=place):
                printer.show(part)
        except asyncio.CancelledError:
            if follow:
                printer.say_where(job)
            raise
        printer.say_if_empty(job)
        return Exit.DONE

    return with_client(settings, work)


def parse_place(text: str) -> LogPlace:
    """Raises UserError."""
    if not text:
        return LogPlace()
    match = _PLACE.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) > MOST:
        raise UserError(f"after {text!r}: write ATTEMPT/LINE, for example 1/57")
    return LogPlace(int(match[1]), int(match[2]))


class _Printer:
    def __init__(self, place: LogPlace, attempt: int, *, as_json: bool) -> None:
        self._place = place
        self._attempt = attempt
        self._as_json = as_json
        self._is_empty = True

    def show(self, part: pb.ReadJobLogResponse) -> None:
        if self._attempt in {0, part.fence}:
            self._is_empty = False
            if self._as_json:
                print_json(part)
            else:
                self._print(part)
        self._place = LogPlace(part.fence, part.line_number + len(part.lines) - 1)

    def _print(self, part: pb.ReadJobLogResponse) -> None:
        read = self._place.line if part.fence == self._place.fence else 0
        sys.stdout.flush()
        if part.fence != self._place.fence:
            print(f"attempt {part.fence}, worker {part.worker}:", file=sys.stderr, flush=True)
        if missing := part.line_number - read - 1:
            print(f"... {missing} lines are not kept", file=sys.stderr, flush=True)
        for line in part.lines:
            print(show_line(line))
        sys.stdout.flush()

    def say_where(self, job_id: str) -> None:
        place = f"{self._place.fence}/{self._place.line}"
        print(f"to go on: ffrtmp jobs logs {job_id} --follow --after {place}", file=sys.stderr)

    def say_if_empty(self, job_id: str) -> None:
        if self._is_empty:
            behind = " there" if self._attempt or self._place != LogPlace() else ""
            print(f"FFmpeg wrote nothing about job {job_id}{behind}", file=sys.stderr)

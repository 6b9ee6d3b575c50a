"""`ffrtmp jobs logs`: what FFmpeg wrote about a job."""

import asyncio
import re
import sys

from ffrtmp.cli.attempts import Attempts
from ffrtmp.cli.connect import with_client
from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.cli.follow import as_object, print_object
from ffrtmp.cli.shown import show_count, show_line
from ffrtmp.client import Client
from ffrtmp.config import ClientSettings
from ffrtmp.domain.log import LogPlace
from ffrtmp.v1 import job_service_pb2 as pb

MOST = 2**63 - 1
_PLACE = re.compile(r"(\d{1,19})/(\d{1,19})")


def logs(job: str, *, follow: bool, attempt: int, after: str, settings: ClientSettings) -> int:
    read = parse_place(after)
    if not 0 <= attempt <= MOST:
        raise UserError(f"attempt {attempt}: the number of an attempt, 1 or more")

    async def work(client: Client) -> int:
        attempts = await _attempts(client, job)
        if attempt > len(attempts) and not follow:
            raise UserError(f"attempt {attempt}: {_had(job, attempts)}")
        place = _place(*read, job, attempts)
        printer = _Printer(place, attempt, attempts, as_json=settings.json)
        await _show(client, job, printer, follow=follow)
        return Exit.DONE

    return with_client(settings, work)


def _place(number: int, line: int, job_id: str, attempts: Attempts) -> LogPlace:
    """Raises UserError where there was no attempt of that number."""
    fence = attempts.fence(number) if number else 0
    if fence is None:
        raise UserError(f"after '{number}/{line}': {_had(job_id, attempts)}")
    return LogPlace(fence, line)


async def _attempts(client: Client, job_id: str) -> Attempts:
    return Attempts.of((await client.get(job_id)).events)


async def _show(client: Client, job_id: str, printer: "_Printer", *, follow: bool) -> None:
    try:
        async for part in client.log(job_id, follow=follow, after=printer.place):
            if printer.attempts.number(part.fence) is None:
                printer.attempts = await _attempts(client, job_id)
            printer.show(part)
    except asyncio.CancelledError:
        if follow:
            printer.say_where(job_id)
        raise
    printer.say_if_empty(job_id)


def _had(job_id: str, attempts: Attempts) -> str:
    return f"job {job_id} had {show_count(len(attempts), 'attempt')}"


def parse_place(text: str) -> tuple[int, int]:
    """The number of an attempt, and of a line of it. Raises UserError."""
    if not text:
        return 0, 0
    match = _PLACE.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) > MOST:
        raise UserError(f"after {text!r}: write ATTEMPT/LINE, for example 1/57")
    return int(match[1]), int(match[2])


class _Printer:
    """`attempt`: only that one, by its number; 0: all. Then what tells them apart is a part of it,
    and goes where their lines go."""

    def __init__(self, place: LogPlace, attempt: int, attempts: Attempts, *, as_json: bool) -> None:
        self.attempts = attempts
        self.place = place
        self._attempt = attempt
        self._as_json = as_json
        self._is_empty = True

    def show(self, part: pb.ReadJobLogResponse) -> None:
        number = self._number(part.fence)
        if self._attempt in {0, number}:
            self._is_empty = False
            if self._as_json:
                print_object({"attempt": number} | as_object(part))
            else:
                self._print(part)
        self.place = LogPlace(part.fence, part.line_number + len(part.lines) - 1)

    def _number(self, fence: int) -> int:
        """One that speaks before it is known to be accepted is the next."""
        return self.attempts.number(fence) or len(self.attempts) + 1

    def _print(self, part: pb.ReadJobLogResponse) -> None:
        read = self.place.line if part.fence == self.place.fence else 0
        beside = sys.stderr if self._attempt else sys.stdout
        sys.stdout.flush()
        if part.fence != self.place.fence:
            number = self._number(part.fence)
            print(f"attempt {number}, worker {part.worker}:", file=beside, flush=True)
        if missing := part.line_number - read - 1:
            print(f"... {missing} lines are not kept", file=beside, flush=True)
        for line in part.lines:
            print(show_line(line))
        sys.stdout.flush()

    def say_where(self, job_id: str) -> None:
        number = self._number(self.place.fence) if self.place.fence else 0
        place = f"{number}/{self.place.line}"
        print(f"to go on: ffrtmp jobs logs {job_id} --follow --after {place}", file=sys.stderr)

    def say_if_empty(self, job_id: str) -> None:
        if self._is_empty:
            behind = " there" if self._attempt or self.place != LogPlace() else ""
            print(f"FFmpeg wrote nothing about job {job_id}{behind}", file=sys.stderr)

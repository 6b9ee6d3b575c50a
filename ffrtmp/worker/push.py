"""One live attempt: the source, at its own rate, to a server. Nothing is staged, V0 is the proof.

How a server that does not take the stream is noticed (measured with FFmpeg 9.0.2, loopback):

    refuses                          at once (RTMP), 4 s (SRT); FFmpeg fails
    accepts and is silent            5 s, the time-out of its reads and writes; FFmpeg fails
    closes, dies                     at once (RTMP), 6 s (SRT, whose peer is missed after 5 s)
    stops reading                    the position stands still once the buffers on the way are full;
                                     10 s later the attempt is STALLED. Its own time-out would end
                                     FFmpeg only after three more: the last packets, the trailer.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from ffrtmp.domain.job import Failure
from ffrtmp.domain.live import mask
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.retry import Reason
from ffrtmp.domain.session import AttemptKey, Phase
from ffrtmp.domain.spec import JobSpec
from ffrtmp.ffmpeg.command import build_argv
from ffrtmp.ffmpeg.failure import telling_lines
from ffrtmp.ffmpeg.plan import Plan
from ffrtmp.worker.failures import AttemptFailed, named
from ffrtmp.worker.hardware import Tools
from ffrtmp.worker.place import Place
from ffrtmp.worker.process import ON_LIVE_END, Deadline, Exit, run_guarded
from ffrtmp.worker.steps import HearFn, Meter, ReportFn, TimeLeft, judge_exit, plan_attempt
from ffrtmp.worker.tail import Tail
from ffrtmp.worker.tally import Tally
from ffrtmp.worker.threads import in_thread

START_SECONDS = 20.0  # until the first packet is sent: connecting, opening, a first picture
STALL_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """`deadline`: of the job's time-out, on the event loop's clock; None: no limit. `lease`: on it
    FFmpeg is killed by its guard, whatever this process does: the job may be given to another."""

    key: AttemptKey
    spec: JobSpec
    place: Place
    tools: Tools
    report: ReportFn
    hear: HearFn
    deadline: float | None
    lease: Deadline
    tally: Tally

    async def run(self) -> None:
        """Returns when the whole source was sent. Raises AttemptFailed, which holds no secret."""
        try:
            with named():
                await self._push()
        except AttemptFailed as error:
            raise AttemptFailed(self._told(error.failure)) from None

    async def _push(self) -> None:
        time = TimeLeft(self.spec, self.deadline)
        async with time.limit():
            with self.tally.phase(Phase.PROBE):
                self.report(Progress(key=self.key, phase=Phase.PROBE))
                planned = await plan_attempt(self.spec, self.place, self.tools, self.tally)
        with self.tally.phase(Phase.ENCODE):
            end, meter = await self._send(planned, time)
        self.tally.ran(end)
        self.tally.reached(meter.position)
        if end.fenced and end.code != 0:
            raise AttemptFailed.because(
                Reason.STOPPED,
                "the lease ran out: no master was heard, so the push was ended before another "
                "worker may begin it",
            )
        if end.timed_out:
            raise time.failure
        if failure := judge_exit(end, said_end=meter.said_end):
            await in_thread(self.place.check_input)  # a lost input explains it better
            raise AttemptFailed(failure)

    async def _send(self, planned: Plan, time: TimeLeft) -> tuple[Exit, Meter]:
        argv = build_argv(
            planned,
            ffmpeg=self.tools.ffmpeg,
            version=self.tools.version,
            source=self.place.source_name,
            targets=[self._url],
            ca_file=ssl.get_default_verify_paths().cafile or "",
        )
        meter = Meter(self.key, planned, self.report)
        log = Tail(self._shown, self.hear)
        try:
            with self.tools.confines.one() as limits:
                async with asyncio.timeout(START_SECONDS) as patience:
                    end = await run_guarded(
                        argv,
                        feed=_watched(meter, patience),
                        timeout=time.seconds(),
                        deadline=self.lease,
                        on_cancel=ON_LIVE_END,
                        log=log,
                        limits=limits,
                    )
        except TimeoutError:
            raise AttemptFailed(self._stalled(meter, log)) from None
        return end, meter

    @property
    def _url(self) -> str:
        return self.spec.outputs[0].url

    def _stalled(self, meter: Meter, log: Tail) -> Failure:
        server = self.spec.outputs[0].name
        if meter.position:
            what = f"no media progress for {STALL_SECONDS:g} s at {meter.position:.1f} s"
        else:
            what = f"nothing was sent in the first {START_SECONDS:g} s"
        return Failure(
            reason=Reason.STALLED,
            message=f"{what}: {server} takes no more, or the input gives no more",
            log_tail=telling_lines(log.lines()),
        )

    def _told(self, failure: Failure) -> Failure:
        return replace(
            failure,
            message=self._shown(failure.message),
            log_tail=tuple(map(self._shown, failure.log_tail)),
        )

    def _shown(self, text: str) -> str:
        """Without secrets, and with the input as people name it."""
        return mask(self.place.shown(text), self._url)


def _watched(meter: Meter, patience: asyncio.Timeout) -> Callable[[bytes], None]:
    """Feeds the meter; every step forward of the position buys time."""
    clock = asyncio.get_running_loop().time

    def feed(chunk: bytes) -> None:
        before = meter.position
        meter.feed(chunk)
        if meter.position > before and not patience.expired():
            patience.reschedule(clock() + STALL_SECONDS)

    return feed

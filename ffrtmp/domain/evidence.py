"""How the platform served a job: what its moves show, kept on its row. `sla` judges it.

Late news count as what they are: an attempt that was thought lost and was not is no failure, and a
job that stood in the queue meanwhile did not wait: since its last move, that is. What somebody
ordered in between has been counted by then.

A master of an older version keeps no evidence. The moves that are known are counted, so that a job
which it submitted or moved is not judged by the rest of its life.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ffrtmp.domain.states import Cause, JobState

NOTHING = timedelta(0)
NEWS = frozenset(
    {
        Cause.STAGED,
        Cause.PUBLISHED,
        Cause.FAILED,
        Cause.RETURNED,
        Cause.ADOPTED,
        Cause.INHERITED,
    }
)
"""What an attempt says of itself: whoever says it from the queue had never stopped, or has its
result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`queue_wait`: in the queue, also while another attempt's FFmpeg blocked the job; not paused,
    not in back-off. `start_delay`: on offer, whatever came of the offer. `failures`: attempts that
    the platform failed, the last of them `failed_fence`. `moves`: those that are in it, of which
    the first is the submission; all of the job's, but for those of older masters."""

    queue_wait: timedelta = NOTHING
    start_delay: timedelta = NOTHING
    failures: int = 0
    failed_fence: int = 0
    moves: int = 1

    def after(
        self, state: JobState, cause: Cause, *, since: datetime, eligible_at: datetime, at: datetime
    ) -> "Evidence":
        """With the time that the job was in `state`, from which `cause` moved it."""
        waited, offered = NOTHING, NOTHING
        if state is JobState.QUEUED and cause not in NEWS:
            waited = max(NOTHING, at - max(since, eligible_at))
        if state is JobState.LEASED:
            offered = max(NOTHING, at - since)
        return replace(
            self,
            queue_wait=self.queue_wait + waited,
            start_delay=self.start_delay + offered,
            moves=self.moves + 1,
        )

    def failed(self, fence: int) -> "Evidence":
        """The platform failed this attempt; said twice, it failed once."""
        if fence == self.failed_fence:
            return self
        return replace(self, failures=self.failures + 1, failed_fence=fence)

    def not_failed(self, fence: int) -> "Evidence":
        """This attempt lives, or has a result, after all."""
        if fence != self.failed_fence:
            return self
        return replace(self, failures=self.failures - 1, failed_fence=0)


NO_EVIDENCE = Evidence()
"""Of a job that has just been submitted."""
UNSEEN = Evidence(moves=0)
"""Of a job that an older master submitted."""

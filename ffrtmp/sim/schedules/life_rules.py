"""The judge of one job's life, told of every move: I1 to I4, I8 to I13, I16.

Shares no code with the domain: states and causes are words written here. It keeps its own account
of grants, acceptances, charges and of what really runs and lies published.
"""

from collections import Counter
from typing import Any

HELD = frozenset({"leased", "running", "publishing"})
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
WAITING = frozenset({"queued", "paused"})
LIMIT = 3
NEXT = {
    "queued": {"queued", "paused", "leased", "running", "publishing", *TERMINAL},
    "paused": {"queued", "paused", "running", "publishing", *TERMINAL},
    "leased": {"queued", "paused", "leased", "running", "cancelled"},
    "running": {"queued", "paused", "running", "publishing", *TERMINAL},
    "publishing": {"queued", "paused", "publishing", "succeeded", "failed"},
}


class Broken(Exception):
    """One sentence, beginning with the invariant."""


def require(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


class Account:
    """Of one job. `restarts`: a live job's budget of charged failures."""

    def __init__(self, *, exclusive: bool, restarts: int) -> None:
        self._exclusive = exclusive
        self._restarts = restarts
        self._limit = max(LIMIT, restarts + 1)
        self._granted_to: dict[int, str] = {}
        self._accepted = 0
        self._charges: Counter[int] = Counter()
        self._running: dict[tuple[str, str, int], None] = {}
        self._published: Any = None
        self._cancelled = False
        self._version = 1

    # -- what really happens ----------------------------------------------------------------

    def begins(self, holder: Any, fence: int) -> None:
        if self._exclusive:
            others = [run for run in self._running if run != (*_name(holder), fence)]
            require(not others, f"I8 {_name(holder)}/{fence} begins while {others} writes")
        self._running[(*_name(holder), fence)] = None

    def stops(self, holder: Any, fence: int) -> None:
        self._running.pop((*_name(holder), fence), None)

    def publishes(self, files: Any) -> None:
        require(not self._cancelled, "I11 published after it was cancelled")
        require(self._published in (None, files), "I13 other bytes are published over the first")
        self._published = files

    # -- what the row says ------------------------------------------------------------------

    def moved(
        self, before: Any, after: Any, event: Any, speaker: Any = None, fence: int = 0
    ) -> None:
        """`speaker` said it of attempt `fence`; None: the master or a client did it."""
        self._check_move(str(before.state), after)
        self._check_fence(after)
        if speaker is not None:
            self._check_speaker(speaker, fence)
        self._check_charge(before, after)
        self._check_event(after, event)
        state = str(after.state)
        if state == "succeeded" and not self._exclusive:
            require(after.manifest is not None, "I13 succeeded without a manifest")
            require(after.manifest.files == self._published, "I13 other bytes than its manifest's")
        if state in {"failed", "cancelled"}:
            require(self._published is None, f"I13 published and {state}")
        self._cancelled = self._cancelled or state == "cancelled"

    def _check_move(self, was: str, after: Any) -> None:
        state, cause = str(after.state), str(after.cause)
        if was in TERMINAL:
            require(state == was and cause == "unblocked", f"I1 {was}, then {cause} to {state}")
        else:
            require(cause == "unblocked" or state in NEXT[was], f"I4 from {was} to {state}")
        require((after.holder is not None) == (state in HELD), f"I4 {state} with {after.holder}")
        failed = after.failure
        if state != "failed" and failed is not None and cause == "failed":
            ends = str(failed.reason) == "ffmpeg_failed"
            require(self._restarts or not ends, "I10 a failure of FFmpeg is tried again")

    def _check_fence(self, after: Any) -> None:
        newest = max(self._granted_to, default=0)
        if str(after.cause) == "granted":
            require(after.fence > newest, f"I2 granted {after.fence} after {newest}")
            require(after.blocked_by is None, "I8 granted while it is blocked")
            self._granted_to[after.fence] = after.holder.worker
        elif after.fence:
            require(after.fence in self._granted_to, f"I2 fence {after.fence} was never granted")
        if str(after.cause) in {"accepted", "adopted"} or str(after.state) == "running":
            self._accepted = max(self._accepted, after.fence)

    def _check_speaker(self, speaker: Any, fence: int) -> None:
        to = self._granted_to.get(fence)
        require(to == speaker.worker, f"I3 {_name(speaker)} speaks of {fence}, granted to {to}")
        newer = f"I3 {fence} counts after {self._accepted} was accepted"
        require(fence >= self._accepted, newer)

    def _check_charge(self, before: Any, after: Any) -> None:
        more = after.charged - before.charged
        if more < -1:  # a live job ran well for a while, and is forgiven
            self._charges.clear()
            more = after.charged
        fence = after.fence
        self._charges[fence] += more
        if not self._restarts:
            require(self._charges[fence] in {0, 1}, f"I9 attempt {fence} charged again")
        require(after.charged <= self._limit, f"I9 charged {after.charged} times")
        require(after.charged == len(after.charged_on), "I9 charges do not add up")

    def _check_event(self, after: Any, event: Any) -> None:
        self._version += 1
        require(event.number == after.version == self._version, "I16 numbered with a gap")
        worker = after.last_holder.worker if after.last_holder else ""
        row = (str(after.state), after.fence, after.charged, worker)
        told = (str(event.state), event.fence, event.charged, event.worker)
        require(row == told, f"I16 the event tells {told}, the row is {row}")


def _name(holder: Any) -> tuple[str, str]:
    return holder.worker, holder.incarnation

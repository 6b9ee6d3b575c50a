"""The ports. Rules live in the domain: a store locks rows, applies a rule, writes back, commits.

What arrives together is applied together (group commit): callers hand over what they have and
await one answer. Every method may raise `StoreBusy` when the store cannot take the call in time;
then nothing was changed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

from ffrtmp.domain.event import JobEvent
from ffrtmp.domain.hello import Incumbent
from ffrtmp.domain.job import Job, JobState
from ffrtmp.domain.log import AttemptLog
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.spec import JobSpec
from ffrtmp.domain.standing import Standing, StandingRule
from ffrtmp.domain.waiting import Place
from ffrtmp.domain.worker import Capabilities, Requirements
from ffrtmp.store.records import (
    Backlog,
    Change,
    JobFilter,
    JobRecord,
    JudgedJobs,
    MasterRecord,
    Moved,
    NewJob,
    Outcome,
    PageKey,
    PoolUse,
    QueueDepth,
    QueueKey,
    SessionKey,
    StoreFacts,
    WorkerRecord,
)

Admit = Callable[[Incumbent], None]
"""Takes the newest stream of a worker, with its row locked; a DomainError refuses the next."""
NO_FLOORS: Mapping[str, QueueKey] = MappingProxyType({})


class JobStore(Protocol):
    async def submit(self, jobs: Sequence[NewJob]) -> list[Job]:
        """Adds all, or none and raises IdempotencyMismatch, TargetTaken or an objection.

        A job whose submitter, key and digest are known is returned as it is now; its targets and
        what was objected to it are not looked at again. A target is free again once its job
        `frees_targets`.
        """
        ...

    async def get(self, job_id: str) -> JobRecord:
        """Raises JobNotFound."""
        ...

    async def get_many(self, job_ids: Collection[str]) -> dict[str, Job]:
        """Those that exist."""
        ...

    async def find(self, wanted: JobFilter, *, size: int, after: PageKey | None) -> list[JobRecord]:
        """At most `size` jobs, newest first, from behind `after`."""
        ...

    async def events(self, job_id: str, *, after: int = 0) -> list[JobEvent]:
        """Events with a number above `after`, oldest first; empty for an unknown job."""
        ...

    async def change(self, changes: Sequence[Change]) -> list[Outcome]:
        """Applies each rule to its job, in order; one outcome each. Returns after the commit.

        A rule's DomainError is its outcome and changes nothing; the others are applied. Two changes
        of one job in a call see each other.
        """
        ...

    async def claim(
        self,
        classes: Mapping[str, int],
        *,
        now: datetime,
        choose: Callable[[Sequence[Job]], Sequence[Change]],
        floors: Mapping[str, QueueKey] = NO_FLOORS,
    ) -> list[tuple[Moved, JobSpec]]:
        """Reads the best-ranked eligible queued jobs of each class, at most its number of them,
        applies the changes that `choose` returns for them and commits. A change whose rule or
        session is refused is left out. A blocked job is not read, and jobs that another master is
        claiming are passed over. `choose` may be called again, after a conflict. Of a class in
        `floors` nothing is read that ranks before that place."""
        ...

    async def classes(self) -> dict[str, Requirements]:
        """Every class that has a job which has not ended."""
        ...


class QueueStore(Protocol):
    async def place_of(self, job: Job) -> Place:
        """Where it stands among the queued jobs."""
        ...


class HistoryStore(Protocol):
    """What is kept of jobs besides their rows, and for how long."""

    async def keep_logs(self, logs: Sequence[AttemptLog]) -> None:
        """Each in the place of what was kept of the same attempt."""
        ...

    async def logs(self, job_id: str, *, fence: int, limit: int) -> list[AttemptLog]:
        """Of attempts with that fence or a higher one, at most `limit`, in their order; empty for
        an unknown job."""
        ...

    async def keep_progress(self, progress: Sequence[Progress]) -> None:
        """Each in the place of what was kept of its job; what was kept of jobs that nobody holds
        any more goes. A crash of the store may take it all."""
        ...

    async def progress(self, job_ids: Collection[str]) -> dict[str, Progress]:
        """What is kept of these jobs; it may be of an attempt that is over."""
        ...

    async def ended_before(self, count: int) -> datetime | None:
        """When the newest job ended behind the `count` that ended last; None: there is none."""
        ...

    async def forget(self, ended_by: datetime, limit: int) -> int:
        """Deletes jobs that ended at that time or before, the oldest first, with all that is kept
        of them, their keys too; returns how many. A job that is blocked stays. What another master
        deletes is passed over."""
        ...


class LeaseStore(Protocol):
    async def held_by(self, worker: str) -> list[Job]:
        """Every job in a held state whose holder is this worker, whatever its incarnation."""
        ...

    async def orphans(self, limit: int) -> list[Job]:
        """Held jobs whose holder (worker and incarnation) has no live session."""
        ...

    async def held_or_blocked(self, worker: str, also: Collection[str] = ()) -> list[Job]:
        """In one reading, every job that this worker holds or blocks, whatever its incarnation, and
        those of these ids. Some of them have ended."""
        ...

    async def stale_blocks(self, limit: int) -> list[Job]:
        """Blocked jobs whose blocker (worker and incarnation) has no live session."""
        ...

    async def offered_before(self, moment: datetime, limit: int) -> list[Job]:
        """LEASED jobs granted before `moment`."""
        ...


class SessionStore(Protocol):
    async def open_session(self, record: WorkerRecord, admit: Admit) -> int:
        """Stores the worker as alive with the next epoch, and returns it. `record.epoch` and
        `record.standing` are ignored, for a worker's standing outlives its sessions; so is
        `record.lost`. Where the worker had a stream before, `admit` decides; what it raises is
        raised here, and nothing was changed."""
        ...

    async def close_session(self, session: SessionKey) -> bool:
        """The worker said goodbye: ends it, unless a newer stream took over. Says whether it
        did."""
        ...

    async def expire_sessions(self, renewals: Mapping[SessionKey, int]) -> list[SessionKey]:
        """They ran out: ends each, unless a newer stream took over or its renewal number is another
        by now; the worker is lost until its next session. Returns those that it ended."""
        ...

    async def renew(self, sessions: Collection[SessionKey]) -> None:
        """Raises the renewal number of each; returns when that is committed."""
        ...

    async def renewals(self) -> dict[SessionKey, int]:
        """The renewal number of every live session."""
        ...

    async def report(self, session: SessionKey, capabilities: Capabilities) -> None:
        """Replaces what the worker can do."""
        ...

    async def check(self) -> None:
        """Writes a row and commits. Raises StoreBusy, or the adapter's error."""
        ...


class WorkerStore(Protocol):
    async def workers(self, *, size: int, after: str = "") -> list[WorkerRecord]:
        """By name, from behind `after`."""
        ...

    async def lost_workers(self, also: Collection[str]) -> list[WorkerRecord]:
        """Those that are lost, and those of these names, in no order."""
        ...

    async def worker(self, name: str) -> WorkerRecord:
        """Raises WorkerNotFound."""
        ...

    async def standings(self) -> dict[str, Standing]:
        """Of workers whose session is alive; only of those that drain, or lost something."""
        ...

    async def remove_worker(self, name: str) -> bool:
        """Forgets a worker, but for the number of its last stream. Says whether it did: one whose
        session is alive, or that holds or blocks a job, stays. Raises WorkerNotFound."""
        ...

    async def change_standing(self, name: str, rule: StandingRule) -> tuple[Standing, Standing]:
        """Applies the rule to the worker's standing; before and after. Raises WorkerNotFound."""
        ...


class CensusStore(Protocol):
    """What operators ask of the whole store."""

    async def count_jobs(self) -> dict[JobState, int]:
        """Those that there are, ended ones too."""
        ...

    async def depths(self) -> list[QueueDepth]:
        """Of every queue in which a job is queued; one may be named twice, while an older master
        submits too. Answered by an index."""
        ...

    async def judged(self, since: datetime) -> list[JudgedJobs]:
        """Of jobs that ended since then, are kept, and were judged. Answered by an index."""
        ...

    async def backlog(self, now: datetime) -> list[Backlog]:
        """What has not ended."""
        ...

    async def facts(self) -> "StoreFacts": ...


class MasterStore(Protocol):
    """How masters of one store know of each other; nothing depends on it but what people see."""

    async def note_master(self, record: MasterRecord) -> None:
        """Stores it in the place of what this run said before."""
        ...

    async def forget_master(self, run: str) -> None: ...

    async def masters(self) -> list[MasterRecord]:
        """Those heard within a day, by run."""
        ...


class Shared(Protocol):
    """What is peculiar to a store that several masters may use."""

    @property
    def shared(self) -> bool: ...

    async def news(self) -> None:
        """Returns when another master may have committed something since the last call. A hint:
        it may come for nothing, and it may be missed. Never, when the store is not shared."""
        ...

    async def time(self) -> datetime:
        """The time of day where the store is: for showing and ordering."""
        ...

    async def oldest_snapshot(self) -> timedelta:
        """For how long somebody has kept what was deleted or changed since from being cleared
        away. Zero, when the store is not shared."""
        ...

    @property
    def commits(self) -> int:
        """Transactions that were committed since it was opened."""
        ...

    @property
    def operations(self) -> int:
        """In those transactions."""
        ...

    def pools(self) -> list[PoolUse]: ...


class Store(
    JobStore,
    QueueStore,
    HistoryStore,
    LeaseStore,
    SessionStore,
    WorkerStore,
    CensusStore,
    MasterStore,
    Shared,
    Protocol,
):
    """All of them; both adapters are one."""

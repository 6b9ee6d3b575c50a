"""How jobs come in: checked, completed by their presets, named, and stored, all of a call or none.

What is asked too much of is refused before it costs anything: see `gate` and `classes`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ffrtmp.domain import job as rules
from ffrtmp.domain.errors import InvalidArgument, InvalidSpec
from ffrtmp.domain.raw_arguments import check_allowed
from ffrtmp.domain.roots import check_roots
from ffrtmp.domain.scheduling import rank
from ffrtmp.domain.spec import JobSpec, folders_of
from ffrtmp.domain.targets import clash
from ffrtmp.domain.worker import requirements
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.master.classes import Classes
from ffrtmp.master.gate import Gate
from ffrtmp.master.parts import Parts
from ffrtmp.master.recall import learn_roots
from ffrtmp.master.turns import in_turns
from ffrtmp.master.views import Submission, Submissions
from ffrtmp.store.records import JobRecord, NewJob

LARGEST_BATCH = 1000
LONGEST_KEY = 128


class Intake:
    """`most_submitted`: jobs on their way into the store at once. `raw_arguments`: whether jobs may
    have them."""

    def __init__(
        self,
        parts: Parts,
        new_id: Callable[[], str],
        *,
        most_submitted: int,
        raw_arguments: bool,
    ) -> None:
        self._parts = parts
        self._new_id = new_id
        self._gate = Gate(most_submitted)
        self._classes = Classes(parts.store.classes, parts.roster, parts.boot)
        self._raw_arguments = raw_arguments

    async def submit(self, asked: Submissions, *, actor: str) -> list[JobRecord]:
        """Adds all or none.

        Raises InvalidArgument (naming `jobs[N]...` in a batch), IdempotencyMismatch, TargetTaken,
        TooManyClasses, Overloaded.
        """
        if not 1 <= len(asked) <= LARGEST_BATCH:
            raise InvalidArgument("jobs", len(asked), f"1 to {LARGEST_BATCH} jobs a call")
        with self._gate.entered(len(asked)):
            submissions = await in_turns(asked, lambda submission: submission)
            new = await self._new_jobs(submissions, actor)
            if self._parts.store.shared and any(each.objection for each in new):
                await learn_roots(self._parts)  # a worker may have brought one to another master
                new = await self._new_jobs(submissions, actor)
            async with self._classes.entered(new) as judged:
                stored = await self._parts.jobs.submit(judged)
        return [JobRecord(job, each.spec) for job, each in zip(stored, new, strict=True)]

    async def _new_jobs(self, submissions: Sequence[Submission], actor: str) -> list[NewJob]:
        is_batch = len(submissions) > 1

        def make(numbered: tuple[int, Submission]) -> NewJob:
            owner = f"jobs[{numbered[0]}]" if is_batch else ""
            try:
                return self._new_job(numbered[1], actor, owner)
            except InvalidArgument as error:
                raise error.within(owner) if owner else error from None

        return _with_twice_made(await in_turns(enumerate(submissions), make))

    def _new_job(self, submission: Submission, actor: str, owner: str) -> NewJob:
        if not 1 <= len(submission.key) <= LONGEST_KEY:
            raise InvalidArgument(
                "idempotency_key", submission.key[:40], f"1 to {LONGEST_KEY} characters"
            )
        raw = [each.raw_arguments for each in submission.spec.outputs]
        check_allowed(raw, allowed=self._raw_arguments)  # before what is wrong with them
        spec = expand(submission.spec)
        needs = requirements(spec)
        now = self._parts.now()
        job = rules.new_job(
            job_id=self._new_id(),
            job_class=needs.job_class,
            rank=rank(submit_at=now, queue=spec.waits_in, priority=spec.priority),
            now=now,
            actor=actor,
            exclusive=spec.exclusive,
            restarts=spec.restarts,
            queue=spec.waits_in,
            purpose=submission.purpose,
        )
        return NewJob(
            job=job,
            spec=spec,
            requirements=needs,
            key=submission.key,
            digest=submission.digest,
            objection=self._objection(spec, owner),
        )

    def _objection(self, spec: JobSpec, owner: str) -> InvalidSpec | None:
        """Told only of a job that is new: workers come and go, and a submit that is sent again gets
        its first answer."""
        try:
            check_roots(spec, self._parts.roster.roots.known)
        except InvalidSpec as error:
            return error.within(owner) if owner else error
        return None


def _with_twice_made(jobs: Sequence[NewJob]) -> list[NewJob]:
    """The same jobs, with an objection to each that makes what one before it in the call makes, or
    needs a folder there: the store could name only a job that was never added."""
    makers: dict[str, int] = {}
    below: dict[str, str] = {}
    keys: set[str] = set()
    judged = []
    for number, new in enumerate(jobs):
        found = new
        if new.key not in keys:  # else it is the same job
            keys.add(new.key)
            for place, target in enumerate(map(str, new.spec.targets)):
                inside = filter(None, [below.get(target)])
                wrong = clash(target, number, owner_of=makers.get, inside=inside)
                if wrong is not None and found.objection is None:
                    objection = _objection_to(target, place, *wrong)
                    found = replace(new, objection=objection.within(f"jobs[{number}]"))
                makers.setdefault(target, number)
                for folder in folders_of(target):
                    below.setdefault(folder, target)
        judged.append(found)
    return judged


def _objection_to(target: str, place: int, other: str, maker: int) -> InvalidSpec:
    """`place`: of the output. `other`: the target of the job `maker` that stands in its way."""
    is_live = "://" in target
    field = f"outputs[{place}].{'url' if is_live else 'path'}"
    shown = target.rpartition("#")[0] if is_live else target
    if other == target:
        return InvalidSpec(field, shown, f"it is the output of jobs[{maker}] too: name another")
    what = "one is a file, and a folder of the other: name another"
    return InvalidSpec(field, shown, f"it cannot be beside the output of jobs[{maker}]: {what}")

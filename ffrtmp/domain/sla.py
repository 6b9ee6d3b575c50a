"""Whether the platform kept its promise to a job, which is not whether the job succeeded.

Waiting in the queue, a slow start and attempts that the platform failed count against it; a bad
input, a wrong spec and the user's own cancel do not. Judged once, when the job ends, from what its
row says: so each job is judged by one master, and once.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ffrtmp.domain.job.row import Job, Rule, with_changes
from ffrtmp.domain.judgement import Breach, Judgement, Verdict
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.states import TERMINAL_STATES, JobState


def judge(job: Job, targets: Targets) -> Judgement:
    """Of a job that has ended. One that was cancelled before any worker had begun it says nothing,
    unless it had waited too long by then."""
    evidence = job.evidence
    found = {
        Breach.QUEUE_WAIT: evidence.queue_wait > targets.wait_in(job.queue),
        Breach.START_DELAY: evidence.start_delay > targets.start_delay,
        Breach.PLATFORM_FAILURE: evidence.failures > 0,
    }
    if breaches := tuple(breach for breach in Breach if found[breach]):
        return Judgement(Verdict.MISSED, breaches)
    withdrawn = job.state is JobState.CANCELLED and not job.attempts
    return Judgement(Verdict.WITHDRAWN if withdrawn else Verdict.MET)


def judged(rule: Rule, targets: Targets) -> Rule:
    """The rule, and the judgement when it ends the job; none when the evidence is not whole."""

    def apply(job: Job) -> Job:
        after = rule(job)
        if job.state in TERMINAL_STATES or after.state not in TERMINAL_STATES:
            return after
        if after.evidence.moves != after.version:
            return after
        return with_changes(after, sla=judge(after, targets))

    return apply


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Of jobs that ended alike: how many, how they ended, and what became of the promise."""

    ended: Counter[JobState]
    verdicts: Counter[Verdict]
    breaches: Counter[Breach]


def account(judgements: Iterable[tuple[JobState, Judgement, int]]) -> Account:
    """Of so many jobs each. A job with two breaches is one that missed."""
    ended: Counter[JobState] = Counter()
    verdicts: Counter[Verdict] = Counter()
    breaches: Counter[Breach] = Counter()
    for state, judgement, jobs in judgements:
        ended[state] += jobs
        verdicts[judgement.verdict] += jobs
        breaches.update(dict.fromkeys(judgement.breaches, jobs))
    return Account(ended=ended, verdicts=verdicts, breaches=breaches)


def compliance(met: int, missed: int) -> float | None:
    """The part of the judged jobs to which the promise was kept; None: no job says anything."""
    return met / (met + missed) if met + missed else None

"""What a worker's list means: each attempt against a table written out here."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmp.domain.job import Accepted, Cause, Holder, Job, JobState
from ffrtmp.domain.session import AttemptKey, AttemptReport, Phase, reconcile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ME = Holder("w1", "a")
OTHERS = (Holder("w1", "b"), Holder("w2", "a"))

OF_MINE = {
    "leased": ("keep", "keep"),
    "running": ("keep", "keep"),
    "publishing": ("keep", "keep"),
    "queued": ("adopt", "keep"),
    "paused": ("adopt", "keep"),
    "succeeded": ("result_known", "result_known"),
    "failed": ("stop", "stop"),
    "cancelled": ("stop", "stop"),
}
"""The verdict on an attempt that was mine last: still running, and with a journalled result."""
NOTED = (Cause.RESUMED, Cause.REPRIORITISED, Cause.UNBLOCKED, Cause.INHERITED)
"""What may have been noted since the last attempt ended."""


def job(
    job_id: str,
    state: str,
    fence: int,
    last: Holder | None,
    *,
    taken_back: bool = False,
    noted: Cause | None = None,
    blocker: Holder | None = None,
    accepted: Accepted | None = None,
) -> Job:
    end = Cause.UNANSWERED if taken_back else Cause.LOST
    held = state in ("leased", "running", "publishing")
    return Job(
        job_id=job_id,
        state=JobState(state),
        job_class="c",
        rank=1,
        submit_at=NOW,
        eligible_at=NOW,
        changed_at=NOW,
        fence=fence,
        holder=last if held else None,
        last_holder=last,
        cause=Cause.PAUSED if state == "paused" else noted or end,
        cause_before=end,
        blocked_by=None if held else blocker,
        granted=fence,
        accepted=accepted,
    )


@st.composite
def stores(draw) -> dict[str, Job]:
    return {job_id: draw(stored_jobs(job_id)) for job_id in draw(st.sets(st.sampled_from("pqrs")))}


@st.composite
def stored_jobs(draw, job_id: str) -> Job:
    state, fence = draw(st.sampled_from(sorted(OF_MINE))), draw(st.integers(1, 3))
    last = draw(st.sampled_from([ME, ME, ME, *OTHERS]))
    older = st.builds(Accepted, st.sampled_from([ME, ME, *OTHERS]), st.integers(0, fence - 1))
    current = st.none() if state == "leased" else st.just(Accepted(last, fence))
    return job(
        job_id,
        state,
        fence,
        last,
        taken_back=draw(st.booleans()),
        noted=draw(st.sampled_from([None, *NOTED])),
        blocker=draw(st.sampled_from([None, None, ME, *OTHERS])),
        accepted=draw(st.none() | older | current),
    )


@st.composite
def worlds(draw) -> tuple[dict[str, Job], list[AttemptReport]]:
    """What is stored, and what a worker lists: mostly attempts that the store has heard of."""
    jobs = draw(stores())
    listed = draw(st.lists(st.sampled_from("pqrst"), unique=True))
    return jobs, [draw(reports(job_id, jobs.get(job_id))) for job_id in listed]


@st.composite
def reports(draw, job_id: str, stored: Job | None) -> AttemptReport:
    fences = [draw(st.integers(0, 3))]
    if stored is not None:
        fences += [stored.fence, stored.accepted.fence if stored.accepted else stored.fence]
    return AttemptReport(
        key=AttemptKey(job_id, draw(st.sampled_from(fences))),
        phase=draw(st.sampled_from(Phase)),
        journalled=draw(st.booleans()),
    )


def verdict(report: AttemptReport, stored: Job | None) -> str:
    if stored is None:
        return "stop"
    fence = report.key.fence
    if fence == stored.fence and stored.last_holder == ME:
        heard_of = stored.accepted is not None and stored.accepted.fence == fence
        taken_back = stored.cause_before == "unanswered" and not heard_of
        if taken_back and stored.state in ("queued", "paused") and not report.journalled:
            return "stop"
        return OF_MINE[str(stored.state)][report.journalled]
    if stored.accepted is None or (stored.accepted.holder, stored.accepted.fence) != (ME, fence):
        return "stop"
    if str(stored.state) == "leased" and report.journalled:
        return "keep"
    if str(stored.state) in ("queued", "paused") and stored.blocked_by is None:
        return OF_MINE["queued"][report.journalled]
    return "stop"


@given(world=worlds(), unseen=st.sets(st.sampled_from("pqrs")))
@settings(max_examples=500)
def test_verdicts_and_what_follows_for_the_store_are_those_of_the_table(world, unseen):
    jobs, listed = world
    unseen_keys = {AttemptKey(job_id, jobs[job_id].fence) for job_id in unseen if job_id in jobs}
    found = reconcile(holder=ME, listed=listed, jobs=jobs, unseen=unseen_keys)
    expected = {report.key: verdict(report, jobs.get(report.key.job_id)) for report in listed}
    assert {each.key: str(each.kind) for each in found.verdicts} == expected
    assert [each.key for each in found.verdicts] == [report.key for report in listed]

    mine = {
        AttemptKey(stored.job_id, stored.fence): str(stored.state)
        for stored in jobs.values()
        if stored.holder == ME
    }
    listed_keys = {report.key for report in listed}
    accepted = {key for key in listed_keys if mine.get(key) == "leased"}
    assert set(found.accepted) == accepted, "a listed offer was accepted"
    assert set(found.adopted) == {key for key, kind in expected.items() if kind == "adopt"}
    assert list(found.lost) == sorted(mine.keys() - listed_keys - unseen_keys)
    blocked = {
        AttemptKey(stored.job_id, stored.fence)
        for stored in jobs.values()
        if stored.blocked_by == ME
    }
    assert list(found.gone) == sorted(blocked - listed_keys - unseen_keys)


@given(world=worlds())
def test_what_is_kept_or_stopped_is_never_lost(world):
    jobs, listed = world
    found = reconcile(holder=ME, listed=listed, jobs=jobs)
    assert not {each.key for each in found.verdicts} & set(found.lost)


def test_a_worker_that_lists_all_it_holds_is_told_to_go_on_and_nothing_changes():
    held = job("p", "running", 2, ME)
    report = AttemptReport(key=AttemptKey("p", 2), phase=Phase.ENCODE)
    found = reconcile(holder=ME, listed=[report], jobs={"p": held})
    assert [str(each.kind) for each in found.verdicts] == ["keep"]
    assert (found.accepted, found.adopted, found.lost) == ((), (), ())


def test_what_runs_on_an_offer_that_was_taken_back_is_stopped():
    taken_back = job("p", "queued", 2, ME, taken_back=True)
    report = AttemptReport(key=AttemptKey("p", 2), phase=Phase.ENCODE)
    found = reconcile(holder=ME, listed=[report], jobs={"p": taken_back})
    assert [str(each.kind) for each in found.verdicts] == ["stop"]


def test_what_was_accepted_goes_on_when_a_newer_grant_came_back():
    for blocker, still_runs in ((None, "adopt"), (OTHERS[1], "stop")):
        came_back = job(
            "p", "queued", 3, OTHERS[1], blocker=blocker, taken_back=True, accepted=Accepted(ME, 1)
        )
        report = AttemptReport(key=AttemptKey("p", 1), phase=Phase.ENCODE)
        found = reconcile(holder=ME, listed=[report], jobs={"p": came_back})
        assert [str(each.kind) for each in found.verdicts] == [still_runs]


def test_a_journalled_result_waits_while_a_newer_grant_is_out():
    for journalled, kind in ((True, "keep"), (False, "stop")):
        offered = job("p", "leased", 3, OTHERS[1], accepted=Accepted(ME, 1))
        report = AttemptReport(key=AttemptKey("p", 1), phase=Phase.VERIFY, journalled=journalled)
        found = reconcile(holder=ME, listed=[report], jobs={"p": offered})
        assert [str(each.kind) for each in found.verdicts] == [kind]

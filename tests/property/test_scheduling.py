"""Which job goes to which worker: against a naive reading of the rules, and by invariants."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ffrtmp.domain.job import Holder, Job, JobState
from ffrtmp.domain.scheduling import MOST_CLASSES, Room, assign, beyond_limit, rank
from ffrtmp.domain.spec import Priority, Queue
from ffrtmp.domain.worker import Capabilities, Requirements, misfit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES = ("a", "b")
WORKERS = ("w1", "w2", "w3")


def job(number: int, *, rank: int, job_class: str, avoid: str) -> Job:
    return Job(
        job_id=f"j{number}",
        state=JobState.QUEUED,
        job_class=job_class,
        rank=rank,
        submit_at=NOW,
        eligible_at=NOW,
        changed_at=NOW,
        avoid=avoid,
    )


@st.composite
def queues(draw) -> list[Job]:
    count = draw(st.integers(0, 8))
    ranks = st.integers(1, 3)
    avoided = st.sampled_from(["", "", *WORKERS])
    return [
        job(n, rank=draw(ranks), job_class=draw(st.sampled_from(CLASSES)), avoid=draw(avoided))
        for n in range(count)
    ]


@st.composite
def fleets(draw) -> list[Room]:
    return [
        Room(
            holder=Holder(worker, "i"),
            free=draw(st.integers(0, 2)),
            classes=draw(st.frozensets(st.sampled_from(CLASSES))),
            excluded=draw(st.frozensets(st.sampled_from([f"j{n}" for n in range(8)]), max_size=3)),
        )
        for worker in draw(st.lists(st.sampled_from(WORKERS), unique=True))
    ]


def pairs(jobs: list[Job], rooms: list[Room]) -> list[tuple[str, str]]:
    return [(each.job.job_id, each.holder.worker) for each in assign(jobs, rooms)]


def fits(room: Room, waiting: Job) -> bool:
    return waiting.job_class in room.classes and waiting.job_id not in room.excluded


def wanted_by(waiting: Job, rooms: list[Room]) -> list[Room]:
    """The rooms a job would go to, full ones included: not the avoided one, if another is fit."""
    fit = [room for room in rooms if fits(room, waiting)]
    others = [room for room in fit if room.holder.worker != waiting.avoid]
    return others or fit


@given(jobs=queues(), rooms=fleets(), seed=st.integers(0, 99))
@settings(max_examples=400)
def test_every_choice_keeps_the_rules(jobs, rooms, seed):
    chosen = pairs(jobs, rooms)
    by_id = {each.job_id: each for each in jobs}
    by_name = {room.holder.worker: room for room in rooms}
    free = {room.holder.worker: room.free for room in rooms}

    assert len({job_id for job_id, _ in chosen}) == len(chosen), "a job goes to one worker"
    for job_id, worker in chosen:
        assert fits(by_name[worker], by_id[job_id]), "neither unfit nor excluded"
        assert by_name[worker] in wanted_by(by_id[job_id], rooms), "not where it failed"
        most = max(free[room.holder.worker] for room in wanted_by(by_id[job_id], rooms))
        assert free[worker] == most, "the emptiest worker takes it"
        free[worker] -= 1
    assert all(left >= 0 for left in free.values()), "never more than free slots"

    order = [(by_id[job_id].rank, job_id) for job_id, _ in chosen]
    assert order == sorted(order), "best rank first"
    for job_id in by_id.keys() - {job_id for job_id, _ in chosen}:
        for room in wanted_by(by_id[job_id], rooms):
            assert free[room.holder.worker] == 0, "none is idle while a job for it waits"

    mixed = random.Random(seed)
    shuffled_jobs, shuffled_rooms = list(jobs), list(rooms)
    mixed.shuffle(shuffled_jobs)
    mixed.shuffle(shuffled_rooms)
    assert pairs(shuffled_jobs, shuffled_rooms) == chosen, "whatever the order of jobs and rooms"


@given(jobs=queues(), rooms=fleets())
def test_a_job_is_never_passed_over_for_one_of_lower_rank(jobs, rooms):
    """Taking away everything that ranks lower changes nothing for a job."""
    chosen = dict(pairs(jobs, rooms))
    for each in jobs:
        ahead = [other for other in jobs if (other.rank, other.job_id) <= (each.rank, each.job_id)]
        assert dict(pairs(ahead, rooms)).get(each.job_id) == chosen.get(each.job_id)


LABELS = st.dictionaries(
    st.sampled_from(["zone", "gpu"]), st.sampled_from(["eu", "us"]), max_size=2
)


def asking(labels: dict[str, str]) -> Requirements:
    return Requirements(spec_version=1, codecs=frozenset(), roots=frozenset(), labels=labels)


@given(asked=st.lists(LABELS, max_size=6), fleet=st.lists(LABELS, max_size=4))
@settings(max_examples=400)
def test_a_job_goes_to_a_worker_that_has_all_its_labels_and_to_no_other(asked, fleet):
    """From what jobs ask for and workers report, by classes, to the choice."""
    classes = {needs.job_class: needs for needs in map(asking, asked)}
    jobs = [
        job(n, rank=1, job_class=asking(labels).job_class, avoid="")
        for n, labels in enumerate(asked)
    ]
    rooms = []
    for n, has in enumerate(fleet):
        can = Capabilities(spec_version=1, ffmpeg_version="", codecs=frozenset(), labels=has)
        fit = frozenset(name for name, needs in classes.items() if not misfit(needs, can, {}))
        rooms.append(Room(holder=Holder(f"w{n}", "i"), free=len(asked), classes=fit))
    given_to = dict(pairs(jobs, rooms))
    for n, labels in enumerate(asked):
        able = {f"w{m}" for m, has in enumerate(fleet) if set(labels.items()) <= set(has.items())}
        assert (given_to.get(f"j{n}") in able) == bool(able)
        assert bool(able) or f"j{n}" not in given_to


@given(first=LABELS, second=LABELS, turned=st.booleans())
def test_jobs_are_of_one_class_when_they_ask_for_the_same_labels_in_any_order(
    first, second, turned
):
    other = dict(reversed(second.items())) if turned else second
    same = sorted(first.items()) == sorted(second.items())
    assert (asking(first).job_class == asking(other).job_class) == same


@given(
    alive=st.integers(MOST_CLASSES - 3, MOST_CLASSES),
    wanted=st.lists(st.sampled_from(["c0", "c1", "new1", "new2", "new3", "new4"]), max_size=8),
)
def test_a_thousand_classes_are_alive_at_most_and_those_that_are_take_more_jobs(alive, wanted):
    live = {f"c{n}" for n in range(alive)}
    taken, refused = set(live), set()
    for each in wanted:
        if each in taken or len(taken) < 1000:
            taken.add(each)
        else:
            refused.add(each)
    assert beyond_limit(wanted, live) == refused


def test_a_job_waits_for_a_busy_worker_rather_than_go_back_where_it_failed():
    failed = job(1, rank=1, job_class="a", avoid="w1")
    everything = frozenset({"a"})
    there = Room(holder=Holder("w1", "i"), free=2, classes=everything)
    busy = Room(holder=Holder("w2", "i"), free=0, classes=everything)
    assert pairs([failed], [there, busy]) == []
    assert pairs([failed], [there]) == [("j1", "w1")]


HOURS = {
    Queue.LIVE: 24,
    Queue.DEFAULT: 0,
    Queue.BATCH: -6,
    Priority.HIGH: 1,
    Priority.NORMAL: 0,
    Priority.LOW: -1,
}
moments = st.integers(0, 10**6).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(
    first=st.tuples(moments, st.sampled_from(Queue), st.sampled_from(Priority)),
    second=st.tuples(moments, st.sampled_from(Queue), st.sampled_from(Priority)),
)
def test_rank_orders_by_submit_time_less_the_head_starts(first, second):
    """So nothing starves: after the difference of the head starts every newcomer stands behind."""

    def due(submit_at: datetime, queue: Queue, priority: Priority) -> datetime:
        return submit_at - timedelta(hours=HOURS[queue] + HOURS[priority])

    def ranked(submit_at: datetime, queue: Queue, priority: Priority) -> int:
        return rank(submit_at=submit_at, queue=queue, priority=priority)

    assert (ranked(*first) < ranked(*second)) == (due(*first) < due(*second))
    apart = (due(*second) - due(*first)) / timedelta(microseconds=1)
    assert ranked(*second) - ranked(*first) == apart

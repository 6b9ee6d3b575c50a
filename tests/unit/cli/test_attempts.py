"""People count attempts from 1, whatever offers came back in between."""

from ffrtmp.cli.attempts import Attempts
from ffrtmp.cli.follow import event_line
from ffrtmp.domain.job import Cause
from ffrtmp.rpc.enums import CAUSES
from ffrtmp.v1.job_pb2 import JobEvent


def history(*steps: tuple[Cause, int]) -> list[JobEvent]:
    return [JobEvent(cause=CAUSES.to_wire(cause), fence=fence) for cause, fence in steps]


def test_an_offer_that_came_back_is_no_attempt():
    attempts = Attempts.of(
        history(
            (Cause.SUBMITTED, 0),
            (Cause.GRANTED, 1),
            (Cause.REJECTED, 1),
            (Cause.GRANTED, 2),
            (Cause.ACCEPTED, 2),
            (Cause.LOST, 2),
            (Cause.GRANTED, 3),
            (Cause.UNANSWERED, 3),
            (Cause.GRANTED, 4),
            (Cause.ACCEPTED, 4),
            (Cause.STAGED, 4),
        )
    )
    assert len(attempts) == 2
    assert [attempts.number(fence) for fence in range(5)] == [None, None, 1, None, 2]
    assert [attempts.fence(number) for number in (1, 2, 3)] == [2, 4, None]
    assert (attempts.name(4), attempts.name(3)) == ("attempt 2", "an offer")


def test_an_attempt_whose_acceptance_was_lost_on_its_way_is_one():
    attempts = Attempts.of(history((Cause.GRANTED, 1), (Cause.UNANSWERED, 1), (Cause.STAGED, 1)))
    assert attempts.number(1) == 1


def test_an_attempt_that_was_handed_back_is_one_though_its_acceptance_was_lost():
    attempts = Attempts.of(
        history(
            (Cause.GRANTED, 1),
            (Cause.UNANSWERED, 1),
            (Cause.RETURNED, 1),
            (Cause.GRANTED, 2),
            (Cause.ACCEPTED, 2),
        )
    )
    assert [attempts.number(fence) for fence in (1, 2)] == [1, 2]


def test_where_the_history_is_gone_a_grant_is_called_by_its_fence():
    assert Attempts({}, are_known=False).name(7) == "fence 7"
    assert Attempts({}).name(7) == "an offer"


def test_the_history_of_a_job_says_which_attempt_begins():
    events = history((Cause.GRANTED, 2), (Cause.ACCEPTED, 2), (Cause.STAGED, 2))
    lines = [event_line(each, Attempts.of(events)) for each in events]
    assert [", attempt 1)" in line for line in lines] == [False, True, False]
    assert "attempt" not in event_line(events[1])  # where not all of it is known

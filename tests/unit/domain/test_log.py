"""Lines of a log: numbered, so that what comes twice counts once, and never too many."""

from hypothesis import given
from hypothesis import strategies as st

from ffrtmp.domain.log import KEPT_LINES, Lines, LogRing


def lines(first: int, last: int) -> Lines:
    return Lines(first, tuple(str(number) for number in range(first, last + 1)))


def test_what_comes_twice_counts_once():
    assert lines(1, 5).followed_by(lines(3, 8)) == lines(1, 8)
    assert lines(1, 5).followed_by(lines(2, 4)) == lines(1, 5)
    assert Lines().followed_by(lines(1, 2)) == lines(1, 2)


def test_behind_a_gap_the_older_lines_are_given_up():
    assert lines(1, 5).followed_by(lines(7, 8)) == lines(7, 8)


def test_a_reader_gets_what_is_beyond_its_number():
    assert lines(4, 9).after(6) == lines(7, 9)
    assert lines(4, 9).after(0) == lines(4, 9)
    assert lines(4, 9).after(9).texts == lines(4, 9).after(50).texts == ()


@given(parts=st.lists(st.tuples(st.integers(1, 900), st.integers(0, 300)), max_size=6))
def test_never_more_than_are_kept_and_always_the_newest(parts):
    found = Lines()
    for first, count in parts:
        found = found.followed_by(lines(first, first + count - 1))
    assert len(found.texts) <= KEPT_LINES
    assert found == lines(found.first, found.last)
    assert found.last == max([first + count - 1 for first, count in parts if count], default=0)


def test_a_ring_keeps_the_newest_and_gives_them_out_in_portions():
    ring = LogRing()
    assert ring.after(0, 99) == Lines()
    for number in range(1, 501):
        ring.write(str(number))
    assert ring.last == 500
    assert ring.after(0, 10_000) == lines(301, 500)
    assert ring.after(0, 9) == lines(301, 303)
    assert ring.after(498, 1) == lines(499, 499)
    assert ring.after(500, 99).texts == ()

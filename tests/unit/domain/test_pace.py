"""How fast a peer may talk."""

from ffrtmp.domain.pace import Pace


def test_a_burst_is_allowed_and_then_only_the_steady_rate():
    pace = Pace(a_second=8, at_once=3)
    assert [pace.allows(100.0) for _ in range(4)] == [True, True, True, False]
    assert [pace.allows(100.125) for _ in range(2)] == [True, False]
    assert [pace.allows(200.0) for _ in range(4)] == [True, True, True, False]

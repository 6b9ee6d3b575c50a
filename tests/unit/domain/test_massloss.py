"""Many workers lost at once are nobody's fault; their jobs come back slowly."""

from datetime import timedelta

from ffrtmp.domain.massloss import MassLoss

TTL = timedelta(seconds=15)


def test_three_or_more_at_once_and_over_thirty_percent_of_the_fleet_are_a_mass_loss():
    assert MassLoss(TTL).note(4, failing=0, fleet=10, at=100)
    assert MassLoss(TTL).note(3, failing=0, fleet=9, at=100)
    assert not MassLoss(TTL).note(3, failing=0, fleet=10, at=100)  # not more than 30 %
    assert not MassLoss(TTL).note(2, failing=0, fleet=2, at=100)  # fewer than three


def test_those_about_to_be_lost_count_so_that_the_first_is_not_charged():
    assert MassLoss(TTL).note(1, failing=4, fleet=10, at=100)


def test_only_losses_within_five_seconds_count_together():
    mass = MassLoss(TTL)
    assert not mass.note(2, failing=0, fleet=10, at=100)
    assert mass.note(2, failing=0, fleet=8, at=105)
    mass = MassLoss(TTL)
    assert not mass.note(2, failing=0, fleet=10, at=100)
    assert not mass.note(2, failing=0, fleet=8, at=105.1)


def test_it_lasts_until_thirty_seconds_without_a_further_loss():
    mass = MassLoss(TTL)
    mass.note(5, failing=0, fleet=10, at=100)
    assert mass.is_on(129.9)
    assert mass.note(1, failing=0, fleet=100, at=129)
    assert mass.is_on(158.9)
    assert not mass.is_on(159)


def test_five_jobs_a_second_come_back():
    mass = MassLoss(TTL)
    assert sum(mass.returns(100 + second / 10) for second in range(101)) == 5 + 50
    assert mass.returns(1000) == 5


def test_the_spans_are_those_of_the_documentation_at_the_default_lease():
    mass = MassLoss(TTL)
    assert (mass.at_once, mass.fleet_within) == (5, 60)

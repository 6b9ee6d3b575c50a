"""What stays with a worker's name: drain, losses, quarantine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ffrtmp.domain import standing as rules
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.standing import MOST_LOSSES, Loss, Standing

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def loss(number: int, seconds: float) -> Loss:
    return Loss(AttemptKey(f"J{number}", 1), "i1", at(seconds), "no heartbeat")


def after(*seconds: float, start: Standing | None = None) -> Standing:
    """A standing after a loss at each of these times."""
    standing = start or Standing()
    for number, second in enumerate(seconds):
        standing = rules.note_losses(standing, [loss(number, second)], now=at(second))
    return standing


def test_released_it_is_forgiven_and_its_drain_is_not():
    guilty = Standing(draining=True, quarantines=2, quarantined_until=NOON)
    assert rules.release(guilty) == Standing(draining=True)
    assert rules.release(Standing(quarantines=1, quarantined_until=NOON)) == Standing()


def test_three_deaths_in_ten_minutes_are_a_minute_of_quarantine():
    assert after(0, 100).quarantined_until is None
    standing = after(0, 100, 599)
    assert standing.quarantined_until == at(659)
    assert standing.is_quarantined(at(658))
    assert not standing.is_quarantined(at(659))
    assert [each.key.job_id for each in standing.losses] == ["J0", "J1", "J2"]


def test_losses_older_than_ten_minutes_do_not_count():
    standing = after(0, 100, 600)
    assert standing.quarantined_until is None
    assert len(standing.losses) == 2


def test_attempts_lost_together_are_one_death():
    together = [loss(number, 0) for number in range(8)]
    standing = rules.note_losses(Standing(), together, now=NOON)
    assert (len(standing.losses), standing.quarantined_until) == (8, None)
    standing = rules.note_losses(standing, [loss(8, 20)], now=at(20))
    assert standing.quarantined_until is None
    assert after(40, start=standing).quarantined_until == at(100)


def test_each_incarnation_that_is_lost_is_a_death_however_soon_it_follows():
    losses = [replace(loss(number, number), incarnation=f"i{number}") for number in range(3)]
    standing = rules.note_losses(Standing(), losses, now=at(3))
    assert standing.quarantined_until == at(63)


def test_each_quarantine_is_twice_as_long_up_to_half_an_hour():
    standing, second, lengths = after(0, 10), 20, []
    while len(lengths) < 7:
        standing = after(second, start=standing)
        if standing.is_quarantined(at(second)):
            minutes, rest = divmod(standing.quarantined_until - at(second), timedelta(minutes=1))
            assert not rest
            lengths.append(minutes)
            second += 60 * minutes
        second += 10
    assert lengths == [1, 2, 4, 8, 16, 30, 30]


def test_after_a_calm_hour_the_next_quarantine_is_a_first_one():
    standing = after(0, 10, 20)
    second = 80 + 3600
    standing = after(second, second + 10, second + 20, start=standing)
    assert (standing.quarantines, standing.quarantined_until) == (1, at(second + 80))


def test_what_was_no_loss_after_all_is_forgiven_and_lifts_the_quarantine():
    standing = rules.forgive(after(0, 10, 20), [AttemptKey("J1", 1)], now=at(30))
    assert (len(standing.losses), standing.quarantined_until, standing.quarantines) == (2, None, 0)
    assert rules.forgive(standing, [AttemptKey("other", 1)], now=at(30)) is standing


def test_drain_and_resume_are_idempotent_and_resume_forgets():
    drained = rules.drain(after(0, 10, 20))
    assert drained.draining
    assert rules.drain(drained) is drained
    resumed = rules.resume(drained)
    assert resumed == Standing()
    assert rules.resume(resumed) is resumed


def test_the_evidence_is_bounded():
    many = [loss(number, number / 10) for number in range(5 * MOST_LOSSES)]
    assert len(rules.note_losses(Standing(), many, now=at(60)).losses) == MOST_LOSSES

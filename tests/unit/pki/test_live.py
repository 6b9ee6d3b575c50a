"""New files in an identity's folder are taken when they are good, and only then."""

import logging
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ffrtmp.clock import utc_now
from ffrtmp.domain.identity import Role
from ffrtmp.pki import authority
from ffrtmp.pki.live import LiveIdentity

NOW = datetime(2020, 11, 24, 12, tzinfo=UTC)
"""Long before any file of a test was changed: as if each had been changed just now."""
DAY = timedelta(days=1)


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    authority.init(tmp_path / "ca", now=NOW)
    return tmp_path / "ca"


@pytest.fixture
def folder(ca: Path) -> Path:
    return authority.issue(ca, "worker", "w1", now=NOW, lifetime=30 * DAY)


@pytest.fixture
def live(folder: Path) -> LiveIdentity:
    return LiveIdentity.load(folder, now=NOW, roles={Role.WORKER})


def renew(ca: Path, days: int = 60) -> None:
    authority.issue(ca, "worker", "w1", now=NOW, lifetime=days * DAY, renew=True)


def look_twice(live: LiveIdentity) -> None:
    live.look(NOW)
    live.look(NOW)


def test_a_renewed_certificate_is_taken_once_its_files_are_left_alone(ca, live):
    old = live.current
    renew(ca)
    live.look(NOW)
    assert live.current is old
    live.look(NOW)
    assert live.current.not_after == NOW + 60 * DAY
    assert live.current.key_pem != old.key_pem


def test_files_that_were_left_alone_for_long_are_taken_at_the_first_look(ca, live):
    """As of a client that seldom calls."""
    renew(ca, days=3650)
    live.look(utc_now() + timedelta(seconds=10))
    assert live.current.not_after == NOW + timedelta(days=3650)


def test_what_has_not_changed_stays_the_same_object(live, folder):
    old = live.current
    look_twice(live)
    (folder / "tls.pem").touch()
    look_twice(live)
    assert live.current is old


def test_what_was_refused_is_taken_once_it_is_mended_as_the_log_says(ca, live, folder):
    renew(ca)
    (folder / "tls.key").chmod(0o644)
    look_twice(live)
    (folder / "tls.key").chmod(0o600)
    look_twice(live)
    assert live.current.not_after == NOW + 60 * DAY


@pytest.mark.parametrize(
    ("breaking", "sentence"),
    [
        (lambda folder: (folder / "tls.pem").write_text("nonsense"), "is not a PEM certificate"),
        (lambda folder: (folder / "tls.key").unlink(), "is missing"),
        (lambda folder: (folder / "tls.key").chmod(0o666), "is open to other users"),
        (shutil.rmtree, "there is no folder"),
    ],
    ids=["nonsense", "missing", "open", "gone"],
)
def test_broken_files_are_refused_once_and_the_old_ones_kept(
    live, folder, breaking, sentence, caplog
):
    old = live.current
    breaking(folder)
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            live.look(NOW)
    assert live.current is old
    [record] = caplog.records
    assert "the old one is" in record.getMessage()
    assert sentence in record.getMessage()


def test_a_key_that_is_not_of_the_certificate_is_refused_until_it_is(ca, live, folder, caplog):
    old = live.current
    other = authority.issue(ca, "worker", "w2", now=NOW)
    shutil.copy(other / "tls.key", folder / "tls.key")
    look_twice(live)
    assert live.current is old
    assert "is not the key of" in caplog.text
    renew(ca)
    look_twice(live)
    assert live.current is not old


def test_the_certificate_of_somebody_else_is_refused(ca, live, folder, caplog):
    other = authority.issue(ca, "worker", "w2", now=NOW)
    for name in ("tls.pem", "tls.key"):
        shutil.copy(other / name, folder / name)
    look_twice(live)
    assert live.current.name == "w1"
    assert "worker/w2 of cluster ffrtmp now" in caplog.text


def test_an_ended_one_is_refused(ca, live, caplog):
    renew(ca, days=1)
    live.look(NOW)
    live.look(NOW + 2 * DAY)
    assert live.current.not_after == NOW + 30 * DAY
    assert "ended on" in caplog.text


def test_news_are_told_once_to_each_who_asks(ca, live):
    first, second = live.news(), live.news()
    assert first() is None
    renew(ca)
    look_twice(live)
    assert first() is second() is live.current
    assert first() is second() is None

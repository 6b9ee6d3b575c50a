"""A new CA follows the old one, step by step; at each of them everybody trusts everybody."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ffrtmp.domain.identity import Role
from ffrtmp.pki import authority, rollover
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.identity import load_identity
from ffrtmp.pki.live import LiveIdentity

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=3000)


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    folder = tmp_path / "ca"
    authority.init(folder, now=NOW)
    authority.issue(folder, "master", "m1", now=LATER, hosts=["10.0.0.5"])
    authority.issue(folder, "worker", "w1", now=LATER)
    return folder


def folders(ca: Path) -> list[Path]:
    return [ca / "master-m1", ca / "worker-w1"]


def trusted(folder: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())


def authority_of_another(folder: Path) -> bytes:
    """A certificate of nobody: it is a CA's."""
    authority.init(folder, now=NOW)
    return (folder / "ca.pem").read_bytes()


def signer(folder: Path) -> bytes:
    return load_identity(folder, now=LATER).certificate_pem


def test_a_new_ca_follows_the_old_one(ca):
    [old] = trusted(ca)
    before = [signer(folder) for folder in folders(ca)]
    assert rollover.begin(ca, now=LATER) == folders(ca)
    _, new = trusted(ca)
    assert [trusted(folder) for folder in folders(ca)] == [[old, new]] * 2
    assert [signer(folder) for folder in folders(ca)] == before
    assert (ca / "ca-next.key").stat().st_mode & 0o777 == 0o600

    assert rollover.issue_anew(ca, now=LATER) == folders(ca)
    assert [trusted(folder) for folder in folders(ca)] == [[old, new]] * 2
    assert not (ca / "ca-next.key").exists()
    for folder in folders(ca):
        made = x509.load_pem_x509_certificate((folder / "tls.pem").read_bytes())
        made.verify_directly_issued_by(new)
    master = load_identity(ca / "master-m1", now=LATER)
    assert "10.0.0.5" in master.hosts
    assert master.not_after == LATER + timedelta(days=365)

    assert rollover.finish(ca) == folders(ca)
    assert trusted(ca) == trusted(ca / "master-m1") == trusted(ca / "worker-w1") == [new]
    assert load_identity(authority.issue(ca, "client", "c", now=LATER), now=LATER)


def test_what_is_issued_between_two_steps_trusts_both_and_the_new_ca_outlives_the_old(ca):
    rollover.begin(ca, now=LATER)
    early = authority.issue(ca, "client", "a", now=LATER)
    assert len(trusted(early)) == 2
    far = timedelta(days=3600)
    with pytest.raises(PkiError, match="is not possible"):
        authority.issue(ca, "client", "b", now=LATER, lifetime=far)
    assert early in rollover.issue_anew(ca, now=LATER)
    late = authority.issue(ca, "client", "b", now=LATER, lifetime=far)
    assert len(trusted(late)) == 2
    assert rollover.issue_anew(ca, now=LATER) == sorted([*folders(ca), early, late])


def test_each_step_may_be_repeated(ca):
    for _ in range(2):
        rollover.begin(ca, now=LATER)
        assert len(trusted(ca)) == 2
    shown = [rollover.issue_anew(ca, now=LATER) for _ in range(2)]
    assert shown == [folders(ca)] * 2
    for _ in range(2):
        assert rollover.finish(ca) == folders(ca)


def test_steps_out_of_order_are_refused_with_the_next_one(ca):
    with pytest.raises(PkiError, match="it is begin, `ffrtmp certs roll "):
        rollover.issue_anew(ca, now=LATER)
    rollover.begin(ca, now=LATER)
    with pytest.raises(PkiError, match="it is issue"):
        rollover.finish(ca)
    rollover.issue_anew(ca, now=LATER)
    with pytest.raises(PkiError, match="it is finish"):
        rollover.begin(ca, now=LATER)


def test_the_old_ca_stays_as_long_as_somebody_has_its_certificate(ca):
    copy = (ca / "worker-w1" / "tls.pem").read_bytes(), (ca / "worker-w1" / "tls.key").read_bytes()
    rollover.begin(ca, now=LATER)
    rollover.issue_anew(ca, now=LATER)
    for name, content in zip(("tls.pem", "tls.key"), copy, strict=True):
        (ca / "worker-w1" / name).write_bytes(content)  # as if the step had been cut short
    with pytest.raises(PkiError, match="worker-w1: still of the old CA"):
        rollover.finish(ca)
    kept = signer(ca / "master-m1")
    assert rollover.issue_anew(ca, now=LATER) == folders(ca)
    assert signer(ca / "master-m1") == kept
    rollover.finish(ca)


def test_nothing_is_issued_while_a_folder_is_of_no_member(ca):
    rollover.begin(ca, now=LATER)
    before = [signer(folder) for folder in folders(ca)]
    stray = ca / "of-nobody"
    stray.mkdir()
    (stray / "tls.pem").write_bytes(authority_of_another(ca.parent / "other"))
    with pytest.raises(PkiError, match="of-nobody does not name a member"):
        rollover.issue_anew(ca, now=LATER)
    assert [signer(folder) for folder in folders(ca)] == before
    (stray / "tls.pem").unlink()
    assert rollover.issue_anew(ca, now=LATER) == folders(ca)


@pytest.mark.parametrize("crash", ["key only", "key and bundle"])
def test_a_begin_that_was_cut_short_is_made_good_by_the_next(ca, crash):
    before = (ca / "ca.pem").read_bytes()
    rollover.begin(ca, now=LATER)
    (ca / "worker-w1" / "ca.pem").write_bytes(before)
    if crash == "key only":
        (ca / "ca.pem").write_bytes(before)
    rollover.begin(ca, now=LATER)
    assert trusted(ca / "worker-w1") == trusted(ca)
    assert len(trusted(ca)) == 2
    rollover.issue_anew(ca, now=LATER)
    rollover.finish(ca)


def test_a_running_process_takes_the_second_ca_and_says_how_many_it_trusts(ca, caplog):
    caplog.set_level(logging.INFO)
    live = LiveIdentity.load(ca / "worker-w1", now=LATER, roles={Role.WORKER})
    assert live.current.ca_pem.count(b"BEGIN CERTIFICATE") == 1
    rollover.begin(ca, now=LATER)
    live.look(LATER)
    live.look(LATER)
    assert live.current.ca_pem.count(b"BEGIN CERTIFICATE") == 2
    assert caplog.text.count("CAs trusted: 2") == 1

"""An identity folder is read with care: each thing that can be wrong with it has a sentence."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from ffrtmp.domain.identity import Peer, Role
from ffrtmp.pki import authority
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.identity import inspect, load_identity

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    authority.init(tmp_path / "ca", now=NOW)
    return tmp_path / "ca"


@pytest.fixture
def worker(ca: Path) -> Path:
    return authority.issue(ca, "worker", "w1", now=NOW, lifetime=30 * DAY)


def test_an_identity_knows_who_it_is_and_until_when(worker):
    identity = load_identity(worker, now=NOW)
    assert identity.peer == Peer("ffrtmp", Role.WORKER, "w1")
    assert (identity.cluster, identity.role, identity.name) == ("ffrtmp", Role.WORKER, "w1")
    assert identity.not_before <= NOW < identity.not_after == NOW + 30 * DAY
    assert identity.key_pem == (worker / "tls.key").read_bytes()


def test_a_key_does_not_show_in_a_log(worker):
    assert "PRIVATE" not in repr(load_identity(worker, now=NOW))


def test_a_copy_of_the_folder_is_all_that_is_needed(worker, tmp_path):
    shutil.copytree(worker, tmp_path / "elsewhere")
    assert load_identity(tmp_path / "elsewhere", now=NOW).name == "w1"


def test_the_folder_of_the_ca_is_refused_and_its_identities_are_listed(ca, worker):
    authority.issue(ca, "client", "ann", now=NOW)
    with pytest.raises(PkiError) as refused:
        load_identity(ca, now=NOW)
    assert str(ca / "client-ann") in str(refused.value)
    assert str(worker) in str(refused.value)


def test_the_folder_of_an_empty_ca_is_refused_with_the_next_step(ca):
    with pytest.raises(PkiError, match="no identities yet; make one with `ffrtmp certs issue"):
        load_identity(ca, now=NOW)


@pytest.mark.parametrize("name", ["ca.pem", "tls.pem", "tls.key"])
def test_a_missing_file_is_named(worker, name):
    (worker / name).unlink()
    with pytest.raises(PkiError, match=rf"{name} is missing: .*`ffrtmp certs issue`"):
        load_identity(worker, now=NOW)


@pytest.mark.parametrize("name", ["ca.pem", "tls.pem", "tls.key"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00nonsense", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_file_of_nonsense_is_named(worker, name, content):
    (worker / name).write_bytes(content)
    with pytest.raises(PkiError, match=rf"{name} is not a PEM .*: issue it again"):
        load_identity(worker, now=NOW)


def test_a_key_of_another_kind_is_refused(worker):
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (worker / "tls.key").write_bytes(other)
    with pytest.raises(PkiError, match=r"tls\.key is not an elliptic-curve key"):
        load_identity(worker, now=NOW)


def test_the_key_of_another_certificate_is_refused(ca, worker):
    other = authority.issue(ca, "worker", "w2", now=NOW)
    shutil.copy(other / "tls.key", worker / "tls.key")
    with pytest.raises(PkiError, match=r"tls\.key is not the key of .*tls\.pem"):
        load_identity(worker, now=NOW)


def test_a_certificate_of_another_ca_is_refused(worker, tmp_path):
    authority.init(tmp_path / "other", now=NOW)
    shutil.copy(tmp_path / "other" / "ca.pem", worker / "ca.pem")
    with pytest.raises(PkiError, match=r"tls\.pem was not signed by .*ca\.pem"):
        load_identity(worker, now=NOW)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660])
def test_a_key_open_to_others_is_refused_with_the_cure(worker, mode):
    (worker / "tls.key").chmod(mode)
    with pytest.raises(PkiError, match=r"run `chmod 600 .*tls\.key`"):
        load_identity(worker, now=NOW)


def test_a_key_may_be_read_by_its_group_as_mounted_secrets_are(worker):
    (worker / "tls.key").chmod(0o440)
    assert load_identity(worker, now=NOW).name == "w1"


def test_a_certificate_ends_on_the_second(worker):
    load_identity(worker, now=NOW + 30 * DAY - timedelta(seconds=1))
    with pytest.raises(PkiError, match=r"ended on 2026-12-24: renew it .*renew DIR worker-w1"):
        load_identity(worker, now=NOW + 30 * DAY)


def test_a_fresh_certificate_works_on_a_machine_whose_clock_is_a_little_behind(worker):
    load_identity(worker, now=NOW - timedelta(minutes=5))
    with pytest.raises(PkiError, match=r"not valid before 2026-11-24 12:00 UTC: check .* clock"):
        load_identity(worker, now=NOW - timedelta(minutes=6))


def test_a_certificate_for_other_work_is_refused(worker):
    with pytest.raises(PkiError) as refused:
        load_identity(worker, now=NOW, roles=frozenset({Role.MASTER}))
    assert "certificate of worker 'w1', and this needs the role master" in str(refused.value)
    assert "`ffrtmp certs issue DIR master NAME`" in str(refused.value)


def test_a_certificate_that_names_nobody_is_refused(ca, worker):
    for name in ("pem", "key"):
        shutil.copy(ca / f"ca.{name}", worker / f"tls.{name}")
    with pytest.raises(PkiError, match="does not name a member of a cluster"):
        load_identity(worker, now=NOW)


def test_a_folder_that_does_not_exist_is_explained(tmp_path):
    with pytest.raises(PkiError, match=r"there is no folder .*nowhere: name one made by"):
        load_identity(tmp_path / "nowhere", now=NOW)
    with pytest.raises(PkiError, match=r"there is no folder .*nowhere"):
        inspect(tmp_path / "nowhere", now=NOW)


def test_a_folder_that_cannot_be_looked_at_is_explained(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(PkiError, match=r"cannot look at .*loop: .*; run this as the user"):
        load_identity(tmp_path / "loop", now=NOW)


def test_a_file_that_cannot_be_read_is_explained(worker):
    (worker / "tls.pem").unlink()
    (worker / "tls.pem").mkdir()
    with pytest.raises(PkiError, match=r"cannot read .*tls\.pem: Is a directory"):
        load_identity(worker, now=NOW)


def test_inspect_lists_good_and_bad_identities(ca, worker):
    old = authority.issue(ca, "client", "old", now=NOW, lifetime=DAY)
    broken = authority.issue(ca, "admin", "b", now=NOW)
    (broken / "tls.pem").write_text("nonsense")

    listed = {each.folder: each for each in inspect(ca, now=NOW + 2 * DAY)}
    assert set(listed) == {worker, old, broken}
    assert listed[worker].problem == ""
    assert listed[worker].not_after == NOW + 30 * DAY
    assert "ended on 2026-11-25" in listed[old].problem
    assert listed[old].peer == Peer("ffrtmp", Role.CLIENT, "old")
    assert "is not a PEM certificate" in listed[broken].problem
    assert listed[broken].peer is None


def test_inspect_shows_an_identity_folder_by_itself(worker):
    [listed] = inspect(worker, now=NOW)
    assert (listed.folder, listed.problem) == (worker, "")

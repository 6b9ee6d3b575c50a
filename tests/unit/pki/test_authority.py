"""A certificate authority: what it makes, and what it refuses to make."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ffrtmp.domain.identity import Role
from ffrtmp.pki import authority
from ffrtmp.pki.errors import PkiError
from ffrtmp.pki.identity import load_identity

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    authority.init(tmp_path / "ca", now=NOW)
    return tmp_path / "ca"


def certificate_in(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "tls.pem").read_bytes())


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o077])
@pytest.mark.requirement("P9")
def test_keys_are_private_whatever_the_umask_is(tmp_path, umask):
    before = os.umask(umask)
    try:
        authority.init(tmp_path / "ca", now=NOW)
        worker = authority.issue(tmp_path / "ca", "worker", "w1", now=NOW)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "ca") == mode_of(worker) == 0o700
    assert mode_of(tmp_path / "ca" / "ca.key") == mode_of(worker / "tls.key") == 0o600


def test_an_identity_folder_holds_what_a_machine_needs_and_not_the_key_of_the_ca(ca):
    folder = authority.issue(ca, "worker", "w1", now=NOW)
    assert folder == ca / "worker-w1"
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "tls.pem", "tls.key"}
    assert (ca / "ca.key").read_bytes() not in everything_below(folder).values()


def test_the_ca_signs_members_and_no_further_authorities(ca):
    certificate = x509.load_pem_x509_certificate((ca / "ca.pem").read_bytes())
    limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert limits.ca
    assert limits.path_length == 0
    assert certificate.not_valid_after_utc - NOW > timedelta(days=3649)


@pytest.mark.parametrize("role", list(Role))
def test_only_a_master_may_serve(ca, role):
    extensions = certificate_in(authority.issue(ca, role, "n", now=NOW)).extensions
    usages = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert ExtendedKeyUsageOID.CLIENT_AUTH in usages
    assert (ExtendedKeyUsageOID.SERVER_AUTH in usages) is (role is Role.MASTER)
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert bool(names.get_values_for_type(x509.DNSName)) is (role is Role.MASTER)


def test_a_certificate_names_cluster_role_and_name_in_its_one_uri(tmp_path):
    authority.init(tmp_path, "studio", now=NOW)
    certificate = certificate_in(authority.issue(tmp_path, "admin", "ann", now=NOW))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://studio/admin/ann"]


def test_a_master_is_named_by_this_machine_and_by_the_hosts_it_is_given(ca):
    given = ("Master.Example.org", "10.0.0.5", "fd00::5", "*.farm.example.org", "localhost")
    folder = authority.issue(ca, "master", "m1", now=NOW, hosts=given)
    hosts = load_identity(folder, now=NOW).hosts
    assert {"localhost", "127.0.0.1", "::1", "master.example.org", "10.0.0.5"} < set(hosts)
    assert {"fd00::5", "*.farm.example.org"} < set(hosts)
    assert len(hosts) == len(set(hosts))


def test_a_second_init_keeps_the_first_ca(ca):
    before = everything_below(ca)
    with pytest.raises(PkiError, match=r"ca\.key exists: .*choose another folder"):
        authority.init(ca, now=NOW)
    assert everything_below(ca) == before


def test_init_keeps_a_lone_certificate_whose_key_lies_elsewhere(tmp_path):
    (tmp_path / "ca.pem").write_text("kept")
    with pytest.raises(PkiError, match=r"ca\.pem exists"):
        authority.init(tmp_path, now=NOW)
    assert everything_below(tmp_path) == {str(tmp_path / "ca.pem"): b"kept"}


def test_init_takes_a_folder_that_holds_other_files(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    authority.init(tmp_path, now=NOW)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "ca.key", "ca.pem"}


def test_an_identity_that_exists_is_replaced_only_when_asked(ca):
    folder = authority.issue(ca, "worker", "w1", now=NOW)
    before = everything_below(folder)
    with pytest.raises(PkiError, match=r"worker-w1 exists: .* --renew"):
        authority.issue(ca, "worker", "w1", now=NOW)
    assert everything_below(folder) == before

    authority.issue(ca, "worker", "w1", now=NOW + timedelta(days=300), renew=True)
    assert load_identity(folder, now=NOW + timedelta(days=600)).name == "w1"
    assert (folder / "tls.key").read_bytes() != before[str(folder / "tls.key")]
    assert {path.name for path in ca.iterdir()} == {"ca.key", "ca.pem", "worker-w1"}


def test_a_renewal_that_fails_leaves_the_old_identity_and_nothing_else(ca, monkeypatch):
    folder = authority.issue(ca, "worker", "w1", now=NOW)
    before = everything_below(ca)
    rename = Path.rename

    def full_disk(source: Path, target: Path) -> Path:
        if target == folder and ".new-" in source.name:
            raise OSError(28, "No space left on device")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", full_disk)
    with pytest.raises(PkiError, match="worker-w1: No space left on device"):
        authority.issue(ca, "worker", "w1", now=NOW, renew=True)
    assert everything_below(ca) == before


def test_init_that_cannot_write_the_certificate_leaves_no_key(tmp_path, monkeypatch):
    link = os.link

    def full_disk(source, target, **options):
        if Path(target).name == "ca.pem":
            raise OSError(28, "No space left on device")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", full_disk)
    with pytest.raises(PkiError, match=r"cannot write the CA to .*: No space left"):
        authority.init(tmp_path / "ca", now=NOW)
    assert everything_below(tmp_path) == {}


@pytest.mark.parametrize(
    ("role", "name", "options", "sentence"),
    [
        ("wroker", "w1", {}, r"unknown role 'wroker': .*worker.*; did you mean 'worker'\?"),
        ("king", "w1", {}, r"unknown role 'king': the roles are master, worker, client, admin"),
        ("worker", "W1", {}, r"worker name 'W1' is not valid: use 1 to 63 lower-case"),
        ("worker", "", {}, r"worker name '' is not valid"),
        ("worker", "../w", {}, r"worker name '\.\./w' is not valid"),
        ("worker", "a" * 64, {}, r"is not valid: use 1 to 63"),
        ("worker", "w1", {"hosts": ["a"]}, r"--host is for a master's certificate"),
        ("master", "m", {"hosts": ["a:7443"]}, r"host 'a:7443' is not .*; leave out the port"),
        ("master", "m", {"hosts": ["a b"]}, r"host 'a b' is not a DNS name"),
        ("master", "m", {"hosts": [""]}, r"host '' is not a DNS name"),
        ("client", "c", {"lifetime": timedelta(0)}, r"0 days is not possible: use 1 to 3652"),
        ("client", "c", {"lifetime": timedelta(days=4000)}, r"4000 days is not possible"),
        ("client", "c", {"lifetime": timedelta.max}, r"999999999 days is not possible"),
        ("client", "c", {"now": NOW + timedelta(days=4000)}, r"the CA in .* ends on 2036-"),
    ],
)
def test_what_cannot_be_issued_is_explained_and_leaves_nothing(ca, role, name, options, sentence):
    before = everything_below(ca)
    with pytest.raises(PkiError, match=sentence):
        authority.issue(ca, role, name, **{"now": NOW, **options})
    assert everything_below(ca) == before


@pytest.mark.parametrize("cluster", ["", "Studio", "a/b", "-a"])
def test_a_cluster_has_a_plain_name(tmp_path, cluster):
    with pytest.raises(PkiError, match=r"cluster name .* is not valid"):
        authority.init(tmp_path, cluster, now=NOW)
    assert everything_below(tmp_path) == {}


def test_a_folder_without_a_ca_issues_nothing(tmp_path):
    with pytest.raises(PkiError, match=r"holds no CA .*: make one with `ffrtmp certs init"):
        authority.issue(tmp_path, "worker", "w1", now=NOW)


def test_a_ca_whose_key_and_certificate_differ_issues_nothing(ca, tmp_path):
    authority.init(tmp_path / "other", now=NOW)
    (ca / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(PkiError, match=r"ca\.key is not the key of .*ca\.pem"):
        authority.issue(ca, "worker", "w1", now=NOW)


def test_a_foreign_certificate_is_no_ca_of_ours(ca):
    folder = authority.issue(ca, "worker", "w1", now=NOW)
    (ca / "ca.pem").write_bytes((folder / "tls.pem").read_bytes())
    with pytest.raises(PkiError, match="was not made by `ffrtmp certs init`"):
        authority.issue(ca, "worker", "w2", now=NOW)


def test_a_path_that_is_a_file_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PkiError, match=r"cannot write the CA to .*file: "):
        authority.init(tmp_path / "file", now=NOW)

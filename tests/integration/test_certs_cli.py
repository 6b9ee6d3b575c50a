"""`ffrtmp certs` as a person uses it: what it prints, its exit codes, and nothing half-done."""

import subprocess
import sys
from pathlib import Path

import pytest

from ffrtmp.cli.app import run
from ffrtmp.clock import utc_now
from ffrtmp.pki.identity import load_identity


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No configuration of whoever runs the tests, and a folder of our own to work in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def everything_here() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_a_cluster_gets_its_certificates(capsys):
    assert run(["certs", "init", "ca", "--cluster", "studio"]) == 0
    assert "next: ffrtmp certs issue ca master m1" in capsys.readouterr().out
    assert run(["certs", "issue", "ca", "master", "m1", "--host", "10.0.0.5", "--host", "m.x"]) == 0
    assert run(["certs", "issue", "ca", "worker", "w1", "--days", "7"]) == 0
    assert capsys.readouterr().out.splitlines() == ["ca/master-m1", "ca/worker-w1"]

    master = load_identity(Path("ca/master-m1"), now=utc_now())
    assert {"10.0.0.5", "m.x", "localhost"} <= set(master.hosts)
    worker = load_identity(Path("ca/worker-w1"), now=utc_now())
    assert (worker.cluster, worker.name) == ("studio", "w1")
    assert (worker.not_after - utc_now()).days in (6, 7)

    assert run(["certs", "list", "ca"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "master/m1"
    assert "10.0.0.5" in first
    assert second.split() == (
        ["worker/w1", "until", f"{worker.not_after:%Y-%m-%d}", "6", "days", "left"]
    )


def test_a_certificate_is_renewed():
    run(["certs", "init", "ca"])
    run(["certs", "issue", "ca", "worker", "w1"])
    before = everything_here()
    assert run(["certs", "issue", "ca", "worker", "w1", "--renew"]) == 0
    after = everything_here()
    assert set(after) == set(before)
    assert after["ca/worker-w1/tls.key"] != before["ca/worker-w1/tls.key"]
    assert after["ca/ca.key"] == before["ca/ca.key"]


def test_what_ends_soon_is_renewed_with_the_hosts_it_had(capsys):
    run(["certs", "init", "ca"])
    run(["certs", "issue", "ca", "master", "m1", "--host", "10.0.0.5", "--days", "20"])
    run(["certs", "issue", "ca", "worker", "w1"])
    before = everything_here()
    capsys.readouterr()
    assert run(["certs", "renew", "ca"]) == 0
    master = load_identity(Path("ca/master-m1"), now=utc_now())
    assert capsys.readouterr().out == f"ca/master-m1  until {master.not_after:%Y-%m-%d}\n"
    assert "10.0.0.5" in master.hosts
    assert (master.not_after - utc_now()).days in (364, 365)
    after = everything_here()
    assert {name for name in after if after[name] != before.get(name)} == (
        {"ca/master-m1/tls.pem", "ca/master-m1/tls.key"}
    )
    assert run(["certs", "renew", "ca"]) == 0
    assert capsys.readouterr().out.startswith("nothing to do")


def test_a_named_certificate_is_renewed_whenever_it_ends(capsys):
    run(["certs", "init", "ca"])
    run(["certs", "issue", "ca", "worker", "w1"])
    assert run(["certs", "renew", "ca", "worker-w1", "--days", "90"]) == 0
    assert (load_identity(Path("ca/worker-w1"), now=utc_now()).not_after - utc_now()).days == 89
    capsys.readouterr()
    assert run(["certs", "renew", "ca", "w1"]) == 0
    assert run(["certs", "renew", "ca", "worker-1"]) == 2
    assert "did you mean worker-w1?" in capsys.readouterr().err


def test_a_new_ca_follows_the_old_one_step_by_step(capsys):
    run(["certs", "init", "ca"])
    run(["certs", "issue", "ca", "master", "m1", "--host", "10.0.0.5"])
    run(["certs", "issue", "ca", "worker", "w1"])
    capsys.readouterr()
    assert run(["certs", "roll", "ca", "finish"]) == 0
    assert "there is no other CA in ca: " in capsys.readouterr().out
    assert run(["certs", "roll", "ca", "issue"]) == 2
    assert "`ffrtmp certs roll ca begin`" in capsys.readouterr().err
    for step, following in (("begin", "issue"), ("issue", "finish"), ("finish", "")):
        assert run(["certs", "roll", "ca", step, *(["--days", "90"] * (step == "issue"))]) == 0
        *folders, advice = capsys.readouterr().out.splitlines()
        assert folders == ["ca/master-m1", "ca/worker-w1"]
        assert f"ffrtmp certs roll ca {following}".rstrip() in advice or not following
        assert "there is no other CA" not in advice
        trusted = Path("ca/worker-w1/ca.pem").read_text().count("BEGIN CERTIFICATE")
        assert trusted == (1 if step == "finish" else 2)
    master = load_identity(Path("ca/master-m1"), now=utc_now())
    assert "10.0.0.5" in master.hosts
    assert (master.not_after - utc_now()).days == 89
    assert sorted(path.name for path in Path("ca").iterdir()) == (
        ["ca.key", "ca.pem", "master-m1", "worker-w1"]
    )
    assert run(["certs", "roll", "ca", "onwards"]) == 2


def test_one_identity_folder_is_shown_by_itself(capsys):
    run(["certs", "init", "ca"])
    run(["certs", "issue", "ca", "client", "ann"])
    capsys.readouterr()
    assert run(["certs", "inspect", "ca/client-ann"]) == 0
    assert capsys.readouterr().out.startswith("client/ann ")


def test_a_ca_without_certificates_says_how_to_make_one(capsys):
    run(["certs", "init", "ca"])
    capsys.readouterr()
    assert run(["certs", "list", "ca"]) == 0
    assert capsys.readouterr().out == "no certificates in ca: ffrtmp certs issue ca ROLE NAME\n"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("init ca", "ca/ca.key exists"),
        ("init new --cluster A/B", "cluster name 'A/B' is not valid"),
        ("issue ca worker w1", "ca/worker-w1 exists"),
        ("issue ca wroker w2", "did you mean 'worker'?"),
        ("issue ca worker W2", "worker name 'W2' is not valid"),
        ("issue ca worker w2 --host a", "--host is for a master's certificate"),
        ("issue ca master m1 --host a:1", "leave out the port"),
        ("issue ca worker w2 --days 0", "use 1 to"),
        ("issue ca worker w2 --days 99999999999", "--days 99999999999: use the number of days"),
        ("issue ca worker w2 --days 3000000", "3000000 days is not possible"),
        ("issue ca worker w2 --days soon", "soon"),
        ("issue nowhere worker w2", "nowhere holds no CA"),
        ("issue ca worker", "NAME"),
        ("list nowhere", "there is no folder nowhere"),
        ("isue ca worker w2", "isue"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2_and_changes_nothing(capsys, command, sentence):
    run(["certs", "init", "ca"])
    run(["certs", "issue", "ca", "worker", "w1"])
    before = everything_here()
    capsys.readouterr()

    assert run(["certs", *command.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert sentence in printed.err
    assert everything_here() == before


@pytest.mark.parametrize("command", ["master", "worker --master 127.0.0.1:1 --root m=."])
def test_certs_that_names_the_ca_is_refused_and_the_identities_are_listed(command):
    run(["certs", "init", "ca"])
    run(["certs", "issue", "ca", "master", "m1"])
    run(["certs", "issue", "ca", "worker", "w1"])
    ended = subprocess.run(
        [sys.executable, "-m", "ffrtmp", *command.split(), "--certs", "ca"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "ca holds the CA's key" in ended.stderr
    assert "ca/master-m1, ca/worker-w1" in ended.stderr
    assert "Traceback" not in ended.stderr

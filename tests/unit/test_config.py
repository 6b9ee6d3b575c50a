"""Every option by flag, variable and file; which of them wins; what a mistake is answered."""

import json
from dataclasses import MISSING, fields
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ffrtmp.cli.app import app, run
from ffrtmp.cli.sources import origins, sources
from ffrtmp.config import (
    SECTIONS,
    ClientSettings,
    Found,
    MasterSettings,
    SettingError,
    UpSettings,
    WorkerSettings,
    config_file,
    options_of,
    parse_bytes,
    parse_duration,
    parse_retention,
    parse_roots,
    show_duration,
    show_size,
    state_dir,
)
from ffrtmp.config.reference import options_table
from ffrtmp.domain.origin import Origin
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.retention import Retention

COMMANDS = {
    "master": ["master"],
    "worker": ["worker"],
    "up": ["up"],
    "simulate": ["simulate"],
    "client": ["jobs", "list"],
}
REQUIRED = {
    "master": {"certs": "ids"},
    "worker": {"certs": "ids", "master": "m:1", "root": "media=/mnt"},
    "up": {},
    "simulate": {"ca": "ids", "master": "m:1"},
    "client": {},
}
SAMPLES = {
    "jobs": ("0", 0),  # more of them would need no CA
    "seed": ("7", 7),
    "failure_rate": ("0.25", 0.25),
    "kill_rate": ("2.5", 2.5),
    "evidence": ("kept", Path("kept")),
    "allow_raw_arguments": ("true", True),
    "ca": ("some/folder", Path("some/folder")),
    "certs": ("some/folder", Path("some/folder")),
    "drain_timeout": ("2h", timedelta(hours=2)),
    "keep_finished": ("7d,1000", "7d,1000"),
    "ffmpeg": ("/opt/ffmpeg", "/opt/ffmpeg"),
    "heartbeat_interval": ("700ms", timedelta(milliseconds=700)),
    "http": ("127.0.0.1:81", "127.0.0.1:81"),
    "json": ("true", True),
    "label": ("zone=eu,gpu=none", ("zone=eu,gpu=none",)),
    "ledger": ("lines", Path("lines")),
    "listen": ("0.0.0.0:82", "0.0.0.0:82"),
    "log_format": ("json", "json"),
    "memory_limit": ("1.5GiB", 3 << 29),
    "cpu_limit": ("1.5", 1.5),
    "missed_heartbeats": ("7", 7),
    "offer_ttl": ("1.5s", timedelta(seconds=1.5)),
    "pace": ("0.5", 0.5),
    "root": ("films=/films", ("films=/films",)),
    "sla_batch_wait": ("2d", timedelta(days=2)),
    "sla_live_wait": ("20s", timedelta(seconds=20)),
    "sla_start_delay": ("2s", timedelta(seconds=2)),
    "sla_wait": ("1h", timedelta(hours=1)),
    "slots": ("5", 5),
    "store": ("sqlite:jobs.db", "sqlite:jobs.db"),
    "store_api_connections": ("9", 9),
    "store_connections": ("8", 8),
    "state_dir": ("here", Path("here")),
    "stop_at_eof": ("true", True),
    "workers": ("6", 6),
    "name": ("fleet", "fleet"),
}
MASTERS = {"client": ("h:1", "h:1"), "worker": ("h:1", ("h:1",)), "simulate": ("h:1", ("h:1",))}
EVERY_OPTION = [
    (section, field.name) for section, kind in SECTIONS.items() for field in fields(kind)
]


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file, empty yet; no variable of whoever runs the tests."""
    (tmp_path / "config.toml").touch()
    monkeypatch.delenv("FFRTMP_STATE_DIR", raising=False)
    monkeypatch.setenv("FFRTMP_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "config.toml"


def settings_of(section: str, *flags: str, **required: str):
    """As the command of `section` gets them."""
    given = REQUIRED[section] | required
    arguments = [*COMMANDS[section], *flags]
    arguments += [part for name, text in given.items() if text for part in (f"--{name}", text)]
    app.config = sources(arguments)
    _, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    return bound.arguments.get("settings") or SECTIONS[section]()


def sample(section: str, option: str) -> tuple[str, object]:
    return MASTERS[section] if option == "master" else SAMPLES[option]


def flags_for(option: str, text: str) -> list[str]:
    flag = f"--{option.replace('_', '-')}"
    return [flag] if text == "true" else [flag, text]


@pytest.mark.parametrize(("section", "option"), EVERY_OPTION)
def test_every_option_is_a_flag(section: str, option: str):
    text, value = sample(section, option)
    settings = settings_of(section, *flags_for(option, text), **{option: ""})
    assert getattr(settings, option) == value


@pytest.mark.parametrize(("section", "option"), EVERY_OPTION)
def test_every_option_is_a_variable(section: str, option: str, monkeypatch):
    text, value = sample(section, option)
    monkeypatch.setenv(f"FFRTMP_{option.upper()}", text)
    assert getattr(settings_of(section, **{option: ""}), option) == value


@pytest.mark.parametrize("spell", [str, lambda name: name.replace("_", "-")])
@pytest.mark.parametrize(("section", "option"), EVERY_OPTION)
def test_every_option_stands_in_the_file(section: str, option: str, spell, file: Path):
    text, value = sample(section, option)
    file.write_text(f"[{section}]\n{spell(option)} = '{text}'\n")
    assert getattr(settings_of(section, **{option: ""}), option) == value


def test_the_file_takes_numbers_switches_and_lists(file: Path):
    file.write_text("[up]\nworkers = 3\nroot = ['a=/a', 'b=/b']\n[client]\njson = true\n")
    assert settings_of("up").workers == 3
    assert settings_of("up").roots == {"a": Path("/a"), "b": Path("/b")}
    assert settings_of("client").json is True


def test_a_flag_beats_the_variable_and_that_beats_the_file(file: Path, monkeypatch):
    file.write_text("[up]\nworkers = 2\nslots = 2\nhttp = 'h:2'\n")
    monkeypatch.setenv("FFRTMP_WORKERS", "3")
    monkeypatch.setenv("FFRTMP_SLOTS", "3")
    settings = settings_of("up", "--workers", "4")
    assert (settings.workers, settings.slots, settings.http) == (4, 3, "h:2")


def test_a_flag_replaces_the_list_in_the_file(file: Path):
    file.write_text("[up]\nroot = ['a=/a', 'b=/b']\n")
    assert settings_of("up", "--root", "c=/c").roots == {"c": Path("/c")}


def test_each_process_reads_its_own_section(file: Path):
    file.write_text("[master]\nhttp = 'h:1'\n[up]\nhttp = 'h:2'\n")
    assert settings_of("master").http == "h:1"
    assert settings_of("up").http == "h:2"


@pytest.mark.parametrize("command", ["certs list {ca}", "--version", "jobs --help"])
def test_a_full_file_is_in_nobodys_way(command: str, file: Path, tmp_path: Path, capsys):
    assert run(["certs", "init", str(tmp_path / "ca")]) == 0
    file.write_text("[client]\nmaster = 'h:1'\ncerts = 'x'\nroot = ['a=/a']\njson = false\n")
    assert run(command.format(ca=tmp_path / "ca").split()) == 0
    assert capsys.readouterr().err == ""


MISTAKES = {
    "unknown flag": ("", {}, ["up", "--workerz", "2"], "'--workerz': did you mean --workers?"),
    "wrong flag value": (
        "",
        {},
        ["up", "--workers", "two"],
        "--workers: 'two' is not a whole number: how many workers to start",
    ),
    "unknown section": ("[upp]\nworkers = 2", {}, ["up"], "no section [upp]: did you mean up?"),
    "unknown key": ("[up]\nworkrs = 2", {}, ["up"], "'workrs' in [up]: did you mean workers?"),
    "key of another process": ("[up]\noffer_ttl = '1s'", {}, ["up"], "there are workers, root"),
    "key above every section": ("workers = 2", {}, ["up"], "workers stands in no section"),
    "wrong file value": (
        "[up]\nworkers = 'two'",
        {},
        ["up"],
        "up.workers from {file}: 'two' is not a",
    ),
    "no TOML": ("workers", {}, ["up"], "FFRTMP_CONFIG={file} is no TOML: expected '='"),
    "a mistake in another section": ("[client]\nx = 1", {}, ["up"], "'x' in [client]"),
    "misspelt variable": ("", {"FFRTMP_WORKRS": "2"}, ["up"], "did you mean FFRTMP_WORKERS?"),
    "wrong variable value": ("", {"FFRTMP_WORKERS": "two"}, ["up"], "FFRTMP_WORKERS from env"),
    "value out of range": (
        "",
        {"FFRTMP_WORKERS": "65"},
        ["up"],
        "workers: '65' is not valid: 1 to",
    ),
    "slots below none": ("", {}, ["up", "--slots=-1"], "slots: '-1' is not valid"),
    "address without port": (
        "",
        {},
        ["up", "--listen", "h"],
        "listen: 'h' is not valid: write HOST",
    ),
    "port out of range": ("", {}, ["up", "--http", "h:65536"], "http: 'h:65536' is not valid"),
    "root without folder": (
        "",
        {},
        ["up", "--root", "a"],
        "root: 'a' is not valid: write NAME=DIR",
    ),
    "root with a strange name": ("", {}, ["up", "--root", "a/b=/x"], "root: 'a/b=/x' is not valid"),
    "root given twice": ("", {}, ["up", "--root", "a=/x", "--root", "a=/y"], "a is given twice"),
    "time without unit": (
        "[master]\noffer_ttl = 5",
        {},
        ["master", "--certs", "x"],
        "'5' is not a time: write it with its unit, as 500ms",
    ),
    "timer out of range": ("", {}, ["master", "--certs", "x", "--offer-ttl", "1ms"], "offer_ttl"),
    "unknown log format": (
        "",
        {},
        ["master", "--certs", "x", "--log-format", "xml"],
        "log-format: 'xml' is not valid: text or json",
    ),
    "a value of the file that is out of range": (
        "[up]\nworkers = 65",
        {},
        ["up"],
        "workers: '65' is not valid: 1 to 64 (from {file})",
    ),
    "a variable that is out of range": (
        "",
        {"FFRTMP_LOG_FORMAT": "xml"},
        ["master", "--certs", "x"],
        "log-format: 'xml' is not valid: text or json (from FFRTMP_LOG_FORMAT)",
    ),
    "a list for one value": (
        "[up]\nworkers = [1, 2]",
        {},
        ["up"],
        "{file}: up.workers takes one value, not a list",
    ),
    "a table for a value": ("[up]\nhttp = {a = 1}", {}, ["up"], "up.http takes a value, not a"),
    "a switch for a number": ("[up]\nworkers = true", {}, ["up"], "'true' is not a whole number"),
    "half a worker in the file": (
        "[up]\nworkers = 1.5",
        {},
        ["up"],
        "up.workers from {file}: '1.5' is not a whole number",
    ),
    "half a worker in a variable": (
        "",
        {"FFRTMP_WORKERS": "1.5"},
        ["up"],
        "FFRTMP_WORKERS from env: '1.5' is not a whole number",
    ),
    "an option of another command": (
        "",
        {},
        ["jobs", "list", "--heartbeat-interval", "1s"],
        "there is no option '--heartbeat-interval': see --help for what there is",
    ),
    "an option without a value": (
        "",
        {},
        ["transcode", "a.mkv", "b.mp4", "--preset", ""],
        "--preset is empty: give it a value, or leave it out",
    ),
    "a size of nothing": ("", {}, ["plan", "a", "b", "--size="], "--size is empty"),
    "a rate of nothing": ("", {}, ["plan", "a", "b", "--rate", " "], "--rate is empty"),
    "a bitrate of nothing": ("", {}, ["plan", "a", "b", "--bitrate", ""], "--bitrate is empty"),
    "a file of specs without a name": ("", {}, ["jobs", "submit", "--spec", ""], "--spec is empty"),
    "half a worker": ("", {}, ["up", "--workers", "1.5"], "--workers: '1.5' is not a whole number"),
    "half a slot": ("", {}, ["up", "--slots", "1e1"], "--slots: '1e1' is not a whole number"),
    "half a name of a flag": (
        "",
        {},
        ["master", "--certs", "x", "--heartbeat", "5s"],
        "'--heartbeat': did you mean --heartbeat-interval?",
    ),
    "a key that is given twice": ("[up]\nslots = 1\nslots = 2", {}, ["up"], "is no TOML: cannot"),
    "neither yes nor no": (
        "",
        {"FFRTMP_JSON": "perhaps"},
        ["jobs", "list"],
        "FFRTMP_JSON from env: unable to convert",
    ),
    "a time without unit in a variable": (
        "",
        {"FFRTMP_OFFER_TTL": "5"},
        ["master", "--certs", "x"],
        "FFRTMP_OFFER_TTL: '5' is not a time: write it with its unit, as 500ms",
    ),
    "a time with a strange unit": (
        "",
        {},
        ["master", "--certs", "x", "--offer-ttl", "5 sec"],
        "--offer-ttl: '5 sec' is not a time: write it with its unit",
    ),
    "no certificates": ("", {}, ["master"], "--certs"),
    "worker without root": ("", {}, ["worker", "--certs", "x", "--master", "h:1"], "--root"),
    "worker with no master": (
        "",
        {},
        ["worker", "--certs", "x", "--master", ",", "--root", "a=/a"],
        "master: '' is not valid: write HOST:PORT",
    ),
    "worker with slots below none": (
        "",
        {},
        ["worker", "--certs", "x", "--master", "h:1", "--root", "a=/a", "--slots=-2"],
        "slots: '-2' is not valid",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_itself_and_what_would_be_right(name, file, monkeypatch, capsys):
    text, variables, arguments, sentence = MISTAKES[name]
    if text:
        file.write_text(text)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert sentence.format(file=file) in err
    assert err.startswith("ffrtmp: ")
    assert err.count("\n") == 1


def test_a_variable_of_somebody_else_is_let_be(monkeypatch):
    monkeypatch.setenv("FFRTMP_MASTER_PORT", "tcp://10.0.0.1:7443")  # as Kubernetes sets it
    assert settings_of("client").master == ""


def test_a_worker_keeps_its_state_where_the_health_check_looks(monkeypatch):
    monkeypatch.setenv("FFRTMP_STATE_DIR", "/state")
    assert settings_of("worker").state_path("w1") == state_dir() / "worker-w1"


def test_the_folders_are_named_by_variables(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("FFRTMP_STATE_DIR", "/state")
    assert (state_dir(), settings_of("master").store_address) == (
        Path("/state"),
        Path("/state/master.db"),
    )
    assert config_file() == tmp_path / "config.toml"
    monkeypatch.delenv("FFRTMP_STATE_DIR")
    monkeypatch.delenv("FFRTMP_CONFIG")
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    assert (state_dir(), config_file()) == (Path("/s/ffrtmp"), Path("/c/ffrtmp/config.toml"))


def test_a_worker_takes_several_masters_and_roots():
    settings = WorkerSettings(
        certs=Path("x"), master=("a:1, b:2", "c:3"), root=("m=/m,n=/n", "o=~/o")
    )
    assert settings.addresses == ("a:1", "b:2", "c:3")
    assert settings.roots == {"m": Path("/m"), "n": Path("/n"), "o": Path.home() / "o"}


def test_slots_are_what_the_machine_has_room_for_and_a_share_of_it_for_each_of_up(
    monkeypatch,
):
    monkeypatch.setattr("ffrtmp.config.room.usable_cores", lambda: 24.0)
    monkeypatch.setattr("ffrtmp.config.room.usable_memory", lambda: 64 << 30)
    assert WorkerSettings(certs=Path(), master=("a:1",), root=("m=/m",)).slot_count == 12
    assert UpSettings(workers=4).slots_each == 3
    assert UpSettings(workers=4, slots=2).slots_each == 2
    monkeypatch.setattr("ffrtmp.config.room.usable_memory", lambda: 1 << 30)
    assert WorkerSettings(certs=Path(), master=("a:1",), root=("m=/m",)).slot_count == 1
    assert UpSettings(workers=4).slots_each == 1


def test_without_a_root_up_offers_the_current_folder(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert UpSettings().roots == {"files": tmp_path}


def test_relative_roots_are_made_absolute(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert parse_roots(("a=films",)) == {"a": tmp_path / "films"}


def test_wrong_settings_are_refused_at_birth():
    with pytest.raises(SettingError, match=r"master: 'x' is not valid: write HOST:PORT"):
        ClientSettings(master="x")
    worker = partial(WorkerSettings, certs=Path(), master=("m:1",), root=("m=/m",))
    with pytest.raises(SettingError, match=r"memory-limit: '64MiB' .*at least 256MiB"):
        worker(memory_limit=64 << 20)
    for cores in (-1.0, float("inf"), float("nan")):
        with pytest.raises(SettingError, match=r"cpu-limit: .*a number of processors"):
            worker(cpu_limit=cores)
    with pytest.raises(SettingError, match="heartbeat_interval"):
        MasterSettings(certs=Path(), heartbeat_interval=timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("5s", timedelta(seconds=5)),
        ("10m", timedelta(minutes=10)),
        ("1.5h", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        (" 1s ", timedelta(seconds=1)),
    ],
)
def test_a_time_is_read_with_its_unit(text: str, span: timedelta):
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    ("text", "size"), [("1500MiB", 1500 << 20), ("1.5GiB", 3 << 29), ("2TiB", 2 << 40)]
)
def test_a_size_is_read_with_its_unit(text: str, size: int):
    assert parse_bytes(text) == size
    assert parse_bytes(show_size(size)) == size


@pytest.mark.parametrize("text", ["", "5", "5GB", "-1GiB", "1 GiB", "GiB", "1e3MiB"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ValueError, match="write it with its unit, as 1500MiB or 4GiB"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "5S", "1h30m", "5sec", "1e3s", "nan"])
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(ValueError, match="write it with its unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["99999999999d", "9" * 400 + "s"])
def test_a_time_beyond_all_measure_is_refused(text: str):
    with pytest.raises(ValueError, match="is too long"):
        parse_duration(text)


@given(st.integers(0, 10**10))
def test_a_time_reads_back_as_it_is_shown(milliseconds: int):
    span = timedelta(milliseconds=milliseconds)
    assert parse_duration(show_duration(span)) == span


def test_where_the_options_of_a_command_came_from_is_known(file: Path, monkeypatch):
    file.write_text("[master]\noffer_ttl = '2s'\nhttp = 'h:2'\n")
    monkeypatch.setenv("FFRTMP_HTTP", "h:3")
    settings = settings_of("master", "--missed-heartbeats", "4")
    told = {each.name: each for each in options_of(settings, origins())}
    assert told["missed_heartbeats"].found == Found(Origin.FLAG)
    assert told["certs"].found == Found(Origin.FLAG)
    assert told["http"].found == Found(Origin.VARIABLE, "FFRTMP_HTTP")
    assert told["offer_ttl"].found == Found(Origin.FILE, str(file))
    assert told["listen"].found == Found(Origin.DEFAULT)
    assert [told[name].value for name in ("http", "offer_ttl", "listen", "stop_at_eof")] == (
        ["h:3", "2s", "127.0.0.1:7443", "false"]
    )


def test_config_show_prints_every_option_and_no_password(file: Path, monkeypatch, capsys):
    file.write_text("[worker]\nroot = ['a=/a', 'b=/b']\n[master]\noffer-ttl = '2s'\n")
    monkeypatch.setenv("FFRTMP_STORE", "postgresql://ann:secret@db:5432/jobs?password=secret")
    assert run(["config", "show"]) == 0
    head, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert head == ["section", "option", "value", "from"]
    assert [(row[0], row[1].replace("-", "_")) for row in rows] == EVERY_OPTION
    assert ["worker", "root", "a=/a,b=/b", str(file)] in rows
    assert ["master", "offer-ttl", "2s", str(file)] in rows
    assert ["master", "store", "postgresql://ann@db:5432/jobs", "FFRTMP_STORE"] in rows
    assert ["master", "certs", "required", "default"] in rows


def test_config_show_of_one_section_and_of_none_that_there_is(capsys):
    assert run(["config", "show", "up", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["section"] for line in lines} == {"up"}
    assert run(["config", "show", "wroker"]) == 2
    assert "did you mean worker?" in capsys.readouterr().err


def test_a_configuration_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    for name, sentence in (
        ("gone.toml", "there is no such file: name a TOML file, or unset it"),
        ("", "is a folder: name the file in it"),
        ("latin.toml", "is no text in UTF-8: save it as such, or name another"),
    ):
        named = tmp_path / name
        monkeypatch.setenv("FFRTMP_CONFIG", str(named))
        assert run(["jobs", "list"]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"ffrtmp: FFRTMP_CONFIG={named}"), said
        assert sentence in said
    monkeypatch.delenv("FFRTMP_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    assert run(["config", "show", "up"]) == 0


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("30d", Retention(age=timedelta(days=30))),
        ("100000", Retention(count=100_000)),
        ("12h, 5", Retention(age=timedelta(hours=12), count=5)),
        ("0", Retention(count=0)),
        ("forever", Retention()),
    ],
)
def test_how_long_finished_jobs_are_kept_is_a_time_a_number_or_both(text: str, kept: Retention):
    assert parse_retention(text) == kept
    assert MasterSettings(certs=Path(), keep_finished=text).retention == kept


def test_what_is_promised_are_settings():
    settings = MasterSettings(certs=Path(), sla_wait=timedelta(hours=2))
    assert settings.targets == Targets(default_wait=timedelta(hours=2))
    assert MasterSettings(certs=Path()).targets == Targets()


@pytest.mark.parametrize(
    "option", ["sla_live_wait", "sla_wait", "sla_batch_wait", "sla_start_delay"]
)
def test_a_promise_that_cannot_be_kept_is_refused(option: str):
    with pytest.raises(SettingError, match=rf"{option.replace('_', '-')}.*more than 0s"):
        MasterSettings(certs=Path(), **{option: timedelta(0)})


@pytest.mark.parametrize("text", ["", "5 days", "1d,2d", "1,2", "-1", "1d,", "for ever", "9" * 20])
def test_what_is_neither_is_refused_with_what_would_be_right(text: str):
    with pytest.raises(SettingError, match="write a time, 30d"):
        MasterSettings(certs=Path(), keep_finished=text)


def test_the_table_for_the_documentation_has_every_option_with_its_help():
    rows = [row.split(" | ") for row in options_table().splitlines()[2:]]
    assert [
        (row[0].strip("| "), row[1].strip("`-").replace("-", "_")) for row in rows
    ] == EVERY_OPTION
    for (section, option), row in zip(EVERY_OPTION, rows, strict=True):
        default = next(f.default for f in fields(SECTIONS[section]) if f.name == option)
        assert (row[3] == "required") == (default is MISSING)
        assert row[2] == f"`FFRTMP_{option.upper()}`"
        assert row[4].rstrip("| ").endswith((".", "3600s"))


def test_the_help_on_screen_is_the_help_in_the_table(capsys, monkeypatch):
    monkeypatch.setattr(app, "console", Console(width=500))
    for section, command in COMMANDS.items():
        run([*command, "--help"])
        shown = capsys.readouterr().out
        for row in options_table().splitlines():
            if row.startswith(f"| {section} |"):
                assert row.split(" | ")[4].rstrip("| ").replace("`", "") in shown

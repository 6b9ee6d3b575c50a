"""Every option, once: its name, default, unit and help. One frozen dataclass a process.

Flags, `FFRTMP_*` variables, the TOML file and the documentation's table all come from here (by
cyclopts). Nothing else reads the environment.
"""

import asyncio
import math
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from cyclopts import Parameter, Token
from platformdirs import user_cache_path, user_config_path, user_state_path

from ffrtmp.domain.addresses import split_addresses
from ffrtmp.domain.origin import Origin
from ffrtmp.domain.retention import Retention
from ffrtmp.domain.sla import Targets
from ffrtmp.domain.timers import Timers

ENV_PREFIX = "FFRTMP_"
SECOND = timedelta(seconds=1)
UNITS = {
    "ms": SECOND / 1000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": 86400 * SECOND,
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
HIGHEST_PORT = 65535
LEAST_CONNECTIONS = 3
"""One writes, one renews leases, one reads."""
LEAST_API_CONNECTIONS = 2
_COUNT = re.compile(r"[0-9]{1,15}")
KEEP_HINT = "write a time, 30d, a number of jobs, 100000, both, 30d,100000, or forever"
STORE_HINT = "write a file's path, sqlite:PATH, or postgresql://USER@HOST:PORT/NAME"


class SettingError(ValueError):
    """A setting is wrong: one sentence. `option` names it, where it is one alone."""

    option = ""

    @classmethod
    def of(cls, name: str, value: object, expected: str) -> "SettingError":
        """Names the setting, its value, and what would be right."""
        error = cls(f"{name.replace('_', '-')}: {str(value)!r} is not valid: {expected}")
        error.option = name
        return error


def parse_duration(text: str) -> timedelta:
    """Reads `500ms`, `5s`, `1.5h`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time: write it with its unit, as 500ms, 5s, 10m or 2h")
    try:
        return float(match[1]) * UNITS[match[2]]
    except OverflowError:
        raise ValueError(f"{text!r} is not a time: it is too long") from None


def show_duration(span: timedelta) -> str:
    """As `parse_duration` reads it."""
    unit = next(
        (name for name in ("d", "h", "m", "s") if span and span % UNITS[name] == timedelta(0)), "ms"
    )
    return f"{span / UNITS[unit]:.0f}{unit}" if span else "0s"


def _to_duration(_type: object, tokens: tuple[Token, ...]) -> timedelta:
    return parse_duration(tokens[0].value)


Duration = Annotated[
    timedelta,
    Parameter(
        converter=_to_duration,
        n_tokens=1,
        accepts_keys=False,
        show_default=show_duration,
        metavar="TIME",
    ),
]
SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]iB)")
LEAST_MEMORY = 256 << 20
"""The stacks of FFmpeg's threads alone may take half of it."""


def parse_bytes(text: str) -> int:
    """Reads `1500MiB`, `1.5GiB`. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write it with its unit, as 1500MiB or 4GiB")
    return round(float(match[1]) * SIZES[match[2]])


def show_size(size: int) -> str:
    """As `parse_bytes` reads it."""
    exact = [unit for unit, scale in SIZES.items() if size and size % scale == 0]
    return f"{size // SIZES[exact[-1]]}{exact[-1]}" if exact else f"{size / SIZES['KiB']:.3f}KiB"


def _to_bytes(_type: object, tokens: tuple[Token, ...]) -> int:
    return parse_bytes(tokens[0].value)


Size = Annotated[
    int,
    Parameter(
        converter=_to_bytes, n_tokens=1, accepts_keys=False, show_default=False, metavar="SIZE"
    ),
]
Names = Annotated[tuple[str, ...], Parameter(negative=())]


def state_dir() -> Path:
    """Where processes keep what must survive them. $FFRTMP_STATE_DIR names another."""
    named = os.environ.get(f"{ENV_PREFIX}STATE_DIR")
    return Path(named) if named else user_state_path("ffrtmp")


def cache_dir() -> Path:
    """What can be found out again. $XDG_CACHE_HOME moves it."""
    return user_cache_path("ffrtmp")


CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"


def config_file() -> Path:
    """The TOML file; it need not exist, unless $FFRTMP_CONFIG names it."""
    named = named_config_file()
    return Path(named) if named else user_config_path("ffrtmp") / "config.toml"


def named_config_file() -> str:
    """What $FFRTMP_CONFIG says."""
    return os.environ.get(CONFIG_VARIABLE, "")


def variable(option: str) -> str | None:
    """What the environment says of an option."""
    return os.environ.get(f"{ENV_PREFIX}{option.upper()}")


def variables() -> tuple[str, ...]:
    """Names of the variables that are meant for us."""
    return tuple(name for name in os.environ if name.startswith(ENV_PREFIX))


def parse_retention(text: str) -> Retention:
    """Reads `30d`, `100000`, `30d,100000`, `forever`. Raises SettingError."""
    kept: dict[str, Any] = {}
    for part in text.split(",") if text != "forever" else ():
        word = part.strip()
        name, value = ("count", int(word)) if _COUNT.fullmatch(word) else ("age", _age(word))
        if name in kept:
            raise SettingError.of("keep_finished", text, KEEP_HINT)
        kept[name] = value
    return Retention(**kept)


def _age(word: str) -> timedelta:
    try:
        return parse_duration(word)
    except ValueError:
        raise SettingError.of("keep_finished", word, KEEP_HINT) from None


def parse_roots(roots: tuple[str, ...]) -> dict[str, Path]:
    """Reads NAME=DIR, also several with commas between. Raises SettingError."""
    found: dict[str, Path] = {}
    for text in (part for root in roots for part in root.split(",")):
        name, equals, folder = text.partition("=")
        if not equals or not folder or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise SettingError.of("root", text, "write NAME=DIR, for example media=/mnt/media")
        if name in found:
            raise SettingError.of("root", text, f"{name} is given twice")
        found[name] = Path(folder).expanduser().absolute()
    return found


def _check_address(name: str, address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise SettingError.of(name, address, "write HOST:PORT, for example 127.0.0.1:7443")


def _check_addresses(addresses: tuple[str, ...]) -> None:
    if not addresses:
        raise SettingError.of("master", "", "write HOST:PORT, for example 127.0.0.1:7443")
    for address in addresses:
        _check_address("master", address)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSettings:
    """Options of `ffrtmp master`."""

    certs: Path
    """The master's identity: a folder made by `ffrtmp certs issue`."""
    listen: str = "127.0.0.1:7443"
    """HOST:PORT for gRPC; 0.0.0.0:7443 to be reached from other machines, port 0 for any free."""
    http: str = "127.0.0.1:7480"
    """HOST:PORT for /metrics, /healthz and /readyz; port 0 for any free."""
    store: str = field(default="", repr=False)
    """A SQLite file, or postgresql://USER@HOST/NAME. Default: master.db in the state folder."""
    store_connections: int = 5
    """Connections to PostgreSQL for the work of workers, at least 3."""
    store_api_connections: int = 5
    """Connections to PostgreSQL for what clients ask, at least 2."""
    heartbeat_interval: Duration = 5 * SECOND
    """Time between two heartbeats of a worker, at least 500ms."""
    missed_heartbeats: int = 3
    """A worker that misses this many in a row is lost, at least 2."""
    offer_ttl: Duration = 5 * SECOND
    """Time a worker has to answer an offer, at least 500ms."""
    drain_timeout: Duration = 600 * SECOND
    """Time a draining worker has to finish what it runs."""
    allow_raw_arguments: Annotated[bool, Parameter(negative=())] = False
    """Take jobs with raw arguments for FFmpeg, of which only listed encoder options pass."""
    keep_finished: str = "30d"
    """How long jobs are kept after their end, or how many: 30d, 100000, 30d,100000 or forever."""
    sla_live_wait: Duration = 30 * SECOND
    """The longest wait in the live queue that keeps the promise (`ffrtmp sla`)."""
    sla_wait: Duration = 600 * SECOND
    """The longest wait in the default queue that keeps it."""
    sla_batch_wait: Duration = 12 * 3600 * SECOND
    """The longest wait in the batch queue that keeps it."""
    sla_start_delay: Duration = 15 * SECOND
    """The longest time on offer to workers that keeps it."""
    log_format: str = "text"
    """How to log on standard error: text or json."""
    stop_at_eof: Annotated[bool, Parameter(negative=())] = False
    """Stop when standard input is closed: whoever started this process is gone."""

    def __post_init__(self) -> None:
        _check_address("listen", self.listen)
        _check_address("http", self.http)
        _check_log_format(self.log_format)
        for name in ("sla_live_wait", "sla_wait", "sla_batch_wait", "sla_start_delay"):
            if getattr(self, name) <= timedelta(0):
                raise SettingError.of(name, show_duration(getattr(self, name)), "more than 0s")
        if self.store_connections < LEAST_CONNECTIONS:
            raise SettingError.of(
                "store_connections", self.store_connections, f"at least {LEAST_CONNECTIONS}"
            )
        if self.store_api_connections < LEAST_API_CONNECTIONS:
            raise SettingError.of(
                "store_api_connections",
                self.store_api_connections,
                f"at least {LEAST_API_CONNECTIONS}",
            )
        # Their constraints are checked at birth.
        _ = self.timers, self.store_address, self.retention

    @property
    def timers(self) -> Timers:
        """Raises SettingError."""
        try:
            return Timers(
                heartbeat_interval=self.heartbeat_interval,
                missed_heartbeats=self.missed_heartbeats,
                offer_ttl=self.offer_ttl,
                drain_timeout=self.drain_timeout,
            )
        except ValueError as error:
            raise SettingError(str(error)) from None

    @property
    def retention(self) -> Retention:
        """Raises SettingError."""
        return parse_retention(self.keep_finished)

    @property
    def targets(self) -> Targets:
        return Targets(
            live_wait=self.sla_live_wait,
            default_wait=self.sla_wait,
            batch_wait=self.sla_batch_wait,
            start_delay=self.sla_start_delay,
        )

    @property
    def store_address(self) -> Path | str:
        """The SQLite file, or the DSN of a PostgreSQL database. Raises SettingError."""
        scheme, _, rest = self.store.partition(":")
        if scheme in {"postgresql", "postgres"} and rest.startswith("//"):
            return self.store
        if scheme == "sqlite" and rest:
            return Path(rest).expanduser()
        if rest.startswith("//"):
            raise SettingError.of("store", f"{scheme}://", STORE_HINT)
        return Path(self.store).expanduser() if self.store else state_dir() / "master.db"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Options of `ffrtmp worker`."""

    certs: Path
    """The worker's identity: a folder made by `ffrtmp certs issue`."""
    master: Names
    """HOST:PORT of a master; give it again, or with commas, for several."""
    root: Names
    """NAME=DIR: the folder that a root is on this machine; give it again for several."""
    slots: int = 0
    """Attempts at once. Default: one for every two cores."""
    ffmpeg: str = ""
    """Path or name of an FFmpeg. Default: the one that was installed with ffrtmp."""
    memory_limit: Size = 0
    """Memory that one FFmpeg may have, with its unit, as 1500MiB or 4GiB. Default: no limit."""
    cpu_limit: float = 0.0
    """Processors that one FFmpeg may use, as 1.5. Default: no limit."""
    state_dir: Path | None = None
    """The state folder: results wait in its folder worker-NAME. Default: the user's."""
    allow_raw_arguments: Annotated[bool, Parameter(negative=())] = False
    """Take jobs with raw arguments for FFmpeg, of which only listed encoder options pass."""
    log_format: str = "text"
    """How to log on standard error: text or json."""
    stop_at_eof: Annotated[bool, Parameter(negative=())] = False
    """Stop when standard input is closed: whoever started this process is gone."""

    def __post_init__(self) -> None:
        _check_addresses(self.addresses)
        if not self.roots:
            raise SettingError.of("root", "", "write NAME=DIR, for example media=/mnt/media")
        if self.slots < 0:
            raise SettingError.of(
                "slots", self.slots, "at least 1, or 0 for one for every two cores"
            )
        if self.memory_limit and self.memory_limit < LEAST_MEMORY:
            raise SettingError.of(
                "memory_limit", show_size(self.memory_limit), f"at least {show_size(LEAST_MEMORY)}"
            )
        if not math.isfinite(self.cpu_limit) or self.cpu_limit < 0:
            raise SettingError.of("cpu_limit", self.cpu_limit, "a number of processors, as 1.5")
        _check_log_format(self.log_format)

    @property
    def addresses(self) -> tuple[str, ...]:
        return split_addresses(self.master)

    @property
    def roots(self) -> dict[str, Path]:
        return parse_roots(self.root)

    @property
    def slot_count(self) -> int:
        return self.slots or max(1, (os.cpu_count() or 1) // 2)

    def state_path(self, name: str) -> Path:
        """Of the worker called `name`."""
        return (self.state_dir or state_dir()) / f"worker-{name}"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Options of every command that talks to a master. Default: the running `ffrtmp up`."""

    master: str = ""
    """HOST:PORT of a master; with commas between for several, of which any may serve."""
    certs: Path | None = None
    """A client's or admin's identity: a folder made by `ffrtmp certs issue`."""
    root: Names = ()
    """NAME=DIR: the folder that a root is here, so that local paths can be given."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Print the protobuf messages as JSON, one object a line."""

    def __post_init__(self) -> None:
        if self.master:
            _check_addresses(split_addresses(self.master))
        parse_roots(self.root)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """Options of `ffrtmp up`."""

    workers: int = 1
    """How many workers to start."""
    root: Names = ()
    """NAME=DIR: a folder that workers may read and write. Default: files=the current folder."""
    listen: str = "127.0.0.1:7443"
    """HOST:PORT for gRPC; port 0 for any free."""
    http: str = "127.0.0.1:7480"
    """HOST:PORT for /metrics, /healthz and /readyz; port 0 for any free."""
    slots: int = 0
    """Attempts at once on each worker. Default: the cores shared out, at least one each."""
    ffmpeg: str = ""
    """Path or name of an FFmpeg. Default: the one that was installed with ffrtmp."""
    allow_raw_arguments: Annotated[bool, Parameter(negative=())] = False
    """Take jobs with raw arguments for FFmpeg, of which only listed encoder options pass."""

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise SettingError.of("workers", self.workers, f"1 to {MOST_WORKERS}")
        if self.slots < 0:
            raise SettingError.of("slots", self.slots, "at least 1, or 0 to share the cores out")
        _check_address("listen", self.listen)
        _check_address("http", self.http)
        parse_roots(self.root)

    @property
    def roots(self) -> dict[str, Path]:
        return parse_roots(self.root) or {"files": Path.cwd()}

    @property
    def slots_each(self) -> int:
        return self.slots or max(1, (os.cpu_count() or 1) // self.workers)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateSettings:
    """Options of `ffrtmp simulate`. Simulated workers have one root, called `sim`.

    With `jobs` it is a trial: a cluster of its own, the jobs, and a report.
    """

    ca: Path | None = None
    """The CA's folder: each simulated worker gets a certificate of its own from it."""
    master: Names = ()
    """HOST:PORT of a master; give it again, or with commas, for several."""
    jobs: int = 0
    """A trial: so many jobs through a master and workers of its own, then a report. 0: none."""
    seed: int = 1
    """Of a trial: which jobs, in which order, and which of them fail."""
    failure_rate: float = 0.0
    """Of a trial: the part of the jobs whose FFmpeg fails, 0 to 1."""
    kill_rate: float = 0.0
    """Of a trial: so often a minute a process is killed: half the workers, or the master."""
    store: str = "sqlite"
    """Of a trial: sqlite, postgres (a server of its own), or the DSN of an empty schema."""
    evidence: Path | None = None
    """Of a trial: keep its ledgers and logs in this folder, which must not be there yet."""
    workers: int = 10
    """How many workers to simulate, at most 9999."""
    name: str = "sim"
    """They are called NAME-0001 and on: fleets in one cluster need different names."""
    slots: int = 1
    """Attempts at once on each of them."""
    pace: float = 1.0
    """Real seconds that an encode takes for each second of its generated source; 0: no time."""
    ledger: Path | None = None
    """Append what each of them does to this file, a line of JSON each."""
    state_dir: Path | None = None
    """The state folder: results wait in its folders worker-NAME. Default: the user's."""
    log_format: str = "text"
    """How to log on standard error: text or json."""
    stop_at_eof: Annotated[bool, Parameter(negative=())] = False
    """Stop when standard input is closed: whoever started this process is gone."""

    def __post_init__(self) -> None:
        if self.jobs:
            self._check_trial()
        else:
            _check_addresses(self.addresses)
            if self.ca is None:
                raise SettingError.of("ca", "", "the CA's folder, or --jobs for a trial")
        if not 1 <= self.workers <= MOST_SIMULATED:
            raise SettingError.of("workers", self.workers, f"1 to {MOST_SIMULATED}")
        if self.slots < 1:
            raise SettingError.of("slots", self.slots, "at least 1")
        if self.pace < 0:
            raise SettingError.of("pace", self.pace, "0 or more")
        _check_log_format(self.log_format)

    def _check_trial(self) -> None:
        if self.jobs < 0:
            raise SettingError.of("jobs", self.jobs, "0 or more")
        if self.ca is not None or self.master:
            raise SettingError.of("jobs", self.jobs, "a trial has a cluster of its own: no --ca")
        if not 0 <= self.failure_rate <= 1:
            raise SettingError.of("failure_rate", self.failure_rate, "0 to 1")
        if self.kill_rate < 0:
            raise SettingError.of("kill_rate", self.kill_rate, "0 or more")

    @property
    def addresses(self) -> tuple[str, ...]:
        return split_addresses(self.master)

    def state_path(self, name: str) -> Path:
        """Of the worker called `name`."""
        return (self.state_dir or state_dir()) / f"worker-{name}"


MOST_WORKERS = 64
MOST_SIMULATED = 9999

Settings = MasterSettings | WorkerSettings | ClientSettings | UpSettings | SimulateSettings
SECTIONS: Mapping[str, type[Settings]] = {
    "master": MasterSettings,
    "worker": WorkerSettings,
    "client": ClientSettings,
    "up": UpSettings,
    "simulate": SimulateSettings,
}
"""Sections of the TOML file."""


def _check_log_format(value: str) -> None:
    if value not in {"text", "json"}:
        raise SettingError.of("log_format", value, "text or json")


@asynccontextmanager
async def at_end_of_input(call: Callable[[], None]) -> AsyncIterator[None]:
    """Calls once when standard input is closed, as long as the block lasts."""

    class Watch(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            call()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(Watch, sys.stdin)
    try:
        yield
    finally:
        transport.close()


@dataclass(frozen=True, slots=True)
class Found:
    """`source`: the variable, or the file."""

    origin: Origin
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option as it is in effect. `value` as it is written in the file, without a password."""

    name: str
    value: str
    found: Found


def options_of(settings: Settings, found: Mapping[str, Found]) -> list[Option]:
    """In the order of the documentation. `found`: where each came from that is no default."""
    return [
        Option(
            name=each.name,
            value=_written(each.name, getattr(settings, each.name)),
            found=found.get(each.name, Found(Origin.DEFAULT)),
        )
        for each in fields(settings)
    ]


def _written(name: str, value: object) -> str:
    if isinstance(value, timedelta):
        return show_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    text = "" if value is None else str(value)
    return shown_store(text) if name == "store" else text


def written_default(option: Any) -> str:
    """Of a dataclass field."""
    return "required" if option.default is MISSING else _written(option.name, option.default)


def shown_store(store: str) -> str:
    """Without a password, and without parameters, which may hold one too."""
    if "://" not in store:
        return store
    parts = urlsplit(store)
    user, at, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}"


def options_table() -> str:
    """Every option as a Markdown table, for the README."""
    lines = ["| section | flag | variable | default | |", "|---|---|---|---|---|"]
    lines += [row for name, kind in SECTIONS.items() for row in _rows(name, kind)]
    return "\n".join(lines) + "\n"


def _rows(section: str, kind: type[Settings]) -> Iterator[str]:
    helps = _helps(kind)
    for each in fields(kind):
        flag = f"--{each.name.replace('_', '-')}"
        variable = f"{ENV_PREFIX}{each.name.upper()}"
        default = _shown(each.default)
        yield f"| {section} | `{flag}` | `{variable}` | {default} | {helps[each.name]} |"


def _shown(default: Any) -> str:
    if default is MISSING:
        return "required"
    if isinstance(default, timedelta):
        return f"`{show_duration(default)}`"
    return f"`{default}`" if default not in {None, "", (), 0} else ""


def _helps(kind: type[Settings]) -> dict[str, str]:
    """The strings below the fields, which Python itself does not keep."""
    import ast  # noqa: PLC0415  # only the documentation needs it
    import inspect  # noqa: PLC0415
    import textwrap  # noqa: PLC0415

    [definition] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    helps = {}
    for each, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(each, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(each.target, ast.Name)
            helps[each.target.id] = str(ast.literal_eval(text.value))
    return helps

"""The options of a master, a worker and a client: name, default, unit, help and what is right."""

import math
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ffrtmp.config.environment import state_dir
from ffrtmp.config.errors import SettingError
from ffrtmp.config.room import slots_for_this_machine
from ffrtmp.config.units import SECOND, Duration, Names, Size, show_duration, show_size
from ffrtmp.config.values import (
    check_address,
    check_addresses,
    check_log_format,
    labels_of,
    parse_retention,
    parse_roots,
)
from ffrtmp.domain.addresses import split_addresses
from ffrtmp.domain.labels import Labels
from ffrtmp.domain.promises import Targets
from ffrtmp.domain.retention import Retention
from ffrtmp.domain.timers import Timers

LEAST_CONNECTIONS = 3
"""One writes, one renews leases, one reads."""
LEAST_API_CONNECTIONS = 2
STORE_HINT = "write a file's path, sqlite:PATH, or postgresql://USER@HOST:PORT/NAME"
LEAST_MEMORY = 256 << 20
"""The stacks of FFmpeg's threads alone may take half of it."""


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
        check_address("listen", self.listen)
        check_address("http", self.http)
        check_log_format(self.log_format)
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
    label: Names = ()
    """KEY=VALUE: a label that jobs may require; give it again, or with commas, for several."""
    slots: int = 0
    """Attempts at once. Default: one for every two cores and 2 GiB of memory."""
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
        check_addresses(self.addresses)
        if not self.roots:
            raise SettingError.of("root", "", "write NAME=DIR, for example media=/mnt/media")
        labels_of(self.label)
        if self.slots < 0:
            raise SettingError.of("slots", self.slots, "at least 1, or 0 for as many as fit")
        if self.memory_limit and self.memory_limit < LEAST_MEMORY:
            raise SettingError.of(
                "memory_limit", show_size(self.memory_limit), f"at least {show_size(LEAST_MEMORY)}"
            )
        if not math.isfinite(self.cpu_limit) or self.cpu_limit < 0:
            raise SettingError.of("cpu_limit", self.cpu_limit, "a number of processors, as 1.5")
        check_log_format(self.log_format)

    @property
    def addresses(self) -> tuple[str, ...]:
        return split_addresses(self.master)

    @property
    def roots(self) -> dict[str, Path]:
        return parse_roots(self.root)

    @property
    def labels(self) -> Labels:
        return labels_of(self.label)

    @property
    def slot_count(self) -> int:
        return self.slots or slots_for_this_machine()

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
            check_addresses(split_addresses(self.master))
        parse_roots(self.root)

"""The options of what runs several processes on one machine: `up` and `simulate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ffrtmp.config.environment import state_dir
from ffrtmp.config.errors import SettingError
from ffrtmp.config.room import slots_for_this_machine
from ffrtmp.config.units import Names
from ffrtmp.config.values import (
    check_address,
    check_addresses,
    check_log_format,
    labels_of,
    parse_roots,
)
from ffrtmp.domain.addresses import split_addresses
from ffrtmp.domain.labels import Labels

MOST_WORKERS = 64
MOST_SIMULATED = 9999


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """Options of `ffrtmp up`."""

    workers: int = 1
    """How many workers to start."""
    root: Names = ()
    """NAME=DIR: a folder that workers may read and write. Default: files=the current folder."""
    label: Names = ()
    """KEY=VALUE: a label of every worker; give it again, or with commas, for several."""
    listen: str = "127.0.0.1:7443"
    """HOST:PORT for gRPC; port 0 for any free."""
    http: str = "127.0.0.1:7480"
    """HOST:PORT for /metrics, /healthz and /readyz; port 0 for any free."""
    slots: int = 0
    """Attempts at once on each worker. Default: one for every two cores and 2 GiB, shared out."""
    ffmpeg: str = ""
    """Path or name of an FFmpeg. Default: the one that was installed with ffrtmp."""
    allow_raw_arguments: Annotated[bool, Parameter(negative=())] = False
    """Take jobs with raw arguments for FFmpeg, of which only listed encoder options pass."""

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise SettingError.of("workers", self.workers, f"1 to {MOST_WORKERS}")
        if self.slots < 0:
            raise SettingError.of("slots", self.slots, "at least 1, or 0 to share the machine out")
        check_address("listen", self.listen)
        check_address("http", self.http)
        parse_roots(self.root)
        labels_of(self.label)

    @property
    def roots(self) -> dict[str, Path]:
        return parse_roots(self.root) or {"files": Path.cwd()}

    @property
    def labels(self) -> Labels:
        return labels_of(self.label)

    @property
    def slots_each(self) -> int:
        return self.slots or max(1, slots_for_this_machine() // self.workers)


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
            check_addresses(self.addresses)
            if self.ca is None:
                raise SettingError.of("ca", "", "the CA's folder, or --jobs for a trial")
        if not 1 <= self.workers <= MOST_SIMULATED:
            raise SettingError.of("workers", self.workers, f"1 to {MOST_SIMULATED}")
        if self.slots < 1:
            raise SettingError.of("slots", self.slots, "at least 1")
        if self.pace < 0:
            raise SettingError.of("pace", self.pace, "0 or more")
        check_log_format(self.log_format)

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

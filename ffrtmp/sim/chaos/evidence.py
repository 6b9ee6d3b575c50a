"""The folder of a run: what clients, workers and the one who injected wrote down, and what the API
said in the end. All of it is JSON, so that it can be judged again, elsewhere and later."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

Line = dict[str, Any]

RUN = "run.json"
CLIENTS = "clients.jsonl"
INJECTIONS = "injections.jsonl"
JOBS = "jobs.jsonl"
AFTER_RESTART = "jobs-after-restart.jsonl"
FILES = "files.jsonl"
FLEETS = "fleet-*.jsonl"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """`jobs`: as `GetJob` answers. `run`: seed, `began_at`, `ended_at` (CLOCK_BOOTTIME), `members`
    (which workers a process has), `slots` of each worker."""

    run: Line
    clients: list[Line] = field(default_factory=list)
    workers: list[Line] = field(default_factory=list)
    injections: list[Line] = field(default_factory=list)
    jobs: dict[str, Line] = field(default_factory=dict)
    after_restart: dict[str, Line] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def read(folder: Path) -> Evidence:
    """Raises OSError, ValueError for a folder that is not one of a run."""
    return Evidence(
        run=json.loads((folder / RUN).read_text()),
        clients=read_clients(folder),
        workers=sorted(
            (line for path in sorted(folder.glob(FLEETS)) for line in _lines(path)),
            key=lambda line: line["at"],
        ),
        injections=list(_lines(folder / INJECTIONS)),
        jobs={line["job"]["job_id"]: line for line in _lines(folder / JOBS)},
        after_restart={line["job"]["job_id"]: line for line in _lines(folder / AFTER_RESTART)},
        files={line["path"]: line["sha256"] for line in _lines(folder / FILES)},
    )


def read_clients(folder: Path) -> list[Line]:
    """What they have noted so far."""
    return list(_lines(folder / CLIENTS))


def write(path: Path, lines: Iterable[Line]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _lines(path: Path) -> Iterator[Line]:
    """The last line of a process that was killed may be half a line: it was not said."""
    if not path.exists():
        return
    for text in path.read_text().splitlines():
        try:
            yield json.loads(text)
        except ValueError:
            continue


class Notes:
    """A ledger of this process: each line goes to the OS at once."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> "Iterator[Notes]":
        with path.open("a", buffering=1) as file:
            yield cls(file)

    def note(self, at: float, did: str, **more: Any) -> None:
        self._file.write(json.dumps({"at": round(at, 6), "did": did, **more}) + "\n")

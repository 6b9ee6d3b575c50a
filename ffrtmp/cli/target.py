"""Which master a command talks to: flags, environment and file, then a running `ffrtmp up`."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffrtmp.cli.errors import Exit, UserError
from ffrtmp.config import ClientSettings, parse_roots, state_dir

RECORD = "running.json"
LOCK = "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`how` says where it was found, for people."""

    address: str
    certs: Path
    roots: Mapping[str, Path]
    how: str


def up_folder() -> Path:
    """Where `ffrtmp up` keeps its certificates, its database and the record of its run."""
    return state_dir() / "up"


def find_target(settings: ClientSettings) -> Target | None:
    """None when nothing is named and nothing runs. Raises UserError."""
    roots = parse_roots(settings.root)
    if settings.master:
        if settings.certs is None:
            raise UserError(
                f"--certs is missing: name a client's identity for the master at {settings.master}"
            )
        return Target(
            address=settings.master, certs=settings.certs, roots=roots, how="as configured"
        )
    record = running_up()
    if record is None:
        return None
    return Target(
        address=record["address"],
        certs=settings.certs or Path(record["certs"]),
        roots={**{name: Path(path) for name, path in record["roots"].items()}, **roots},
        how="the running `ffrtmp up`",
    )


def require_target(settings: ClientSettings) -> Target:
    """Says on standard error which master is used. Raises UserError."""
    target = find_target(settings)
    if target is None:
        raise UserError(
            "no master is named and no `ffrtmp up` runs: start `ffrtmp up`, "
            "or give --master HOST:PORT and --certs DIR",
            Exit.NOT_REACHABLE,
        )
    announce(target)
    return target


def announce(target: Target) -> None:
    print(f"using the master at {target.address} ({target.how})", file=sys.stderr)


def running_up() -> dict[str, Any] | None:
    """The record of a running `ffrtmp up`; None where there is none, or it died."""
    import fcntl  # noqa: PLC0415

    folder = up_folder()
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
        lock = (folder / LOCK).open("r+")
    except (OSError, ValueError):
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return record
    return None  # nobody holds the lock: it is a leftover

"""Which folders the roots of `ffrtmp up` were: a job that waits names a root, not its folder."""

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ffrtmp.cli.errors import UserError
from ffrtmp.cli.shown import show_count

if TYPE_CHECKING:
    from ffrtmp.client import Client
    from ffrtmp.v1 import job_pb2

FILE = "roots.json"
_ROOTS = msgspec.json.Decoder(dict[str, str])


def note_roots(folder: Path, roots: Mapping[str, Path]) -> None:
    """Those of other names stay as they were: jobs may wait for them yet."""
    known = _known(folder) | {name: str(path) for name, path in roots.items()}
    new = folder / f"{FILE}.new"
    with new.open("wb") as file:
        file.write(msgspec.json.encode(known))
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FILE)


async def require_same_folders(folder: Path, roots: Mapping[str, Path], client: "Client") -> None:
    """Raises UserError when a job that has not ended would meet another folder under the name of
    its root."""
    moved = _moved(folder, roots)
    if not moved:
        return
    from ffrtmp.domain.states import TERMINAL_STATES, JobState  # noqa: PLC0415  # not for its help

    waiting = Counter[str]()
    async for job in client.list(states=[each for each in JobState if each not in TERMINAL_STATES]):
        waiting.update(_roots_of(job.spec) & moved.keys())
    if waiting:
        which = "; ".join(
            f"root {name} is {roots[name]} now, but {moved[name]} for {show_count(count, 'job')} "
            "not ended"
            for name, count in sorted(waiting.items())
        )
        former = " ".join(f"--root {name}={moved[name]}" for name in sorted(waiting))
        raise UserError(f"{which}: add {former}, and give the other folder another name")


def _moved(folder: Path, roots: Mapping[str, Path]) -> dict[str, str]:
    """Where those were that are elsewhere now."""
    return {
        name: known
        for name, known in _known(folder).items()
        if name in roots and Path(known).resolve() != roots[name].resolve()
    }


def _roots_of(spec: "job_pb2.JobSpec") -> set[str]:
    named = [spec.input.path, *(output.path for output in spec.outputs)]
    return {path.partition(":")[0] for path in named if path}


def _known(folder: Path) -> dict[str, str]:
    with suppress(OSError, msgspec.MsgspecError):
        return _ROOTS.decode((folder / FILE).read_bytes())
    return {}

"""Small disks that can be filled: file systems in memory, where this process may mount them."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ffrtmp.sim.chaos.plan import PLACES

SIZE = "4m"
BALLAST = "ballast"
CHUNK = bytes(1 << 16)


class Disks:
    """`problem`: why nothing could be mounted; then the places are plain folders."""

    def __init__(self, folders: dict[str, Path], problem: str) -> None:
        self.folders = folders
        self.problem = problem

    @classmethod
    @contextmanager
    def mounted(cls, folder: Path) -> "Iterator[Disks]":
        folders = {place: folder / place for place in PLACES}
        with ExitStack() as stack:
            problem = ""
            for place in folders.values():
                place.mkdir()
                problem = problem or _mount(place, stack)
            yield cls(folders, problem)

    def fill(self, place: str) -> None:
        """To the last byte."""
        with suppress(OSError), (self.folders[place] / BALLAST).open("wb", buffering=0) as file:
            while True:
                file.write(CHUNK)

    def clear(self, place: str) -> None:
        (self.folders[place] / BALLAST).unlink(missing_ok=True)


def _mount(place: Path, stack: ExitStack) -> str:
    """Why not; empty: it is mounted until the stack is left."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(place)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if ended.returncode == 0:
        stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=False)
    return ended.stderr.strip()

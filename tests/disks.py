"""A disk of a test's own, which is small or becomes so: a tmpfs, which only root may mount."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def disk(folder: Path, size: str = "4g") -> Iterator[Path]:
    """At `folder`, which is made. Skips the test where nothing may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def shrink(disk: Path, size: str = "4m") -> None:
    """Full in a moment: somebody else took the room that was free for a job when it began."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)

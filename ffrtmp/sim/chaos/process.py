"""Processes of `ffrtmp` that are killed, frozen and started again; what was done is noted."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ffrtmp.clock import boot_seconds
from ffrtmp.sim.chaos.evidence import Notes

TAIL_BYTES = 2000


class Process:
    """One place in the cluster and its present process. It ends with this one, however that ends.

    `members`: the workers in it. `code`: the folder of the build it runs, None for this one.
    """

    def __init__(
        self,
        name: str,
        arguments: Callable[[], Sequence[str]],
        log: Path,
        notes: Notes,
        *,
        members: Sequence[str] = (),
        code: Path | None = None,
    ) -> None:
        self.name = name
        self.members = tuple(members)
        self.log = log
        self.wanted = False
        self._arguments = arguments
        self._notes = notes
        self._code = code
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._notes.note(boot_seconds(), "started", who=self.name)
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ffrtmp", *self._arguments(), "--stop-at-eof"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                cwd=self._code,
                env=_environment(self._code),
                start_new_session=True,
            )
        self.wanted = True

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def kill(self) -> None:
        """SIGKILL, and gone when it returns. Nothing when it does not run."""
        if not self.pid:
            return
        since = boot_seconds()
        self.wanted = False
        self.end()
        self._notes.note(
            boot_seconds(), "killed", who=self.name, since=since, workers=len(self.members)
        )

    def end(self) -> None:
        """Without a word, in any state."""
        self.wanted = False
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def freeze(self) -> int:
        """Returns whom to thaw."""
        pid = self.pid
        if pid:
            os.kill(pid, signal.SIGSTOP)
        return pid

    def thaw(self, pid: int) -> None:
        """Only the very process that was frozen."""
        if pid and pid == self.pid:
            os.kill(pid, signal.SIGCONT)

    def drain(self) -> None:
        """As an operator would stop it."""
        self.wanted = False
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)

    def note_end(self) -> bool:
        """Whether it ended though nobody told it to; that is noted once."""
        if not self.wanted or self.pid or self._process is None:
            return False
        self.wanted = False
        self._notes.note(
            boot_seconds(),
            "ended",
            who=self.name,
            code=self._process.returncode,
            why=self.last_line(),
        )
        return True

    def last_line(self) -> str:
        """Of what it said; empty when it said nothing."""
        text = self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
        return (text.strip().splitlines() or [""])[-1]


def _environment(code: Path | None) -> Mapping[str, str]:
    """Nothing that the person who runs this has set for their own cluster."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("FFRTMP_")}
    return own if code is None else own | {"PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}

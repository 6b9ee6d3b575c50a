"""Processes that can be killed, frozen and thawed, and finding those that they started."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.kit import launch
from tests.forks import Forked, forks

LAUNCH = str(Path(launch.__file__).resolve())


class Process:
    """One `ffrtmp` process. It ends with the test run, however that ends."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        *,
        fault: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        hosts: Path | None = None,
    ) -> None:
        """`hosts` takes the place of /etc/hosts, for this process alone; it must be root's."""
        self.log = log
        known = _environment() | dict(environment or {})
        argv = [*arguments, "--stop-at-eof"]
        self._process: subprocess.Popen[bytes] | Forked
        with log.open("ab") as file:
            if fault or hosts or "LD_PRELOAD" in known:  # what is there before the first import
                start = [LAUNCH, *fault, "--"] if fault else ["-m", "ffrtmp"]
                self._process = subprocess.Popen(
                    [*_with_hosts(hosts), sys.executable, *start, *argv],
                    stdin=subprocess.PIPE,
                    stdout=file,
                    stderr=file,
                    env=known,
                    start_new_session=True,
                )
            else:
                self._process = forks().start(argv, file.fileno(), known)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """As of Popen.returncode; None while it runs."""
        return self._process.poll()

    @property
    def is_frozen(self) -> bool:
        return _state_of(self.pid) == "T"

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and gone when it returns."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def end(self) -> None:
        """At the end of a test: as gently as is quick."""
        if self.code is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)
            self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def may_have_own_hosts() -> bool:
    """Whether a process can be given an /etc/hosts of its own: for root, outside of containers."""
    return subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


def _with_hosts(hosts: Path | None) -> list[str]:
    if hosts is None:
        return []
    script = f'mount --bind {shlex.quote(str(hosts))} /etc/hosts && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


def _environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("FFRTMP_")}


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def ffmpegs(text: str) -> list[int]:
    """Pids of the FFmpeg processes whose command line holds `text`: a job's id, a folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if text not in line or _state_of(int(folder.name)) == "Z":
                continue
            if (folder / "exe").readlink().name.startswith("ffmpeg"):
                found.append(int(folder.name))
    return found


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

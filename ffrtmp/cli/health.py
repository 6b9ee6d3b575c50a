"""`ffrtmp health`: is the master or worker of this machine well? For a container's check."""

import fcntl
import urllib.error
import urllib.request
from pathlib import Path

from ffrtmp.cli.errors import Exit
from ffrtmp.config import state_dir

SECONDS = 3.0


def health(*, http: str = "127.0.0.1:7480") -> int:
    """Exit code 0 when a worker of this state folder runs, or a master here is ready.

    Parameters
    ----------
    http
        HOST:PORT of the master's HTTP port.
    """
    workers = [path for path in state_dir().glob("worker-*/journal/lock") if _is_held(path)]
    for path in workers:
        print(f"worker in {path.parent.parent} runs")
    if workers:
        return Exit.DONE
    answer = _ask(f"http://{http}/readyz")
    print(f"master at {http}: {answer}")
    return Exit.DONE if answer == "ready" else Exit.NOT_REACHABLE


def _is_held(path: Path) -> bool:
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _ask(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as response:  # noqa: S310  # http only
            text: str = response.read().decode()
    except urllib.error.HTTPError as error:
        text = error.read().decode()
    except OSError as error:
        text = f"does not answer ({error})"
    return text.strip()

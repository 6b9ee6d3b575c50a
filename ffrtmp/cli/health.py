"""`ffrtmp health`: is the master or worker of this machine well? For a container's check."""

import fcntl
import sys
import urllib.error
import urllib.request
from json import dumps
from pathlib import Path

from ffrtmp.cli.errors import Exit
from ffrtmp.cli.sources import origins
from ffrtmp.config import state_dir, variable
from ffrtmp.domain.origin import Origin

SECONDS = 3.0


def health(*, http: str, json: bool) -> int:
    named = origins().get("http")
    master_only = named is not None and named.origin is Origin.FLAG
    locks = [] if master_only else state_dir().glob("worker-*/journal/lock")
    workers = [path for path in locks if _is_held(path)]
    for path in workers:
        _say("worker", str(path.parent.parent), "runs", as_json=json)
    if workers:
        return Exit.DONE
    if not master_only and variable("master"):
        say = f"FFRTMP_MASTER is not asked: this looks at {http} on this machine, or at --http"
        print(say, file=sys.stderr)
    answer = _ask(f"http://{http}/readyz")
    _say("master", http, answer, as_json=json)
    return Exit.DONE if answer == "ready" else Exit.NOT_REACHABLE


def _say(what: str, where: str, state: str, *, as_json: bool) -> None:
    if as_json:
        print(dumps({what: where, "state": state}))
    elif what == "worker":
        print(f"worker in {where} {state}")
    else:
        print(f"master at {where}: {state}")


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
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        text = f"does not answer ({getattr(why, 'strerror', None) or why})"
    return text.strip()

"""Pythons that have imported `ffrtmp` already: the fault matrix alone starts some four hundred, and
to import it takes a master 0.6 s of a processor's time, a forked one 0.04 s.

A process of its own waits with everything imported and nothing begun: no thread, no loop, no
connection. What it forks is as real as what is executed: it has its own pid, session, pipes and
environment, dies of its own SIGKILL, and is this server's child as others are the tests'.

    this server     one message a start: arguments, folder, environment; with it three descriptors:
                    standard input, the log, and where the exit code is written to
"""

import array
import atexit
import contextlib
import json
import os
import random
import select
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

LONGEST = 1 << 20
IMPORTED = (
    "ffrtmp.cli.commands.serve",
    "ffrtmp.cli.commands.simulate",
    "ffrtmp.cli.simulate",
    "ffrtmp.master.server",
    "ffrtmp.sim.fleet",
    "ffrtmp.store.postgres",
    "ffrtmp.store.sqlite",
    "ffrtmp.worker.start",
    "ffrtmp.worker.worker",
)


class Forked:
    """As much of `subprocess.Popen` as the kit needs."""

    def __init__(self, pid: int, stdin: int, exits: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "wb", buffering=0)
        os.set_blocking(exits, False)
        self._exits = os.fdopen(exits, "rb", buffering=0)
        self._code: int | None = None

    def poll(self) -> int | None:
        """Where the server has gone without a word, so has this."""
        if self._code is None and (said := self._exits.read(16)) is not None:
            self._code = int(said or b"-9")
            self._exits.close()
            self.stdin.close()
        return self._code

    def wait(self, seconds: float = 60) -> int:
        """Fails after that many."""
        if self._code is None:
            select.select([self._exits], [], [], seconds)
        code = self.poll()
        assert code is not None, f"process {self.pid} does not end"
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """The server's other end. It ends when this is closed, or when the tests do."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.forks"],
                stdin=theirs,
                cwd=Path(__file__).parents[1],
                start_new_session=True,
            )

    def start(
        self,
        arguments: Sequence[str],
        log: int,
        environment: Mapping[str, str],
        folder: Path | None = None,
    ) -> Forked:
        """Both outputs go to `log`; it begins in `folder`, else in that of the tests."""
        stdin, ours = os.pipe()
        exits, theirs = os.pipe()
        message = json.dumps([arguments, str(folder or Path.cwd()), dict(environment)]).encode()
        socket.send_fds(self._socket, [message], [stdin, log, theirs])
        for number in (stdin, theirs):
            os.close(number)
        return Forked(int(self._socket.recv(16)), ours, exits)

    def close(self) -> None:
        self._socket.close()
        self._server.wait()


@cache
def forks() -> Forks:
    """One for the whole run: it ends with it."""
    made = Forks()
    atexit.register(made.close)
    return made


# -- the server ---------------------------------------------------------------------------------


def serve(ours: socket.socket) -> None:
    exits: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(ours, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is ours:
                    message, numbers, _, _ = socket.recv_fds(ours, LONGEST, 3)
                    if not message:
                        return
                    stdin, log, told = array.array("i", numbers)
                    pid = os.fork()
                    if pid == 0:
                        become(*json.loads(message), stdin, log)
                    ours.send(str(pid).encode())
                    for number in (stdin, log):
                        os.close(number)
                    gone = os.pidfd_open(pid)
                    exits[gone] = told
                    selector.register(gone, selectors.EVENT_READ, pid)
                else:
                    selector.unregister(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(key.data, 0)[1])
                    with contextlib.suppress(BrokenPipeError):
                        os.write(exits[key.fd], str(code).encode())
                    os.close(exits.pop(key.fd))
                    os.close(key.fd)


def become(
    arguments: Sequence[str], folder: str, environment: Mapping[str, str], stdin: int, log: int
) -> None:
    """In the new process: nothing is left of the old one but what it had imported."""
    os.setsid()
    os.chdir(folder)
    for number, own in ((stdin, 0), (log, 1), (log, 2)):
        os.dup2(number, own)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(environment)
    random.seed()  # else all would draw alike
    sys.argv = ["ffrtmp", *arguments]
    from ffrtmp.cli.app import main  # noqa: PLC0415  # there already

    main()


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # as the program does, before gRPC is imported
    for each in IMPORTED:
        __import__(each)
    serve(socket.socket(fileno=os.dup(0)))

"""The process of a `Prober`: has PyAV loaded, and forks for each probe it is handed.

Its standard input is a socket to the worker, over which it gets sockets: on each, one line of JSON
names files, and lines of JSON answer. One thread only, so that a fork is whole. When the worker
closes such a socket the fork is killed, when it closes the first one, or dies, all are, and this
process ends. Should this one be killed, the kernel kills its forks.
"""

import ctypes
import gc
import os
import select
import signal
import socket
from contextlib import suppress

import msgspec

from ffrtmp.worker import probe_child

PR_SET_PDEATHSIG = 1
LONGEST_REQUEST = 1 << 20
_REQUEST = msgspec.json.Decoder(list[str])
_libc = ctypes.CDLL(None, use_errno=True)  # loaded here, so that no fork has to


class Server:
    def __init__(self, control: socket.socket, wakeup: int) -> None:
        self._control = control
        self._wakeup = wakeup
        self._forks: dict[int, socket.socket] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(wakeup, select.POLLIN)

    def run(self) -> None:
        """Returns when the worker has closed its end."""
        while True:
            ready = dict(self._poll.poll())
            if self._wakeup in ready:
                with suppress(BlockingIOError):
                    os.read(self._wakeup, 512)
                self._reap()
            for pid, end in list(self._forks.items()):
                if end.fileno() in ready:
                    self._poll.unregister(end)
                    os.kill(pid, signal.SIGKILL)  # not reaped yet: the number is its
            if self._control.fileno() in ready and not self._take():
                break
        for pid in self._forks:
            os.kill(pid, signal.SIGKILL)

    def _take(self) -> bool:
        """False when the worker is gone."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        except OSError:
            return False
        for descriptor in descriptors:
            self._fork(socket.socket(fileno=descriptor))
        return bool(message)

    def _fork(self, end: socket.socket) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # too many processes: the asker hears of no answer, the others go on
            end.close()
            return
        if pid == 0:
            for other in self._forks.values():
                other.close()  # else it would seem open for as long as this one runs
            _answer(end, server)
        self._forks[pid] = end
        self._poll.register(end, select.POLLRDHUP)

    def _reap(self) -> None:
        while self._forks:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._forks.pop(pid) as end:
                with suppress(KeyError):
                    self._poll.unregister(end)
                if code := os.waitstatus_to_exitcode(status):
                    _tell_death(end, code)


def _tell_death(end: socket.socket, code: int) -> None:
    with suppress(OSError):  # nobody listens any more
        end.send(msgspec.json.encode({"died": -code}) + b"\n", socket.MSG_DONTWAIT)


def _answer(end: socket.socket, server: int) -> None:
    """In the fork: never returns."""
    code = 1
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != server:  # it died before the kernel knew what to do then
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        probe_child.limit()
        with end.makefile("rb") as lines:
            paths = _REQUEST.decode(lines.readline(LONGEST_REQUEST))
        for line in probe_child.answers(paths):
            end.sendall(line)
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    wakeup, alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    gc.freeze()  # what is shared with the forks stays so
    with socket.socket(fileno=os.dup(0)) as control:
        Server(control, wakeup).run()


if __name__ == "__main__":
    main()

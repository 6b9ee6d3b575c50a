"""The guard: a tiny process between the worker and one child, so that no child outlives the worker.

Run by path, with `python -I -S guard.py [LIMIT...] ARGV...`: the standard library only, and little
of it. Limits are put on the child alone: `limit:cgroup=FOLDER`, `limit:data=BYTES` (RLIMIT_DATA),
`limit:cpus=NUMBER,...` (those it may run on). Its
standard input is a socket to the worker; standard output and error are the child's. On the socket
the worker sends lines:

    signal NUMBER       send this signal to the child's process group
    deadline SECONDS    on this CLOCK_BOOTTIME second, kill the group (0: no deadline)

End of file, which is also the worker's death by whatever cause, kills the group. The guard answers
with one line, and ends: `exited STATUS CPU_SECONDS MAX_RSS_BYTES` (as `Popen.returncode`: negative
for a signal), with the word `fenced` after it when the deadline had passed, or `failed ERRNO` when
the child could not be started. Should the guard be killed, the kernel kills the child.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Sequence

CONTROL = 0
PR_SET_PDEATHSIG = 1
LONGEST_WAIT = 1.0  # the poll's clock stands still in suspend, the deadline's does not
START_FAILED = 127
LIMIT = "limit:"


def spawn(argv: Sequence[str], limits: Sequence[str] = ()) -> int:
    """Starts the child in a session of its own. Raises OSError when it cannot be executed."""
    told, tell = os.pipe2(os.O_CLOEXEC)
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(argv, limits, guard, tell)
    os.close(tell)
    answer = os.read(told, 16)
    os.close(told)
    if answer:
        os.waitpid(pid, 0)
        raise OSError(int(answer), os.strerror(int(answer)))
    return pid


def _become(argv: Sequence[str], limits: Sequence[str], guard: int, tell: int) -> None:
    """In the child: never returns."""
    try:
        os.setsid()
        _die_with_parent()
        if os.getppid() != guard:  # it died before the kernel knew what to do then
            os._exit(START_FAILED)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's `&` ignores it
        for limit in limits:
            confine(*limit.removeprefix(LIMIT).split("=", 1))
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.execvp(argv[0], list(argv))  # noqa: S606
    except OSError as error:
        os.write(tell, str(error.errno).encode())
    finally:
        os._exit(START_FAILED)


def confine(kind: str, value: str) -> None:
    """This process. Raises OSError."""
    if kind == "cgroup":
        descriptor = os.open(value + "/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        os.write(descriptor, b"0")
        os.close(descriptor)
    elif kind == "data":
        import resource  # noqa: PLC0415  in the child only: the guard stays small

        resource.setrlimit(resource.RLIMIT_DATA, (int(value), int(value)))
    else:
        os.sched_setaffinity(0, [int(number) for number in value.split(",")])


def _die_with_parent() -> None:
    import ctypes  # noqa: PLC0415  in the child only: the guard stays small

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Guard:
    """Watches one child, its worker and its deadline."""

    def __init__(self, pid: int, wakeup: int) -> None:
        self._pid = pid
        self._wakeup = wakeup
        self._deadline = 0.0
        self._buffer = b""
        self.fenced = False

    def watch(self) -> None:
        """Returns when the child has ended; it is not reaped yet, so its group's number is its."""
        poll = select.poll()
        poll.register(CONTROL, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while not has_ended(self._pid):
            ready = dict(poll.poll(self._wait_ms()))
            if self._wakeup in ready:
                os.read(self._wakeup, 512)
            if CONTROL in ready and not self._listen():
                poll.unregister(CONTROL)
            if self._deadline and boot_seconds() >= self._deadline:
                self._send(signal.SIGKILL)
                self._deadline = 0.0
                self.fenced = True

    def _wait_ms(self) -> float | None:
        if not self._deadline:
            return None
        return 1000 * min(LONGEST_WAIT, max(0.0, self._deadline - boot_seconds()))

    def _listen(self) -> bool:
        """False when there is nobody left to listen to."""
        try:
            data = os.read(CONTROL, 4096)
        except OSError:
            data = b""
        if not data:
            self._send(signal.SIGKILL)
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._obey(line.split())
        return True

    def _obey(self, words: Sequence[bytes]) -> None:
        if words[0] == b"signal":
            self._send(int(words[1]))
        elif words[0] == b"deadline" and not self.fenced:
            self._deadline = float(words[1])

    def _send(self, number: int) -> None:
        kill_group(self._pid, number)


def boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def main(argv: Sequence[str]) -> None:
    wakeup, alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    first = next(number for number, word in enumerate(argv) if not word.startswith(LIMIT))
    try:
        pid = spawn(argv[first:], argv[:first])
    except OSError as error:
        answer(f"failed {error.errno}")
        return
    guard = Guard(pid, wakeup)
    guard.watch()
    kill_group(pid, signal.SIGKILL)  # what it may have left behind
    _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    said = f"exited {code} {usage.ru_utime + usage.ru_stime:.3f} {usage.ru_maxrss * 1024}"
    answer(said + (" fenced" if guard.fenced else ""))


def answer(line: str) -> None:
    try:
        os.write(CONTROL, line.encode() + b"\n")
    except OSError:
        return  # the worker is gone, and the child with it


if __name__ == "__main__":
    main(sys.argv[1:])

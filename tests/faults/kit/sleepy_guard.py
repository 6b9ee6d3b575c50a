"""The worker's guard on a machine that was suspended: `sleepy_guard.py SECONDS ARGV...`.

At SIGUSR2 its clock has gone on by that many seconds while nothing ran.
"""

import signal
import sys

from ffrtmp.worker import guard

if __name__ == "__main__":
    right, slept = guard.boot_seconds, [0.0]
    guard.boot_seconds = lambda: right() + sum(slept)
    signal.signal(signal.SIGUSR2, lambda *_: slept.append(float(sys.argv[1])))
    guard.main(sys.argv[2:])

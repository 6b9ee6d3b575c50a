"""What threads read can be read by several at once, from the very first time on: msgspec crashed
the process when it made a type's decoder for two of them (0.22)."""

import subprocess
import sys
from pathlib import Path

from ffrtmp import job
from ffrtmp.domain.session import AttemptKey
from ffrtmp.worker.journal import Journal

RACE = """
import os, sys, threading
from pathlib import Path
from ffrtmp.worker.journal import Journal

folder, forks, threads = Path(sys.argv[1]), 20, 8
sys.setswitchinterval(1e-6)

def race():
    line, journal = threading.Barrier(threads), Journal(folder)
    def read():
        line.wait()
        assert len(journal.entries()) == 1
    racers = [threading.Thread(target=read) for _ in range(threads)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

ends = []
for _ in range(forks):
    pid = os.fork()
    if pid == 0:
        race()
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
sys.exit(f"{ends}" if any(ends) else 0)
"""


def test_a_journal_is_read_first_by_many_threads(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.begin(
            AttemptKey("01M8B0DX4SWY8YT3TA8XEXEKRB", 1), job("media:a.mp4", "media:b.mp4")
        )
    argv = [sys.executable, "-c", RACE, str(tmp_path)]
    end = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert end.returncode == 0, end.stderr

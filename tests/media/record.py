"""Makes FFmpeg fail in every way that `failure_cases` knows, and writes down what it said; prints a
confusion table of what the rules make of it. Run as `scripts/record_failures`.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import imageio_ffmpeg

from ffrtmp.ffmpeg.failure import classify
from tests.media.failure_cases import FOLDER, SETS, Case

WHEEL = imageio_ffmpeg.get_ffmpeg_exe()
ALWAYS = (
    "-nostdin -hide_banner -y -xerror -v level+info -progress pipe:1 -stats_period 0.5 -nostats"
)
LINES = 200
SECONDS = 60
INPUT = ["input_bad"]
PLATFORM = ["stopped", "resource", "resource_memory", "transport"]


class Recorded(TypedDict):
    """One line of a corpus. `exit` as of `Popen.returncode`."""

    name: str
    truth: str
    exit: int
    log: list[str]


def record(ffmpeg: str, name: str, case: Case) -> Recorded:
    with tempfile.TemporaryDirectory(prefix="failures-") as top, disk(Path(top), case) as folder:
        source = prepare(Path(top), case)
        words = case.argv.format_map({"in": f"file:{source}", "out": f"file:{folder}/out"})
        argv = [ffmpeg, *ALWAYS.split(), *words.split()]
        ended = run(argv, case)
        log = [cleaned(line, top) for line in ended.stderr.replace("\r", "\n").splitlines()]
    said = [line for line in log if line][-LINES:]
    return {"name": name, "truth": case.truth, "exit": ended.returncode, "log": said}


@contextmanager
def disk(top: Path, case: Case) -> Iterator[Path]:
    """Where the output goes; a full one needs the right to mount."""
    folder = top / "out"
    folder.mkdir()
    if not case.full:
        yield folder
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def prepare(top: Path, case: Case) -> Path:
    if not case.clip:
        return top / "in"
    words = case.clip.replace("{in}", str(top / "in")).split()
    subprocess.run([WHEEL, "-nostdin", "-v", "error", *words], check=True, capture_output=True)
    [path] = top.glob("in.*")
    if case.harm is not None:
        content = bytearray(path.read_bytes())
        case.harm(content)
        path.write_bytes(content)
    return path


def run(argv: Sequence[str], case: Case) -> "subprocess.CompletedProcess[str]":
    if case.limits:
        argv = ["/bin/bash", "-c", f'{case.limits}; exec "$@"', "bash", *argv]
    child = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        restore_signals=False,  # as a worker's child: SIGXFSZ stays ignored
    )
    if case.signal:
        assert child.stdout is not None
        child.stdout.readline()  # it works by now
        time.sleep(0.5)
        child.send_signal(signal.Signals(case.signal))
    out, err = child.communicate(timeout=SECONDS)
    return subprocess.CompletedProcess(argv, child.returncode, out, err)


def cleaned(line: str, top: str) -> str:
    """Without what is different at every run."""
    line = line.replace(top, "/media").replace(str(Path(WHEEL).parent), "/usr/bin")
    return re.sub(r"0x[0-9a-f]{6,}", "0x5", line)[:2048]


def load(which: str) -> dict[str, list[Recorded]]:
    """By FFmpeg's version."""
    paths = sorted(FOLDER.glob(f"{which}-*.jsonl"))
    return {
        path.stem.partition("-")[2]: [json.loads(line) for line in path.read_text().splitlines()]
        for path in paths
    }


def verdict(recorded: Recorded) -> str:
    return str(classify(recorded["exit"], recorded["log"]).reason)


def blamed_wrongly(truth: str, said: str) -> bool:
    """A bad input called the platform's fault, or the reverse."""
    return (truth in INPUT and said in PLATFORM) or (truth in PLATFORM and said in INPUT)


def table(rows: Sequence[Recorded]) -> str:
    """What it truly was, downwards; what the rules say, across."""
    counts = Counter((row["truth"], verdict(row)) for row in rows)
    names = sorted({name for pair in counts for name in pair})
    lines = [" " * 16 + "".join(f"{name:>16}" for name in names)]
    for truth in names:
        cells = "".join(f"{counts[truth, said] or '.':>16}" for said in names)
        lines.append(f"{truth:16}{cells}")
    right = sum(count for (truth, said), count in counts.items() if truth == said)
    wrong = sum(blamed_wrongly(row["truth"], verdict(row)) for row in rows)
    share = 100 * right / len(rows)
    lines.append(f"{right} of {len(rows)} right ({share:.0f} %), {wrong} blamed the wrong side")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/record_failures", description=__doc__)
    parser.add_argument("--set", choices=SETS, help="record this one; else only print the tables")
    parser.add_argument("--ffmpeg", default=WHEEL)
    options = parser.parse_args()
    if options.set:
        write(options.set, shutil.which(options.ffmpeg) or options.ffmpeg)
    for which in SETS:
        for version, rows in load(which).items():
            print(f"== {which}, FFmpeg {version}\n{table(rows)}")
            for row in rows:
                if verdict(row) != row["truth"]:
                    message = classify(row["exit"], row["log"]).message
                    print(f"   {row['name']}: {row['truth']}, called {verdict(row)}: {message}")


def write(which: str, ffmpeg: str) -> None:
    said = subprocess.run([ffmpeg, "-version"], check=True, capture_output=True, text=True).stdout
    version = re.sub(r"[^\w.].*", "", said.split()[2])
    path = FOLDER / f"{which}-{version}.jsonl"
    with path.open("w") as file:
        for name, case in SETS[which].items():
            print(f"{name}", file=sys.stderr, flush=True)
            recorded = record(ffmpeg, name, case)
            if recorded["exit"] == 0:
                print(f"   {name}: FFmpeg {version} calls it a success", file=sys.stderr)
                continue
            file.write(json.dumps(recorded) + "\n")

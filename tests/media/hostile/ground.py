"""What a trap is, and the ground it is laid on: a root, and a folder outside every root.

The kernel is the witness: it tells (inotify) when a file outside is opened, written or made. Plain
FFmpeg must be seen to do it; then the same thing is submitted as a client would, and carried out by
a real runner, and nothing outside may be touched.
"""

import ctypes
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from google.protobuf.json_format import ParseDict

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.job import Failure
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.session import Phase
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.rpc.convert_spec import spec_from_pb
from ffrtmp.v1 import job_pb2 as pb
from ffrtmp.worker.runner import AttemptFailed
from tests.media.conftest import FFMPEG, KEY, Site, ffmpeg, picture

KINDS = (
    "protocol",
    "nested playlist",
    "concat",
    "subfile",
    "tee",
    "filter option",
    "font",
    "subtitle path",
    "swapped link",
    "leading dash",
    "control characters",
    "device file",
    "other",
)
LEAST = 4
"""Of each kind but the last."""
OPEN, MODIFY, CREATE, DELETE, MOVED = 0x20, 0x2, 0x100, 0x200, 0xC0
_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def watching(paths: Sequence[Path]) -> Iterator[list[str]]:
    """Fills the list, at the end, with the names of what was touched at these places."""
    number = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    names: dict[int, str] = {}
    for path in paths:
        mask = OPEN | MODIFY | CREATE | DELETE | MOVED
        names[_libc.inotify_add_watch(number, os.fsencode(path), mask)] = str(path)
    assert -1 not in names, os.strerror(ctypes.get_errno())
    seen: list[str] = []
    try:
        yield seen
    finally:
        seen += _touched(number, names)
        os.close(number)


def _touched(number: int, names: dict[int, str]) -> Iterator[str]:
    try:
        data = os.read(number, 1 << 16)
    except BlockingIOError:
        return
    while data:
        watch, mask, _, length = _EVENT.unpack_from(data)
        name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0").decode()
        if name or not Path(names[watch]).is_dir():
            yield f"{names[watch]}/{name} {mask:#x}"
        data = data[_EVENT.size + length :]


@dataclass(frozen=True, kw_only=True)
class Trap:
    """`plain`: arguments of FFmpeg that falls in. `job`: what a client submits. `says`: the words
    of the refusal; empty: the job is done, and keeps to its root.

    `proof`: what else shows that plain FFmpeg fell in, where nothing outside is touched. `act` is
    done when the attempt reports the phase `at`, that is after the check.
    """

    plain: Sequence[object]
    job: dict[str, object]
    says: str = ""
    watched: Sequence[Path] = ()
    folder: Path | None = None
    proof: Callable[[subprocess.CompletedProcess[str]], bool] | None = None
    act: Callable[[], None] = lambda: None
    at: Phase | None = None
    after: Callable[[], None] = lambda: None


Make = Callable[["Ground"], Trap]
TRAPS: list[tuple[str, Make]] = []


def hostile(kind: str) -> Callable[[Make], Make]:
    assert kind in KINDS

    def register(make: Make) -> Make:
        TRAPS.append((kind, make))
        return make

    return register


class Ground:
    def __init__(self, folder: Path, films: Path) -> None:
        self.site = Site(folder / "root")
        self.root = self.site.root
        self.outside = folder / "outside"
        shutil.copytree(films, self.outside)
        self.secret = self.outside / "secret.ts"
        self.film = self.root / "film.ts"
        shutil.copy(self.secret, self.film)

    def write(self, name: str, text: str) -> Path:
        (self.root / name).write_text(text)
        return self.root / name

    def linked(self, name: str = "link", to: Path | None = None) -> str:
        (self.root / name).symlink_to(to or self.outside)
        return name

    def require_fall(self, trap: Trap) -> None:
        """Fails when plain FFmpeg does not fall in."""
        argv = [FFMPEG, "-nostdin", "-hide_banner", "-y", *map(str, trap.plain)]
        with watching(trap.watched or [self.outside]) as seen:
            done = subprocess.run(
                argv,
                check=False,
                capture_output=True,
                text=True,
                errors="surrogateescape",
                cwd=trap.folder or self.root,
                timeout=20,
            )
        if trap.proof is not None:
            assert trap.proof(done), done.stderr
        else:
            assert seen, f"plain FFmpeg does not fall for it: {done.stderr}"

    async def keeps_off(self, trap: Trap) -> str:
        """What became of the job, and that nothing outside was touched."""
        with watching(trap.watched or [self.outside]) as seen:
            said = await self._submit(trap)
        assert not seen, seen
        trap.after()
        if trap.says:
            assert trap.says in said, said
            assert not [name for name in self.site.names() if ".part" in name]
            return "refused"
        assert said == "", said
        return "confined"

    async def _submit(self, trap: Trap) -> str:
        """Why it was refused; empty when it was done."""
        try:
            spec = expand(spec_from_pb(ParseDict(trap.job, pb.JobSpec())))
        except InvalidSpec as error:
            return str(error)
        self.site.report = _acting(trap)
        try:
            await self.site.transcode(replace(spec, overwrite=True))
        except AttemptFailed as error:
            await self.site.runner.discard(KEY, spec)
            return _checked(error.failure)
        return ""


def _acting(trap: Trap) -> Callable[[Progress], None]:
    done: list[Phase] = []

    def report(progress: Progress) -> None:
        if trap.at is progress.phase and not done:
            done.append(progress.phase)
            trap.act()

    return report


def _checked(failure: Failure) -> str:
    """What people are shown obeys no terminal."""
    assert failure.message.isprintable(), failure.message
    assert all(line.isprintable() for line in failure.log_tail), failure.log_tail
    assert not [line for line in (failure.message, *failure.log_tail) if "/ffrtmp-" in line]
    return failure.message


def make_films(folder: Path) -> Path:
    """What is to be kept: `secret.*`."""
    for name in ("secret.ts", "secret.mp4"):
        options = ["-movflags", "+dash+frag_keyframe"] if name.endswith("mp4") else []
        encoded = ["-c:v", "libx264", "-preset", "ultrafast", *options]
        ffmpeg(*picture(1), *encoded, folder / name)
    ffmpeg(*picture(), "-frames:v", 2, folder / "frame%03d.png")
    (folder / "secret.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nsecret\n")
    (folder / "secret.ttf").write_text("no font")
    (folder / "secret.sub").write_bytes(bytes(4096))
    return folder


def job(source: str = "film.ts", target: str = "out.mp4", **output: object) -> dict[str, object]:
    wanted = {"path": f"media:{target}", "video": {"speed": "SPEED_FASTEST"}} | output
    return {"input": {"path": f"media:{source}"}, "outputs": [wanted]}


def raw(name: str, value: object) -> dict[str, object]:
    """A job with one raw argument."""
    return job(rawArguments=[{"name": name, "value": str(value)}])

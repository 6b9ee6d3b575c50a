"""What this machine can do: its FFmpeg, the encoders that really work, and how busy it is."""

import asyncio
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import imageio_ffmpeg
import msgspec
import psutil

from ffrtmp import __version__
from ffrtmp.domain.labels import Labels
from ffrtmp.domain.live import SCHEMES
from ffrtmp.domain.roots import RootReport
from ffrtmp.domain.spec import SPEC_VERSION, Metric
from ffrtmp.domain.worker import Capabilities, Load
from ffrtmp.ffmpeg.capabilities import (
    FILTERS,
    all_candidates,
    choose_encoders,
    parse_filters,
    parse_protocols,
    parse_version,
    test_encode_argv,
)
from ffrtmp.groups import one_error
from ffrtmp.worker.limits import UNLIMITED, Confines
from ffrtmp.worker.probe import ProbeFn, probe
from ffrtmp.worker.process import CannotStart, run_guarded

CACHE_FILE = "ffmpeg.json"
KEPT = 8
PROCESSORS = Path("/proc/cpuinfo")
PARALLEL_TESTS = 2
TEST_SECONDS = 10.0
MAX_ANSWER_BYTES = 1 << 16


class FfmpegMissing(Exception):
    """There is no FFmpeg to work with. One sentence with what to do."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"FFmpeg: {name or 'the one of the imageio-ffmpeg package'} {why}; give another with "
            "--ffmpeg, or leave that out and `pip install imageio-ffmpeg`"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """A proved FFmpeg: its path, which encoder it has for each codec, where it can push to, and
    what it can compare pictures by. `probe` reads files: FFmpeg's word is not taken. `confines`:
    what it may use."""

    ffmpeg: str
    version: str
    encoders: Mapping[str, str]
    protocols: frozenset[str] = frozenset(SCHEMES)
    metrics: frozenset[Metric] = frozenset(Metric)
    probe: ProbeFn = probe
    confines: Confines = UNLIMITED


class _Found(msgspec.Struct, frozen=True):
    """What FFmpeg answered, as far as this build asks."""

    encoders: list[str]
    protocols: list[str]
    filters: list[str]


class _Cache(msgspec.Struct):
    """`hashes`: file identity to SHA-256 of the binary; `found`: see `_key`. The newest last."""

    hashes: dict[str, str] = msgspec.field(default_factory=dict)
    found: dict[str, _Found] = msgspec.field(default_factory=dict)

    def with_these(self, hashes: dict[str, str], found: dict[str, _Found]) -> "_Cache":
        """The oldest are forgotten: workers of several FFmpegs may share it, and take turns."""
        return _Cache(_newest(self.hashes | hashes), _newest(self.found | found))


_CACHE = msgspec.json.Decoder(_Cache)


T = TypeVar("T")


def _newest(entries: dict[str, T]) -> dict[str, T]:
    return dict(list(entries.items())[-KEPT:])


async def probe_tools(ffmpeg: str, state_dir: Path) -> Tools:
    """Finds FFmpeg and tries its encoders; what was found is kept in `state_dir`. `ffmpeg` is a
    path or a name; empty: the wheel's. Raises FfmpegMissing."""
    path = await asyncio.to_thread(find_ffmpeg, ffmpeg)
    with one_error(FfmpegMissing, OSError):
        async with asyncio.TaskGroup() as tasks:
            introducing = tasks.create_task(_introduction(path))
            remembering = tasks.create_task(asyncio.to_thread(_remembered, path, state_dir))
    said, memory = introducing.result(), remembering.result()
    found = await _looked_up(path, _key(memory.digest, said), memory, state_dir)
    return Tools(
        ffmpeg=path,
        version=parse_version(said),
        encoders=choose_encoders(found.encoders),
        protocols=frozenset(found.protocols),
        metrics=frozenset(metric for metric, name in FILTERS.items() if name in found.filters),
    )


@dataclass(frozen=True, slots=True)
class _Memory:
    """What earlier runs found out, and which file this FFmpeg is."""

    cache: _Cache
    identity: str
    digest: str

    @property
    def is_new(self) -> bool:
        return self.identity not in self.cache.hashes


def _remembered(path: str, state_dir: Path) -> _Memory:
    """Blocks; long where the file is not known."""
    cache, identity = _load_cache(state_dir), _identity(path)
    return _Memory(cache, identity, cache.hashes.get(identity) or _hash(path))


def _key(digest: str, said: str) -> str:
    """Of an answer that still holds: the same bytes, which say the same of themselves, on the same
    kind of processor, are asked the same.

    The bytes may be a script that starts what was exchanged since, or load libraries that were: so
    FFmpeg is asked at every start who it is. A home folder may be shared by unlike machines. And
    another build of ours may ask for more.
    """
    who = hashlib.sha256(f"{said}\n{_processor()}".encode()).hexdigest()
    return " ".join([digest, who, *all_candidates(), *sorted(SCHEMES), *sorted(FILTERS.values())])


def _processor() -> str:
    """What it can do: an encoder that another one ran may need an instruction that it has not."""
    try:
        first = PROCESSORS.read_text(errors="replace").partition("\n\n")[0]
    except OSError:
        first = ""
    can = [line for line in first.splitlines() if line.startswith(("model name", "flags", "Feat"))]
    return "\n".join([platform.machine(), *can])


async def _looked_up(path: str, key: str, memory: _Memory, state_dir: Path) -> _Found:
    found, certain = memory.cache.found.get(key), True
    is_news = memory.is_new or found is None
    if found is None:
        found, certain = await _asked(path)
    if is_news and certain:
        cache = memory.cache.with_these({memory.identity: memory.digest}, {key: found})
        await asyncio.to_thread(_save_cache, state_dir, cache)
    return found


def find_ffmpeg(ffmpeg: str) -> str:
    """The absolute path of FFmpeg. Blocks. Raises FfmpegMissing."""
    if not ffmpeg:
        try:
            return str(imageio_ffmpeg.get_ffmpeg_exe())
        except RuntimeError as error:
            raise FfmpegMissing(ffmpeg, "is missing") from error
    found = shutil.which(ffmpeg)
    if found is None:
        raise FfmpegMissing(repr(ffmpeg), "does not exist or is not executable")
    return str(Path(found).resolve())


async def _introduction(path: str) -> str:
    """Its version, how it was built, and the libraries that it has loaded. Raises FfmpegMissing."""
    try:
        said = await _said(path, "-version")
    except CannotStart as error:
        raise FfmpegMissing(path, f"cannot be started ({os.strerror(error.number)})") from error
    if not parse_version(said):
        raise FfmpegMissing(path, "is not FFmpeg: it does not tell its version")
    return said


async def _asked(path: str) -> tuple[_Found, bool]:
    """And whether every question came to its own end, so that the answer will be the same next
    time."""
    protocols = await _said(path, "-hide_banner", "-protocols")
    filters = await _said(path, "-hide_banner", "-filters")
    encoders, certain = await _prove(path)
    found = _Found(
        encoders=encoders,
        protocols=sorted(parse_protocols(protocols) & frozenset(SCHEMES)),
        filters=sorted(parse_filters(filters) & frozenset(FILTERS.values())),
    )
    return found, certain and bool(protocols and filters)


async def _said(path: str, *question: str) -> str:
    """Its answer; empty when it does not end well. Raises CannotStart."""
    said = bytearray()

    def feed(chunk: bytes) -> None:
        said.extend(chunk[: MAX_ANSWER_BYTES - len(said)])

    end = await run_guarded([path, *question], feed=feed, timeout=TEST_SECONDS)
    return said.decode(errors="replace") if end.code == 0 else ""


async def _prove(path: str) -> tuple[list[str], bool]:
    """The encoders that passed; and whether every try came to its own end."""
    room = asyncio.Semaphore(PARALLEL_TESTS)

    async def tries(encoder: str) -> tuple[bool, bool]:
        async with room:
            argv = test_encode_argv(path, encoder)
            end = await run_guarded(argv, feed=lambda _: None, timeout=TEST_SECONDS)
            return end.code == 0 and not end.timed_out, end.code >= 0 and not end.timed_out

    async with asyncio.TaskGroup() as tasks:
        running = {name: tasks.create_task(tries(name)) for name in all_candidates()}
    results = {name: task.result() for name, task in running.items()}
    proved = [name for name, (passed, _) in results.items() if passed]
    return proved, all(certain for _, certain in results.values())


def _identity(path: str) -> str:
    """Its last change of any kind too: a time of writing can be put back."""
    found = Path(path).stat()
    return f"{path} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _hash(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_cache(folder: Path) -> _Cache:
    """An unreadable cache is an empty one."""
    try:
        return _CACHE.decode((folder / CACHE_FILE).read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return _Cache()


def _save_cache(folder: Path, cache: _Cache) -> None:
    """Whole or not at all; without it the next start is slower, nothing else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=folder, prefix=f".{CACHE_FILE}.")
        with os.fdopen(number, "wb") as file:
            file.write(msgspec.json.encode(cache))
        Path(name).replace(folder / CACHE_FILE)
    except OSError:
        return


def load(disk_free: Mapping[str, int]) -> Load:
    """The machine right now; busy cores since the last call."""
    cores = psutil.cpu_count() or 1
    return Load(
        cpu_load=psutil.cpu_percent() / 100 * cores,
        memory_free=psutil.virtual_memory().available,
        disk_free=disk_free,
    )


def capabilities(tools: Tools, roots: tuple[RootReport, ...], labels: Labels) -> Capabilities:
    """What the master is told of this worker."""
    return Capabilities(
        version=__version__,
        spec_version=SPEC_VERSION,
        ffmpeg_version=tools.version,
        codecs=frozenset(tools.encoders),
        encoders=tuple(tools.encoders.values()),
        roots=roots,
        cpu_count=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        limits=tools.confines.limits,
        labels=labels,
    )

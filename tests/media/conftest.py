"""A runner over one root, with the real FFmpeg, and clips made by it."""

import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import pytest

from ffrtmp.domain.job import Failure, Manifest
from ffrtmp.domain.messages import Progress
from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import Input, JobSpec, MediaPath, Output
from ffrtmp.ffmpeg.capabilities import all_candidates, choose_encoders
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.storage.roots import Roots
from ffrtmp.worker.hardware import Tools
from ffrtmp.worker.runner import AttemptFailed, Runner

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
KEY = AttemptKey("01KB0Z6V5Q3M8S7T9W2X4Y6Z8A", 1)
PRECIOUS = b"the old file"


def ffmpeg(*options: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Plain FFmpeg, as anybody may call it."""
    argv = [FFMPEG, "-nostdin", "-hide_banner", "-v", "error", "-y", *map(str, options)]
    return subprocess.run(argv, check=check, capture_output=True, text=True)


def picture(seconds: float = 2, size: str = "128x96", rate: str = "25") -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]


def tone(seconds: float = 2) -> list[str]:
    return ["-f", "lavfi", "-i", f"sine=sample_rate=48000:duration={seconds}"]


def media(path: str) -> MediaPath:
    return MediaPath("media", path)


class Site:
    """What a worker with one root is."""

    def __init__(self, root: Path, ffmpeg: str = FFMPEG) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.report: Callable[[Progress], None] = lambda _: None
        tools = Tools(ffmpeg=ffmpeg, version="9", encoders=choose_encoders(all_candidates()))
        self.runner = Runner(roots=Roots({"media": root}), tools=tools)

    def job(self, source: str | Input, *targets: str | Output, **settings: object) -> JobSpec:
        if isinstance(source, str):
            source = Input(path=media(source))
        outputs = tuple(
            Output(path=media(target)) if isinstance(target, str) else target for target in targets
        )
        return replace(expand(JobSpec(input=source, outputs=outputs)), **settings)

    async def transcode(self, spec: JobSpec) -> Manifest:
        """All that a worker does of a job, the master's commit left out."""
        manifest = await self.runner.encode(KEY, spec, self.report)
        await self.runner.publish(KEY, spec, manifest)
        return manifest

    async def fails(self, spec: JobSpec) -> Failure:
        """It does not succeed, every target is the old file or nothing, and nothing is left."""
        before = self.contents(spec)
        with pytest.raises(AttemptFailed) as caught:
            await self.transcode(spec)
        assert self.contents(spec) == before
        assert not [name for name in self.names() if ".part" in name]
        return caught.value.failure

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))

    def contents(self, spec: JobSpec) -> list[bytes | None]:
        paths = [self.root / target.path for target in spec.targets]
        return [path.read_bytes() if path.exists() else None for path in paths]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "root")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Hostile specs and files, by kind, and what became of them."""
    counts = Counter(
        str(value)
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "hostile"
    )
    if not counts:
        return
    terminalreporter.section("hostile specs and files")
    kinds = sorted({each.partition("/")[0] for each in counts})
    for kind in kinds:
        refused, confined = (counts[f"{kind}/{how}"] for how in ("refused", "confined"))
        terminalreporter.write_line(f"{kind:20} {refused:3} refused  {confined:3} confined")
    terminalreporter.write_line(f"{'all':20} {counts.total():3}")

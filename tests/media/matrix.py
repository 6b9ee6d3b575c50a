"""Input x preset x output: what was planned, what was found, and is it the picture that was asked
for? Run as `scripts/media_matrix`.

Every row goes through a worker's runner. What comes out is held against the plan by our prober, by
a second ffprobe where one is named, and by the eye: the middle frame against the source's, decoded,
turned and scaled by another program than the one that made it.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import skvideo
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ffrtmp.domain.session import AttemptKey
from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    Input,
    JobSpec,
    MediaPath,
    Output,
    Speed,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.capabilities import all_candidates, choose_encoders
from ffrtmp.ffmpeg.media import Kind, MediaInfo, StreamInfo
from ffrtmp.ffmpeg.plan import OutputPlan, VideoPlan, plan
from ffrtmp.ffmpeg.presets import expand
from ffrtmp.ffmpeg.verify import CODEC_NAMES
from ffrtmp.storage.roots import Roots
from ffrtmp.worker.hardware import Tools
from ffrtmp.worker.probe import probe
from ffrtmp.worker.runner import AttemptFailed, Runner
from tests.media.inputs import FFMPEG, RECIPES, make

KEY = AttemptKey("01KB0Z6V5Q3M8S7T9W2X4Y6Z8A", 1)
LEAST_SSIM = 0.9
Grey = NDArray[np.float64]


def fast(codec: VideoCodec, **more: object) -> VideoSettings:
    return VideoSettings(codec=codec, speed=Speed.FASTEST, **more)  # type: ignore[arg-type]


OUTPUTS: dict[str, tuple[str, VideoSettings, AudioSettings]] = {
    "h264.mp4": ("", fast(VideoCodec.H264, crf=16), AudioSettings()),
    "720p30-h264.ts": ("720p30-h264", fast(VideoCodec.H264), AudioSettings()),
    "h265-96x96.mov": ("", fast(VideoCodec.H265, crf=14, width=96, height=96), AudioSettings()),
    "480p25-vp9.webm": ("480p25-vp9", fast(VideoCodec.VP9, crf=10), AudioSettings()),
    "av1.mkv": ("", fast(VideoCodec.AV1, crf=16), AudioSettings(codec=AudioCodec.OPUS)),
    "copy.mkv": ("", VideoSettings(codec=VideoCodec.COPY), AudioSettings(codec=AudioCodec.COPY)),
}
REFUSED = {
    ("negative-start.mp4", "copy.mkv"): "cut by an edit list",
    ("edit-list.mp4", "copy.mkv"): "cut by an edit list",
    ("edit-list.mov", "copy.mkv"): "cut by an edit list",
    ("animation.gif", "copy.mkv"): "V2 first picture",
}
"""Copies that would not show what the source shows: the refusal is what is wanted."""
REAL = Path(skvideo.__file__).parent / "datasets" / "data"


@dataclass(slots=True, kw_only=True)
class Row:
    """One line of the table; `problems` is empty for a good one."""

    source: str
    output: str
    planned: str = ""
    found: str = ""
    ssim: float | None = None
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        likeness = "    -" if self.ssim is None else f"{self.ssim:5.3f}"
        verdict = f"BAD {'; '.join(self.problems)}" if self.problems else "ok"
        return (
            f"{self.source:26} {self.output:15} {self.planned:44} {self.found:44} {likeness}"
            f" {verdict}"
        )


class Bench:
    """Runners over the folder of each input and one folder for outputs."""

    def __init__(self, folder: Path, ffprobe: str) -> None:
        self._folder = folder
        self._ffprobe = ffprobe
        self._tools = Tools(ffmpeg=FFMPEG, version="", encoders=choose_encoders(all_candidates()))

    async def rows(self, source: Path) -> list[Row]:
        """All outputs by one job; when that fails, each by its own, to see which it is."""
        try:
            return await self._rows(source, list(OUTPUTS))
        except AttemptFailed:
            return [await self._alone(source, name) for name in OUTPUTS]

    async def _alone(self, source: Path, name: str) -> Row:
        try:
            [row] = await self._rows(source, [name])
        except AttemptFailed as error:
            said = error.failure.message
            if (reason := REFUSED.get((source.name, name))) is not None and reason in said:
                return Row(source=source.name, output=name, planned=f"refused: {reason}")
            row = Row(source=source.name, output=name, problems=[said])
        return row

    async def _rows(self, source: Path, names: Sequence[str]) -> list[Row]:
        spec = _spec(source, names)
        runner = Runner(roots=Roots({"in": source.parent, "out": self._folder}), tools=self._tools)
        manifest = await runner.encode(KEY, spec, lambda _: None)
        await runner.publish(KEY, spec, manifest)
        targets = [self._folder / target.path for target in spec.targets]
        before, *after = await probe([source, *targets], [source, *targets])
        planned = plan(spec, before, self._tools.encoders)
        rows = []
        for name, target, output, found in zip(names, targets, planned.outputs, after, strict=True):
            row = Row(source=source.name, output=name, planned=wanted(output), found=seen(found))
            await asyncio.to_thread(self._judge, row, source, target, output, found)
            target.unlink()
            rows.append(row)
        return rows

    def _judge(
        self, row: Row, source: Path, target: Path, output: OutputPlan, found: MediaInfo
    ) -> None:
        if self._ffprobe:
            row.problems += disagreements(self._ffprobe, target, found)
        if output.video is not None:
            row.ssim = likeness(source, target, output.video)
            if row.ssim < LEAST_SSIM:
                row.problems.append(f"the middle frame's SSIM is below {LEAST_SSIM}")


def _spec(source: Path, names: Sequence[str]) -> JobSpec:
    outputs = []
    for name in names:
        preset, video, audio = OUTPUTS[name]
        path = MediaPath("out", f"{source.name}.{name}")
        outputs.append(Output(path=path, preset=preset, video=video, audio=audio))
    source_path = MediaPath("in", source.name)
    return expand(JobSpec(input=Input(path=source_path), outputs=tuple(outputs)))


def wanted(output: OutputPlan) -> str:
    """A plan in the words of `seen`."""
    words = []
    if (video := output.video) is not None:
        codec = CODEC_NAMES.get(video.settings.codec or VideoCodec.COPY, video.source.codec)
        words += [codec, f"{video.width}x{video.height}", video.pixel_format, f"{video.frames}f"]
    if (audio := output.audio) is not None:
        codec = CODEC_NAMES.get(audio.settings.codec or AudioCodec.COPY, audio.source.codec)
        words += [codec, f"{audio.duration:.2f}s"]
    return " ".join(words)


def seen(found: MediaInfo) -> str:
    words = []
    if (video := found.video) is not None:
        size = f"{video.width}x{video.height}"
        words += [video.codec, size, video.pixel_format, f"{video.packets}f"]
    if (audio := found.audio) is not None:
        words += [audio.codec, f"{audio.duration:.2f}s"]
    return " ".join(words)


def disagreements(ffprobe: str, path: Path, found: MediaInfo) -> list[str]:
    """Where a second prober sees something else than ours."""
    argv = [ffprobe, "-v", "error", "-show_streams", "-show_packets", "-of", "json", str(path)]
    said = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    theirs = [s for s in said["streams"] if s["codec_type"] in {"video", "audio"}]
    ours = [stream for stream in found.streams if stream.kind is not Kind.OTHER]
    if len(theirs) != len(ours):
        return [f"ffprobe sees {len(theirs)} streams, we {len(ours)}"]
    shown = [p["stream_index"] for p in said["packets"] if "D" not in p["flags"]]
    return [
        f"ffprobe: {name} {other!r}, we: {mine!r}"
        for stream, told in zip(ours, theirs, strict=True)
        for name, mine, other in _compared(stream, told, shown.count(told["index"]))
        if mine != other
    ]


def _compared(
    ours: StreamInfo, theirs: dict[str, object], packets: int
) -> Iterator[tuple[str, object, object]]:
    yield "codec", ours.codec, theirs.get("codec_name")
    yield "packets", ours.packets, packets
    if ours.kind is Kind.VIDEO:
        yield "size", (ours.width, ours.height), (theirs.get("width"), theirs.get("height"))
        yield "pixel format", ours.pixel_format, theirs.get("pix_fmt")
    else:
        yield "channels", ours.channels, theirs.get("channels")
        yield "sample rate", ours.sample_rate, int(str(theirs.get("sample_rate", 0)))


def likeness(source: Path, target: Path, video: VideoPlan) -> float:
    """SSIM of the output's middle frame to the source's frame of that moment. Where the rate is
    kept it is the frame of the same number; a new rate may take a neighbour."""
    made = _frames(target, None)
    given = _frames(source, video.source.index)
    number = len(made) // 2
    if video.settings.frame_rate is None:
        candidates = [number] if len(made) == len(given) else []
    else:
        moment = (made[number].time or 0) - (made[0].time or 0)
        times = _times(given, video)
        nearest = min(range(len(given)), key=lambda i: abs(times[i] - times[0] - moment))
        candidates = [i for i in (nearest - 1, nearest, nearest + 1) if 0 <= i < len(given)]
    after = _grey(made[number], video)
    return max((ssim(_grey(given[i], video), after) for i in candidates), default=0.0)


def _frames(path: Path, index: int | None) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0] if index is None else container.streams[index]
        return [frame for frame in container.decode(stream) if isinstance(frame, av.VideoFrame)]


def _times(frames: Sequence[av.VideoFrame], video: VideoPlan) -> list[float]:
    """Frames without a time follow each other at the source's rate."""
    known = [frame.time for frame in frames if frame.time is not None]
    if len(known) == len(frames):
        return known
    rate = video.source.frame_rate
    assert rate is not None
    return [number * rate.denominator / rate.numerator for number in range(len(frames))]


def _grey(frame: av.VideoFrame, video: VideoPlan) -> Grey:
    """As it is shown: turned, and scaled to the size that was planned."""
    turns = round(frame.rotation / 90) % 4
    width, height = (video.height, video.width) if turns % 2 else (video.width, video.height)
    scaled = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC")
    return np.rot90(scaled.to_ndarray() @ np.array([0.299, 0.587, 0.114]), turns)


def ssim(one: Grey, other: Grey) -> float:
    """Structural similarity with a window of 7, as in the paper."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_one, mean_other = uniform_filter(one, 7), uniform_filter(other, 7)
    spread_one = uniform_filter(one * one, 7) - mean_one**2
    spread_other = uniform_filter(other * other, 7) - mean_other**2
    common = uniform_filter(one * other, 7) - mean_one * mean_other
    above = (2 * mean_one * mean_other + c1) * (2 * common + c2)
    below = (mean_one**2 + mean_other**2 + c1) * (spread_one + spread_other + c2)
    return float(np.mean(above / below))


async def run(options: argparse.Namespace) -> int:
    names = [name for name in RECIPES if options.only in name]
    real = [path for path in sorted(REAL.glob("*.mp4")) if options.only in path.name]
    rows: list[Row] = []
    room = asyncio.Semaphore(options.jobs)
    with tempfile.TemporaryDirectory(prefix="media-matrix-") as folder:
        bench = Bench(Path(folder), options.ffprobe)

        async def one(source: Path | str) -> None:
            async with room:
                if isinstance(source, str):
                    source = await asyncio.to_thread(make, options.cache, source, RECIPES[source])
                for row in await bench.rows(source):
                    print(row, flush=True)
                    rows.append(row)

        async with asyncio.TaskGroup() as tasks:
            for source in (*names, *real):
                tasks.create_task(one(source))
    bad = [row for row in rows if row.problems]
    print(f"{len(names)} generated and {len(real)} real inputs, {len(rows)} rows, {len(bad)} bad")
    return 1 if bad or not rows else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/media_matrix", description=__doc__)
    parser.add_argument("--ffprobe", default="", help="a second prober to check with; empty: none")
    parser.add_argument("--cache", type=Path, default=Path(".cache/media"), help="made inputs")
    parser.add_argument("--only", default="", help="inputs with this in their name")
    parser.add_argument("--jobs", type=int, default=2, help="inputs at once")
    sys.exit(asyncio.run(run(parser.parse_args())))

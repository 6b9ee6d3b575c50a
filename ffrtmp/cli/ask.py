"""What to encode, as options and arguments: shared by `transcode` and `jobs submit`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ffrtmp.cli.errors import UserError
from ffrtmp.cli.paths import refuse_folder, to_local, to_media
from ffrtmp.config import Duration, Names, parse_duration
from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.labels import parse_labels
from ffrtmp.domain.live import is_url, shown
from ffrtmp.domain.spec import (
    AudioCodec,
    AudioSettings,
    Container,
    FrameRate,
    Input,
    JobSpec,
    MediaPath,
    Metric,
    Output,
    Priority,
    Quality,
    Queue,
    Restart,
    Speed,
    TestSource,
    Verification,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.ffmpeg.presets import expand

_SIZE = re.compile(r"(\d+)x(\d+)")
_RATE = re.compile(r"(\d+)(?:/(\d+))?")
_TEST = re.compile(r"test:(\d+)x(\d+)@(\d+(?:/\d+)?):(\S+)")
_QUALITY = re.compile(rf"({'|'.join(Metric)})(?: *(?:>=|=|:) *(\d+(?:\.\d+)?))?")
_BITRATE = re.compile(r"(\d+(?:\.\d+)?)([kM]?)")
FLAGS = {
    "--preset": (".preset",),
    "--container": (".container",),
    "--video": (".video.codec",),
    "--size": (".video.width", ".video.height"),
    "--upscale": (".video.upscale",),
    "--rate": (".video.frame_rate",),
    "--crf": (".video.crf",),
    "--bitrate": (".video.bitrate",),
    "--speed": (".video.speed",),
    "--audio": (".audio.codec",),
    "--audio-bitrate": (".audio.bitrate",),
    "--quality": (".quality", ".quality.min"),
    "--quality-sample": (".quality.sample",),
    "--accept-truncated": ("accept_truncated",),
    "--timeout": ("timeout",),
    "--restart": ("restart", "restart.on_failure"),
}
"""What each option is called in a spec."""
SCALES = {"": 1, "k": 1000, "M": 1_000_000}
MANY_KEYS = Parameter(name="*")


@MANY_KEYS
@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How to encode. What is left out comes from the preset, or keeps what the source has."""

    preset: str = ""
    """A scenario: SIZE[RATE]-CODEC, for example 1080p30-h264, 4K-av1, 720p-vp9."""
    overwrite: Annotated[bool, Parameter(negative=())] = False
    """Replace the output if it exists."""
    container: Container | None = None
    """The file format. Default: what the output's ending or the URL says."""
    video: VideoCodec | None = None
    """Codec of the picture; copy leaves it as it is, none leaves it out."""
    size: str = ""
    """WIDTHxHEIGHT of the box that the picture is fitted into, in pixels."""
    upscale: Annotated[bool, Parameter(negative=())] = False
    """Enlarge a smaller picture to the box."""
    rate: str = ""
    """Frames a second, for example 25 or 30000/1001."""
    crf: int | None = None
    """Constant quality: 0 to 51 for H.264 and H.265, 0 to 63 for the others; lower is better.
    Default: 20 for H.264, 23 for H.265, 28 for AV1, 31 for VP9, 10 for VP8; none of a live push."""
    bitrate: str = ""
    """Average bits a second of the picture, for example 2500k or 4M, instead of --crf."""
    speed: Speed | None = None
    """Encoder effort: fastest, fast, medium, slow or slowest. Default: medium."""
    audio: AudioCodec | None = None
    """Codec of the sound; copy leaves it as it is, none leaves it out."""
    audio_bitrate: str = ""
    """Bits a second of the sound. Default: 160k for AAC, 128k for Opus."""
    quality: str | None = None
    """Compare the picture with the input's: vmaf, ssim, psnr or xpsnr; with a bar, as "vmaf>=90",
    an output under it fails the job."""
    quality_sample: Annotated[Duration | None, Parameter(show_default=False)] = None
    """How much of the picture to compare, in pieces spread over it. Default: 20s."""
    verify: Verification = Verification.PACKETS
    """packets, or full: decode every frame of the output before it is published."""
    accept_truncated: Annotated[bool, Parameter(negative=())] = False
    """Encode an input that is cut off or damaged as far as it can be read."""
    timeout: Annotated[Duration | None, Parameter(show_default=False)] = None
    """Give up an attempt after this long, for example 90s, 10m or 2h."""
    restart: int = 0
    """Only for a live push: start it again after a failure, so often at most. Default: never."""
    queue: Annotated[Queue | None, Parameter(show_default=False)] = None
    """live, default or batch. Default: live for a live push, else default."""
    priority: Priority = Priority.NORMAL
    """low, normal or high."""
    require: Names = ()
    """KEY=VALUE: only on a worker with this label; give it again, or with commas, for several."""

    def spec(self, source: str, target: str, roots: Mapping[str, Path]) -> JobSpec:
        """The job to submit. Raises UserError and InvalidSpec; local files are looked at first."""
        live = is_url(target)
        refuse_folder(target, roots, "output", "the file to make", "out.mp4")
        refuse_folder(source, roots, "input", "one file in it", "in.mkv")
        output = Output(
            path=None if live else to_media(target, roots),
            url=target if live else "",
            container=self.container,
            preset=self.preset,
            video=self._video(),
            audio=self._audio(),
            quality=self._quality(),
        )
        spec = JobSpec(
            input=_input(source, roots),
            outputs=(output,),
            overwrite=self.overwrite,
            timeout=self.timeout,
            queue=self.queue,
            priority=self.priority,
            verification=self.verify,
            accept_truncated=self.accept_truncated,
            restart=Restart(on_failure=self.restart) if self.restart else None,
            labels=parse_labels(self.require, "require"),
        )
        _check(spec)  # what the master would refuse is refused here, before anything starts
        look_at_files(spec, roots)
        return spec

    def _video(self) -> VideoSettings | None:
        width, height = parse_size(self.size)
        video = VideoSettings(
            codec=self.video,
            width=width,
            height=height,
            upscale=self.upscale,
            frame_rate=parse_rate(self.rate) if self.rate else None,
            crf=self.crf,
            bitrate=parse_bitrate(self.bitrate, "bitrate"),
            speed=self.speed,
        )
        return video if video != VideoSettings() else None

    def _quality(self) -> Quality | None:
        if self.quality is not None:
            return parse_quality(self.quality, self.quality_sample)
        if self.quality_sample is not None:
            raise UserError("--quality-sample says how much to compare: give --quality too")
        return None

    def _audio(self) -> AudioSettings | None:
        bitrate = parse_bitrate(self.audio_bitrate, "audio-bitrate")
        audio = AudioSettings(codec=self.audio, bitrate=bitrate)
        return audio if audio != AudioSettings() else None


def _check(spec: JobSpec) -> None:
    """Raises InvalidSpec, by the option where there is one."""
    try:
        expand(spec)
    except InvalidSpec as error:
        flag = next((name for name, ends in FLAGS.items() if error.field.endswith(ends)), None)
        raise (InvalidSpec(flag, error.value, error.expected) if flag else error) from None


def parse_quality(text: str, sample: timedelta | None) -> Quality:
    """Reads `vmaf`, `vmaf>=90`; `vmaf=90` needs no quotes in a shell."""
    match = _QUALITY.fullmatch(text.strip())
    if match is None:
        raise UserError(f"quality {text!r}: write {', '.join(Metric)}, or as vmaf>=90 with a bar")
    least = float(match[2]) if match[2] else None
    found = Quality(metric=Metric(match[1]), least=least)
    return found if sample is None else replace(found, sample=sample)


def _input(source: str, roots: Mapping[str, Path]) -> Input:
    if is_url(source):
        raise UserError(
            f"input {shown(source)}: only files and generated sources are read, no URLs"
        )
    if not source.startswith("test:") or Path(source).exists():
        return Input(path=to_media(source, roots))
    match = _TEST.fullmatch(source)
    if match is None:
        raise UserError(
            f"input {source!r}: write a generated source as test:WIDTHxHEIGHT@RATE:TIME, "
            "for example test:1280x720@30:10s"
        )
    try:
        duration = parse_duration(match[4])
    except ValueError as error:
        raise UserError(f"input {source!r}: {error}") from None
    return Input(
        test_source=TestSource(
            width=int(match[1]),
            height=int(match[2]),
            frame_rate=parse_rate(match[3]),
            duration=duration,
        )
    )


def look_at_files(spec: JobSpec, roots: Mapping[str, Path]) -> None:
    """Refuses at once what can be seen from here. Raises UserError."""
    if spec.input.path is not None:
        _look_at_input(to_local(spec.input.path, roots), spec.input.path)
    for target in spec.paths:
        local = to_local(target, roots)
        for above in local.parents if local is not None else ():
            if above.is_file():
                raise UserError(f"{local} lies below {above}, which is a file: name another folder")
        if local is not None and local.exists() and not spec.overwrite:
            raise UserError(f"{local} exists already: give --overwrite to replace it")


def _look_at_input(local: Path | None, media: MediaPath) -> None:
    if local is None:
        return
    if not local.exists():
        raise UserError(f"{local} does not exist ({media}): check the path")
    if not local.is_file():
        raise UserError(f"{local} is not a file: name one")
    if local.stat().st_size == 0:
        raise UserError(f"{local} is empty: there is nothing to transcode")


def parse_size(text: str) -> tuple[int | None, int | None]:
    if not text:
        return None, None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UserError(f"size {text!r}: write WIDTHxHEIGHT, for example 1280x720")
    return int(match[1]), int(match[2])


def parse_rate(text: str) -> FrameRate:
    match = _RATE.fullmatch(text)
    if match is None or int(match[2] or 1) == 0:
        raise UserError(f"rate {text!r}: write frames a second, for example 25 or 30000/1001")
    return FrameRate(int(match[1]), int(match[2] or 1))


def parse_bitrate(text: str, name: str) -> int | None:
    if not text:
        return None
    match = _BITRATE.fullmatch(text)
    if match is None:
        raise UserError(f"{name} {text!r}: write bits a second, for example 2500k or 4M")
    return round(float(match[1]) * SCALES[match[2]])

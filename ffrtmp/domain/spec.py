"""What to transcode: the typed job spec, and what makes one valid.

A spec is never half-understood. It carries `SPEC_VERSION`, the version whose fields it uses; a
worker that knows only an older one is not offered the job. Presets are expanded at submit (see
`ffmpeg/presets.py`) and stored expanded, so that a later change of a preset changes no queued job.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.live import LiveTarget, check_url, is_url, scheme_of, shown
from ffrtmp.domain.raw_arguments import RawArgument, check_raw_arguments

SPEC_VERSION = 1
MAX_OUTPUTS = 32
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4096
MIN_SIDE, MAX_SIDE = 16, 8192
MAX_RATE = 240
MAX_TEST_DURATION = timedelta(hours=24)
MAX_TIMEOUT = timedelta(days=30)
MIN_BITRATE, MAX_BITRATE = 8_000, 500_000_000
MAX_RESTARTS = 1000
_OURS = re.compile(r"\.ffrtmp-root\..*|\..*\.[0-9A-Za-z_-]+\.\d+\.part(\.[^.]*)?")
"""Names of a root's proofs, and of what attempts stage, which are swept one day."""


class Queue(StrEnum):
    """Where the job waits; each queue has a head start (see `scheduling.rank`)."""

    LIVE = "live"
    DEFAULT = "default"
    BATCH = "batch"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Container(StrEnum):
    """The output's format. The value is also the ending that means it; FLV is for RTMP only."""

    MP4 = "mp4"
    MOV = "mov"
    MKV = "mkv"
    WEBM = "webm"
    TS = "ts"
    FLV = "flv"


class Verification(StrEnum):
    """How thoroughly outputs are checked: their packets, or, in full, every decoded frame."""

    PACKETS = "packets"
    FULL = "full"


class VideoCodec(StrEnum):
    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"
    VP9 = "vp9"
    VP8 = "vp8"
    COPY = "copy"
    NONE = "none"


class AudioCodec(StrEnum):
    AAC = "aac"
    OPUS = "opus"
    COPY = "copy"
    NONE = "none"


class Speed(StrEnum):
    """Encoder effort, one scale for all; `ffmpeg/command.py` says what each encoder is told."""

    FASTEST = "fastest"
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"
    SLOWEST = "slowest"


MAX_CRF = {
    VideoCodec.H264: 51,
    VideoCodec.H265: 51,
    VideoCodec.AV1: 63,
    VideoCodec.VP9: 63,
    VideoCodec.VP8: 63,
}
"""The largest CRF each encoder takes; a codec that is not here is not encoded."""


@dataclass(frozen=True, slots=True)
class FrameRate:
    """Frames a second, as a ratio: 30000/1001 is not 29.97."""

    numerator: int
    denominator: int = 1

    def __str__(self) -> str:
        return (
            str(self.numerator) if self.denominator == 1 else f"{self.numerator}/{self.denominator}"
        )


@dataclass(frozen=True, slots=True)
class MediaPath:
    """A file by name: `root:path`. Every worker maps the root to a folder of its own."""

    root: str
    path: str

    def __str__(self) -> str:
        return f"{self.root}:{self.path}"

    @classmethod
    def parse(cls, text: str, *, name: str) -> "MediaPath":
        """Reads `media:shows/a.mkv`. Raises InvalidSpec naming the field `name`."""
        if is_url(text):
            raise InvalidSpec(name, shown(text), "a URL goes into the field url of an output")
        root, colon, path = text.partition(":")
        if not colon or not root or not path:
            raise InvalidSpec(name, text, "write it as ROOT:PATH, for example media:shows/a.mkv")
        return cls(root, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSource:
    """A generated picture with a tone: needs no file. Size in pixels."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    width: int = 1280
    height: int = 720
    frame_rate: FrameRate = FrameRate(30)
    duration: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Exactly one of the two."""

    path: MediaPath | None = None
    test_source: TestSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSettings:
    """How the picture is encoded.

    `width` and `height` are a box in pixels: the picture is fitted into it, its aspect kept, its
    sides made even, and enlarged only when `upscale` is set. None leaves that side open.
    `frame_rate` None keeps the source's. `crf` and `bitrate` (bits a second) exclude each other.
    As stored, `codec` and `speed` are set, and one of `crf` and `bitrate`.
    """

    codec: VideoCodec | None = None
    width: int | None = None
    height: int | None = None
    upscale: bool = False
    frame_rate: FrameRate | None = None
    crf: int | None = None
    bitrate: int | None = None
    speed: Speed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSettings:
    """How the sound is encoded. `bitrate` in bits a second. As stored, what applies is set."""

    codec: AudioCodec | None = None
    bitrate: int | None = None


Target = MediaPath | LiveTarget
"""Where an output goes. Two with one `str` are the same place, which one live job may write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file to make, or one server to push to: exactly one of `path` and `url`.

    As submitted, `container`, `video` and `audio` may be None: they come from the preset, or from
    the path's ending or the URL's scheme. As stored, all three are set and `preset` is empty.
    """

    path: MediaPath | None = None
    url: str = field(default="", repr=False)
    container: Container | None = None
    preset: str = ""
    video: VideoSettings | None = None
    audio: AudioSettings | None = None
    raw_arguments: tuple[RawArgument, ...] = ()

    @property
    def target(self) -> Target:
        return self.path if self.path is not None else LiveTarget(self.url)

    @property
    def name(self) -> str:
        """For people: the key of a URL is not in it."""
        return str(self.path) if self.path is not None else shown(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What a live job may do beyond the retry table: after a failure of FFmpeg or of the server it
    is started again, `on_failure` times in all."""

    on_failure: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a client asks for. `timeout` bounds one attempt, from accept to staged; None: none.
    `queue`: None leaves it to `waits_in`.

    `accept_truncated`: an input that is cut off or damaged is encoded as far as it can be read.
    """

    input: Input
    outputs: tuple[Output, ...]
    overwrite: bool = False
    timeout: timedelta | None = None
    queue: Queue | None = None
    priority: Priority = Priority.NORMAL
    spec_version: int = field(default=SPEC_VERSION)
    restart: Restart | None = None
    verification: Verification = Verification.PACKETS
    accept_truncated: bool = False

    @property
    def waits_in(self) -> Queue:
        """A live push goes ahead, unless another queue is asked for."""
        return self.queue or (Queue.LIVE if self.exclusive else Queue.DEFAULT)

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(output.target for output in self.outputs)

    @property
    def paths(self) -> tuple[MediaPath, ...]:
        """The files to make: every target that is none of a live push."""
        return tuple(output.path for output in self.outputs if output.path is not None)

    @property
    def exclusive(self) -> bool:
        """A live push: nothing is staged, and no two attempts may ever overlap."""
        return any(output.url for output in self.outputs)

    @property
    def restarts(self) -> int:
        return self.restart.on_failure if self.restart is not None else 0

    @property
    def roots(self) -> frozenset[str]:
        """Every root a worker must have to do this job."""
        source = [self.input.path] if self.input.path else []
        return frozenset(path.root for path in (*source, *self.paths))

    @property
    def shown(self) -> "JobSpec":
        """The same without its secrets: for answers, journals and logs."""
        outputs = (
            replace(each, url=shown(each.url)) if each.url else each for each in self.outputs
        )
        return replace(self, outputs=tuple(outputs))


def validate(spec: JobSpec) -> None:
    """Raises InvalidSpec for the first thing wrong, naming field, value and what would be right."""
    if spec.spec_version != SPEC_VERSION:
        raise InvalidSpec("spec_version", spec.spec_version, f"this build knows {SPEC_VERSION}")
    _check_input(spec.input)
    if spec.accept_truncated and spec.input.path is None:
        raise InvalidSpec("accept_truncated", True, "a generated input is whole; leave it out")  # noqa: FBT003
    if not 1 <= len(spec.outputs) <= MAX_OUTPUTS:
        raise InvalidSpec("outputs", len(spec.outputs), f"a job has 1 to {MAX_OUTPUTS} outputs")
    for number, output in enumerate(spec.outputs):
        _check_output(output, f"outputs[{number}]")
    _check_live(spec)
    _check_targets(spec)
    if spec.timeout is not None and not timedelta(seconds=1) <= spec.timeout <= MAX_TIMEOUT:
        raise InvalidSpec("timeout", str(spec.timeout), "1 second to 30 days, or leave it out")


def _check_input(source: Input) -> None:
    if (source.path is None) == (source.test_source is None):
        raise InvalidSpec("input", "", "give exactly one of path and test_source")
    if source.path is not None:
        _check_path(source.path, "input.path")
    if source.test_source is not None:
        _check_test_source(source.test_source)


def _check_test_source(source: TestSource) -> None:
    for name, side in (("width", source.width), ("height", source.height)):
        _check_side(side, f"input.test_source.{name}")
    _check_rate(source.frame_rate, "input.test_source.frame_rate")
    shortest = timedelta(milliseconds=100)
    if not shortest <= source.duration <= MAX_TEST_DURATION:
        raise InvalidSpec("input.test_source.duration", str(source.duration), "0.1 s to 24 h")


def _check_path(media: MediaPath, name: str) -> None:
    """A relative path below its root; nothing in it that a shell, FFmpeg or a log could misread."""
    if not media.root.replace("-", "").replace("_", "").isalnum() or not media.root.isascii():
        raise InvalidSpec(name, str(media), "a root's name has letters, digits, - and _ only")
    if not media.path.isprintable():
        raise InvalidSpec(name, str(media), "a path has printable characters only")
    if media.path.startswith("/"):
        raise InvalidSpec(name, str(media), "the path is relative to its root: no leading /")
    if len(media.path.encode(errors="surrogatepass")) > MAX_PATH_BYTES:
        raise InvalidSpec(name, f"{media.path[:40]}...", f"at most {MAX_PATH_BYTES} bytes")
    for part in media.path.split("/"):
        if part in {"", ".", ".."}:
            raise InvalidSpec(name, str(media), "no empty, . or .. part in the path")
        if len(part.encode(errors="surrogatepass")) > MAX_NAME_BYTES:
            raise InvalidSpec(name, f"{part[:40]}...", f"a name has at most {MAX_NAME_BYTES} bytes")
        if _OURS.fullmatch(part):
            raise InvalidSpec(name, str(media), "names of this form are the workers' own")


def _check_output(output: Output, name: str) -> None:
    if (output.path is None) == (not output.url):
        raise InvalidSpec(f"{name}.path", "", "give exactly one of path and url")
    if output.path is not None:
        _check_path(output.path, f"{name}.path")
    else:
        check_url(output.url, f"{name}.url")
    _check_container(output, name)
    if output.video is not None:
        _check_video(output.video, f"{name}.video")
    if output.audio is not None:
        _check_audio(output.audio, f"{name}.audio")
    _check_raw(output, f"{name}.raw_arguments")
    if output.container and output.video and output.audio:
        _check_combination(output.container, output.video, output.audio, name)


def _check_raw(output: Output, name: str) -> None:
    """An argument for another codec would be ignored."""
    if output.raw_arguments and output.url:
        raise InvalidSpec(name, output.raw_arguments[0].name, "a live push takes none")
    known = [each.codec for each in (output.video, output.audio) if each and each.codec]
    whole = len(known) == 2  # noqa: PLR2004  both are set once it is expanded
    check_raw_arguments(output.raw_arguments, name, frozenset(known) if whole else None)


def _check_container(output: Output, name: str) -> None:
    if output.container is None:
        return
    if output.url:
        scheme = scheme_of(output.url)
        if output.container is not LIVE_CONTAINERS[scheme]:
            right = f"{scheme} carries {LIVE_CONTAINERS[scheme]}; leave it out"
            raise InvalidSpec(f"{name}.container", output.container, right)
    elif output.container is Container.FLV:
        raise InvalidSpec(f"{name}.container", output.container, "flv is for pushes to rtmp only")


def _check_live(spec: JobSpec) -> None:
    """What only a live job may have, and what it may not."""
    if spec.restart is not None:
        if not spec.exclusive:
            raise InvalidSpec("restart", "", "only a live push is started again; leave it out")
        if not 1 <= spec.restart.on_failure <= MAX_RESTARTS:
            count = spec.restart.on_failure
            raise InvalidSpec("restart.on_failure", count, f"1 to {MAX_RESTARTS}")
    if not spec.exclusive:
        return
    if len(spec.outputs) > 1:
        raise InvalidSpec("outputs", len(spec.outputs), "a live push has one output, and no files")
    if spec.verification is Verification.FULL:
        right = "a live push leaves no file to decode; leave it out"
        raise InvalidSpec("verification", spec.verification, right)
    if spec.overwrite:
        raise InvalidSpec("overwrite", spec.overwrite, "a live push replaces no file; leave it out")


def _check_video(video: VideoSettings, name: str) -> None:
    if video.codec in {VideoCodec.COPY, VideoCodec.NONE}:
        for field_name in ("width", "height", "upscale", "frame_rate", "crf", "bitrate", "speed"):
            value = getattr(video, field_name)
            if value is not None and value is not False:  # a CRF of 0 is a value
                raise InvalidSpec(
                    f"{name}.{field_name}", value, f"nothing is encoded with codec {video.codec}"
                )
        return
    for field_name, side in (("width", video.width), ("height", video.height)):
        if side is not None:
            _check_side(side, f"{name}.{field_name}")
    if video.frame_rate is not None:
        _check_rate(video.frame_rate, f"{name}.frame_rate")
    if video.crf is not None and video.bitrate is not None:
        raise InvalidSpec(f"{name}.bitrate", video.bitrate, "give crf or bitrate, not both")
    if video.crf is not None and video.codec is not None:  # else it is checked when expanded
        largest = MAX_CRF[video.codec]
        if not 0 <= video.crf <= largest:
            raise InvalidSpec(f"{name}.crf", video.crf, f"0 to {largest} for {video.codec}")
    _check_bitrate(video.bitrate, f"{name}.bitrate")


def _check_audio(audio: AudioSettings, name: str) -> None:
    if audio.codec in {AudioCodec.COPY, AudioCodec.NONE} and audio.bitrate is not None:
        raise InvalidSpec(
            f"{name}.bitrate", audio.bitrate, f"nothing is encoded with codec {audio.codec}"
        )
    _check_bitrate(audio.bitrate, f"{name}.bitrate")


CARRIES: dict[Container, tuple[frozenset[VideoCodec], frozenset[AudioCodec]]] = {
    Container.MP4: (
        frozenset({VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1, VideoCodec.VP9}),
        frozenset({AudioCodec.AAC, AudioCodec.OPUS}),
    ),
    Container.MOV: (
        frozenset({VideoCodec.H264, VideoCodec.H265}),
        frozenset({AudioCodec.AAC}),
    ),
    Container.MKV: (
        frozenset(MAX_CRF),
        frozenset({AudioCodec.AAC, AudioCodec.OPUS}),
    ),
    Container.WEBM: (
        frozenset({VideoCodec.VP8, VideoCodec.VP9, VideoCodec.AV1}),
        frozenset({AudioCodec.OPUS}),
    ),
    Container.TS: (
        frozenset({VideoCodec.H264, VideoCodec.H265}),
        frozenset({AudioCodec.AAC}),
    ),
    Container.FLV: (
        frozenset({VideoCodec.H264}),  # the others only by an extension that few servers know
        frozenset({AudioCodec.AAC}),
    ),
}
"""What each container may hold; a copied stream is judged by FFmpeg, but in FLV: see `plan`."""

LIVE_CONTAINERS = {"rtmp": Container.FLV, "rtmps": Container.FLV, "srt": Container.TS}
"""What each scheme of a live push carries."""


def _check_combination(
    container: Container, video: VideoSettings, audio: AudioSettings, name: str
) -> None:
    videos, audios = CARRIES[container]
    if video.codec in MAX_CRF and video.codec not in videos:
        raise InvalidSpec(
            f"{name}.video.codec", video.codec, f"{container} holds {_listed(videos)}"
        )
    encoded = audio.codec not in {AudioCodec.COPY, AudioCodec.NONE}
    if encoded and audio.codec not in audios:
        raise InvalidSpec(
            f"{name}.audio.codec", audio.codec, f"{container} holds {_listed(audios)}"
        )
    if video.codec is VideoCodec.NONE and audio.codec is AudioCodec.NONE:
        raise InvalidSpec(f"{name}.audio.codec", audio.codec, "an output needs picture or sound")


def _listed(values: frozenset[VideoCodec] | frozenset[AudioCodec]) -> str:
    return ", ".join(sorted(values))


def _check_targets(spec: JobSpec) -> None:
    seen: set[MediaPath] = set()
    for number, target in enumerate(spec.paths):  # a live push has no files, and one output
        if target in seen:
            raise InvalidSpec(f"outputs[{number}].path", str(target), "two outputs, one file")
        if target == spec.input.path:
            raise InvalidSpec(f"outputs[{number}].path", str(target), "the output is the input")
        seen.add(target)


def _check_side(side: int, name: str) -> None:
    if not MIN_SIDE <= side <= MAX_SIDE or side % 2:
        raise InvalidSpec(name, side, f"an even number of pixels, {MIN_SIDE} to {MAX_SIDE}")


def _check_rate(rate: FrameRate, name: str) -> None:
    positive = rate.numerator > 0 and rate.denominator > 0
    if not positive or not 1 <= rate.numerator / rate.denominator <= MAX_RATE:
        raise InvalidSpec(name, str(rate), f"1 to {MAX_RATE} frames a second")


def _check_bitrate(bitrate: int | None, name: str) -> None:
    if bitrate is not None and not MIN_BITRATE <= bitrate <= MAX_BITRATE:
        raise InvalidSpec(name, bitrate, f"{MIN_BITRATE} to {MAX_BITRATE} bits a second")


def encoded_codecs(spec: JobSpec) -> Iterator[VideoCodec | AudioCodec]:
    """The codecs a worker must be able to encode for this spec (expanded)."""
    for output in spec.outputs:
        if output.video is not None and output.video.codec in MAX_CRF:
            yield output.video.codec
        if output.audio is not None and output.audio.codec in {AudioCodec.AAC, AudioCodec.OPUS}:
            yield output.audio.codec

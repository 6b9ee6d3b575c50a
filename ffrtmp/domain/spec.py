"""What to transcode: the typed job spec. What makes one valid is in `spec_rules`.

A spec is never half-understood. It carries `SPEC_VERSION`, the version whose fields it uses; a
worker that knows only an older one is not offered the job. Presets are expanded at submit (see
`ffmpeg/presets.py`) and stored expanded, so that a later change of a preset changes no queued job.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.labels import Labels
from ffrtmp.domain.live import LiveTarget, is_url, shown
from ffrtmp.domain.raw_arguments import RawArgument

SPEC_VERSION = 1


class Queue(StrEnum):
    """Where the job waits; each queue has a head start (see `scheduling.rank`)."""

    LIVE = "live"
    DEFAULT = "default"
    BATCH = "batch"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Purpose(StrEnum):
    """What a job is for: accounts of service are kept apart by it. It gives no head start."""

    PRODUCTION = "production"
    TEST = "test"
    BENCHMARK = "benchmark"
    DEBUG = "debug"


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


class Metric(StrEnum):
    """What a picture is compared with the source's by."""

    VMAF = "vmaf"
    SSIM = "ssim"
    PSNR = "psnr"
    XPSNR = "xpsnr"


BEST_SCORE = {Metric.VMAF: 100, Metric.SSIM: 1, Metric.PSNR: 100, Metric.XPSNR: 100}
"""The two last have no end: what is nearer than 100 dB counts as that."""


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


def folders_of(target: str) -> list[str]:
    """The folders that a file `root:path` lies in, its root left out: none of them can be a file.
    None of a live target."""
    if "://" in target:
        return []
    return [target[:place] for place, character in enumerate(target) if character == "/"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Compare an output's picture with the source's. `least`: the bar; None: only measure.

    `sample`: how much of the picture is compared; all of it where it is not longer.
    """

    metric: Metric
    least: float | None = None
    sample: timedelta = timedelta(seconds=20)


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
    quality: Quality | None = None
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


def queue_of(asked: Queue | None, *, exclusive: bool) -> Queue:
    """A live push goes ahead, unless another queue is asked for."""
    return asked or (Queue.LIVE if exclusive else Queue.DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a client asks for. `timeout` bounds one attempt, from accept to staged; None: none.
    `queue`: None leaves it to `waits_in`.

    `accept_truncated`: an input that is cut off or damaged is encoded as far as it can be read.
    `labels`: those that a worker must have, all of them.
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
    labels: Labels = field(default_factory=dict)

    @property
    def waits_in(self) -> Queue:
        return queue_of(self.queue, exclusive=self.exclusive)

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
        if not any(each.url for each in self.outputs):
            return self
        outputs = (
            replace(each, url=shown(each.url)) if each.url else each for each in self.outputs
        )
        return replace(self, outputs=tuple(outputs))


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


def encoded_codecs(spec: JobSpec) -> Iterator[VideoCodec | AudioCodec]:
    """The codecs a worker must be able to encode for this spec (expanded)."""
    for output in spec.outputs:
        if output.video is not None and output.video.codec in MAX_CRF:
            yield output.video.codec
        if output.audio is not None and output.audio.codec in {AudioCodec.AAC, AudioCodec.OPUS}:
            yield output.audio.codec

"""What makes a job spec valid; every refusal names field, value and what would be right."""

import re
from datetime import timedelta

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.labels import check_labels
from ffrtmp.domain.live import check_url, scheme_of
from ffrtmp.domain.raw_arguments import check_raw_arguments
from ffrtmp.domain.spec import (
    BEST_SCORE,
    CARRIES,
    LIVE_CONTAINERS,
    MAX_CRF,
    SPEC_VERSION,
    AudioCodec,
    AudioSettings,
    Container,
    FrameRate,
    Input,
    JobSpec,
    MediaPath,
    Output,
    Quality,
    TestSource,
    Verification,
    VideoCodec,
    VideoSettings,
    folders_of,
)

MAX_OUTPUTS = 32
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4096
MAX_FOLDERS = 100
MIN_SIDE, MAX_SIDE = 16, 8192
MAX_RATE = 240
MAX_TEST_DURATION = timedelta(hours=24)
MAX_TIMEOUT = timedelta(days=30)
MIN_BITRATE, MAX_BITRATE = 8_000, 500_000_000
MAX_RESTARTS = 1000
MIN_SAMPLE, MAX_SAMPLE = timedelta(seconds=1), timedelta(hours=24)
_OURS = re.compile(r"\.ffrtmp-root\..*|\..*\.[0-9A-Za-z_-]+\.\d+\.part(\.[^.]*)?")
"""Names of a root's proofs, and of what attempts stage, which are swept one day."""


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
    check_labels(spec.labels, "labels")


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
    if media.path.count("/") > MAX_FOLDERS:
        raise InvalidSpec(name, f"{media.path[:40]}...", f"at most {MAX_FOLDERS} folders")
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
    if output.quality is not None:
        _check_quality(output, output.quality, f"{name}.quality")
    _check_raw(output, f"{name}.raw_arguments")
    if output.container and output.video and output.audio:
        _check_combination(output.container, output.video, output.audio, name)


def _check_quality(output: Output, quality: Quality, name: str) -> None:
    if output.url:
        raise InvalidSpec(name, "", "a live push leaves no file to compare; leave it out")
    if output.video is not None and output.video.codec in {VideoCodec.COPY, VideoCodec.NONE}:
        right = f"nothing is encoded with codec {output.video.codec}; leave it out"
        raise InvalidSpec(name, quality.metric, right)
    best = BEST_SCORE[quality.metric]
    if quality.least is not None and not 0 <= quality.least <= best:
        raise InvalidSpec(f"{name}.min", quality.least, f"0 to {best} for {quality.metric}")
    if not MIN_SAMPLE <= quality.sample <= MAX_SAMPLE:
        raise InvalidSpec(f"{name}.sample", str(quality.sample), "1 second to 24 hours")


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
            count = spec.restart.on_failure
            raise InvalidSpec("restart", count, "only a live push is started again; leave it out")
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
    files = set(map(str, (spec.input.path, *spec.paths)))
    for number, target in enumerate(spec.paths):  # a live push has no files, and one output
        if target in seen:
            raise InvalidSpec(f"outputs[{number}].path", str(target), "two outputs, one file")
        if target == spec.input.path:
            raise InvalidSpec(f"outputs[{number}].path", str(target), "the output is the input")
        if above := files.intersection(folders_of(str(target))):
            right = f"{min(above)} is a file of this job, no folder"
            raise InvalidSpec(f"outputs[{number}].path", str(target), right)
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

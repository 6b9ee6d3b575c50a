"""Scenario names such as `1080p30-h264`, and every default, made explicit.

What is stored is expanded: a later change of a preset changes no queued job.
"""

import re
from dataclasses import replace
from difflib import get_close_matches
from itertools import product

from ffrtmp.domain.errors import InvalidSpec
from ffrtmp.domain.live import scheme_of
from ffrtmp.domain.spec import (
    LIVE_CONTAINERS,
    MAX_CRF,
    AudioCodec,
    AudioSettings,
    Container,
    FrameRate,
    JobSpec,
    Output,
    Speed,
    VideoCodec,
    VideoSettings,
)
from ffrtmp.domain.spec_rules import MIN_BITRATE, validate

BOXES = {
    "2160p": (3840, 2160),
    "4K": (3840, 2160),
    "1440p": (2560, 1440),
    "1080p": (1920, 1080),
    "720p": (1280, 720),
    "480p": (854, 480),
    "360p": (640, 360),
}
RATES = ("", "24", "25", "30", "50", "60")
ENCODED = ("h264", "h265", "av1", "vp9", "vp8")
_SCENARIO = re.compile(rf"({'|'.join(BOXES)})({'|'.join(RATES[1:])})?-({'|'.join(ENCODED)})")

DEFAULT_CRF = {
    VideoCodec.H264: 20,
    VideoCodec.H265: 23,
    VideoCodec.AV1: 28,
    VideoCodec.VP9: 31,
    VideoCodec.VP8: 10,
}
"""Near-transparent for ordinary material; VP8's scale is its encoder's own."""

LIVE_BITS_A_PIXEL = 3
DEFAULT_LIVE_BITRATE = 4_000_000
"""A server and the line to it are dimensioned for a rate: a live push has one, 3 bits a second for
each pixel of its box, or this."""

DEFAULT_AUDIO_BITRATE = {AudioCodec.AAC: 160_000, AudioCodec.OPUS: 128_000}

ENDINGS = {
    **{f".{each.value}": each for each in Container if each is not Container.FLV},
    ".m4v": Container.MP4,
    ".m2ts": Container.TS,
    ".mts": Container.TS,
}


def scenario_names() -> list[str]:
    return [f"{box}{rate}-{codec}" for box, rate, codec in product(BOXES, RATES, ENCODED)]


def expand(spec: JobSpec) -> JobSpec:
    """Every preset and default made explicit; validated before and after.

    Raises InvalidSpec.
    """
    validate(spec)
    outputs = tuple(
        _expand_output(output, f"outputs[{number}]") for number, output in enumerate(spec.outputs)
    )
    expanded = replace(spec, outputs=outputs, queue=spec.waits_in)
    validate(expanded)
    return expanded


def _expand_output(output: Output, name: str) -> Output:
    container = output.container or _container(output, name)
    preset = preset_settings(output.preset, f"{name}.preset") if output.preset else VideoSettings()
    return replace(
        output,
        container=container,
        preset="",
        video=_expand_video(
            output.video or VideoSettings(), preset, container, live=bool(output.url)
        ),
        audio=_expand_audio(output.audio or AudioSettings(), container),
    )


def _container(output: Output, name: str) -> Container:
    if output.path is None:
        return LIVE_CONTAINERS[scheme_of(output.url)]
    return container_of(output.path.path, f"{name}.path")


def container_of(path: str, name: str) -> Container:
    """What the path's ending says. Raises InvalidSpec."""
    for ending, container in ENDINGS.items():
        if path.lower().endswith(ending):
            return container
    raise InvalidSpec(name, path, f"end it in {', '.join(ENDINGS)}, or set the container")


def preset_settings(preset: str, name: str) -> VideoSettings:
    """Raises InvalidSpec with the nearest scenario."""
    match = _SCENARIO.fullmatch(preset)
    if match is None:
        near = get_close_matches(preset, scenario_names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InvalidSpec(
            name, preset, f"{hint}write SIZE[RATE]-CODEC, for example 1080p30-h264 or 4K-av1"
        )
    width, height = BOXES[match[1]]
    return VideoSettings(
        codec=VideoCodec(match[3]),
        width=width,
        height=height,
        frame_rate=FrameRate(int(match[2])) if match[2] else None,
    )


def _expand_video(
    asked: VideoSettings, preset: VideoSettings, container: Container, *, live: bool
) -> VideoSettings:
    default = VideoCodec.VP9 if container is Container.WEBM else VideoCodec.H264
    codec = asked.codec or preset.codec or default
    if codec not in MAX_CRF:
        return replace(asked, codec=codec)
    sized = asked.width is not None or asked.height is not None
    has_quality = asked.crf is not None or asked.bitrate is not None
    filled = replace(
        asked,
        codec=codec,
        width=asked.width if sized else preset.width,
        height=asked.height if sized else preset.height,
        frame_rate=asked.frame_rate or preset.frame_rate,
        speed=asked.speed or (Speed.FAST if live else Speed.MEDIUM),  # it must keep up
    )
    if has_quality:
        return filled
    if live:
        return replace(filled, bitrate=_live_bitrate(filled))
    return replace(filled, crf=DEFAULT_CRF[codec])


def _live_bitrate(video: VideoSettings) -> int:
    if not video.width or not video.height:
        return DEFAULT_LIVE_BITRATE
    return max(MIN_BITRATE, video.width * video.height * LIVE_BITS_A_PIXEL)


def _expand_audio(asked: AudioSettings, container: Container) -> AudioSettings:
    default = AudioCodec.OPUS if container is Container.WEBM else AudioCodec.AAC
    codec = asked.codec or default
    return replace(asked, codec=codec, bitrate=asked.bitrate or DEFAULT_AUDIO_BITRATE.get(codec))
